"""The full-text index as a table: made, emptied, made anew, merged. One writer, in its transactions.

FTS5 writes what is indexed, and what is forgotten, into parts of their own, and merges parts when it is told
to. Here that is steps, none of which is long; `search_index.py` has the words.
"""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hush_otel.mapping.searchtext import FORMAT

from . import notes
from .statements import load_statements

SQL: Final = load_statements("search")

MERGE_PAGES: Final = 16
"""Of one merge: about 2 ms. FTS5 stops between two words only: the commonest one of a million spans takes 0.1
s, when the largest parts of the index are merged, which is seldom."""
MANY_PARTS: Final = 200
"""Each transaction makes one, also of what the drain and retention forget: with so many the index is merged
whatever else waits."""
TOO_MANY_PARTS: Final = 1_000
"""FTS5 has 2,000 at most, and calls one more a full disk (SQLITE_FULL)."""
DEAD_SHARE: Final = 0.5
"""Of the texts that are found, so much as was forgotten may lie in the index, until all is merged. FTS5
writes down what is forgotten as it does what is found, and drops both where they meet."""
DEAD_CHARS: Final = 1024 * 1024
"""So much in any case."""
ANEW_SHARE: Final = 8
"""Where so many times more was forgotten than is found, a merge would read long for a page that it writes."""
CHAR_BYTES: Final = 1.2
"""What a character takes in the index at most, about; one that was forgotten takes it twice. Rather too much:
requests go only for what the index has not given back."""
EMPTY_ROWS: Final = 500
"""Pages of an index that nobody asks any more, or notes of its documents, deleted at once: milliseconds."""

STATE: Final = "search_state"
UPTO: Final = "search_upto"
_LIVE: Final = "search_live"
_DEAD: Final = "search_dead"
"""Characters of the texts that are found, and of those that were forgotten since all was merged."""
_COMPACTED: Final = "search_compacted"
"""While all of it is merged: the forgotten ones which that has met."""
_FORMAT: Final = "search_format"
_STRUCTURE_V2: Final = b"\xff\x00\x00\x01"
_READY: Final = "ready"
_EMPTYING: Final = "emptying"


class Phase(enum.Enum):
    """What is to be done with the index."""

    OFF = "off"
    UNAVAILABLE = "this Python's SQLite has no FTS5"
    EMPTYING = "emptying"
    READY = "ready"


class IndexDamaged(sqlite3.DatabaseError):
    """FTS5 cannot work on the index; the rows are not concerned."""


# ------------------------------------------------------------------ made, emptied, made anew


def prepare(db: sqlite3.Connection, *, wanted: bool) -> Phase:
    """Make the index where there is none, or find out what stands in the way. In a transaction."""
    exists = db.execute(SQL["exists"]).fetchone() is not None
    if not is_available(db):
        if exists:  # its documents cannot be forgotten with their rows: it is of no use any more
            notes.write(db, STATE, _EMPTYING)
        return Phase.UNAVAILABLE
    if exists and wanted and is_ready(db) and notes.number(db, _FORMAT) == FORMAT:
        return Phase.READY
    if exists:
        notes.write(db, STATE, _EMPTYING)
        return Phase.EMPTYING
    if not wanted:
        return Phase.OFF
    _create(db)
    return Phase.READY


def is_available(db: sqlite3.Connection) -> bool:
    """Whether this SQLite was built with FTS5."""
    try:
        db.execute("SELECT fts5_source_id()")
    except sqlite3.OperationalError:
        return False
    return True


def is_ready(db: sqlite3.Connection) -> bool:
    """Whether what is done to rows has to be done to the index."""
    return notes.text(db, STATE) == _READY


def upto(db: sqlite3.Connection) -> int:
    """The highest number that was looked at; 0 where there is no index."""
    return int(notes.number(db, UPTO) or 0) if is_ready(db) else 0


def give_up(db: sqlite3.Connection) -> None:
    """From now on nobody asks or changes it; it is emptied and made anew. In a transaction."""
    if is_ready(db):
        notes.write(db, STATE, _EMPTYING)


def empty_some(db: sqlite3.Connection) -> bool:
    """Delete some of an index that is to go; True when nothing is left of it. In a transaction.

    Its pages go as rows of the table in which FTS5 keeps them: dropped at once, a large one would take long.
    """
    for statement in ("empty_pages", "empty_docs"):
        try:
            if db.execute(SQL[statement], (EMPTY_ROWS,)).rowcount > 0:
                return False
        except sqlite3.OperationalError as exc:
            if "no such table" not in str(exc):
                raise
    db.execute(SQL["empty_again"])
    _drop(db)
    for note in (STATE, UPTO, _FORMAT, _LIVE, _DEAD, _COMPACTED):
        notes.forget(db, note)
    return True


def _create(db: sqlite3.Connection) -> None:
    db.execute(SQL["create"])
    db.execute(SQL["create_words"])
    # Merged by steps of our own, none of which is long.
    for option, value in (("automerge", 0), ("crisismerge", 1_000_000)):
        db.execute(SQL["set_option"], (option, value))
    notes.write(db, STATE, _READY)
    notes.write(db, UPTO, 0)
    notes.write(db, _FORMAT, FORMAT)


