"""Test doubles for applications and for this package: a real OTLP receiver on the loopback interface.

    with OtlpReceiver() as receiver:
        receiver.respond(503, {"Retry-After": "1"}, times=2)   # then 200 again
        ...                                                   # send to receiver.endpoint
        spans = receiver.wait_for(3, timeout_s=5.0)

Imported by tests and the demo only; nothing else of this package needs it.
"""

from __future__ import annotations

import base64
import gzip
import json
import socket
import threading
import zlib
from collections.abc import (
    Callable,
    Iterator,
    Mapping,
    Sequence,  # noqa: F401 - AttributeValue names it, and `help` looks for it here
)
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self, cast

import msgspec
from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from hush_otel.model import AttributeValue

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"


class ReceivedRequest(msgspec.Struct, frozen=True):
    """One HTTP request, whatever it was answered with.

    Attributes:
        path: With its query.
        headers: By lowercase name.
        body: After decompression.
        status: What it was answered with.
    """

    path: str
    headers: dict[str, str]
    body: bytes
    status: int


class ReceivedSpan(msgspec.Struct, frozen=True):
    """One span of a request that was answered with 2xx.

    Attributes:
        resource: ``{key: value}``.
        resource_schema_url: Of the ResourceSpans.
        scope: ``{"name", "version", "schema_url", "attributes"}``.
        attributes: Of the span, ``{key: value}``.
        span: The protobuf message itself.
    """

    resource: dict[str, AttributeValue]
    resource_schema_url: str
    scope: dict[str, AttributeValue]
    attributes: dict[str, AttributeValue]
    span: Span

    @property
    def name(self) -> str:
        """The span's name."""
        return self.span.name

    @property
    def trace_id(self) -> str:
        """Lowercase hex."""
        return self.span.trace_id.hex()

    @property
    def span_id(self) -> str:
        """Lowercase hex."""
        return self.span.span_id.hex()


class _Reply(msgspec.Struct):
    """A scripted answer; `times` counts down, None stands for ever."""

    status: int
    headers: dict[str, str]
    body: bytes
    times: int | None


