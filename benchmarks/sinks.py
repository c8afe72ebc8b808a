"""Receivers for OTLP over HTTP and gRPC, in one process of their own, that accept everything.

Bodies are decoded only when somebody asks: the sink must not be what a side waits for.
"""

from __future__ import annotations

import contextlib
import gzip
import http.server
import json
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from harness import beside

_arrived: list[tuple[int, bytes]] = []
"""Bodies of accepted requests and when they came, in monotonic nanoseconds."""
_encodings: list[str] = []
"""Content-Encoding of the same requests over HTTP."""


class Sink(NamedTuple):
    """Endpoints of a running sink."""

    http: str
    grpc: str

    def taken(self) -> int:
        """How many spans came since the last question."""
        return int(self._get("count"))

    def encodings(self) -> set[str]:
        """Which encodings the requests over HTTP had since the last question; identity is none."""
        return set(self._get("encodings"))

    def arrivals(self) -> dict[str, int]:
        """Since the last question: when each span came, by its id in hex, in monotonic nanoseconds."""
        return dict(self._get("arrivals"))

    def _get(self, what: str) -> Any:
        with urllib.request.urlopen(f"{self.http}/{what}", timeout=60) as answer:  # noqa: S310 - our own
            return json.load(answer)


@contextlib.contextmanager
def otlp_sink() -> Iterator[Sink]:
    """A sink for as long as the block runs."""
    with beside("sinks.serve") as ports:
        yield Sink(f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")


class _Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        encoding = self.headers.get("content-encoding", "identity")
        if encoding == "gzip":
            body = gzip.decompress(body)
        _encodings.append(encoding)
        _arrived.append((time.monotonic_ns(), body))
        self._answer("application/x-protobuf", b"")

    def do_GET(self) -> None:
        if self.path == "/encodings":
            found: object = sorted(set(_encodings))
            _encodings.clear()
        else:
            spans = list(_take())
            found = len(spans) if self.path == "/count" else spans
        self._answer("application/json", json.dumps(found).encode())

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _HttpServer(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that was killed is no news."""


def _take() -> Iterator[tuple[str, int]]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    while _arrived:
        moment, body = _arrived.pop()
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                yield from ((span.span_id.hex(), moment) for span in scope.spans)


def serve() -> None:
    """Print both ports, then work until killed."""
    server = _HttpServer(("127.0.0.1", 0), _Http)
    print(json.dumps([server.server_address[1], _serve_grpc()]), flush=True)
    server.serve_forever()


def _serve_grpc() -> int:
    import grpc

    def export(body: bytes, _: object) -> bytes:
        _arrived.append((time.monotonic_ns(), body))
        return b""

    # Bytes in, bytes out: without the generated service nothing is decoded here.
    method = grpc.unary_unary_rpc_method_handler(export)
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"Export": method})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    _kept.append(server)  # a server that nobody holds stops
    return port


_kept: list[Any] = []
