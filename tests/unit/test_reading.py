"""Reading the store: what a Reader opens, what it refuses, and what it never touches."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from store_rows import StoreRows

from hush_otel.errors import StoreError
from hush_otel.store import reading
from hush_otel.store.reading import Reader, find_request


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database with three requests, two of which begin alike."""
    path = tmp_path / "traces.db"
    with StoreRows(path) as rows:
        rows.request("order-17")
        rows.request("order-18")
        n = rows.request(
            "0af7651916cd43dd8448eb211c80319c", trace_id=bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
        )
        rows.span(n, 1)
        rows.request("order-1", trace_id=bytes.fromhex("ab" * 16))
    return path


def test_missing_database_is_named_and_not_created(tmp_path: Path) -> None:
    """A path without a database gives a StoreError with path and hint, and stays empty."""
    path = tmp_path / "no" / "traces.db"
    with pytest.raises(
        StoreError, match=r"no database at .*traces\.db \(nothing has been recorded there yet"
    ):
        Reader(path)
    assert not path.parent.exists()


@pytest.mark.parametrize("content", [b"", b"hello world" * 1000])
def test_other_files_are_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    """An empty file and a text file are no hush-otel databases, and keep their bytes."""
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is not a hush-otel database"):
        Reader(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_unreadable_directory_is_a_store_error(tmp_path: Path) -> None:
    """A path that cannot even be looked at (here: below a file) ends in a StoreError, too."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "traces.db", tmp_path / ("x" * 300)):
        with pytest.raises(StoreError, match=r"no database at|cannot open"):
            Reader(path)


@pytest.mark.parametrize("version", [None, "one"])
def test_database_without_a_version_is_refused(tmp_path: Path, version: object) -> None:
    """A hush_meta without a numeric schema_version is not ours."""
    path = tmp_path / "traces.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE hush_meta (key, value)")
        if version is not None:
            other.execute("INSERT INTO hush_meta VALUES ('schema_version', ?)", (version,))
    with pytest.raises(StoreError, match="is not a hush-otel database"):
        Reader(path)


def test_f29_newer_schema_asks_for_an_upgrade(tmp_path: Path) -> None:
    """A database of a newer version is not read, and the hint says what to do."""
    with StoreRows(tmp_path / "traces.db", schema_version=2):
        pass
    with pytest.raises(StoreError, match=r"schema version 2.*\(upgrade hush-otel\)"):
        Reader(tmp_path / "traces.db")


@pytest.mark.parametrize("name", ["a?mode=rwc.db", "100%25.db", "x#y.db", "tab le.db", "ünï.db"])
def test_paths_with_uri_characters_open_that_file(tmp_path: Path, name: str) -> None:
    """What has a meaning in a URI is part of the file name here."""
    with StoreRows(tmp_path / name) as rows:
        rows.request("here")
    with Reader(tmp_path / name) as reader:
        assert [row["request_id"] for row in reader.rows("request", request_id="here")] == ["here"]
    assert all(path.name.startswith(name) for path in tmp_path.iterdir())


def test_s07_statements_that_write_are_refused(db: Path) -> None:
    """Not even code with the connection in hand can write through it."""
    with Reader(db) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM hush_requests")


def test_snapshot_sees_one_moment(db: Path) -> None:
    """Inside a snapshot a row that another connection adds stays unseen; after it, it is there."""
    with Reader(db) as reader:
        with reader.snapshot():
            before = reader.rows("status_requests")
            with sqlite3.connect(db) as writer:
                writer.execute(
                    "INSERT INTO hush_requests (request_id, created_at, last_at) VALUES ('new', 1, 1)"
                )
            assert reader.rows("status_requests") == before
            assert reader.row("request", request_id="new") is None
        assert reader.row("request", request_id="new") is not None


def test_s07_time_limit_ends_a_long_query(tmp_path: Path) -> None:
    """A query past its limit is interrupted, and the reader goes on working."""
    with StoreRows(tmp_path / "traces.db") as rows:
        for n in range(2000):
            rows.request(f"r{n}")
    everything = dict.fromkeys(("destination", "workflow", "user", "session")) | {"since": 0.0, "until": 9e9}
    with Reader(tmp_path / "traces.db", time_limit_s=0.0) as reader:
        with pytest.raises(StoreError, match=r"ran longer than 0\.0 s"):
            reader.rows("history_totals", status="failed", **everything)
        assert reader.row("schema_version")["value"] == 1


def test_b09_invalid_utf8_is_replaced(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 in a text column come out as U+FFFD."""
    path = tmp_path / "traces.db"
    with StoreRows(path) as rows:
        rows.request("r")
    with sqlite3.connect(path) as writer:
        writer.execute("UPDATE hush_requests SET user_id = CAST(x'61ff62' AS TEXT)")
    with Reader(path) as reader:
        assert reader.row("request", request_id="r")["user_id"] == "a\ufffdb"


def test_columns_are_rows_turned_on_their_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In however many pieces they come, with texts that are no UTF-8, and with names where there is no row."""
    monkeypatch.setattr(reading, "ROWS_AT_ONCE", 2)
    path = tmp_path / "traces.db"
    with StoreRows(path) as rows:
        request = rows.request("r")
        for n in range(5):
            rows.span(request, n)
    with sqlite3.connect(path) as writer:
        writer.execute("UPDATE hush_spans SET name = CAST(x'61ff62' AS TEXT) WHERE id = 3")
    with Reader(path) as reader:
        turned = reader.columns("request_tree", request_id="r")
        plain = reader.mappings("request_tree", request_id="r")
        assert turned == {name: [row[name] for row in plain] for name in plain[0]}
        assert turned["name"][2] == "a\ufffdb"
        assert reader.columns("request_tree", request_id="other") == {name: [] for name in turned}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("order-1", "order-1"),  # exact, though others begin with it
        ("order-18", "order-18"),
        ("0af", "0af7651916cd43dd8448eb211c80319c"),
        ("0AF7651916CD43DD8448EB211C80319C", "0af7651916cd43dd8448eb211c80319c"),
        ("ab" * 16, "order-1"),  # by trace id
    ],
)
def test_find_request_by_id_prefix_or_trace(db: Path, text: str, found: str) -> None:
    """Exact ids win over prefixes; a trace id in hex finds the request of its trace."""
    with Reader(db) as reader:
        assert find_request(reader, text) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("order", "several requests begin with 'order': order-1, order-17, order-18"),
        ("nope", "no request 'nope'"),
        ("", "no request ''"),
        ("\udcff", "no request"),
        ("%", "no request '%'"),
    ],
)
def test_find_request_refuses(db: Path, text: str, message: str) -> None:
    """An ambiguous prefix lists candidates; what matches nothing says so, whatever it is made of."""
    with Reader(db) as reader, pytest.raises(StoreError, match=re.escape(message)):
        find_request(reader, text)


def test_status_requests_equals_grouping_the_view(tmp_path: Path) -> None:
    """The quick count of requests by status gives what the public view gives."""
    path = tmp_path / "traces.db"
    states = ["pending", "sending", "delivered", "paused", "dead"]
    with StoreRows(path) as rows:
        there = rows.destination("there")
        for completed_by in (None, "root"):
            for due_at in (None, 5.0):
                for state in (None, *states):
                    for other in (None, "delivered", "dead"):
                        n = rows.request(
                            f"{completed_by}{due_at}{state}{other}", completed_by=completed_by, due_at=due_at
                        )
                        for one in filter(None, (state, other)):
                            rows.delivery(n, there, one)
    with sqlite3.connect(path) as plain:
        expected = dict(plain.execute("SELECT status, count(*) FROM requests GROUP BY status"))
    with Reader(path) as reader:
        assert {row["status"]: row["requests"] for row in reader.rows("status_requests")} == expected
    assert set(expected) == {"writing", "failed", "flushing", "pending", "flushed", "stored"}
