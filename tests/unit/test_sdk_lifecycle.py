"""What the SDK expects of any span processor and exporter, tried with ours: exits, forks, batches.

Written anew, beside the specification's numbered rules (test_processor.py, test_exporter.py).
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from inprocess import App, dicts, drain_once, no_background, owning, rows, stored_spans
from opentelemetry import trace
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    TracerProvider,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support import in_threads

from hush_otel import HushSpanExporter, HushSpanProcessor
from hush_otel.attachment import attach
from hush_otel.capture import processor
from hush_otel.config import Settings


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    no_background(monkeypatch, tmp_path)


@pytest.fixture
def app(tmp_path: Path) -> App:
    """An application."""
    return App(tmp_path / "t.db")


@contextmanager
def draining(settings: Settings) -> Iterator[None]:
    """Somebody who drains, in a thread, as a background process would beside the application."""
    ready, done = threading.Event(), threading.Event()

    def work() -> None:
        with owning(settings) as owner:  # SQLite's connections belong to their thread
            ready.set()
            while not done.is_set():
                owner.service._bell.wait(min(owner.step() or 0.001, 0.01))

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(60)
    try:
        yield
    finally:
        done.set()
        thread.join(60)


# ------------------------------------------------------------------ shutdown


@pytest.fixture
def _an_exit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not bounded by what other tests' shutdowns have left of a common half second, nor by a busy machine."""
    monkeypatch.setattr(processor, "SHUTDOWN_FLUSH_MS", 20_000)
    monkeypatch.setattr(processor._Exit, "ended", -60.0)
    monkeypatch.setattr(processor._Exit, "left_s", 0.0)  # and back again: the next test is bounded as ever


@pytest.mark.usefixtures("_an_exit_of_its_own")
def test_sdk3_shutdown_includes_a_flush(app: App) -> None:
    """SDK rule 3: with somebody draining, all is in SQLite when shutdown returns."""
    with draining(app.settings):
        for number in range(200):
            app.tracer.start_span(f"s{number}").end()
        app.provider.shutdown()
        assert stored_spans(app.db_path).total() == 200


@pytest.mark.usefixtures("_an_exit_of_its_own")
def test_sdk3_exporter_shutdown_includes_a_flush(tmp_path: Path) -> None:
    """The same of the exporter, behind the SDK's own processor."""
    db = tmp_path / "t.db"
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(HushSpanExporter(db)))
    with draining(attach(db).settings):
        for number in range(200):
            provider.get_tracer("t").start_span(f"s{number}").end()
        provider.shutdown()
        assert stored_spans(db).total() == 200


def test_sdk3_what_is_called_after_shutdown_neither_raises_nor_lies(app: App) -> None:
    """SDK rule 3: later calls are harmless; force_flush goes on telling the truth."""
    open_span = app.tracer.start_span("open")
    app.processor.shutdown()
    app.processor.shutdown()
    app.processor.on_start(open_span, None)  # type: ignore[arg-type]
    open_span.end()
    assert app.processor.force_flush(0) is False
    app.drain()
    assert app.processor.force_flush(0) is True
    assert stored_spans(app.db_path) == {"open": 1}


def test_sdk2_a_shutdown_while_spans_end_loses_none(app: App) -> None:
    """Threads go on ending spans while others shut down: every span is stored, nothing raises."""
    go = threading.Barrier(6)

    def work(number: int) -> None:
        go.wait()
        if number >= 4:
            app.processor.shutdown()
            return
        for index in range(100):
            app.tracer.start_span(f"{number}-{index}").end()

    in_threads(6, work)
    app.drain()
    assert set(stored_spans(app.db_path).values()) == {1}
    assert stored_spans(app.db_path).total() == 400


# ------------------------------------------------------------------ forks


