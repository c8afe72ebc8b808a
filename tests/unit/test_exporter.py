"""The span exporter against the SDK's specification (trace/sdk.md), in-process."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from inprocess import Passed, dicts, drain_once, losses, no_background, rows
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext

from hush_otel import HushSpanExporter
from hush_otel.attachment import attach
from hush_otel.capture import processor


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    no_background(monkeypatch, tmp_path)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """The database."""
    return tmp_path / "t.db"


@pytest.fixture
def exporter(db: Path) -> HushSpanExporter:
    """An exporter to it."""
    return HushSpanExporter(db)


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Passed:
    """The time that passes by waiting; nobody has shut anything down of late."""
    time_of_ours = Passed.for_waiting(monkeypatch)
    monkeypatch.setattr(processor, "monotonic", time_of_ours.monotonic)
    monkeypatch.setattr(processor._Exit, "ended", -processor.ONE_EXIT_S)
    monkeypatch.setattr(processor._Exit, "left_s", 0.0)
    return time_of_ours


@pytest.fixture
def spans() -> Iterator[list[ReadableSpan]]:
    """A trace of three, in the order in which they ended."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("t")
    with tracer.start_as_current_span("root"):
        tracer.start_span("a").end()
        tracer.start_span("b").end()
    yield list(memory.get_finished_spans())
    provider.shutdown()


def test_export_is_safe_when_it_returns(
    db: Path, exporter: HushSpanExporter, spans: list[ReadableSpan]
) -> None:
    """SUCCESS says that every span lies in the spool; a root completes its request."""
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    drain_once(attach(db).settings)
    assert [row["name"] for row in dicts(db, "SELECT name FROM spans")] == ["a", "b", "root"]
    assert rows(db, "SELECT status, completed_by, node_count FROM requests") == [("stored", "root", 3)]


def test_without_the_root_a_request_stays_open(
    db: Path, exporter: HushSpanExporter, spans: list[ReadableSpan]
) -> None:
    """Children alone complete nothing."""
    exporter.export(spans[:2])
    drain_once(attach(db).settings)
    assert rows(db, "SELECT status FROM requests") == [("writing",)]


@pytest.mark.alone
def test_sdk7_export_after_shutdown_is_a_failure(
    db: Path, exporter: HushSpanExporter, spans: list[ReadableSpan], passed: Passed
) -> None:
    """SDK rule 7: after shutdown, which is idempotent and bounded, nothing is taken any more."""
    exporter.export(spans[:1])
    began = time.monotonic()
    exporter.shutdown()
    exporter.shutdown()
    assert time.monotonic() - began < 1.0
    assert passed.slept_s == pytest.approx(0.5, abs=0.001)
    assert exporter.export(spans[1:]) is SpanExportResult.FAILURE
    drain_once(attach(db).settings)
    assert rows(db, "SELECT name FROM spans") == [("a",)]


@pytest.mark.alone
def test_sdk7_a_dropped_span_is_a_failure_and_not_retried(
    tmp_path: Path, spans: list[ReadableSpan], passed: Passed
) -> None:
    """SDK rule 7: FAILURE when a span of the batch could not be made safe, at once."""
    (tmp_path / "x.db.spool").write_text("in the way")
    exporter = HushSpanExporter(tmp_path / "x.db")
    began = time.monotonic()
    assert exporter.export(spans) is SpanExportResult.FAILURE
    assert time.monotonic() - began < 1.0
    assert passed.slept_s == 0


def test_sdk1_one_broken_span_harms_no_neighbour(
    db: Path, exporter: HushSpanExporter, spans: list[ReadableSpan]
) -> None:
    """What cannot be recorded is counted; the rest of the batch is safe."""

    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    batch: list[Any] = [spans[0], Broken(), spans[1]]
    assert exporter.export(batch) is SpanExportResult.FAILURE
    drain_once(attach(db).settings)
    assert rows(db, "SELECT name FROM spans") == [("a",), ("b",)]
    assert losses(db) == {"error": 1}


@pytest.mark.parametrize(
    "part",
    [
        {"events": [None, Event("kept")]},
        {"links": [None, Link(None), Link(SpanContext(1, 2, False))]},
        {"status": None},
    ],
    ids=lambda part: next(iter(part)),
)
def test_sdk1_a_part_that_is_none_costs_itself_only(
    part: dict[str, Any], db: Path, exporter: HushSpanExporter
) -> None:
    """Bridges and replays make spans by hand: what is missing is left out, and the rest of the span is safe."""
    span = ReadableSpan("made", SpanContext(1, 3, is_remote=False), **part)
    assert exporter.export([span]) is SpanExportResult.SUCCESS
    drain_once(attach(db).settings)
    ((events, links, status),) = rows(db, "SELECT events, links, status_code FROM spans")
    assert [len(json.loads(found or "[]")) for found in (events, links)] == [
        "events" in part,
        "links" in part,
    ]
    assert status == "UNSET"
    assert losses(db) == {}


def test_force_flush_is_positional_and_truthful(
    db: Path, exporter: HushSpanExporter, spans: list[ReadableSpan]
) -> None:
    """As the processor's: False until SQLite has everything."""
    parameters = list(inspect.signature(exporter.force_flush).parameters)
    assert parameters == list(inspect.signature(SpanExporter.force_flush).parameters)[1:]
    exporter.export(spans)
    assert exporter.force_flush(0) is False
    drain_once(attach(db).settings)
    assert exporter.force_flush(0) is True


def test_behind_the_batch_processor(db: Path) -> None:
    """BatchSpanProcessor(HushSpanExporter(…)) stores every span that was flushed."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(HushSpanExporter(db)))
    for index in range(100):
        provider.get_tracer("t").start_span(f"s{index}").end()
    assert provider.force_flush(60_000)
    drain_once(attach(db).settings)
    assert rows(db, "SELECT count(*), count(DISTINCT name) FROM spans") == [(100, 100)]
    provider.shutdown()


def test_processor_and_exporter_together_store_each_span_once(db: Path, spans: list[ReadableSpan]) -> None:
    """Two exporters of one process to one database: duplicates are counted, rows are not."""
    HushSpanExporter(db).export(spans)
    HushSpanExporter(db).export(spans)
    drain_once(attach(db).settings)
    assert rows(db, "SELECT count(*) FROM spans") == [(3,)]
    assert losses(db) == {"duplicate": 3}


def test_it_is_found_by_the_name_hush() -> None:
    """OTEL_TRACES_EXPORTER=hush finds it by its entry point."""
    (entry,) = entry_points(group="opentelemetry_traces_exporter", name="hush")
    assert entry.load() is HushSpanExporter
