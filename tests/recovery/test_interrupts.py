"""A signal handler raises (Ctrl-C, an alarm, a task's time limit) in the midst of recording.

Wherever it does: what was said to be safe is there, once and whole; the next record is taken; no segment is
left that nobody will end. Each test goes through all places, one after the other.
"""

from __future__ import annotations

import shutil
import signal
import sys
from collections import UserDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from inprocess import App, close_under, let_go, no_background, settings_for, writer_of
from interrupts import KINDS, TimeLimitError, interrupted, places
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import set_span_in_context

from hush_otel import HushSpanExporter
from hush_otel.config import Settings
from hush_otel.records import MEDIA_KEY
from hush_otel.spool import format as layout
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.filesystem import Append
from hush_otel.spool.reader import SegmentReader, Stop
from hush_otel.spool.writer import SpoolWriter

MEANING = b"\x92\x63meaning"


@pytest.fixture(params=list(Append), ids=lambda mode: mode.value)
def mode(request: pytest.FixtureRequest) -> Append:
    """Both ways of appending."""
    return request.param  # type: ignore[no-any-return]


def contents(settings: Settings) -> list[list[bytes]]:
    """The payloads of each segment, all of which are sealed and whole."""
    found = []
    for path in SpoolDirectory(settings.spool_dir).segments():
        reader = SegmentReader(path)
        frames = reader.read(layout.HEADER_BYTES, 1 << 30)
        assert frames.stop is Stop.END, (path, frames.position, reader.sealed())
        found.append([payload for _, payload in frames.frames])
        reader.close()
    return found


def go_through(
    tmp_path: Path,
    mode: Append,
    prepare: Callable[[SpoolWriter], object],
    work: Callable[[SpoolWriter], object],
    lost: tuple[bytes, ...] = (),
) -> None:
    """Interrupt `work` at each place of it, and look at what the spool has in the end."""
    for at in places():
        settings = settings_for(tmp_path / f"{at}.db")
        writer = writer_of(settings, mode)
        index = writer.definitions.intern(lambda _: MEANING)
        prepare(writer)
        going_on = interrupted(lambda writer=writer: work(writer), at)
        assert sys.exception() is None, "it would be the context of what other tests raise"
        if lost:  # within half a second the writer looks
            writer._next_check = 0.0
            writer._look_after()
        after = [b"after %d" % number for number in range(3)]
        for payload in after:
            assert writer.append(payload, index), at
        assert not writer.is_drained(), at
        writer.seal()
        payloads = [payload for segment in contents(settings) for payload in segment]
        assert sorted(p for p in payloads if p.startswith(b"after")) == after, at
        assert payloads.count(b"before") == (b"before" not in lost), at
        assert sum(p.startswith(b"work") for p in payloads) <= 1, at
        assert not list(settings.spool_dir.glob("*.tmp")), at
        for segment in contents(settings):
            used = [p for p in segment if p.startswith(b"after")]
            assert not used or segment.index(MEANING) < segment.index(used[0]), at
        let_go()
        close_under(tmp_path)
        shutil.rmtree(settings.spool_dir)
        if not going_on:
            assert at > 2, "nothing was interrupted"
            return


def test_the_first_record(tmp_path: Path, mode: Append) -> None:
    """Directory, owner file, doorbell and segment are being made."""

    def nothing_yet(writer: SpoolWriter) -> None:
        writer.append(b"before")
        writer.release()

    go_through(tmp_path, mode, nothing_yet, lambda writer: writer.append(b"work", 0))


def test_a_record_that_fits(tmp_path: Path, mode: Append) -> None:
    """The usual case: it is published or not, and the next one does not take its place."""
    go_through(
        tmp_path, mode, lambda w: w.append(b"before", 0), lambda w: (w.append(b"work", 0), w._look_after())
    )


def test_a_roll(tmp_path: Path, mode: Append) -> None:
    """The next segment is made, and the one before sealed and closed."""

    def fill(writer: SpoolWriter) -> None:
        writer.append(b"before")
        writer.append(bytes(250_000))

    go_through(tmp_path, mode, fill, lambda writer: writer.append(b"work" + bytes(20_000), 0))


def test_a_fence(tmp_path: Path, mode: Append) -> None:
    """The record is published in a segment that was given up, and again in the next one."""

    def fence(writer: SpoolWriter) -> None:
        writer.append(b"before", 0)
        for path in writer.directory.segments():
            reader = SegmentReader(path)
            reader.fence()
            reader.close()

    go_through(tmp_path, mode, fence, lambda writer: writer.append(b"work", 0))


def test_sealing(tmp_path: Path, mode: Append) -> None:
    """What provider.shutdown() does."""
    go_through(tmp_path, mode, lambda writer: writer.append(b"before"), lambda writer: writer.seal())


