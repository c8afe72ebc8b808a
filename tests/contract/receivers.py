"""A receiver over HTTP and one over gRPC behind one face: what is the same for both is tested once."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from certificates import Certificate
from grpc_receiver import GrpcReceiver, server_credentials
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from hush_otel import Destination
from hush_otel.testing import OtlpReceiver

HTTP: Final = "http/protobuf"
GRPC: Final = "grpc"
PROTOCOLS: Final = (HTTP, GRPC)


class Receiver(Protocol):
    """What a test may ask of either."""

    endpoint: str

    def headers(self) -> list[dict[str, str]]:
        """Of every request so far, by lowercase name."""

    def bodies(self) -> list[bytes]:
        """Of every request so far, decompressed."""

    def accept_with(self, rejected: int, message: str) -> None:
        """Answer with a partial success from now on."""

    def hang(self, release: threading.Event) -> None:
        """Answer nothing before `release`."""


class HttpFace:
    """An OtlpReceiver."""

    def __init__(self, receiver: OtlpReceiver, endpoint: str) -> None:
        self._receiver, self.endpoint = receiver, endpoint

    def headers(self) -> list[dict[str, str]]:
        """As of Receiver."""
        return [request.headers for request in self._receiver.requests]

    def bodies(self) -> list[bytes]:
        """As of Receiver."""
        return [request.body for request in self._receiver.requests]

    def accept_with(self, rejected: int, message: str) -> None:
        """As of Receiver."""
        self._receiver.respond(200, body=partial_success(rejected, message))

    def hang(self, release: threading.Event) -> None:
        """As of Receiver."""
        before(self._receiver, lambda: release.wait(30))


class GrpcFace:
    """A GrpcReceiver."""

    def __init__(self, receiver: GrpcReceiver, endpoint: str) -> None:
        self._receiver, self.endpoint = receiver, endpoint

    def headers(self) -> list[dict[str, str]]:
        """As of Receiver."""
        return [call.metadata for call in self._receiver.calls]

    def bodies(self) -> list[bytes]:
        """As of Receiver."""
        return [call.body for call in self._receiver.calls]

    def accept_with(self, rejected: int, message: str) -> None:
        """As of Receiver."""
        self._receiver.answer = lambda call, context: partial_success(rejected, message)

    def hang(self, release: threading.Event) -> None:
        """As of Receiver."""
        self._receiver.answer = lambda call, context: release.wait(30) and None


@contextmanager
def receiving(
    protocol: str, tls: Certificate | None = None, clients: Certificate | None = None
) -> Iterator[Receiver]:
    """A receiver that accepts everything.

    Args:
        protocol: `HTTP` or `GRPC`.
        tls: Its certificate, if it speaks TLS.
        clients: Whoever connects must have this certificate.
    """
    scheme = "http" if tls is None else "https"
    if protocol == GRPC:
        credentials = tls and server_credentials(*tls, clients=clients and clients.path)
        with GrpcReceiver(credentials) as over_grpc:
            yield GrpcFace(over_grpc, f"{scheme}://127.0.0.1:{over_grpc.port}")
    else:
        over_http = OtlpReceiver()
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            if clients is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(clients.path)
            listening = over_http._server.socket
            # Before it begins to serve: its thread looks for the socket as soon as it runs.
            over_http._server.socket = context.wrap_socket(listening, server_side=True)
        with over_http:
            yield HttpFace(over_http, f"{scheme}://127.0.0.1:{over_http.port}")


def before(receiver: OtlpReceiver, happens: Callable[[], object]) -> None:
    """Let something happen before each answer."""
    answer = receiver._server.answer

    def delayed(*request: Any) -> Any:
        happens()
        return answer(*request)

    receiver._server.answer = delayed


def partial_success(rejected: int, message: str) -> bytes:
    """An ExportTraceServiceResponse with a partial success."""
    success = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return ExportTraceServiceResponse(partial_success=success).SerializeToString()


def span_names(body: bytes) -> list[str]:
    """The spans of one request."""
    request = ExportTraceServiceRequest.FromString(body)
    return [span.name for r in request.resource_spans for s in r.scope_spans for span in s.spans]


def lab(receiver: Receiver, protocol: str, name: str = "lab", **options: Any) -> Destination:
    """A receiver as a destination."""
    return Destination("otlp", name=name, endpoint=receiver.endpoint, protocol=protocol, **options)
