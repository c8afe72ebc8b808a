"""OTLP over HTTP with protobuf: types ``otlp`` and ``jaeger``.

Sources: OTLP specification, "OTLP/HTTP" (success, failures, throttling, partial success); OpenTelemetry
specification, protocol/exporter.md (variables, User-Agent). `otlp_options` documents the configuration.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterable, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from hush_otel import config as settings
from hush_otel.destinations.http_client import Answer, HttpClient
from hush_otel.destinations.otlp_encode import encode
from hush_otel.destinations.otlp_options import OtlpOptions, read_options
from hush_otel.errors import DeliveryError, PausedError, PermanentError, RetryableError
from hush_otel.model import DestinationConfig, Outcome, SpanData
from hush_otel.version import __version__

CONTENT_TYPE: Final = "application/x-protobuf"
"""Exactly this: some receivers compare it as text."""

USER_AGENT: Final = f"hush-otel/{__version__} (python urllib3)"

GZIP_LEVEL: Final = 1
"""Spans shrink about tenfold at level 1; level 9 gains a few percent for five times the CPU."""

MAX_RETRY_AFTER_S: Final = 3600.0
"""A receiver's wish beyond an hour is taken as an hour: it may be back long before."""

MAX_WORDS: Final = 500
"""Characters of a receiver's words that an error message keeps."""

MIN_SECRET_CHARS: Final = 6
"""Shorter header values are words such as a project name; taking them out would garble any text."""

_RETRYABLE: Final = frozenset({429, 502, 503, 504})
"""OTLP specification, "Retryable Response Codes"."""
_NEEDS_A_PERSON: Final = frozenset({401, 403})


def open_otlp(config: DestinationConfig) -> OtlpHttpSender:
    """Type ``otlp``: keys that are missing come from OTel's standard OTLP variables."""
    return OtlpHttpSender(read_options(config, settings.otlp_environment()))


def open_jaeger(config: DestinationConfig) -> OtlpHttpSender:
    """Type ``jaeger``: the same without the variables; Jaeger 2 listens on the default endpoint."""
    return OtlpHttpSender(read_options(config, {}))


class OtlpHttpSender:
    """A `base.Sender` that posts one ExportTraceServiceRequest for each batch."""

    def __init__(self, options: OtlpOptions) -> None:
        self._options = options
        self._client = HttpClient(
            options.url, label=options.label, timeout_s=options.timeout_s, tls=options.tls
        )
        self._headers = {"user-agent": USER_AGENT, "content-type": CONTENT_TYPE}
        if options.gzip:
            self._headers["content-encoding"] = "gzip"

    def send(self, spans: Sequence[SpanData]) -> Outcome:
        """Post `spans` once. Returns and raises as `base.Sender.send`."""
        headers = self._options.request_headers()
        body = encode(spans)
        if self._options.gzip:
            body = gzip.compress(body, GZIP_LEVEL, mtime=0)
        answer = self._client.post(body, self._headers | headers)
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            raise refusal(answer, self._options.label, headers.values())
        if answer.broken:
            raise RetryableError(f"{self._options.label}: the answer broke off: {answer.broken}")
        return outcome(answer, len(spans))

    def close(self) -> None:
        """Close the kept connection. Idempotent."""
        self._client.close()


def outcome(answer: Answer, span_count: int) -> Outcome:
    """What a 2xx answer says about partial success (OTLP specification, "Partial Success")."""
    kind = _content_type(answer)
    response = ExportTraceServiceResponse()
    try:
        if kind == CONTENT_TYPE:
            response.ParseFromString(answer.body)
        elif kind == "application/json" and answer.body.strip():
            Parse(answer.body, response, ignore_unknown_fields=True)
    except (DecodeError, ParseError, ValueError):
        return Outcome(message=f"accepted; the answer is no ExportTraceServiceResponse in {kind}")
    partial = response.partial_success
    rejected = min(max(partial.rejected_spans, 0), span_count)
    return Outcome(rejected=rejected, message=_short(partial.error_message))


def refusal(answer: Answer, label: str, secret_values: Iterable[str]) -> DeliveryError:
    """The error that an answer outside 2xx stands for.

    Args:
        answer: What the server said.
        label: The endpoint as error messages may show it.
        secret_values: Taken out of the receiver's words, should it repeat them.
    """
    words = _redacted(_words(answer), secret_values)
    message = f"{label} answered {_status(answer.status)}" + (f": {words}" if words else "")
    if answer.status in _RETRYABLE:
        wish = retry_after_s(answer.headers.get("Retry-After"), time.time())
        return RetryableError(message, retry_after_s=wish)
    if answer.status in _NEEDS_A_PERSON:
        return PausedError(message, hint="check its headers; it is tried again every five minutes")
    return PermanentError(message)


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """Seconds to wait by a Retry-After header: a number of seconds or an HTTP date (RFC 9110, 10.2.3).

    None for none, for nonsense and for a date that is over; at most `MAX_RETRY_AFTER_S`.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        date = parsedate_to_datetime(text)
        wait_s = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now_s
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(wait_s, MAX_RETRY_AFTER_S) if wait_s > 0 else None


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _content_type(answer: Answer) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _words(answer: Answer) -> str:
    if _content_type(answer) == CONTENT_TYPE:
        try:
            # A google.rpc.Status: its fields 1 and 2, a number and a text, are those of this message,
            # and its details are skipped as unknown. Spares a dependency for one text.
            return _short(ExportTracePartialSuccess.FromString(answer.body).error_message)
        except DecodeError:
            pass  # a proxy's page under the receiver's content type
    return _short(answer.body[: 4 * MAX_WORDS].decode(errors="replace"))


def _short(text: str) -> str:
    """One printable line of at most `MAX_WORDS` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * MAX_WORDS]).split())
    return line if len(line) <= MAX_WORDS else line[: MAX_WORDS - 1] + "…"


def _redacted(text: str, secret_values: Iterable[str]) -> str:
    for value in secret_values:
        for part in {value, value.rpartition(" ")[2]}:  # "Bearer TOKEN": the token alone, too
            if len(part) >= MIN_SECRET_CHARS:
                text = text.replace(part, "***")
    return text