def test_releasing(tmp_path: Path, mode: Append) -> None:
    """What shutdown_background() does."""
    go_through(tmp_path, mode, lambda writer: writer.append(b"before"), lambda writer: writer.release())


def test_a_spool_that_was_removed(tmp_path: Path, mode: Append) -> None:
    """The removal is noticed, and all begins anew."""

    def remove(writer: SpoolWriter) -> None:
        writer.append(b"before")
        shutil.rmtree(writer.directory.path)

    go_through(tmp_path, mode, remove, lambda w: w.append(b"work" + bytes(300_000)), lost=(b"before",))


def test_counting_a_loss(tmp_path: Path, mode: Append) -> None:
    """A drop is counted with the lock held, and said without."""
    go_through(
        tmp_path,
        mode,
        lambda w: w.append(b"before"),
        lambda w: (w._drop("error", OSError("full")), w._look_after()),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("live", [True, False])
def test_no_trace_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, live: bool, kind: type[BaseException]
) -> None:
    """Whatever was interrupted, nothing is counted as open in this process once its spans have ended."""
    no_background(monkeypatch, tmp_path)
    app = App(tmp_path / "t.db", live=live)
    hush, sdk = app.processor, TracerProvider(shutdown_on_exit=False).get_tracer("tests")
    for work in (hush.on_start, hush.on_end):
        for at in places(1):  # 0 is before it does anything
            root = sdk.start_span("root")
            child = sdk.start_span("child", context=set_span_in_context(root))
            if work == hush.on_end:
                hush.on_start(root)
                hush.on_start(child)
                child.end()
                hush.on_end(child)
                root.end()
            going_on = interrupted(lambda work=work, root=root: work(root), at, kind)
            if not going_on and work == hush.on_start:
                hush.on_end(root)
            assert app.processor._open._traces == {}, at
            if not going_on:
                break
    app.tracer.start_span("after").end()
    app.drain()
    assert "after" in {span["name"] for span in app.spans()}


@dataclass(frozen=True)
class Strange:
    """As a key and as a value nothing that is encoded as it is."""

    x: object


STRANGE = {Strange(1): {"deep": [Strange(2), object(), 2**70, UserDict(a={1})]}, "text": "\ud800"}
exporter_of = cache(lambda app: HushSpanExporter(app.db_path))
WORKS: dict[str, Callable[[App], object]] = {
    "span": lambda app: app.tracer.start_span("work", attributes={"a": [1, 2]}).end(),
    "strange span": lambda app: app.tracer.start_span(Strange(1)).end(),  # type: ignore[arg-type]
    "node": lambda app: app.store.insert_node_trace(*NODE, {"a": 1}, {}),
    "strange node": lambda app: app.store.insert_node_trace(*NODE, STRANGE, {}),
    "media": lambda app: app.store.insert_node_trace(*NODE, {MEDIA_KEY: {"base64": "YWJj"}}, {}),
    "error": lambda app: app.store.insert_node_trace(*NODE, {}, {}, error=ValueError("no")),
    "mark": lambda app: app.store.mark_request_complete("r", "otlp", {"headers": {"a": "${HOME}"}}),
    "export": lambda app: exporter_of(app).export([ReadableSpan("made")]),
}
NODE = ("r", "flow", "work", None, None, 1, None, None, 1.0)


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_time_limit_goes_on_its_way(
    work: str, kind: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is raised; that it is an Exception does not make it one of ours."""
    no_background(monkeypatch, tmp_path)
    app = App(tmp_path / "t.db")
    for _ in range(3):
        WORKS[work](app)
    before = app.processor._writer.losses().get("error", 0)
    for at in places():
        if not interrupted(lambda: WORKS[work](app), at, kind):
            break
    assert at > 10, "nothing was interrupted"
    assert app.processor._writer.losses().get("error", 0) == before


@pytest.mark.parametrize("by", ["function", "method", "partial", "rest"])
def test_an_alarms_exception_is_known_by_any_handler(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a real signal, which comes while a value is read that runs code of its own."""
    no_background(monkeypatch, tmp_path)
    app = App(tmp_path / "t.db")

    def function(number: int, frame: object) -> None:
        raise TimeLimitError(number, frame)

    def rest(*args: object) -> None:
        raise TimeLimitError(*args)

    class Task:
        def expire(self, _number: int, _frame: object) -> None:
            raise TimeLimitError

    class Slow:
        __pydantic_fields__ = None

        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            signal.raise_signal(signal.SIGALRM)
            return {}

    handlers: dict[str, Any] = {
        "function": function, "method": Task().expire, "partial": partial(function), "rest": rest,
    }  # fmt: skip
    before = signal.signal(signal.SIGALRM, handlers[by])
    try:
        with pytest.raises(TimeLimitError):
            app.store.insert_node_trace(*NODE, {"slow": Slow()}, {})
    finally:
        signal.signal(signal.SIGALRM, before)
