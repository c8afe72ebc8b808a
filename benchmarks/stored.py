"""What a database holds: the benchmarks verify that nothing was lost before they count it as fast."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness import until


def rows(database: Path, sql: str) -> list[tuple[Any, ...]]:
    """Of a query on a read-only connection; none when there is no database yet."""
    try:
        connection = sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=30.0)
    except sqlite3.OperationalError:
        return []
    try:
        return connection.execute(sql).fetchall()
    except sqlite3.OperationalError:
        return []  # its schema is being made
    finally:
        connection.close()


def ended_spans(database: Path) -> int:
    """How many spans are stored that have ended."""
    found = rows(database, "SELECT count(*) FROM spans WHERE state = 'ended'")
    return int(found[0][0]) if found else 0


def expect(database: Path, spans: int) -> None:
    """Wait until exactly so many are stored.

    Raises:
        TimeoutError: They are not there in time.
        AssertionError: There are more.
    """
    until(lambda: ended_spans(database) >= spans, f"{spans} spans in the database")
    assert ended_spans(database) == spans
