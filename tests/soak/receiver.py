"""An OTLP/HTTP receiver that keeps ids only, and behaves badly when told to."""

from __future__ import annotations

import gzip
import random
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

NODE_NAMES = frozenset(("flow", "answer"))
FAULTS = ("503", "429", "cut", "late", "lost answer")


class Server(ThreadingHTTPServer):
    """Says nothing of a sender that was killed in the midst of a request."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Anything else is printed, as ever."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Receiver:
    """Listens on a port of its own from `start` to `stop`.

    Attributes:
        fault: What it does wrong now, one of FAULTS; "" for nothing.
        accepted: How often each span was accepted, by trace id and span id.
        names: Trace id and name of each span that a node trace has become.
    """

    def __init__(self) -> None:
        self.fault = ""
        self.accepted: Counter[bytes] = Counter()
        self.names: set[tuple[bytes, str]] = set()
        self.answers: Counter[str] = Counter()
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver.take(self)

            def log_message(self, *_: object) -> None:
                """Not to stderr."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """In a thread."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """No more requests."""
        self._server.shutdown()
        self._server.server_close()

    def take(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request, or not."""
        body = request.rfile.read(int(request.headers["Content-Length"]))
        fault = self.fault
        with self._lock:
            self.answers[fault or "200"] += 1
        if fault in ("503", "429"):
            self._answer(request, int(fault))
            return
        if fault == "cut":
            request.close_connection = True
            return
        if fault == "late":
            time.sleep(random.random())
        self._accept(gzip.decompress(body) if request.headers["Content-Encoding"] == "gzip" else body)
        if fault == "lost answer":
            request.close_connection = True  # it was accepted, and nobody knows
            return
        self._answer(request, 200)

    def _accept(self, body: bytes) -> None:
        message = ExportTraceServiceRequest.FromString(body)
        spans = [
            span
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        with self._lock:
            self.accepted.update(span.trace_id + span.span_id for span in spans)
            self.names.update((span.trace_id, span.name) for span in spans if span.name in NODE_NAMES)

    def _answer(self, request: BaseHTTPRequestHandler, status: int) -> None:
        request.send_response(status)
        if status == 429:
            request.send_header("Retry-After", "1")
        request.send_header("Content-Type", "application/x-protobuf")
        request.send_header("Content-Length", "0")
        request.end_headers()
