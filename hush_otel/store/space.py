"""The room that a database takes, and how it is given back to the filesystem.

A database is made with `auto_vacuum=INCREMENTAL`: pages that are free can be moved to the end of the file and
cut off, a few at a time (sqlite.org/pragma.html#pragma_incremental_vacuum). What was made without it can only
be rewritten as a whole, by VACUUM; until then its free pages are used again and not given back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

REWRITE_BYTES: Final = 64 * 1024 * 1024
"""A database up to this size is rewritten when it is opened: a second or two, once."""
INCREMENTAL: Final = 2
"""The value of PRAGMA auto_vacuum."""


class Space(NamedTuple):
    """Bytes of the database file: all of them, and those of its free pages. `page` is the size of one."""

    total: int
    free: int
    page: int

    @property
    def used(self) -> int:
        """What the file would take without free pages."""
        return self.total - self.free


def look(db: sqlite3.Connection) -> Space:
    """As it is within this transaction; the file itself follows with a checkpoint."""
    page, pages, free = (
        int(db.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count")
    )
    return Space(pages * page, free * page, page)


def give_back(db: sqlite3.Connection, down_to: int, go_on: Callable[[], bool]) -> bool:
    """Cut free pages off while `go_on()`; True when no more than `down_to` bytes of them are left.

    Args:
        db: In a transaction.
        down_to: Bytes of free pages that may stay.
        go_on: Asked after each page.
    """
    space = look(db)
    if not gives_back(db):
        return True
    for _ in range((space.free - down_to) // space.page):
        # sqlite3 runs such a statement for one page, whatever number is given.
        db.execute("PRAGMA incremental_vacuum(1)")
        if not go_on():
            return False
    return True


def gives_back(db: sqlite3.Connection) -> bool:
    """Whether the database was made so that it can shrink."""
    return int(db.execute("PRAGMA auto_vacuum").fetchone()[0]) == INCREMENTAL


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Before the first table is made, or for a database without `auto_vacuum`: have it shrink from now on.

    A large one stays as it is, and one that holds tables of others, whose rows VACUUM may number anew.
    """
    if gives_back(db):
        return
    db.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
    if 0 < path.stat().st_size <= REWRITE_BYTES and not db.execute(_OTHERS).fetchone():
        with suppress(sqlite3.OperationalError):  # locked, or no room for a copy: the next start tries again
            db.execute("VACUUM")


_OTHERS: Final = (
    "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'hush!_%' ESCAPE '!' "
    "AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
)


def truncate_wal(db: sqlite3.Connection) -> bool:
    """Bring the WAL into the database and cut it off; False while a reader needs it. Waits for nobody."""
    (patience,) = db.execute("PRAGMA busy_timeout").fetchone()
    db.execute("PRAGMA busy_timeout = 0")
    try:
        busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        db.execute(f"PRAGMA busy_timeout = {patience}")
    return not busy