def in_child(work: Callable[[], object]) -> None:
    """Fork, run `work` in the child, and see it succeed."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # what hangs ends, and holds no pipe of pytest's for ever
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_f05_a_child_uses_its_parents_provider(app: App) -> None:
    """As after os.fork in a server: spans of both are stored, and the child's flush speaks of the child's."""
    app.tracer.start_span("before").end()

    def child() -> None:
        app.tracer.start_span("child").end()
        assert app.processor.force_flush(0) is False
        app.drain()
        assert app.provider.force_flush(60_000) is True
        app.provider.shutdown()

    in_child(child)
    app.tracer.start_span("after").end()
    app.drain()
    assert app.provider.force_flush(60_000) is True
    assert stored_spans(app.db_path) == {"before": 1, "child": 1, "after": 1}


@pytest.mark.skipif(
    not hasattr(ConcurrentMultiSpanProcessor, "_init_executor"),
    reason="the pool of an older SDK does not survive a fork (opentelemetry-python #4862): it hangs in the child",
)
def test_f05_a_concurrent_multi_processor_works_in_a_forked_child(tmp_path: Path) -> None:
    """The SDK makes its pool anew in the child; ours goes on in it."""
    db = tmp_path / "t.db"
    both = ConcurrentMultiSpanProcessor()
    both.add_span_processor(HushSpanProcessor(db))
    provider = TracerProvider(active_span_processor=both, shutdown_on_exit=False)
    tracer = provider.get_tracer("t")
    tracer.start_span("before").end()
    in_child(lambda: tracer.start_span("child").end())
    tracer.start_span("after").end()
    provider.shutdown()
    drain_once(attach(db).settings)
    assert stored_spans(db) == {"before": 1, "child": 1, "after": 1}


def test_f05_the_sdks_batch_processor_with_our_exporter_works_in_a_forked_child(tmp_path: Path) -> None:
    """It starts its thread anew in the child: what is flushed there is stored, and nothing of it twice."""
    db = tmp_path / "t.db"
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(HushSpanExporter(db)))
    tracer = provider.get_tracer("t")
    tracer.start_span("before").end()
    provider.force_flush(60_000)

    def child() -> None:
        for number in range(50):
            tracer.start_span(f"child {number}").end()
        provider.force_flush(0)
        provider.shutdown()

    in_child(child)
    provider.shutdown()
    drain_once(attach(db).settings)
    assert set(stored_spans(db).values()) == {1}
    assert stored_spans(db).total() == 51


# ------------------------------------------------------------------ the exporter


@pytest.fixture
def batch() -> list[ReadableSpan]:
    """A hundred finished spans."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for number in range(100):
        provider.get_tracer("t").start_span(f"s{number}").end()
    return list(memory.get_finished_spans())


def test_an_empty_batch_is_a_success(tmp_path: Path) -> None:
    """There was nothing to do, and it is done: no file is made."""
    exporter = HushSpanExporter(tmp_path / "t.db")
    assert exporter.export([]) is SpanExportResult.SUCCESS
    assert not attach(tmp_path / "t.db").settings.spool_dir.exists()


def test_a_batch_may_be_a_tuple(tmp_path: Path, batch: list[ReadableSpan]) -> None:
    """As the SDK's simple processor passes it."""
    db = tmp_path / "t.db"
    assert HushSpanExporter(db).export(tuple(batch)) is SpanExportResult.SUCCESS
    drain_once(attach(db).settings)
    assert stored_spans(db).total() == 100


def test_sdk2_exports_from_several_threads_are_safe_together(
    tmp_path: Path, batch: list[ReadableSpan]
) -> None:
    """The SDK calls one at a time; others may not: every span of every batch is stored once."""
    db = tmp_path / "t.db"
    exporter = HushSpanExporter(db)
    results: list[SpanExportResult] = []
    in_threads(4, lambda number: results.append(exporter.export(batch[number * 25 : number * 25 + 25])))
    assert results == [SpanExportResult.SUCCESS] * 4
    drain_once(attach(db).settings)
    assert set(stored_spans(db).values()) == {1}
    assert stored_spans(db).total() == 100


def test_sdk7_an_exporter_does_not_retry(tmp_path: Path, batch: list[ReadableSpan]) -> None:
    """What was refused after shutdown is not kept for later: the caller knows by FAILURE."""
    db = tmp_path / "t.db"
    exporter = HushSpanExporter(db)
    exporter.export(batch[:1])
    exporter.shutdown()
    assert exporter.export(batch[1:]) is SpanExportResult.FAILURE
    second = HushSpanExporter(db)
    assert second.export(batch[1:2]) is SpanExportResult.SUCCESS
    drain_once(attach(db).settings)
    assert stored_spans(db) == {"s0": 1, "s1": 1}


def test_exceptions_events_and_links_come_as_the_sdk_recorded_them(app: App) -> None:
    """What the context manager records of an exception is in the row."""
    with pytest.raises(ValueError, match="wrong"), app.tracer.start_as_current_span("x"):
        raise ValueError("wrong")
    app.drain()
    row = app.span("x")
    assert (row["status_code"], row["status_message"]) == ("ERROR", "ValueError: wrong")
    (event,) = dicts(app.db_path, "SELECT value ->> '$.name' AS name FROM spans, json_each(spans.events)")
    assert event == {"name": "exception"}


def test_a_span_without_a_current_context_is_recorded(app: App) -> None:
    """Started and ended by hand, below no other: a request of its own, as with the SDK's own processors."""
    with app.tracer.start_as_current_span("current"):
        app.tracer.start_span("alone", context=trace.set_span_in_context(trace.INVALID_SPAN)).end()
    app.drain()
    assert rows(app.db_path, "SELECT count(*), count(DISTINCT completed_by) FROM requests") == [(2, 1)]
