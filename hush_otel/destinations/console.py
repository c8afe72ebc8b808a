"""Type ``console``: one readable line for each span, to look at while trying things out.

    2026-01-31T09:00:00.123Z  812.5ms  OK     chat gpt-4o  CLIENT  request=… trace=… span=… parent=…  {…}

The line is for people and may change; `file` writes what programs read.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TextIO

from hush_otel import secrets
from hush_otel.errors import PausedError, RetryableError
from hush_otel.model import AttributeValue, DestinationConfig, Outcome, SpanData
from hush_otel.options import check_keys, stream

MAX_ATTRIBUTE_CHARS: Final = 300
"""Of the attributes of one span: a prompt would fill the screen."""

_STATUS: Final = {0: "UNSET", 1: "OK", 2: "ERROR"}
_KIND: Final = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def open_console(config: DestinationConfig) -> ConsoleSender:
    """Check the configuration: ``stream`` is stderr (default) or stdout.

    Raises:
        PermanentError: A key or value cannot work.
    """
    check_keys("console", config.config)
    options = secrets.resolve(config.config)
    return ConsoleSender(stream(("stream", options.get("stream") if isinstance(options, Mapping) else None)))


class ConsoleSender:
    """A `base.Sender` that prints. The stream is looked up for each batch and never closed."""

    max_in_flight: Final = 1
    wants_facts: Final = False
    """In order."""

    def __init__(self, stream: str) -> None:
        self._stream = stream

    def send(self, spans: Sequence[SpanData]) -> Outcome:
        """Print `spans` in one write.

        Raises:
            PausedError: The process has no such stream.
            RetryableError: The stream cannot be written.
        """
        stream: TextIO | None = getattr(sys, self._stream)
        if stream is None or stream.closed:
            raise PausedError(f"console: this process has no open {self._stream}")
        try:
            stream.write(_encodable("".join(f"{line(span)}\n" for span in spans), stream))
            stream.flush()
        except OSError as exc:
            raise RetryableError(f"console: cannot write to {self._stream}: {exc.strerror}") from exc
        return Outcome()

    def close(self) -> None:
        """Nothing to give back."""


def line(span: SpanData) -> str:
    """One span without a line break; unprintable characters are escaped, non-ASCII text is kept."""
    ids = f"request={span.request_id} trace={span.trace_id.hex()} span={span.span_id.hex()}"
    parts = [
        _time(span.start_ns),
        f"{(span.end_ns - span.start_ns) / 1e6:.1f}ms",
        f"{_STATUS.get(span.status_code, span.status_code):<5}",
        span.name,
        str(_KIND.get(span.kind, span.kind)),
        ids + (f" parent={span.parent_span_id.hex()}" if span.parent_span_id else ""),
        span.status_message,
        _attributes(span.attributes),
    ]
    return "  ".join(_printable(part) for part in parts if part)


def _encodable(text: str, stream: TextIO) -> str:
    """`text` with escapes for what the stream's encoding lacks: stdout is strict about it."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _time(time_ns: int) -> str:
    try:
        moment = _EPOCH + timedelta(microseconds=time_ns // 1000)
    except OverflowError:
        return f"{time_ns}ns"
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _attributes(attributes: Mapping[str, AttributeValue]) -> str:
    if not attributes:
        return ""
    text = repr(dict(attributes))
    return text if len(text) <= MAX_ATTRIBUTE_CHARS else text[: MAX_ATTRIBUTE_CHARS - 1] + "…"


def _printable(text: str) -> str:
    """Span names come from anywhere: an escape sequence must not reach the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