class OtlpReceiver:
    """An OTLP/HTTP server on 127.0.0.1 that keeps what it receives. Safe to use from several threads.

    Takes protobuf and JSON, plain and gzip, on every path. Answers 200 with an empty
    ExportTraceServiceResponse unless `respond` says otherwise, 400 to what it cannot decode.

    Args:
        port: 0 lets the system choose; a number reopens a receiver where one stood before.
    """

    def __init__(self, port: int = 0) -> None:
        self._changed = threading.Condition()
        self._requests: list[ReceivedRequest] = []
        self._spans: list[ReceivedSpan] = []
        self._replies: list[_Reply] = []
        self._server = _Server(("127.0.0.1", port), self._answer)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.02},
            name="otlp-receiver",
            daemon=True,
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and cut every open connection, as a killed receiver does. Idempotent."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._server.cut_connections()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    @property
    def endpoint(self) -> str:
        """``http://127.0.0.1:PORT``, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[ReceivedRequest]:
        """All requests so far, in the order of their answers. A copy."""
        with self._changed:
            return list(self._requests)

    def spans(self) -> list[ReceivedSpan]:
        """The spans of all accepted requests so far, in order. A copy."""
        with self._changed:
            return list(self._spans)

    def respond(
        self,
        status: int,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        times: int | None = None,
    ) -> None:
        """Script the next answers, after those already scripted.

        Args:
            status: HTTP status. Spans count as received with 2xx only.
            headers: Beside Content-Length; Content-Type is protobuf unless given.
            body: As sent.
            times: For that many requests; None for all until the next call of `respond`.
        """
        with self._changed:
            if self._replies and self._replies[-1].times is None:
                self._replies.pop()
            self._replies.append(_Reply(status, dict(headers or {}), body, times))

    def clear(self) -> None:
        """Forget requests, spans and scripted answers."""
        with self._changed:
            self._requests.clear()
            self._spans.clear()
            self._replies.clear()

    def wait_for(self, count: int, timeout_s: float = 10.0) -> list[ReceivedSpan]:
        """Wait until at least `count` spans were accepted and give all of them.

        Raises:
            TimeoutError: Fewer arrived; the message says how many.
        """
        self._wait(lambda: len(self._spans) >= count, timeout_s, f"{count} spans")
        return self.spans()

    def wait_for_requests(self, count: int, timeout_s: float = 10.0) -> list[ReceivedRequest]:
        """Wait until at least `count` requests were answered, accepted or not, and give all of them.

        Raises:
            TimeoutError: Fewer arrived.
        """
        self._wait(lambda: len(self._requests) >= count, timeout_s, f"{count} requests")
        return self.requests

    def _wait(self, reached: Callable[[], bool], timeout_s: float, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(reached, timeout_s):
                raise TimeoutError(
                    f"waited {timeout_s:g} s for {what}: received {len(self._spans)} spans"
                    f" in {len(self._requests)} requests"
                )

    def _answer(self, path: str, headers: dict[str, str], raw: bytes) -> _Reply:
        with self._changed:
            reply = self._next_reply() or _Reply(200, {}, _accepted(headers), None)
            body, spans = raw, list[ReceivedSpan]()
            try:
                body = _decompressed(raw, headers)
                spans = decode_request(body, headers.get("content-type", ""))
            except ValueError as exc:
                reply = _Reply(400, {"Content-Type": "text/plain"}, str(exc).encode(), None)
            self._requests.append(ReceivedRequest(path, headers, body, reply.status))
            if 200 <= reply.status < 300:  # noqa: PLR2004 - success, RFC 9110 section 15.3
                self._spans.extend(spans)
            self._changed.notify_all()
            return reply

    def _next_reply(self) -> _Reply | None:
        if not self._replies:
            return None
        reply = self._replies[0]
        if reply.times is not None:
            reply.times -= 1
            if reply.times <= 0:
                self._replies.pop(0)
        return reply


def _accepted(headers: Mapping[str, str]) -> bytes:
    if headers.get("content-type", "").startswith(JSON):
        return b"{}"
    return ExportTraceServiceResponse().SerializeToString()


class _Server(ThreadingHTTPServer):
    """Remembers its connections, so that closing it looks like a crash to keep-alive clients."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, address: tuple[str, int], answer: Callable[[str, dict[str, str], bytes], _Reply]
    ) -> None:
        self.answer = answer
        self._connections: set[socket.socket] = set()
        super().__init__(address, _Connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""

    def cut_connections(self) -> None:
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client was faster


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one segment; two would wait for a delayed ACK

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = cast("_Server", self.server).answer(self.path, headers, body)
        self.send_response(reply.status)
        kind = JSON if headers.get("content-type", "").startswith(JSON) else PROTOBUF
        for name, value in ({"Content-Type": kind} | reply.headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Tests read `requests`, not a log."""


def _decompressed(body: bytes, headers: Mapping[str, str]) -> bytes:
    if headers.get("content-encoding") != "gzip":
        return body
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error) as exc:
        raise ValueError(f"not gzip: {exc}") from exc


def decode_request(body: bytes, content_type: str) -> list[ReceivedSpan]:
    """The spans of an ExportTraceServiceRequest, protobuf or OTLP JSON.

    Raises:
        ValueError: It is neither.
    """
    request = ExportTraceServiceRequest()
    try:
        if content_type.startswith(JSON):
            Parse(json.dumps(_ids_to_base64(json.loads(body))), request)
        else:
            request.ParseFromString(body)
    except (DecodeError, ParseError) as exc:
        raise ValueError(f"no ExportTraceServiceRequest: {exc}") from exc
    return list(_received(request))


def _ids_to_base64(value: Any) -> Any:
    """OTLP JSON writes ids in hex where protobuf's own JSON mapping expects base64."""
    if isinstance(value, list):
        return [_ids_to_base64(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64encode(bytes.fromhex(item)).decode() if key in _ID_KEYS else _ids_to_base64(item)
        for key, item in value.items()
    }


_ID_KEYS: Final = frozenset({"traceId", "spanId", "parentSpanId"})


def _received(request: ExportTraceServiceRequest) -> Iterator[ReceivedSpan]:
    for resource_spans in request.resource_spans:
        resource = attributes_of(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            scope: dict[str, AttributeValue] = {
                "name": scope_spans.scope.name,
                "version": scope_spans.scope.version,
                "schema_url": scope_spans.schema_url,
                "attributes": attributes_of(scope_spans.scope.attributes),
            }
            for span in scope_spans.spans:
                yield ReceivedSpan(
                    resource, resource_spans.schema_url, scope, attributes_of(span.attributes), span
                )


def attributes_of(attributes: Any) -> dict[str, AttributeValue]:
    """OTLP KeyValues as a dict; the last of a repeated key wins."""
    return {entry.key: value_of(entry.value) for entry in cast("list[KeyValue]", attributes)}


def value_of(value: AnyValue) -> AttributeValue:
    """An OTLP AnyValue as a Python value: str, bool, int, float, bytes, list, dict, or None when empty."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [value_of(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return attributes_of(value.kvlist_value.values)
    return cast("AttributeValue", getattr(value, kind))
