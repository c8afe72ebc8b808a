"""What the SDK expects of any span processor, tried with ours: order, several processors, several providers.

Written anew, beside the specification's numbered rules (test_processor.py). Exits, forks and the exporter are in
test_sdk_lifecycle.py.
"""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inprocess import App, drain_once, losses, no_background, rows, stored_spans
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    Span,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
    TracerProvider,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext
from support import in_threads

from hush_otel import HushSpanProcessor
from hush_otel.attachment import attach


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    no_background(monkeypatch, tmp_path)


@pytest.fixture
def app(tmp_path: Path) -> App:
    """An application."""
    return App(tmp_path / "t.db")


# ------------------------------------------------------------------ order


def test_spans_are_stored_in_the_order_in_which_they_ended(app: App) -> None:
    """Children before their parents, as exporters get them."""
    with app.tracer.start_as_current_span("foo"), app.tracer.start_as_current_span("bar"):
        app.tracer.start_span("baz").end()
    app.drain()
    ended = "SELECT name FROM hush_spans ORDER BY end_seq"
    assert [name for (name,) in rows(app.db_path, ended)] == ["baz", "bar", "foo"]


def test_other_processors_see_what_they_saw_before(app: App) -> None:
    """Ours between two others: each is called once for each event, in the order of adding."""
    calls: list[str] = []

    class Recorder(SpanProcessor):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_start(self, span: Span, parent_context: Context | None = None) -> None:
            calls.append(f"{self.name}:{span.name}:start")

        def on_end(self, span: ReadableSpan) -> None:
            calls.append(f"{self.name}:{span.name}:end")

    provider = TracerProvider(shutdown_on_exit=False)
    for one in (Recorder("1"), app.processor, Recorder("2")):
        provider.add_span_processor(one)
    tracer = provider.get_tracer("t")
    with tracer.start_as_current_span("foo"):
        tracer.start_span("bar").end()
    assert calls == [
        *("1:foo:start", "2:foo:start", "1:bar:start", "2:bar:start"),
        *("1:bar:end", "2:bar:end", "1:foo:end", "2:foo:end"),
    ]
    app.drain()
    assert stored_spans(app.db_path) == {"foo": 1, "bar": 1}


def test_attributes_of_other_processors_are_stored(app: App) -> None:
    """Set in on_start before ours or after it, the span that ended has them."""

    class Sets(SpanProcessor):
        def __init__(self, key: str) -> None:
            self.key = key

        def on_start(self, span: Span, parent_context: Context | None = None) -> None:
            span.set_attribute(self.key, 1)

    provider = TracerProvider(shutdown_on_exit=False)
    for one in (Sets("before"), app.processor, Sets("after")):
        provider.add_span_processor(one)
    provider.get_tracer("t").start_span("x").end()
    app.drain()
    assert app.span("x")["attributes"] == '{"before":1,"after":1}'


def test_a_processor_added_while_spans_are_open_records_their_ends(app: App) -> None:
    """It has not seen them start: they are stored once, and their request completes."""
    provider = TracerProvider(shutdown_on_exit=False)
    tracer = provider.get_tracer("t")
    with tracer.start_as_current_span("foo"), tracer.start_as_current_span("bar"):
        provider.add_span_processor(app.processor)
    app.drain()
    assert stored_spans(app.db_path) == {"foo": 1, "bar": 1}
    assert rows(app.db_path, "SELECT completed_by FROM requests") == [("root",)]


def test_spans_that_do_not_record_are_passed_over(app: App) -> None:
    """A span that is a context alone, as the SDK's multi-processors are tried with: counted, not raised."""
    context = SpanContext(37, 73, is_remote=False)
    app.processor.on_start(NonRecordingSpan(context), Context())  # type: ignore[arg-type]
    app.processor.on_end(NonRecordingSpan(context))  # type: ignore[arg-type]
    app.tracer.start_span("x").end()
    app.drain()
    assert stored_spans(app.db_path) == {"x": 1}
    assert losses(app.db_path) == {"error": 2}


def test_a_processor_that_is_given_up_is_collected(tmp_path: Path) -> None:
    """Providers that come and go leave none of ours behind."""
    attach(tmp_path / "t.db")
    provider = TracerProvider(shutdown_on_exit=False)
    ours = HushSpanProcessor(tmp_path / "t.db")
    provider.add_span_processor(ours)
    provider.get_tracer("t").start_span("x").end()
    provider.shutdown()
    gone = weakref.ref(ours)
    del provider, ours
    gc.collect()
    assert gone() is None


# ------------------------------------------------------------------ several processors


@pytest.mark.parametrize("multi", [SynchronousMultiSpanProcessor, ConcurrentMultiSpanProcessor])
def test_within_a_multi_processor_every_span_is_stored_once(tmp_path: Path, multi: Callable[[], Any]) -> None:
    """In the caller's thread or in a pool's: two databases get the same spans, requests complete."""
    both = multi()
    databases = [tmp_path / "a.db", tmp_path / "b.db"]
    for database in databases:
        both.add_span_processor(HushSpanProcessor(database))
    provider = TracerProvider(active_span_processor=both, shutdown_on_exit=False)
    tracer = provider.get_tracer("t")
    for number in range(20):
        with tracer.start_as_current_span(f"root {number}"):
            tracer.start_span(f"child {number}").end()
    provider.shutdown()
    for database in databases:
        drain_once(attach(database).settings)
        assert set(stored_spans(database).values()) == {1}
        assert stored_spans(database).total() == 40
        assert rows(database, "SELECT DISTINCT completed_by FROM requests") == [("root",)]


