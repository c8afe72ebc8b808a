"""OTLP over gRPC: types ``otlp`` and ``jaeger`` with ``protocol = "grpc"``. Needs the extra ``grpc``.

Sources: OTLP specification, "OTLP/gRPC" (failures, throttling, partial success); OpenTelemetry specification,
protocol/exporter.md (variables, User-Agent); gRPC core, channel_arg_names.h.

gRPC's threads do not survive a fork. Only the background process comes here, which never forks once it works;
in thread mode a forked child of a process that has opened a channel is refused instead of hanging.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import grpc
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from hush_otel.destinations.otlp_answers import MAX_RETRY_AFTER_S, accepted, check_size, shown
from hush_otel.destinations.otlp_encode import encode
from hush_otel.destinations.otlp_options import Basic, GrpcOptions, read_grpc_options
from hush_otel.destinations.rpc_status import retry_delay_s
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

METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

USER_AGENT: Final = f"hush-otel/{__version__} (python grpcio)"

_CHANNEL: Final = (
    ("grpc.primary_user_agent", USER_AGENT),
    ("grpc.enable_retries", 0),  # the relay alone retries
    ("grpc.enable_http_proxy", 0),  # proxy variables are not read, as with HTTP
    ("grpc.use_local_subchannel_pool", 1),  # a new channel connects anew, whatever the one before it met
)

_RETRYABLE: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""OTLP specification, "OTLP/gRPC Response", Failures; RESOURCE_EXHAUSTED with RetryInfo beside them."""
_NEEDS_A_PERSON: Final = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
_BY_CONTENT: Final[Mapping[grpc.StatusCode, type[PermanentError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: RefusedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: TooLargeError,  # without RetryInfo: a message above a limit
}

_UNKNOWN_NAME: Final = ("domain name not found", "name or service not known", "nxdomain")
_TLS_FAILED: Final = ("ssl_error_ssl", "tls handshake failed", "ssl handshake failed", "handshaker factory")
"""gRPC says UNAVAILABLE of everything below it; only its words tell what no retry changes."""

_opened_in: int | None = None
"""The process that has opened a channel."""


def open_otlp_grpc(
    config: DestinationConfig, environment: Mapping[str, str], basic: Basic | None = None
) -> OtlpGrpcSender:
    """Check a configuration and open it; arguments as of `read_grpc_options`.

    Raises:
        PausedError: This process was forked from one that has used gRPC; or as `read_grpc_options`.
        PermanentError: As `read_grpc_options`.
    """
    global _opened_in  # noqa: PLW0603 - gRPC's own state is the process's, too
    options = read_grpc_options(config, environment, basic)
    if _opened_in not in (None, os.getpid()):
        raise PausedError(
            "gRPC was in use when this process was forked, and does not work here",
            hint="HUSH_BACKGROUND=process, or protocol http/protobuf",
        )
    _opened_in = os.getpid()
    return OtlpGrpcSender(options)


class OtlpGrpcSender:
    """A `base.Sender` that makes one Export call for each batch."""

    def __init__(self, options: GrpcOptions) -> None:
        self._options = options
        self.max_in_flight = options.max_in_flight
        self.wants_facts = False
        self._channel: grpc.Channel | None = None
        self._compression = grpc.Compression.Gzip if options.gzip else grpc.Compression.NoCompression
        _metadata(options.request_headers())

    def send(self, spans: Sequence[SpanData]) -> Outcome:
        """Call once. Returns and raises as `base.Sender.send`."""
        headers = self._options.request_headers()
        metadata = _metadata(headers)
        body = encode(spans)
        check_size(body, self._options.max_request_bytes, len(spans))
        try:
            answer = self._export()(
                body, timeout=self._options.timeout_s, metadata=metadata, compression=self._compression
            )
        except grpc.RpcError as exc:
            # Connected anew next time: gRPC would wait by its own clock, up to two minutes.
            self.close()
            raise _refusal(exc, self._options.label, self._options.secret_values(headers)) from None
        try:
            response = ExportTraceServiceResponse.FromString(answer)
        except DecodeError:
            return Outcome(message="accepted; the answer is no ExportTraceServiceResponse")
        return accepted(response, len(spans), self._options.secret_values(headers))

    def _export(self) -> Any:
        if self._channel is None:
            self._channel = _open_channel(self._options)
        # Bytes in, bytes out: the size is known before it is sent.
        return self._channel.unary_unary(METHOD)

    def close(self) -> None:
        """Close the channel. Idempotent."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()


def _open_channel(options: GrpcOptions) -> grpc.Channel:
    if options.tls is None:
        return grpc.insecure_channel(options.target, _CHANNEL)
    credentials = grpc.ssl_channel_credentials(
        options.tls.authorities, options.tls.client_key, options.tls.client_certificate
    )
    return grpc.secure_channel(options.target, credentials, _CHANNEL)


def _metadata(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Headers as metadata.

    Raises:
        PermanentError: gRPC cannot carry one of them.
    """
    for name, value in headers.items():
        if name.startswith("grpc-") or name.endswith("-bin") or not _carries(value):
            raise PermanentError(
                f"headers: grpc cannot carry {name}", hint="names and values in printable ASCII"
            )
        if name.strip("abcdefghijklmnopqrstuvwxyz0123456789_-."):
            raise PermanentError(f"headers: {name} is no name for grpc", hint="letters, digits and -_.")
    return list(headers.items())


def _carries(value: str) -> bool:
    """What gRPC takes; its own error would show the value."""
    return value.isascii() and value.isprintable()


def _refusal(error: grpc.RpcError, label: str, secret_values: Sequence[str]) -> DeliveryError:
    """The error that a failed call stands for."""
    call = cast("grpc.Call", error)
    code, details = call.code(), call.details() or ""
    words = shown(details, secret_values)
    message = f"{label} answered {code.name}" + (f": {words}" if words else "")
    wish = _retry_info_s(call)
    if code is grpc.StatusCode.UNAVAILABLE and (cause := _needs_a_person(details)):
        return PausedError(f"{message} ({cause})", hint="check endpoint, certificate and client_certificate")
    if code in _RETRYABLE or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and wish is not None):
        return RetryableError(message, retry_after_s=wish)
    if code in _NEEDS_A_PERSON:
        return PausedError(message, hint="check its headers; it is tried again every five minutes")
    return _BY_CONTENT.get(code, PermanentError)(message)


def _needs_a_person(details: str) -> str:
    text = details.lower()
    if any(words in text for words in _TLS_FAILED):
        return "TLS"
    return "DNS" if any(words in text for words in _UNKNOWN_NAME) else ""


def _retry_info_s(call: grpc.Call) -> float | None:
    for name, value in call.trailing_metadata() or ():
        if name == "grpc-status-details-bin" and isinstance(value, bytes):
            wish = retry_delay_s(value)
            return None if wish is None else min(wish, MAX_RETRY_AFTER_S)
    return None
