"""One batch of records into the store, within the drain's transaction.

Spans are keyed by (trace, span id): the first end wins, a repeat is counted, an end replaces the
row of a span that ran or was interrupted. Everything here is undone by a rollback except the caches,
which `forget()` drops.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from typing import Final

from hush_otel import records

from . import ledger
from .arrivals import Arrival, Place, Running
from .batch import Batch
from .calls import Calls
from .requests import Requests
from .routes import Routes
from .rows import origin_columns
from .statements import load_statements

SQL: Final = load_statements("ingest")


class Ingest:
    """Turns arrivals into rows. One an owner; used by the drain's thread only."""

    def __init__(self) -> None:
        self._requests = Requests()
        self._routes = Routes()
        self._running: dict[bytes, Running] | None = None
        self._seq: int | None = None
        self._nowhere: Place | None = None
        self._calls = Calls()
        self.searched_upto = 0
        """Up to which row the full-text index has been: what ends behind that it looks at again."""
        self.unsearched = 0
        """How many rows it was told of since somebody has set this to 0."""

    def forget(self) -> None:
        """After a rollback: what was cached may not exist."""
        self._requests.forget()
        self._routes.forget()
        self._calls.forget()
        self._running = None
        self._seq = None
        self._nowhere = None

    def forget_pruned(self, trace_ids: Iterable[bytes]) -> None:
        """Retention has deleted these traces or their requests, and what was asked for some."""
        self._requests.forget_traces(trace_ids)
        self._routes.forget_asked()

    # ------------------------------------------------------------------ origins

    def place(self, db: sqlite3.Connection, record: records.OriginRecord, now: float) -> Place:
        """The rows of a definition: its origin and its route.

        Args:
            db: In a transaction.
            record: The definition.
            now: Unix seconds.
        """
        resource, schema_url, scope, exact = origin_columns(record)
        parts = (resource, schema_url, scope)
        digest = hashlib.blake2b(repr(parts).encode() + (exact or b""), digest_size=16).digest()
        row = db.execute(SQL["find_origin"], (digest,)).fetchone()
        if row is None:
            cursor = db.execute(SQL["insert_origin"], (digest, *parts, exact))
            row = (int(cursor.lastrowid or 0),)
        return Place(row[0], self._routes.route(db, record.destinations, now))

    def nowhere(self, db: sqlite3.Connection) -> Place:
        """The origin of records whose own one is not known; it asks for nothing."""
        if self._nowhere is None:
            self._nowhere = self.place(db, _NODE_ORIGIN, 0.0)
        return self._nowhere

    # ------------------------------------------------------------------ batches

    def ingest(self, db: sqlite3.Connection, arrivals: Iterable[Arrival], now: float) -> int:
        """Write one batch; returns the number of span rows that ended in it.

        Args:
            db: In a transaction.
            arrivals: In the order of their segments.
            now: Unix seconds.
        """
        self._requests.trim()
        self._calls.begin(db)
        batch = Batch(self, db, now)
        for arrival in arrivals:
            batch.take(arrival)
        batch.finish()
        return batch.spans.ended

    def interrupt(self, db: sqlite3.Connection, writer_id: bytes, now: float) -> int:
        """A writer died: its open spans end as interrupted, its requests are complete.

        Returns:
            The number of spans interrupted.
        """
        batch = Batch(self, db, now)
        rows = db.execute(SQL["running_of_writer"], (writer_id,)).fetchall()
        for trace_id, span_id, row, request, start_ns, provisional in rows:
            if provisional is not None:
                # A forked child ended it, and its owner never will.
                batch.spans.end_of_child(provisional, writer_id)
            else:
                batch.spans.interrupt(trace_id + span_id, Running(row, request, large=False), start_ns)
        batch.finish()
        ledger.count(db, {ledger.INTERRUPTED: batch.spans.interrupted} if batch.spans.interrupted else {})
        db.execute(SQL["complete_orphaned"], {"now": now, "writer_id": writer_id})
        return len(rows)

    def complete_idle(self, db: sqlite3.Connection, now: float, timeout_s: float) -> int:
        """Requests without a record for `timeout_s`, and without running spans, are complete."""
        return db.execute(SQL["complete_idle"], {"now": now, "before": now - timeout_s}).rowcount

    def count_loss(self, db: sqlite3.Connection, reason: str, count: int, size: int = 0) -> None:
        """Add to the ledger."""
        db.execute(SQL["count_loss"], (reason, count, size))

    # ------------------------------------------------------------------ state that batches share

    def running(self, db: sqlite3.Connection) -> dict[bytes, Running]:
        """Spans that have not ended, by trace id and span id."""
        if self._running is None:
            self._running = {
                t + s: Running(row, request, large is not None)
                for t, s, row, request, large in db.execute(SQL["all_running"])
            }
        return self._running

    def next_seq(self, db: sqlite3.Connection) -> int:
        """The next end_seq; saved at the end of the batch."""
        if self._seq is None:
            row = db.execute(SQL["load_seq"]).fetchone()
            self._seq = int(row[0]) if row else 0
        self._seq += 1
        return self._seq

    def save_seq(self, db: sqlite3.Connection) -> None:
        """Make the sequence as durable as the rows that carry it."""
        if self._seq is not None:
            db.execute(SQL["save_seq"], (self._seq,))

    @property
    def requests(self) -> Requests:
        """Traces and requests."""
        return self._requests

    @property
    def calls(self) -> Calls:
        """Which model calls stand around others."""
        return self._calls

    @property
    def routes(self) -> Routes:
        """Destinations and routes."""
        return self._routes


_NODE_ORIGIN: Final = records.OriginRecord(records.ORIGIN, 0, {}, "", "hush", "", "", {}, [])
