"""The console destination: one readable, harmless line for each span."""

from __future__ import annotations

import errno
import io
import sys
from typing import Any

import msgspec
import pytest

from hush_otel.destinations.console import MAX_ATTRIBUTE_CHARS, line
from hush_otel.destinations.registry import open_sender
from hush_otel.errors import PausedError, PermanentError, RetryableError
from hush_otel.model import DestinationConfig, Origin, Outcome, SpanData

SPAN = SpanData(
    trace_id=bytes(range(16)),
    span_id=bytes(range(8)),
    parent_span_id=bytes(range(1, 9)),
    flags=1,
    trace_state="",
    name="chat gpt-4o",
    kind=3,
    start_ns=1_700_000_000_123_456_789,
    end_ns=1_700_000_000_936_000_000,
    status_code=2,
    status_message="boom",
    attributes={"user": "Zoë"},
    events=[],
    links=[],
    dropped_attributes=0,
    dropped_events=0,
    dropped_links=0,
    origin=Origin(),
    request_id="req-1",
)


def changed(**changes: Any) -> SpanData:
    """`SPAN` with other values."""
    return msgspec.structs.replace(SPAN, **changes)


def open_console(**config: Any) -> Any:
    """The sender under test."""
    return open_sender(DestinationConfig("test", "console", config))


def test_prints_one_line_for_each_span_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """By default the lines go to stderr, and nothing to stdout."""
    assert open_console().send([SPAN, SPAN]) == Outcome()
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 2
    assert captured.out == ""


def test_stream_stdout_is_honoured(capsys: pytest.CaptureFixture[str]) -> None:
    """With stream stdout nothing goes to stderr."""
    open_console(stream="stdout").send([SPAN])
    captured = capsys.readouterr()
    assert "chat gpt-4o" in captured.out
    assert captured.err == ""


def test_line_says_what_people_look_for() -> None:
    """Time, duration, status, name, kind, ids, status message and attributes are in the line."""
    assert line(SPAN) == (
        "2023-11-14T22:13:20.123Z  812.5ms  ERROR  chat gpt-4o  CLIENT  request=req-1"
        " trace=000102030405060708090a0b0c0d0e0f span=0001020304050607 parent=0102030405060708"
        "  boom  {'user': 'Zoë'}"
    )


def test_line_of_an_empty_span_has_no_holes() -> None:
    """What a span does not have takes no place."""
    bare = changed(parent_span_id=None, attributes={}, status_message="", status_code=0, request_id="")
    assert line(bare).endswith(
        "UNSET  chat gpt-4o  CLIENT  request= trace=000102030405060708090a0b0c0d0e0f span=0001020304050607"
    )


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31mred", "\x00", "\u202e", "\ud800"])
def test_control_characters_are_escaped(text: str) -> None:
    """Neither a line break nor an escape sequence nor a lone surrogate reaches the terminal."""
    shown = line(changed(name=text, attributes={text: text}, status_message=text))
    assert shown.isprintable()
    shown.encode()


def test_attributes_are_cut() -> None:
    """A prompt of a megabyte does not fill the screen."""
    assert len(line(changed(attributes={"prompt": "x" * 1_000_000}))) < MAX_ATTRIBUTE_CHARS + 300


@pytest.mark.parametrize("start_ns", [-(2**70), 2**80, 0])
def test_any_time_is_printed(start_ns: int) -> None:
    """A time outside the calendar does not stop the line."""
    assert line(changed(start_ns=start_ns, kind=99, status_code=7))


def test_stream_that_cannot_encode_gets_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an ASCII terminal other characters are escaped instead of failing the delivery."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="ascii"))
    open_console().send([SPAN])
    assert b"Zo\\xeb" in raw.getvalue()


def test_missing_stream_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without a stderr needs another destination."""
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(PausedError, match="no open stderr"):
        open_console().send([SPAN])


def test_closed_stream_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stderr that was closed is no stream to print to."""
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(PausedError, match="no open stderr"):
        open_console().send([SPAN])


class FullDevice(io.StringIO):
    """A stream whose device has no room."""

    def write(self, text: str) -> int:
        """Fail as a full device does."""
        raise OSError(errno.ENOSPC, "No space left on device")


def test_failing_stream_is_retryable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full device behind the stream may have room later."""
    monkeypatch.setattr(sys, "stderr", FullDevice())
    with pytest.raises(RetryableError, match="No space left"):
        open_console().send([SPAN])


@pytest.mark.parametrize(("config", "words"), [({"stream": "tty"}, "stream"), ({"color": True}, "color")])
def test_wrong_configuration_names_its_key(config: dict[str, Any], words: str) -> None:
    """A configuration that cannot work is refused at opening, with the key in the message."""
    with pytest.raises(PermanentError, match=words):
        open_console(**config)
