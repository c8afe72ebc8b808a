"""What the background process remembers beside its rows, in hush_meta: times, states, by name."""

from __future__ import annotations

import sqlite3
from typing import Final

from .statements import load_statements

SQL: Final = load_statements("retention")

PAUSED: Final = "storing_paused"
"""Since when the drain waits for room (unix seconds)."""


def number(db: sqlite3.Connection, name: str) -> float | None:
    """A note that is a number; None when there is none."""
    row = db.execute(SQL["look_up_note"], (name,)).fetchone()
    return None if row is None else float(row[0])


def text(db: sqlite3.Connection, name: str) -> str | None:
    """A note that is a word; None when there is none."""
    row = db.execute(SQL["look_up_note"], (name,)).fetchone()
    return None if row is None else str(row[0])


def newest(db: sqlite3.Connection) -> float | None:
    """When the newest request was begun; None without any."""
    (found,) = db.execute(SQL["newest_begun"]).fetchone()
    return None if found is None else float(found)


def write(db: sqlite3.Connection, name: str, value: float | str) -> None:
    """Replace a note. In a transaction."""
    db.execute(SQL["note"], (name, value))


def forget(db: sqlite3.Connection, name: str) -> None:
    """Remove a note, if it is there. In a transaction."""
    db.execute(SQL["forget_note"], (name,))
