"""The spans that every benchmark uses, and a sink for OTLP in a process of its own."""

from __future__ import annotations

import contextlib
import http.server
import multiprocessing
from collections.abc import Iterator

_TEXT = "The quick brown fox jumps over the lazy dog. "

LLM_ATTRIBUTES: dict[str, str | int] = {
    # 8 attributes, about 1.6 KB: a chat completion with its prompt and answer.
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 123,
    "gen_ai.usage.output_tokens": 45,
    "input.value": _TEXT * 20,
    "output.value": _TEXT * 14,
    "user.id": "user-1",
    "session.id": "session-1",
}

SMALL_ATTRIBUTES: dict[str, str | int] = {
    # 6 attributes, about 0.2 KB: an HTTP call.
    "http.request.method": "GET",
    "http.response.status_code": 200,
    "url.path": "/v1/items",
    "server.address": "localhost",
    "server.port": 8080,
    "network.protocol.version": "1.1",
}


class _Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _serve(port: multiprocessing.Queue[int]) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    port.put(server.server_address[1])
    server.serve_forever()


@contextlib.contextmanager
def otlp_sink() -> Iterator[str]:
    """A receiver that accepts everything; yields its endpoint."""
    context = multiprocessing.get_context("spawn")
    port: multiprocessing.Queue[int] = context.Queue()
    process = context.Process(target=_serve, args=(port,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{port.get()}"
    finally:
        process.kill()
        process.join()
