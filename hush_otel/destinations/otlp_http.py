"""OTLP over HTTP with protobuf: types ``otlp`` and ``jaeger``, unless they ask for gRPC.

Sources: OTLP specification, "OTLP/HTTP" (success, failures, throttling, partial success); OpenTelemetry
specification, protocol/exporter.md (variables, User-Agent). `otlp_options` documents the configuration.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterable, Mapping, Sequence
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

from hush_otel.destinations.http_client import Answer, HttpClient
from hush_otel.destinations.otlp_answers import (
    MAX_RETRY_AFTER_S,
    MAX_WORDS,
    accepted,
    check_size,
    shown,
)
from hush_otel.destinations.otlp_encode import encode
from hush_otel.destinations.otlp_options import Basic, HttpOptions, read_options
from hush_otel.errors import (
    DeliveryError,
    PausedError,
    PermanentError,
    RefusedError,
    RetryableError,
    TooLargeError,
)
from hush_otel.model import DestinationConfig, Outcome, SpanData
from hush_otel.version import __version__

CONTENT_TYPE: Final = "application/x-protobuf"
"""Exactly this: some receivers compare it as text."""

USER_AGENT: Final = f"hush-otel/{__version__} (python urllib3)"

GZIP_LEVEL: Final = 1
"""Spans shrink about tenfold at level 1; level 9 gains a few percent for five times the CPU."""

_RETRYABLE: Final = frozenset({429, 502, 503, 504})
"""OTLP specification, "Retryable Response Codes"."""
_NEEDS_A_PERSON: Final = frozenset({401, 403})
_BY_CONTENT: Final[Mapping[int, type[PermanentError]]] = {400: RefusedError, 413: TooLargeError}
"""Bad data, and too much of it: a smaller request may be accepted."""


def open_otlp_http(
    config: DestinationConfig,
    environment: Mapping[str, str],
    basic: Basic | None = None,
    written: str | None = None,
) -> OtlpHttpSender:
    """Check a configuration and open it; arguments and errors as of `read_options`."""
    return OtlpHttpSender(read_options(config, environment, basic, written))


class OtlpHttpSender:
    """A `base.Sender` that posts one ExportTraceServiceRequest for each batch."""

    def __init__(self, options: HttpOptions) -> None:
        self._options = options
        self.max_in_flight = options.max_in_flight
        self.wants_facts = False
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
        check_size(body, self._options.max_request_bytes, len(spans))
        if self._options.gzip:
            body = gzip.compress(body, GZIP_LEVEL, mtime=0)
        secret_values = self._options.secret_values(headers)
        answer = self._client.post(body, self._headers | headers, secret_values)
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            raise refusal(answer, self._options.label, secret_values)
        if answer.broken:
            raise RetryableError(f"{self._options.label}: the answer broke off: {answer.broken}")
        return outcome(answer, len(spans), secret_values)

    def close(self) -> None:
        """Close the kept connection. Idempotent."""
        self._client.close()


def outcome(answer: Answer, span_count: int, secret_values: Iterable[str] = ()) -> Outcome:
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
    return accepted(response, span_count, secret_values)


def refusal(answer: Answer, label: str, secret_values: Iterable[str]) -> DeliveryError:
    """The error that an answer outside 2xx stands for.

    Args:
        answer: What the server said.
        label: The endpoint as error messages may show it.
        secret_values: Taken out of the receiver's words, should it repeat them.
    """
    words = shown(_words(answer), secret_values)
    message = f"{label} answered {_status(answer.status)}" + (f": {words}" if words else "")
    if answer.status in _RETRYABLE:
        wish = retry_after_s(answer.headers.get("Retry-After"), time.time())
        return RetryableError(message, retry_after_s=wish)
    if answer.status in _NEEDS_A_PERSON:
        return PausedError(message, hint="check its headers; it is tried again every five minutes")
    return _BY_CONTENT.get(answer.status, PermanentError)(message)


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
            return ExportTracePartialSuccess.FromString(answer.body).error_message
        except DecodeError:
            pass  # a proxy's page under the receiver's content type
    return answer.body[: 4 * MAX_WORDS].decode(errors="replace")
