"""Interim answers come before the final one: what was accepted is delivered, and nothing else is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from hush_otel.destinations.otlp import open_otlp
from hush_otel.errors import RetryableError
from hush_otel.model import DestinationConfig, Origin, Outcome, SpanData

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class Server:
    """Answers each request with the next bytes, on connections that stay open."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection, connection.makefile("rb") as stream:
                while self._read(stream):
                    connection.sendall(self.answers.pop(0))

    def _read(self, stream: object) -> bool:
        length = 0
        while (line := stream.readline()) not in (b"\r\n", b""):  # type: ignore[attr-defined]
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return bool(length) and len(stream.read(length)) == length  # type: ignore[attr-defined]

    def close(self) -> None:
        """No more connections."""
        self._listener.close()


@pytest.fixture
def server() -> Iterator[Server]:
    """One that answers as it is told."""
    one = Server()
    yield one
    one.close()


def span() -> SpanData:
    """Any."""
    empty: list[object] = []
    return SpanData(
        b"t" * 16, b"s" * 8, None, 257, "", "one", 1, 1, 2, 0, "", {}, empty, empty, 0, 0, 0, Origin(), "r"
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints", b"199 Whatever"])
def test_an_interim_answer_is_none(server: Server, interim: bytes) -> None:
    """The final one follows on the same connection, and belongs to the same request (RFC 9110, 15.2)."""
    before = b"HTTP/1.1 " + interim + b"\r\nLink: </style.css>\r\n\r\n"
    server.answers = [before * 3 + OK, before + REFUSED, OK]
    sender = open_otlp(DestinationConfig("lab", "otlp", {"endpoint": server.endpoint, "timeout_s": 60}))
    assert sender.send([span()]) == Outcome()
    with pytest.raises(RetryableError, match="503"):
        sender.send([span()])
    assert sender.send([span()]) == Outcome()
    sender.close()
    assert server.connections == 1
