"""How far each segment is stored: committed with the rows, so that none is missed and none comes twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from .statements import load_statements

SQL: Final = load_statements("ingest")


class Stored(NamedTuple):
    """What the store knows of a segment.

    Attributes:
        position: Offset of the first frame that is not stored.
        ended: Whether nothing more comes.
        drops: What its writer has dropped and said in its header, by reason.
    """

    position: int
    ended: bool
    drops: dict[str, int]


def find(db: sqlite3.Connection, segment_id: bytes) -> Stored | None:
    """None where nothing is known of it."""
    row = db.execute(SQL["find_segment"], (segment_id,)).fetchone()
    return None if row is None else Stored(row[0], bool(row[1]), msgspec.json.decode(row[2]))


def save(db: sqlite3.Connection, segment_id: bytes, writer_id: bytes, stored: Stored, now: float) -> None:
    """In the transaction of the rows."""
    drops = msgspec.json.encode(stored.drops).decode()
    db.execute(SQL["save_segment"], (segment_id, writer_id, stored.position, stored.ended, drops, now))


def forget_ended(db: sqlite3.Connection, before: float, standing: Iterable[bytes]) -> None:
    """Those of segments that have ended before a time.

    Args:
        db: In a transaction.
        before: Seconds UTC.
        standing: Ids of segments whose files are there: without their positions they would be read again.
    """
    ids = msgspec.json.encode([segment_id.hex() for segment_id in standing]).decode()
    db.execute(SQL["forget_segments"], (before, ids))