def _drop(db: sqlite3.Connection) -> None:
    db.execute(SQL["drop_words"])
    try:
        db.execute(SQL["drop"])
    except sqlite3.DatabaseError:
        # FTS5 opens a table before it drops it, and cannot: out of the schema with it, and with what it kept.
        db.execute("PRAGMA writable_schema = ON")
        try:
            db.execute(SQL["drop_by_force"])
        finally:
            db.execute("PRAGMA writable_schema = RESET")
        for part in ("data", "idx", "content", "docsize", "config"):
            db.execute(f"DROP TABLE IF EXISTS hush_search_{part}")


# ------------------------------------------------------------------ merged


def merge(db: sqlite3.Connection, pages: int = MERGE_PAGES) -> bool:
    """Some of the work that keeps the index fast; False when there is nothing to do. In a transaction."""
    before = db.total_changes
    with telling_damage():
        db.execute(SQL["merge"], (pages,))
    return db.total_changes - before > 1  # (sqlite.org/fts5.html#the_merge_command)


def count_parts(db: sqlite3.Connection) -> int:
    """How many parts the index has; 0 where there is none, or where that cannot be read.

    The record in which FTS5 keeps its structure begins with a cookie of four bytes, in newer versions four
    that tell it from older ones, and as SQLite's varints the number of levels and that of all parts.
    """
    try:
        row = db.execute(SQL["structure"]).fetchone()
    except sqlite3.OperationalError:
        return 0
    numbers = bytes(row[0]).removeprefix(_STRUCTURE_V2) if row and isinstance(row[0], bytes) else b""
    _levels, numbers = _varint(numbers)
    return _varint(numbers)[0]


def _varint(data: bytes) -> tuple[int, bytes]:
    """The first one, of those below 2^56 (sqlite.org/fileformat2.html#varint), and what follows it."""
    value = 0
    for place, byte in enumerate(data[:8]):
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004 - the highest bit says that another follows
            return value, data[place + 1 :]
    return 0, b""


def dead_bytes(db: sqlite3.Connection) -> int:
    """What `shrink` gives back, about."""
    dead, live = (notes.number(db, name) or 0 for name in (_DEAD, _LIVE))
    return int(CHAR_BYTES * (2 * dead + (0 if is_ready(db) else live)))


def shrink(db: sqlite3.Connection) -> bool:
    """Some of the work that takes what nobody needs out of the index; False: it is done. In a transaction."""
    if notes.text(db, STATE) == _EMPTYING:
        return not empty_some(db)
    return compact(db)


def must_compact(db: sqlite3.Connection) -> bool:
    """Whether much of the index was forgotten, or all of it is being merged."""
    dead, live = _dead_and_live(db)
    return dead > max(DEAD_SHARE * live, DEAD_CHARS) or notes.number(db, _COMPACTED) is not None


def is_mostly_dead(db: sqlite3.Connection) -> bool:
    """Whether it is sooner made anew than merged: FTS5 counts what it writes, not what it reads for it."""
    dead, live = _dead_and_live(db)
    return dead > max(ANEW_SHARE * live, DEAD_CHARS)


def _dead_and_live(db: sqlite3.Connection) -> tuple[float, float]:
    if not is_ready(db):
        return 0, 0
    return notes.number(db, _DEAD) or 0, notes.number(db, _LIVE) or 0


def compact(db: sqlite3.Connection) -> bool:
    """Some of the work that merges all of the index; False when it is done. In a transaction.

    Only the first step tells FTS5 so: told again after something was forgotten, it would begin again, with
    one part more.
    """
    if not is_ready(db):
        return False
    met = notes.number(db, _COMPACTED)
    if met is None:
        met, _ = _dead_and_live(db)
        if met:
            merge(db, -MERGE_PAGES)
            notes.write(db, _COMPACTED, met)
        return met > 0
    if merge(db):
        return True
    left = max(_dead_and_live(db)[0] - met, 0)
    notes.write(db, _DEAD, left)
    notes.forget(db, _COMPACTED)
    return left > 0


def count(db: sqlite3.Connection, *, live: int, dead: int = 0) -> None:
    """So many characters more, or less, are found, and were forgotten. In a transaction."""
    for name, more in ((_LIVE, live), (_DEAD, dead)):
        notes.write(db, name, (notes.number(db, name) or 0) + more)


# ------------------------------------------------------------------ damaged


@contextmanager
def telling_damage() -> Iterator[None]:
    """Turns what FTS5 says of a damaged index into `IndexDamaged`."""
    try:
        yield
    except sqlite3.DatabaseError as exc:
        if is_index_damage(exc):
            raise IndexDamaged(f"the full-text index is damaged: {exc}") from exc
        raise


def is_index_damage(exc: sqlite3.Error) -> bool:
    """Whether FTS5 says it, also at a commit; SQLite's own SQLITE_CORRUPT concerns the rows.

    A table of the index that is missing or unreadable is SQLITE_ERROR (sqlite.org/rescode.html).
    """
    if isinstance(exc, IndexDamaged):
        return True
    code, said = getattr(exc, "sqlite_errorcode", None), str(exc)
    # What SQLite's parser finds wrong has words of its own: a virtual table that gives none fails so.
    of_fts5 = "hush_search" in said or "fts5" in said or said == "SQL logic error"
    return code == sqlite3.SQLITE_CORRUPT_VTAB or (code == sqlite3.SQLITE_ERROR and of_fts5)