@pytest.mark.parametrize("multi", [SynchronousMultiSpanProcessor, ConcurrentMultiSpanProcessor])
def test_a_flush_of_several_is_true_when_all_are(tmp_path: Path, multi: Callable[[], Any]) -> None:
    """One database that nobody drains makes the whole flush False; drained, it is True."""
    both = multi()
    settings = []
    for name in ("a.db", "b.db"):
        both.add_span_processor(HushSpanProcessor(tmp_path / name))
        settings.append(attach(tmp_path / name).settings)
    provider = TracerProvider(active_span_processor=both, shutdown_on_exit=False)
    provider.get_tracer("t").start_span("x").end()
    drain_once(settings[0])
    assert provider.force_flush(50) is False
    drain_once(settings[1])
    assert provider.force_flush(60_000) is True
    provider.shutdown()


@pytest.mark.alone
@pytest.mark.parametrize("multi", [SynchronousMultiSpanProcessor, ConcurrentMultiSpanProcessor])
def test_several_that_nobody_drains_share_one_timeout(tmp_path: Path, multi: Callable[[], Any]) -> None:
    """A flush of five takes as long as it was given, not five times that."""
    together = multi()
    for number in range(5):
        together.add_span_processor(HushSpanProcessor(tmp_path / f"{number}.db"))
    provider = TracerProvider(active_span_processor=together, shutdown_on_exit=False)
    provider.get_tracer("t").start_span("x").end()
    began = time.monotonic()
    assert provider.force_flush(200) is False
    assert 0.15 < time.monotonic() - began < 0.9
    provider.shutdown()


@pytest.mark.parametrize("timeout_millis", [0, -1])
def test_a_flush_without_time_asks_once(app: App, timeout_millis: int) -> None:
    """Nothing left of a shared timeout: the truth as it is, at once."""
    app.tracer.start_span("x").end()
    assert app.processor.force_flush(timeout_millis) is False
    app.drain()
    assert app.processor.force_flush(timeout_millis) is True


def test_a_neighbour_that_raises_after_us_costs_us_nothing(app: App) -> None:
    """The SDK hands its exception to the application; our span is safe by then."""

    class Broken(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            raise RuntimeError("broken neighbour")

    app.provider.add_span_processor(Broken())
    span = app.tracer.start_span("x")
    with pytest.raises(RuntimeError, match="broken neighbour"):
        span.end()
    app.drain()
    assert stored_spans(app.db_path) == {"x": 1}


# ------------------------------------------------------------------ several providers


def test_providers_with_one_database_keep_their_resources(tmp_path: Path) -> None:
    """Spans of eight threads and four providers at once: each has the resource of its own provider."""
    db = tmp_path / "t.db"
    providers = []
    for number in range(4):
        provider = TracerProvider(resource=Resource({"service.name": f"p{number}"}), shutdown_on_exit=False)
        provider.add_span_processor(HushSpanProcessor(db))
        providers.append(provider)
    go = threading.Barrier(8)

    def work(number: int) -> None:
        tracer = providers[number % 4].get_tracer("t")
        go.wait()
        for _ in range(50):
            with tracer.start_as_current_span(f"p{number % 4}"):
                tracer.start_span(f"p{number % 4}").end()

    in_threads(8, work)
    drain_once(attach(db).settings)
    found = rows(db, "SELECT name, resource ->> '$.\"service.name\"', count(*) FROM spans GROUP BY 1, 2")
    assert sorted(found) == [(f"p{n}", f"p{n}", 200) for n in range(4)]
    assert rows(db, "SELECT count(*), count(DISTINCT completed_by) FROM requests") == [(400, 1)]


def test_providers_with_a_database_each_do_not_mix(tmp_path: Path) -> None:
    """The one's spans are not in the other's database, and its flush does not wait for the other."""
    one, other = App(tmp_path / "one.db"), App(tmp_path / "other.db")
    one.tracer.start_span("one").end()
    other.tracer.start_span("other").end()
    one.drain()
    assert one.provider.force_flush(60_000) is True
    assert other.processor.force_flush(0) is False
    other.drain()
    assert (stored_spans(one.db_path), stored_spans(other.db_path)) == ({"one": 1}, {"other": 1})


def test_one_processor_of_two_providers(app: App) -> None:
    """Nobody forbids it: both resources are kept, and a shutdown of one stops nothing for the other."""
    second = TracerProvider(resource=Resource({"service.name": "second"}), shutdown_on_exit=False)
    second.add_span_processor(app.processor)
    app.tracer.start_span("first").end()
    second.shutdown()
    app.tracer.start_span("after").end()
    second.get_tracer("t").start_span("second").end()
    app.drain()
    found = rows(
        app.db_path, "SELECT name, resource ->> '$.\"service.name\"' FROM spans WHERE name <> 'after'"
    )
    assert sorted(found) == [("first", "shop"), ("second", "second")]
    assert stored_spans(app.db_path)["after"] == 1


def test_two_processors_of_one_database_store_a_span_once(tmp_path: Path) -> None:
    """Configured twice by mistake: no row is there twice, and what came twice is counted."""
    db = tmp_path / "t.db"
    provider = TracerProvider(shutdown_on_exit=False)
    for _ in range(2):
        provider.add_span_processor(HushSpanProcessor(db))
    for _ in range(3):
        provider.get_tracer("t").start_span("x").end()
    drain_once(attach(db).settings)
    assert stored_spans(db) == {"x": 3}
    assert losses(db)["duplicate"] == 3
