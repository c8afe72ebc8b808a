"""Live: what open pages are told, and what becomes of those that do not listen."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from inprocess import settings_for
from pages import browser, serving
from store_rows import StoreRows
from support import eventually

from hush_otel.presentation.changes import Changed, Changes
from hush_otel.web import events


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A complete request and an open one."""
    path = tmp_path / "traces.db"
    with StoreRows(path) as rows:
        rows.span(rows.request("done"), 1)
        rows.request("open", completed_by=None)
    return path


@contextmanager
def listening(page: httpx.Client) -> Iterator[Iterator[tuple[str, Any]]]:
    """The events of one open page, as they come."""
    with page.stream("GET", "/api/events") as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        yield _events(stream)


def _events(stream: httpx.Response) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in stream.iter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def change(db: Path, sql: str) -> None:
    """A commit of somebody else."""
    with sqlite3.connect(db) as connection:
        connection.execute(sql)
    connection.close()


def test_a_page_is_told_which_requests_have_changed(db: Path) -> None:
    """At first that anything may have, then by name."""
    with serving(db) as server, browser(server) as page, listening(page) as told:
        assert {next(told)[0], next(told)[0]} == {"changed", "status"}
        change(db, "UPDATE hush_requests SET node_count = 7, last_at = last_at + 1 WHERE request_id = 'open'")
        assert next(data for name, data in told if name == "changed") == {"requests": ["open"], "more": False}


def test_a_page_is_told_when_the_database_comes(tmp_path: Path) -> None:
    """The page is open before anything was recorded."""
    path = tmp_path / "traces.db"
    with serving(path) as server, browser(server) as page, listening(page) as told:
        name, status = next(told)
        assert (name, status["missing"]) == ("status", True)
        with StoreRows(tmp_path / "made.db") as rows:
            rows.request("first")
        (tmp_path / "made.db").rename(path)  # whole at once: a look amid would be one more change
        found = dict([next(told), next(told)])  # in whatever order: one looks for the one, then for the other
        assert found["changed"] == {"requests": [], "more": True}
        assert found["status"]["missing"] is False


def test_pages_beyond_the_limit_are_refused_and_room_is_given_back(db: Path) -> None:
    """A page that has gone makes room for another."""
    with serving(db) as server, ExitStack() as stack:
        pages = [stack.enter_context(browser(server)) for _ in range(events.LISTENERS)]
        open_pages = [stack.enter_context(listening(page)) for page in pages]
        for told in open_pages:
            next(told)
        with browser(server) as late:
            assert late.get("/api/events").status_code == 503
            stack.close()
            with eventually(lambda: _stream(late), what="room for another page") as stream:
                assert stream.status_code == 200


def _stream(page: httpx.Client) -> Any:
    request = page.build_request("GET", "/api/events")
    response = page.send(request, stream=True)
    if response.status_code == 200:
        return _Closing(response)
    response.close()
    return None


class _Closing:
    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    def __enter__(self) -> httpx.Response:
        return self._response

    def __exit__(self, *_: object) -> None:
        self._response.close()


def test_pages_that_never_read_are_counted(db: Path) -> None:
    """A place is taken when it is asked for, not when somebody reads; it is free when the connection is gone."""
    with serving(db) as server, ExitStack() as stack:
        door = server.door
        head = f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\nCookie: {door.cookie}={door.session}\r\n\r\n"

        def asked() -> socket.socket:
            one = stack.enter_context(socket.create_connection(("127.0.0.1", door.port), timeout=20))
            one.sendall(head.encode())
            return one

        pages = [asked() for _ in range(2 * events.LISTENERS)]
        assert [page.makefile("rb").read(12) for page in pages].count(b"HTTP/1.1 200") == events.LISTENERS
        stack.close()
        with (
            browser(server) as page,
            eventually(lambda: _stream(page), what="room for another page") as stream,
        ):
            assert stream.status_code == 200


def test_a_page_that_does_not_read_hinders_nobody(db: Path) -> None:
    """Its connection fills up; the others are told as before, and the server ends in time."""
    with serving(db) as server, browser(server) as page:
        cookie = f"{server.door.cookie}={server.door.session}"
        with socket.create_connection(("127.0.0.1", server.door.port)) as deaf:
            deaf.sendall(
                f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:{server.door.port}\r\nCookie: {cookie}\r\n\r\n".encode()
            )
            with listening(page) as told:
                next(told)
                change(db, "UPDATE hush_requests SET node_count = node_count + 1")
                assert any(name == "changed" and data["requests"] for name, data in told)


def test_a_listener_is_told_at_once_of_all_that_it_has_missed() -> None:
    """Changes are put together by id, of statuses the last one counts."""
    listener = events.Listener()
    listener.tell(Changed(requests=["a", "b"]), {"n": 1})
    listener.tell(Changed(requests=["b", "c"]), {"n": 2})
    assert listener.take() == (
        'event: changed\ndata: {"requests":["a","b","c"],"more":false}\n\nevent: status\ndata: {"n":2}\n\n'
    )
    assert listener.take().startswith(":")


def test_a_look_names_what_has_changed_and_nothing_else(db: Path) -> None:
    """New rows, ends, states of deliveries; nothing without a commit."""
    changes = Changes(settings_for(db))
    assert changes.look() == Changed(requests=[], more=True)
    assert changes.look() is None
    for sql in (
        "UPDATE hush_requests SET running_count = 1 WHERE request_id = 'done'",
        "UPDATE hush_requests SET max_seq = 99 WHERE request_id = 'done'",
        "UPDATE hush_requests SET completed_by = NULL WHERE request_id = 'done'",
    ):
        change(db, sql)
        assert changes.look() == Changed(requests=["done"])
    change(db, "INSERT INTO hush_losses (reason, count) VALUES ('x', 1)")
    assert changes.look() is None
    changes.close()


def test_a_database_in_the_place_of_another_is_noticed(db: Path, tmp_path: Path) -> None:
    """A damaged one is moved aside, and a new one begun."""
    changes = Changes(settings_for(db))
    changes.look()
    with StoreRows(tmp_path / "other.db") as rows:
        rows.request("new")
    (tmp_path / "other.db").replace(db)
    assert changes.look() == Changed(requests=[], more=True)
    changes.close()


def test_many_changes_are_not_all_named(db: Path) -> None:
    """A hundred are; that there are more is said."""
    changes = Changes(settings_for(db))
    changes.look()
    with sqlite3.connect(db) as connection:
        connection.executemany(
            "INSERT INTO hush_requests (request_id, created_at, last_at) VALUES (?, ?, 0)",
            [(f"r{n}", 2_000_000_000 + n) for n in range(150)],
        )
    connection.close()
    found = changes.look()
    assert found is not None
    assert (len(found.requests), found.more) == (100, True)
    changes.close()
