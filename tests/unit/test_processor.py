"""The span processor against the SDK's specification (trace/sdk.md), in-process."""

from __future__ import annotations

import inspect
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from inprocess import App, fork_at_c_level, in_child, losses, no_background, rows
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from hush_otel import ConfigError, HushSpanExporter, HushSpanProcessor
from hush_otel.capture import pipeline, processor
from hush_otel.codec import encode
from hush_otel.diagnostics import failures


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    no_background(monkeypatch, tmp_path)


@pytest.fixture
def app(tmp_path: Path) -> App:
    """An application."""
    return App(tmp_path / "t.db")


# ------------------------------------------------------------------ the specification's rules


def test_sdk1_on_start_and_on_end_never_raise(app: App) -> None:
    """SDK rule 1: whatever the span is, the app sees no exception; the failure is counted."""

    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    before = failures.total()
    app.processor.on_start(Broken())  # type: ignore[arg-type]
    app.processor.on_end(Broken())  # type: ignore[arg-type]
    app.processor.on_end(ReadableSpan("no context"))
    assert failures.total() == before + 2
    app.tracer.start_span("good").end()
    app.drain()
    assert losses(app.db_path) == {"error": 2}
    assert app.span("good")["state"] == "ended"


def test_sdk1_a_keyboard_interrupt_goes_through(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """SDK rule 1 has an end: what must stop the program does."""

    def interrupt(*_: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "end_record", interrupt)
    span = app.tracer.start_span("x")
    with pytest.raises(KeyboardInterrupt):
        span.end()


def test_sdk2_all_methods_are_safe_together(app: App) -> None:
    """SDK rule 2: spans from many threads, flushes and a shutdown among them, lose nothing before it."""
    go = threading.Barrier(5)

    def work(number: int) -> None:
        go.wait()
        for index in range(100):
            with app.tracer.start_as_current_span(f"{number}:{index}"):
                app.tracer.start_span("inner").end()
            if index % 25 == 0:
                app.processor.force_flush(0)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    app.drain()
    assert len(app.spans()) == 1000
    assert rows(app.db_path, "SELECT count(*), sum(status = 'stored') FROM requests") == [(500, 500)]


@pytest.mark.alone
def test_sdk3_shutdown_is_bounded_and_idempotent(app: App) -> None:
    """SDK rule 3: it flushes for a moment, and twice is once."""
    app.tracer.start_span("before").end()
    began = time.monotonic()
    app.provider.shutdown()
    app.processor.shutdown()
    assert time.monotonic() - began < 1.0
    app.drain()
    assert app.span("before")["state"] == "ended"


def test_f04_a_span_that_ends_after_shutdown_is_stored(app: App) -> None:
    """F4: the SDK's atexit handler shuts down first; what ends in later handlers is not lost."""
    span = app.tracer.start_span("open")
    app.processor.shutdown()
    span.end()
    app.drain()
    assert app.span("open")["state"] == "ended"


def test_sdk4_force_flush_tells_the_truth(app: App) -> None:
    """SDK rule 4: False while nobody has drained, True once SQLite has everything."""
    assert app.processor.force_flush(0) is True
    app.tracer.start_span("x").end()
    assert app.processor.force_flush(0) is False
    app.drain()
    assert app.processor.force_flush(0) is True
    assert app.provider.force_flush(60_000) is True


@pytest.mark.alone
def test_sdk4_force_flush_honours_its_timeout(app: App) -> None:
    """SDK rule 4: it returns soon after the time that it was given."""
    app.tracer.start_span("x").end()
    began = time.monotonic()
    assert app.processor.force_flush(100) is False
    assert 0.09 < time.monotonic() - began < 1.0


def test_sdk4_a_dropped_record_makes_the_next_flush_false_once(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SDK rule 4: False says that something was lost since the last call; the next one starts anew."""
    monkeypatch.setattr(app.processor._pipeline.writer, "dropped", 1)
    assert app.processor.force_flush(0) is False
    assert app.processor.force_flush(0) is True


def test_sdk5_on_end_does_not_change_the_span(app: App) -> None:
    """SDK rule 5: other processors see the span as if we were not there."""
    seen: list[tuple[str, str]] = []

    class Around(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            before = span.to_json()
            app.processor.on_end(span)
            seen.append((before, span.to_json()))

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Around())
    with provider.get_tracer("t").start_as_current_span("x", attributes={"a": [1, 2]}) as span:
        span.add_event("e", {"b": "c"})
    assert seen
    assert all(before == after for before, after in seen)


def test_sdk6_the_methods_are_called_as_the_sdk_calls_them(app: App) -> None:
    """SDK rule 6: timeout_millis is positional, on_start takes its context, the rest is inherited."""
    assert app.processor.force_flush(1) is True
    assert app.processor.force_flush(timeout_millis=1) is True
    parameters = list(inspect.signature(app.processor.force_flush).parameters)
    assert parameters == list(inspect.signature(SpanProcessor.force_flush).parameters)[1:]
    assert list(inspect.signature(app.processor.on_start).parameters) == ["span", "parent_context"]
    # _on_ending came with SDK 1.31: where the SDK has it, ours is the SDK's.
    nothing = object()
    inherited = getattr(SpanProcessor, "_on_ending", nothing)
    assert getattr(type(app.processor), "_on_ending", nothing) is inherited


def test_sdk6_unsampled_spans_are_skipped(tmp_path: Path) -> None:
    """SDK rule 6: recording-only and dropped spans are neither stored nor counted as open."""
    app = App(tmp_path / "t.db")
    app.provider.sampler = ParentBased(ALWAYS_OFF)
    app.provider.get_tracer("another").start_span("unsampled").end()

    class RecordOnly(ReadableSpan):
        pass

    span = RecordOnly("recorded only", SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(0)))
    app.processor.on_end(span)
    assert not app.settings.spool_dir.exists()
    assert app.processor.force_flush(0) is True


# ------------------------------------------------------------------ what is captured


def test_i1_a_span_is_in_the_spool_when_end_returns(app: App) -> None:
    """I1: nothing is buffered in the app: what ended lies in a file."""
    app.tracer.start_span("needle-in-the-spool").end()
    (segment,) = app.settings.spool_dir.glob("*.seg")
    assert b"needle-in-the-spool" in segment.read_bytes()


def test_running_spans_are_seen(app: App) -> None:
    """Live: a span that has only started is stored as running, with its start attributes."""
    span = app.tracer.start_span("slow", attributes={"a": 1})
    app.drain()
    row = app.span("slow")
    assert (row["state"], row["end_ns"], row["attributes"]) == ("running", None, '{"a":1}')
    span.end()
    app.drain()
    assert app.span("slow")["state"] == "ended"


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_live_can_be_turned_off(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """live=False or HUSH_LIVE=0: no starts are written, and a request still completes."""
    if how == "environment":
        monkeypatch.setenv("HUSH_LIVE", "0")
    app = App(tmp_path / "t.db", **({"live": False} if how == "argument" else {}))
    with app.tracer.start_as_current_span("root"):
        app.drain()
        assert app.spans() == []
    app.drain()
    assert rows(app.db_path, "SELECT completed_by FROM requests") == [("root",)]


def test_a_trace_completes_when_its_last_open_span_has_ended(app: App) -> None:
    """The root's end does not complete a trace whose child still runs; the child's does."""
    root = app.tracer.start_span("root")
    child = app.tracer.start_span("child", trace.set_span_in_context(root))
    root.end()
    app.drain()
    assert rows(app.db_path, "SELECT status, completed_by FROM requests") == [("writing", None)]
    child.end()
    app.drain()
    assert rows(app.db_path, "SELECT status, completed_by FROM requests") == [("stored", "root")]


@pytest.mark.parametrize("lost", ["root", "child"])
def test_a_trace_whose_end_was_dropped_completes_with_the_next_span(
    lost: str, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There was no room for its last record: its request must not be open for as long as the process lives."""
    root = app.tracer.start_span("root")
    child = app.tracer.start_span("child", trace.set_span_in_context(root))
    spans = [root, child] if lost == "child" else [child, root]
    spans[0].end()
    monkeypatch.setattr(app.processor._writer, "max_bytes", 1)
    spans[1].set_attribute("large", "x" * 1_000_000)
    spans[1].end()
    app.drain()
    request = "SELECT status, completed_by FROM requests WHERE workflow_name = 'root'"
    assert rows(app.db_path, request) == [("writing", None)]
    app.tracer.start_span("another").end()
    app.drain()
    assert rows(app.db_path, request) == [("stored", "root")]
    assert losses(app.db_path) == {"quota": 1}
    assert not app.processor._open.unsaid


@pytest.mark.parametrize("is_root", [True, False], ids=["root", "child"])
def test_a_span_whose_end_fails_leaves_its_trace(
    is_root: bool, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No memory for its record: it is lost and counted, and the trace does not wait for it for ever."""

    def fail(*_: object) -> Any:
        raise MemoryError

    root = app.tracer.start_span("root")
    child = app.tracer.start_span("child", trace.set_span_in_context(root))
    first, last = (child, root) if is_root else (root, child)
    first.end()
    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "end_record", fail)
        last.end()
    assert not app.processor._open._traces
    app.tracer.start_span("another").end()
    app.drain()
    assert rows(app.db_path, "SELECT count(*) FROM requests WHERE completed_by = 'root'") == [(2,)]
    assert losses(app.db_path) == {"error": 1}


def test_a_remote_parent_makes_a_local_root(app: App) -> None:
    """In the second service of a trace, the span with the remote parent completes it there."""
    remote = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1))
    with app.tracer.start_as_current_span("server", trace.set_span_in_context(NonRecordingSpan(remote))):
        app.tracer.start_span("inside").end()
    app.drain()
    assert rows(app.db_path, "SELECT trace_id, completed_by FROM requests") == [(f"{7:032x}", "root")]
    assert app.span("server")["parent_is_remote"] == 1
    assert app.span("inside")["parent_is_remote"] == 0


def test_scopes_and_resources_are_kept_apart(app: App) -> None:
    """Spans of different tracers have their own scope; equal ones share a row."""
    for _ in range(3):
        app.provider.get_tracer("a", "1").start_span("of a").end()
    app.provider.get_tracer("b", "2", "https://schema", {"k": 1}).start_span("of b").end()
    app.drain()
    assert rows(app.db_path, "SELECT DISTINCT scope FROM spans WHERE name = 'of a'") == [
        ('{"name":"a","version":"1","schema_url":"","attributes":{}}',)
    ]
    assert app.span("of b")["scope"] == (
        '{"name":"b","version":"2","schema_url":"https://schema","attributes":{"k":1}}'
    )
    assert rows(app.db_path, "SELECT count(*) FROM hush_origins")[0][0] <= 3


def test_a_tracer_made_for_every_span_costs_no_memory(app: App) -> None:
    """An app that asks for its tracer in each request does not fill the cache of scopes."""
    for _ in range(5000):
        app.provider.get_tracer("tests", "1.0").start_span("x").end()
    assert len(app.processor._pipeline._origins) <= 2000


# ------------------------------------------------------------------ what stands in its way


def test_f28_a_wrong_setting_raises_at_construction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F28: a ConfigError that names the key, from the constructor and never later."""
    monkeypatch.setenv("HUSH_DURABILITY", "sometimes")
    with pytest.raises(ConfigError, match="HUSH_DURABILITY"):
        HushSpanProcessor(tmp_path / "t.db")
    monkeypatch.delenv("HUSH_DURABILITY")
    with pytest.raises(ConfigError, match="nowhere"):
        HushSpanProcessor(tmp_path / "t.db", destinations=["nowhere"])


def test_f28_a_spool_that_cannot_be_written_never_reaches_the_app(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """F28: with a file in the spool's place spans are dropped and counted; one warning names the setting."""
    (tmp_path / "t.db.spool").write_text("in the way")
    app = App(tmp_path / "t.db")
    for _ in range(10):
        app.tracer.start_span("x").end()
    app.store.insert_node_trace("r", "w", "n", None, None, 1, None, None, None, None, None)
    assert app.processor.force_flush(0) is False
    app.provider.shutdown()
    assert "HUSH_SPOOL_DIR" in caplog.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_f28_a_directory_that_becomes_read_only_never_reaches_the_app(tmp_path: Path) -> None:
    """F28: once the processor is made, a directory without the right to write is a counted drop."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    app = App(home / "t.db")
    home.chmod(0o500)
    app.tracer.start_span("x").end()
    assert app.processor.force_flush(0) is False


def test_f28_a_spool_replaced_by_a_file_never_reaches_the_app(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F22, F28: the directory moved away and a file put in its place, in the midst of work."""
    app.tracer.start_span("before").end()
    spool = app.settings.spool_dir
    spool.rename(tmp_path / "moved")
    spool.write_text("in the way")
    writer = app.processor._pipeline.writer
    for _ in range(10):
        monkeypatch.setattr(writer, "_next_check", 0.0)
        app.tracer.start_span("during").end()
    assert app.processor.force_flush(0) is False
    spool.unlink()
    monkeypatch.setattr(writer, "_retry_at", 0.0)
    app.tracer.start_span("after").end()
    app.drain()
    assert app.span("after")["state"] == "ended"


def test_f28_without_home_an_absolute_path_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F28: a service user without a home directory records to the path that it names."""
    monkeypatch.delenv("HOME")
    app = App(tmp_path / "t.db")
    app.tracer.start_span("x").end()
    app.drain()
    assert app.span("x")["state"] == "ended"


def test_f20_a_full_disk_never_reaches_the_app(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """F20: when not even the header can be written, on_end returns and the drop is counted."""
    writer = app.processor._pipeline.writer

    def full(*_: object) -> Any:
        raise OSError(28, "No space left on device")

    app.tracer.start_span("before").end()
    monkeypatch.setattr(writer._segment, "append", full)
    app.tracer.start_span("lost").end()
    monkeypatch.undo()
    no_background(monkeypatch, app.db_path.parent)
    assert writer.dropped == 2
    app.drain()
    assert losses(app.db_path) == {"no_space": 2}


def test_capture_never_holds_a_lock_while_it_encodes(app: App) -> None:
    """A value whose conversion takes long does not hold up other threads' spans."""
    done = threading.Event()

    def other() -> None:
        app.tracer.start_span("meanwhile").end()
        done.set()

    class Slow:
        @property
        def __pydantic_fields__(self) -> Any:
            return {}

    encode([Slow()])
    thread = threading.Thread(target=other)
    thread.start()
    thread.join(60)
    assert done.is_set()


# ------------------------------------------------------------------ forks that nobody announces


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux wipes pages on fork")
@pytest.mark.parametrize("live", [True, False])
def test_f06_the_first_span_of_a_child_forked_at_c_level_is_its_own(tmp_path: Path, live: bool) -> None:
    """F6: the fork is noticed before the span is counted as open; it is not taken for its parent's."""
    app = App(tmp_path / "t.db", live=live)

    def parent() -> None:
        app.tracer.start_span("parent").end()
        assert in_child(lambda: app.tracer.start_span("child").end(), fork=fork_at_c_level) == 0

    assert in_child(parent) == 0
    app.drain()
    assert {span["name"]: span["state"] for span in app.spans()} == {"parent": "ended", "child": "ended"}
    assert losses(app.db_path) == {}
    assert set(rows(app.db_path, "SELECT completed_by FROM requests")) == {("root",)}


# ------------------------------------------------------------------ leaving


@pytest.mark.alone
def test_an_exit_takes_half_a_second_whatever_number_of_processors_it_shuts_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nobody draining they share the time; a shutdown later on has its own."""
    monkeypatch.setattr(processor._Exit, "ended", -60.0)
    provider = TracerProvider(shutdown_on_exit=False)
    for name in ("a", "b"):
        for _ in range(3):
            provider.add_span_processor(HushSpanProcessor(tmp_path / f"{name}.db"))
        provider.add_span_processor(SimpleSpanProcessor(HushSpanExporter(tmp_path / f"{name}.db")))
    provider.get_tracer("tests").start_span("s").end()
    began = time.monotonic()
    provider.shutdown()
    assert 0.4 <= time.monotonic() - began < 0.9
    waits: list[int] = []
    monkeypatch.setattr(processor._Exit, "ended", time.monotonic() - 60)
    for _ in range(2):
        processor.flush_at_shutdown(lambda millis: bool(waits.append(millis)))
    assert waits[0] == processor.SHUTDOWN_FLUSH_MS
    assert waits[1] > 400, "what was not waited for is left"
