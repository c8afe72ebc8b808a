"""A database gives its room back: made so, or rewritten once."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from hush_otel.store import space
from hush_otel.store.database import Database


def as_made_before(path: Path, *statements: str) -> None:
    """A database of an earlier version: without pointer pages."""
    Database(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in ("PRAGMA auto_vacuum = NONE", "VACUUM", *statements):
        connection.execute(statement)
    connection.close()
    assert not gives_back(path)


def gives_back(path: Path) -> bool:
    """Whether it can shrink."""
    connection = sqlite3.connect(path)
    try:
        return space.gives_back(connection)
    finally:
        connection.close()


def test_a_new_one_is_made_so(tmp_path: Path) -> None:
    """From its first page on."""
    Database(tmp_path / "t.db").close()
    assert gives_back(tmp_path / "t.db")


def test_one_that_was_made_before_is_rewritten_when_it_is_opened(tmp_path: Path) -> None:
    """With all that is in it."""
    path = tmp_path / "t.db"
    as_made_before(path, "INSERT INTO hush_losses (reason, count) VALUES ('quota', 7)")
    database = Database(path)
    assert database.read(lambda db: db.execute("SELECT count FROM hush_losses").fetchall()) == [(7,)]
    database.close()
    assert gives_back(path)


def test_one_with_tables_of_others_stays_as_it_is(tmp_path: Path) -> None:
    """VACUUM may number their rows anew. Its free pages are used again."""
    path = tmp_path / "t.db"
    as_made_before(path, "CREATE TABLE traces (name TEXT)")
    database = Database(path)
    assert database.write(lambda db: space.give_back(db, 0, lambda: True)), "nothing can be done"
    database.close()
    assert not gives_back(path)


def test_a_large_one_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To rewrite it would keep everybody waiting."""
    path = tmp_path / "t.db"
    as_made_before(path)
    monkeypatch.setattr(space, "REWRITE_BYTES", path.stat().st_size - 1)
    Database(path).close()
    assert not gives_back(path)


def test_pages_are_given_back_one_by_one(tmp_path: Path) -> None:
    """As many as it is let; the file follows when the WAL is brought into it."""
    database = Database(tmp_path / "t.db")
    database.write(lambda db: db.execute("INSERT INTO hush_meta VALUES ('x', zeroblob(1000000))"))
    database.write(lambda db: db.execute("DELETE FROM hush_meta WHERE key = 'x'"))
    assert database.truncate_wal()
    before = database.read(space.look)
    assert before.free > 900_000
    turns = iter([True] * 9 + [False])
    assert not database.write(lambda db: space.give_back(db, 0, lambda: next(turns)))
    assert before.total - database.read(space.look).total == 10 * before.page
    assert database.write(lambda db: space.give_back(db, 100_000, lambda: True))
    assert database.truncate_wal()
    assert database.read(space.look).free <= 100_000 + before.page
    assert (tmp_path / "t.db").stat().st_size == database.read(space.look).total
    database.close()
