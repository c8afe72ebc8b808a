"""Connections that say nothing, opened by whoever can connect."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from pages import serving
from store_rows import StoreRows

from hush_otel.web import connections
from hush_otel.web.server import PageServer

SILENT = 150


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PageServer]:
    """A server over one request."""
    with StoreRows(tmp_path / "t.db") as rows:
        rows.request("r")
    with serving(tmp_path / "t.db") as found:
        yield found


def connected(server: PageServer) -> socket.socket:
    """A connection that has said nothing yet."""
    return socket.create_connection(("127.0.0.1", server.door.port), timeout=30)


def owner(server: PageServer) -> httpx.Client:
    """Somebody who has the token, and connects anew for every question."""
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(base_url=server.door.url, timeout=30, limits=limits)


def ids(client: httpx.Client) -> list[str]:
    """Of the requests that the list has."""
    return [each["request_id"] for each in client.get("/api/requests").json()["requests"]]


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: "], ids=["nothing", "half a head"])
def test_s05_many_silent_connections_do_not_shut_the_owner_out(server: PageServer, said: bytes) -> None:
    """Somebody who comes after 150 of them logs in and reads the list, more than once."""
    with ExitStack() as open_ones, owner(server) as client:
        for _ in range(SILENT):
            open_ones.enter_context(connected(server)).sendall(said)
        assert client.get(server.door.login_url).status_code == 303
        assert ids(client) == ["r"]
        for _ in range(SILENT):
            open_ones.enter_context(connected(server)).sendall(said)
        assert ids(client) == ["r"]


def test_s05_refused_connections_that_stay_do_not_shut_the_owner_out(server: PageServer) -> None:
    """Each has got its answer, 401, and is kept open by a client that has no token."""
    with ExitStack() as open_ones, owner(server) as client:
        for _ in range(SILENT):
            connection = open_ones.enter_context(connected(server))
            connection.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{server.door.port}\r\n\r\n".encode())
            assert b" 401 " in connection.recv(100)
        assert client.get(server.door.login_url).status_code == 303
        assert ids(client) == ["r"]


@pytest.mark.parametrize("said", [b"", b"GET / HT"], ids=["nothing", "half"])
def test_s05_a_head_that_does_not_come_ends_the_connection(
    server: PageServer, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """Whether any of it has come or none."""
    monkeypatch.setattr(connections, "HEAD_S", 0.05)
    with connected(server) as connection:
        connection.sendall(said)
        assert connection.recv(1) == b""


def test_s05_the_head_of_a_second_request_has_its_deadline(
    server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that has been answered, and then begins another head."""
    monkeypatch.setattr(connections, "HEAD_S", 0.2)
    with connected(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 421 " in connection.recv(100)
        connection.sendall(b"GET / HT")
        while connection.recv(65536):
            pass


def test_s05_events_are_told_for_longer_than_a_head_may_take(
    server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that is answered is no connection that waits."""
    monkeypatch.setattr(connections, "HEAD_S", 0.05)
    with owner(server) as client:
        client.get(server.door.login_url)
        with client.stream("GET", "/api/events") as told, ExitStack() as open_ones:
            lines = told.iter_lines()
            assert next(lines).startswith("retry:")
            for _ in range(3):
                with open_ones.enter_context(connected(server)) as other:
                    assert other.recv(1) == b""
            assert any(line.startswith("event: status") for line in lines)
