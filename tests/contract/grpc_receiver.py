"""A scripted gRPC server on port 0: it keeps what it receives and answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"


class GrpcCall(NamedTuple):
    """One call, whatever it was answered with."""

    metadata: dict[str, str]
    body: bytes
    encoding: str
    names: list[str]


class GrpcReceiver:
    """TraceService/Export. `answer` is called for each call; None accepts it.

    Args:
        credentials: For TLS.
    """

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self.calls: list[GrpcCall] = []
        self.answer: Callable[[GrpcCall, grpc.ServicerContext], bytes | None] = lambda call, context: None
        self._changed = threading.Condition()
        self._server = grpc.server(ThreadPoolExecutor(4))
        handler = grpc.unary_unary_rpc_method_handler(self._export)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"Export": handler}),)
        )
        add = (
            self._server.add_insecure_port
            if credentials is None
            else lambda address: self._server.add_secure_port(address, credentials)
        )
        self.port = add("127.0.0.1:0")

    @property
    def endpoint(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self.port}"

    def respond(self, code: grpc.StatusCode, words: str = "", retry_info: float | None = None) -> None:
        """Answer every call with a status from now on; OK accepts again."""

        def answer(call: GrpcCall, context: grpc.ServicerContext) -> None:
            if retry_info is not None:
                status = retry_status(code.value[0], retry_info)
                context.set_trailing_metadata((("grpc-status-details-bin", status),))
            if code is not grpc.StatusCode.OK:
                context.abort(code, words)

        self.answer = answer

    def wait_for_calls(self, count: int, timeout_s: float = 20.0) -> list[GrpcCall]:
        """Wait until at least `count` calls came."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.calls) >= count, timeout_s)
            return list(self.calls)

    def _export(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        metadata = dict(context.invocation_metadata())
        request = ExportTraceServiceRequest.FromString(body)
        names = [s.name for r in request.resource_spans for c in r.scope_spans for s in c.spans]
        call = GrpcCall(metadata, body, metadata.get("grpc-encoding", ""), names)
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()
        answer = self.answer(call, context)
        return ExportTraceServiceResponse().SerializeToString() if answer is None else answer

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop(None).wait(10)


def server_credentials(certificate: Path, key: Path, clients: Path | None = None) -> grpc.ServerCredentials:
    """TLS with one certificate; with `clients`, only for those who have one of it."""
    return grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())],
        root_certificates=clients.read_bytes() if clients else None,
        require_client_auth=clients is not None,
    )


def retry_status(code: int, delay_s: float) -> bytes:
    """A google.rpc.Status with a RetryInfo, encoded by hand from the .proto files."""
    duration = Duration(seconds=int(delay_s), nanos=int(delay_s % 1 * 1e9)).SerializeToString()
    retry_info = b"\x0a" + bytes([len(duration)]) + duration
    detail: Any = AnyMessage(type_url="type.googleapis.com/google.rpc.RetryInfo", value=retry_info)
    other: Any = AnyMessage(type_url="type.googleapis.com/google.rpc.DebugInfo", value=b"\x12\x02hi")
    message = b"\x08" + bytes([code]) + b"\x12\x05later"
    for one in (other, detail):
        encoded = one.SerializeToString()
        message += b"\x1a" + bytes([len(encoded)]) + encoded
    return message
