"""A lane: what one delivery meets is no other's business."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from test_store_ingest import ROOT, Store, end

from hush_otel.background.attempt import Report, SpansGone
from hush_otel.background.lanes import Lane, Result
from hush_otel.errors import RefusedError, RetryableError
from hush_otel.model import Destination
from hush_otel.records import FLAG_COMPLETE
from hush_otel.store import outbox
from hush_otel.store.spans import SpanReader
from hush_otel.testing import OtlpReceiver


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A receiver that accepts everything."""
    with OtlpReceiver() as one:
        yield one


@pytest.fixture
def store(tmp_path: Path, receiver: OtlpReceiver) -> Store:
    """Three requests of one span each, queued for the receiver."""
    one = Store(tmp_path / "t.db")
    lab = Destination("otlp", name="lab", endpoint=receiver.endpoint)
    for trace in (1, 2, 3):
        one.take(end(trace, ROOT, name=f"span-{trace}", flags=FLAG_COMPLETE), destinations=[lab])
    one.queue()
    return one


def attempt(store: Store) -> list[Report]:
    """Hand the lane all that is due; its reports."""
    (state,) = store.database.read(outbox.waiting)
    due = store.database.read(lambda db: outbox.due_deliveries(db, state.id, 1e12, 10))
    results: queue.SimpleQueue[Result] = queue.SimpleQueue()
    lane = Lane(state, store.path, results, lambda: None)
    lane.submit(due)
    found = results.get(timeout=60)
    lane.close(60)
    assert sorted(d.id for report in found.reports for d in report.deliveries) == [d.id for d in due]
    return list(found.reports)


def test_a_span_that_cannot_be_sent_is_dead_and_its_neighbours_go(
    store: Store, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug of ours at one span settles that delivery alone."""
    real = SpanReader.read_batch

    def read(reader: SpanReader, deliveries: Sequence[outbox.Delivery], **how: Any) -> Any:
        batch = real(reader, deliveries, **how)
        if "span-2" in [span.name for span in batch.spans]:
            raise KeyError("a bug")
        return batch

    monkeypatch.setattr(SpanReader, "read_batch", read)
    reports = attempt(store)
    assert [report.error and type(report.error) for report in reports] == [None, RefusedError, None]
    assert "KeyError" in str(reports[1].error)
    assert sorted(span.name for span in receiver.spans()) == ["span-1", "span-3"]


def test_a_thread_that_cannot_be_had_for_once_is_had_the_next_time(
    store: Store, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was refused is nowhere: neither counted as in flight nor sent with what comes next."""
    (state,) = store.database.read(outbox.waiting)
    first, *rest = store.database.read(lambda db: outbox.due_deliveries(db, state.id, 1e12, 10))
    results: queue.SimpleQueue[Result] = queue.SimpleQueue()
    lane = Lane(state, store.path, results, lambda: None)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused_thread)
        with pytest.raises(RuntimeError, match="new thread"):
            lane.submit([first])
    lane.submit(rest)
    found = results.get(timeout=60)
    lane.close(60)
    assert lane.in_flight == 1
    assert [d.id for report in found.reports for d in report.deliveries] == [d.id for d in rest]
    assert sorted(span.name for span in receiver.spans()) == ["span-2", "span-3"]


def refused_thread(_thread: threading.Thread) -> None:
    """As Python says it at a limit of processes."""
    raise RuntimeError("can't start new thread")


def test_a_database_that_cannot_be_read_for_now_is_tried_again(
    store: Store, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Want of descriptors or a lock is no fault of the spans."""

    def refuse(reader: SpanReader, path: Path) -> None:
        raise OSError(24, "Too many open files", str(path))

    monkeypatch.setattr(SpanReader, "__init__", refuse)
    (report,) = attempt(store)
    assert isinstance(report.error, RetryableError)
    assert receiver.spans() == []


def test_a_delivery_of_which_no_span_is_found_is_not_delivered(store: Store, receiver: OtlpReceiver) -> None:
    """Nothing sent is nothing accepted."""
    store.database.write(lambda db: db.execute("UPDATE hush_spans SET request = 999"))
    reports = attempt(store)
    assert [type(report.error) for report in reports] == [SpansGone] * 3
    assert receiver.requests == []
