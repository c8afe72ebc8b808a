"""What receivers say, as messages may show it, whichever protocol they speak."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from hush_otel.destinations.hiding import hidden
from hush_otel.errors import OversizeError
from hush_otel.model import Outcome

MAX_RETRY_AFTER_S: Final = 3600.0
"""A receiver's wish beyond an hour is taken as an hour: it may be back long before."""

MAX_WORDS: Final = 500
"""Characters of a receiver's words that an error message keeps."""


def accepted(
    response: ExportTraceServiceResponse, span_count: int, secret_values: Iterable[str] = ()
) -> Outcome:
    """What an accepting answer says about partial success (OTLP specification, "Partial Success")."""
    partial = response.partial_success
    rejected = min(max(partial.rejected_spans, 0), span_count)
    return Outcome(rejected=rejected, message=shown(partial.error_message, secret_values))


def check_size(body: bytes, limit_bytes: int, span_count: int) -> None:
    """Refuse to send what the receiver would refuse.

    Raises:
        OversizeError: With the request's size.
    """
    if len(body) > limit_bytes:
        what = "a span" if span_count == 1 else f"{span_count} spans"
        raise OversizeError(
            f"{what} of {len(body)} bytes, encoded, above max_request_bytes = {limit_bytes}: not sent",
            hint="raise max_request_bytes if the receiver takes more",
            size_bytes=len(body),
            limit_bytes=limit_bytes,
        )


def short(text: str) -> str:
    """One printable line of at most `MAX_WORDS` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * MAX_WORDS]).split())
    return line if len(line) <= MAX_WORDS else line[: MAX_WORDS - 1] + "…"


def shown(words: str, secret_values: Iterable[str]) -> str:
    """A receiver's words, `short`, without the secrets that it was sent."""
    return short(hidden(words[: 4 * MAX_WORDS], secret_values, cut=True))
