"""Fills a database with millions of small spans, as the drain would have left it, only faster.

A few requests are recorded and drained the usual way. Their rows are the templates that SQL repeats in every
table, so the schema stands in one place only; ids are permutations of counters: scattered like real ones, and
the same in every run. `python growth.py DATABASE --spans 10000000` keeps the result.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from pathlib import Path
from typing import Final

import backlog
import workload
from harness import workspace

TEMPLATE_REQUESTS: Final = 10
TEMPLATE_SPANS: Final = TEMPLATE_REQUESTS * backlog.SPANS_PER_REQUEST
COPIES_AT_ONCE: Final = 1_000
"""Of every template, in one statement."""

# An odd factor is a permutation of 32-bit integers (Knuth, TAOCP 3, section 6.4).
_SCATTERED: Final = "printf('%08x', ({0}) * 2654435761 % 4294967296)"
_ID_8: Final = f"CAST({_SCATTERED} AS BLOB)"
_ID_16: Final = f"CAST({_SCATTERED} || printf('%08x', {{0}}) AS BLOB)"

# `n` is the number of the copy; ids of the templates are below `stride`, so each copy has ids of its own.
_COPY: Final = "{column} + n * :stride"
_SPAN_COPY: Final = "{column} + n * :spans"
_OLDER: Final = "{column} - (:copies - n) * :spacing"
_CHANGED: Final[dict[str, dict[str, str]]] = {
    "hush_traces": {"id": _COPY, "trace_id": _ID_16.format("id + n * :stride"), "request": _COPY},
    "hush_requests": {
        "id": _COPY,
        "request_id": f"lower(hex({_ID_16.format('trace + n * :stride')}))",
        "trace": _COPY,
        "created_at": _OLDER,
        "last_at": _OLDER,
        "max_seq": _SPAN_COPY,
    },
    "hush_spans": {
        "id": _SPAN_COPY,
        "trace": _COPY,
        "span_id": _ID_8.format("id + n * :spans"),
        "parent_span_id": f"CASE WHEN parent IS NOT NULL THEN {_ID_8.format('parent + n * :spans')} END",
        "request": _COPY,
        "end_seq": _SPAN_COPY,
    },
    "hush_request_destinations": {"request": _COPY, "queued_seq": _SPAN_COPY},
    "hush_askers": {"request": _COPY},
    "hush_request_labels": {"request": _COPY, "created_at": _OLDER},
    "hush_deliveries": {
        "id": _COPY,
        "request": _COPY,
        "from_seq": _SPAN_COPY,
        "to_seq": _SPAN_COPY,
    },
}
_TEMPLATES: Final = {
    "hush_spans": """
        SELECT s.*, p.id AS parent FROM hush_spans s
        LEFT JOIN hush_spans p ON p.trace = s.trace AND p.span_id = s.parent_span_id
    """,
}
SPACING_S: Final = 0.01
"""Between two copies: 10,000 spans a second."""


def fill(target: Path, spans: int) -> int:
    """Make a database of about that many spans; returns how many."""
    _store_templates(target)
    connection = sqlite3.connect(target, isolation_level=None)
    # Nobody needs a half-filled one: no journal, no sync.
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("UPDATE hush_deliveries SET state = 'delivered', settled_at = created_at")
    for table in _CHANGED:
        _repeat(connection, table, spans // TEMPLATE_SPANS)
    (count,) = connection.execute("SELECT count(*) FROM hush_spans").fetchone()
    connection.execute("UPDATE hush_meta SET value = ? WHERE key = 'end_seq'", (count,))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    with target.open("rb+") as file:
        os.fsync(file.fileno())  # else the first checkpoint of whoever comes next writes it all
    return int(count)


def _store_templates(target: Path) -> None:
    with workspace() as directory:
        spool = backlog.record(directory, workload.SMALL, TEMPLATE_SPANS)
        stored = directory / "stored"
        stored.mkdir()
        backlog.drained(spool, stored)
        target.touch(mode=0o600)
        target.write_bytes((stored / "traces.db").read_bytes())


def _repeat(connection: sqlite3.Connection, table: str, copies: int) -> None:
    select = _TEMPLATES.get(table, f"SELECT * FROM {table}")  # noqa: S608 - our own tables
    connection.execute(f"CREATE TEMP TABLE template AS {select}")
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    changed = _CHANGED[table]
    values = ", ".join(changed.get(name, name).replace("{column}", name) for name in columns)
    sql = f"""
        WITH RECURSIVE numbers (n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :end)
        INSERT INTO {table} ({", ".join(columns)}) SELECT {values} FROM numbers CROSS JOIN template
    """  # noqa: S608
    fixed = {"copies": copies, "spans": TEMPLATE_SPANS, "stride": TEMPLATE_REQUESTS, "spacing": SPACING_S}
    # The templates themselves are copy 0.
    for first in range(1, copies, COPIES_AT_ONCE):
        numbers = {"first": first, "end": min(first + COPIES_AT_ONCE, copies)}
        connection.execute(sql, numbers | fixed)
    connection.execute("DROP TABLE template")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", type=Path)
    parser.add_argument("--spans", type=int, default=1_000_000)
    options = parser.parse_args()
    print(f"{fill(options.database, options.spans):,} spans", file=sys.stderr)
