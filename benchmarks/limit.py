"""What SQLite reaches with the drain's own rows: `executemany`, 2,000 rows a transaction, nothing else.

The table and its indexes are the store's (schema.sql), the pragmas the store's, the rows those that the drain
makes of the same spool. They lie ready in memory before the clock starts.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hush_otel import records
from hush_otel.mapping.semconv import promote
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.format import HEADER_BYTES
from hush_otel.spool.reader import SegmentReader
from hush_otel.store.database import CACHE_KIB, WAL_CHECKPOINT_PAGES, load_sql
from hush_otel.store.rows import SpanRow, end_values
from hush_otel.store.statements import load_statements

ROWS_PER_TRANSACTION: Final = 2_000


def insert(spool: str, database: str) -> dict[str, float]:
    """In a fresh process: all ended spans of a spool into a new database. Closing it is part of it."""
    rows = list(rows_of(Path(spool)))
    statement = load_statements("ingest")["insert_span"]
    cpu, began = time.process_time(), time.perf_counter()
    connection = _open(database)
    for first in range(0, len(rows), ROWS_PER_TRANSACTION):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, rows[first : first + ROWS_PER_TRANSACTION])
        connection.execute("COMMIT")
    connection.close()
    took, used = time.perf_counter() - began, time.process_time() - cpu
    return {"wall_s": took, "cpu_s": used, "spans": len(rows)}


def _open(database: str) -> sqlite3.Connection:
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_CHECKPOINT_PAGES}")
    connection.executescript(load_sql("schema.sql"))
    return connection


def rows_of(spool: Path) -> Iterator[tuple[Any, ...]]:
    """The rows of hush_spans, as store/rows.py makes them; every trace is a request of its own."""
    traces: dict[bytes, int] = {}
    ends = (record for record in _records(spool) if record.type == records.END)
    for seq, record in enumerate(ends, 1):
        trace = traces.setdefault(record.trace_id, len(traces) + 1)
        row = SpanRow(record.trace_id + record.span_id, promote(record.attributes, record.name), b"")
        yield end_values(record, row, (trace, trace, 1, 1), seq, time.time())


def _records(spool: Path) -> Iterator[Any]:
    readers = [SegmentReader(path) for path in SpoolDirectory(spool).segments()]
    for reader in sorted(readers, key=lambda one: one.header.ordinal):
        position = HEADER_BYTES
        while True:
            found = reader.read(position, 1 << 20)
            yield from (records.decode_record(payload) for _, payload in found.frames)
            if found.position == position:
                break
            position = found.position
        reader.close()
