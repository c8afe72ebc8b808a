"""Connections that say nothing, opened by whoever can connect."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest
from inprocess import settings_for
from pages import running, serving, stranger
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


def ids(client: httpx.Client) -> list[str]:
    """Of the requests that the list has."""
    return [each["request_id"] for each in client.get("/api/requests").json()["requests"]]


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: "], ids=["nothing", "half a head"])
def test_s05_many_silent_connections_do_not_shut_the_owner_out(server: PageServer, said: bytes) -> None:
    """Somebody who comes after 150 of them logs in and reads the list, more than once."""
    with ExitStack() as open_ones, stranger(server) as client:
        for _ in range(SILENT):
            open_ones.enter_context(connected(server)).sendall(said)
        assert client.get(server.door.login_url).status_code == 303
        assert ids(client) == ["r"]
        for _ in range(SILENT):
            open_ones.enter_context(connected(server)).sendall(said)
        assert ids(client) == ["r"]


def test_s05_refused_connections_that_stay_do_not_shut_the_owner_out(server: PageServer) -> None:
    """Each has got its answer, 401, and is kept open by a client that has no token."""
    with ExitStack() as open_ones, stranger(server) as client:
        for _ in range(SILENT):
            connection = open_ones.enter_context(connected(server))
            connection.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{server.door.port}\r\n\r\n".encode())
            assert b" 401 " in connection.recv(100)
        assert client.get(server.door.login_url).status_code == 303
        assert ids(client) == ["r"]


def ends(connection: socket.socket) -> bool:
    """Wait until the server has closed it. What was on its way then is answered by a reset."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize("said", [b"", b"GET / HT"], ids=["nothing", "half"])
def test_s05_a_head_that_does_not_come_ends_the_connection(
    server: PageServer, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """Whether any of it has come or none."""
    monkeypatch.setattr(connections, "HEAD_S", 0.05)
    with connected(server) as connection:
        connection.sendall(said)
        assert ends(connection)


def test_s05_the_head_of_a_second_request_has_its_deadline(
    server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that has been answered, and then begins another head."""
    answered = connections.Connection.on_response_complete

    def then_hurry(connection: connections.Connection) -> None:
        monkeypatch.setattr(connections, "HEAD_S", 0.2)  # the first head has as long as ever
        answered(connection)

    monkeypatch.setattr(connections.Connection, "on_response_complete", then_hurry)
    with connected(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 421 " in connection.recv(100)
        connection.sendall(b"GET / HT")
        assert ends(connection)


def test_s05_events_are_told_for_longer_than_a_head_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that is answered is no connection that waits: it is told what happens when others had to go."""
    monkeypatch.setattr(connections, "HEAD_S", 0.05)
    with StoreRows(tmp_path / "t.db") as rows:
        rows.request("r")
    server = PageServer(settings_for(tmp_path / "t.db"))
    cookie = f"{server.door.cookie}={server.door.session}"
    head = f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:{server.door.port}\r\nCookie: {cookie}\r\n\r\n"
    with connected(server) as listening, listening.makefile("rb") as told:
        listening.sendall(head.encode())  # it is there before the server looks, however busy the machine is
        with running(server):
            assert any(line.startswith(b"event: status") for line in told)
            for _ in range(3):
                with connected(server) as other:
                    assert ends(other)
            with closing(sqlite3.connect(tmp_path / "t.db")) as db, db:
                db.execute("UPDATE hush_requests SET node_count = 7, last_at = last_at + 1")
            assert any(b'"requests":["r"]' in line for line in told)
