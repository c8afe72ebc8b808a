"""Model calls: what they cost, and which spans only repeat others.

Two instrumentations at work make two spans of one call, one around the other (a framework's around the
client's), and some frameworks put the sums of several calls on a span of the same type around them. The inner
ones count. Spans mostly end from the inside out, so that a span's end is where it is known whether there were
calls of its type below it; what lies between them hands that on.

    inner ends ──► below[its parent] ──► … the parent ends: of that type? then it repeats, and hands it on

A sum on any other span (an agent, a chain, an operation that nobody knows) is of calls of either type: it
repeats what counts below it, and counts where nothing does.

A call that ends after the span around it (a stream that is read later) finds that span counted: among the
rows of its batch, or in the store. From then on that one repeats, and its request gets back what it added.
"""

from __future__ import annotations

import sqlite3
from itertools import islice
from typing import Any, Final

from hush_otel import records
from hush_otel.mapping.prices import with_cost
from hush_otel.mapping.semconv import COUNTED, Promoted
from hush_otel.model import FLAGS_IS_REMOTE

from .repeated import kind_of
from .requests import Trace
from .rows import END_NS, PARENT, SpanRow, repeat
from .statements import load_statements
from .sums import Sums

SQL: Final = load_statements("ingest")

KEPT: Final = 10_000
"""Open spans with calls below them. More are those whose end never comes: the oldest are forgotten."""
MAX_HOPS: Final = 1_000
"""Spans between a call and one around it that ended before: deeper than any program nests, and an end where
parents form a circle."""


class Calls:
    """What is known of open spans, by trace id and span id: which types of calls were below them.

    It is not stored: of traces that an earlier background process has begun it is found out from their rows
    when they are met for the first time.
    """

    def __init__(self) -> None:
        self._below: dict[bytes, int] = {}
        self._committed: dict[bytes, int] = {}
        self._built: dict[bytes, SpanRow] = {}
        """Rows of this batch that are not inserted yet."""
        self._is_building = False
        self._last_of_others: int | None = None
        """Traces up to this number have been begun by an earlier process."""
        self._restored: set[int] = set()

    def begin(self, db: sqlite3.Connection) -> None:
        """A batch begins, and rows are built: what the one before it has found is stored."""
        if self._last_of_others is None:
            (self._last_of_others,) = db.execute(SQL["last_trace"]).fetchone()
        if len(self._below) > KEPT:
            self._below = dict(islice(self._below.items(), len(self._below) - KEPT, None))
        self._committed = self._below
        if self._below:
            self._below = self._below.copy()
        self._is_building = True

    def end_building(self) -> None:
        """All that was built is going to be inserted."""
        self._built.clear()
        self._is_building = False

    def forget(self) -> None:
        """After a rollback: that batch comes again, and finds what it has used up."""
        self._below = self._committed | self._below
        self._built.clear()

    def look_at(
        self, db: sqlite3.Connection, sums: Sums, trace: Trace, row: SpanRow, record: records.End
    ) -> None:
        """A span ended: set what its row says of its cost, and whether it repeats calls below it.

        Args:
            db: In a transaction.
            sums: The batch's.
            trace: The span's.
            row: Of the span, without its values.
            record: Its end.
        """
        if self._last_of_others is None or trace.id <= self._last_of_others:
            self._restore(db, sums, trace, record.trace_id)
        below = self._below.pop(row.key, 0) if self._below else 0
        kind = kind_of(row.promoted)
        if below & kind:
            row.repeats = 1
        else:
            if row.promoted.node_type in COUNTED:
                row.promoted = with_cost(row.promoted, record.attributes, record.start_ns)
            below |= kind
        if below and record.parent_span_id is not None and not record.flags & FLAGS_IS_REMOTE:
            start_ns = record.start_ns if type(record.start_ns) is int else 0
            self._hand_on(db, sums, trace, (record.trace_id, record.parent_span_id), below, start_ns)
        if self._is_building:
            self._built[row.key] = row

    def _hand_on(
        self,
        db: sqlite3.Connection,
        sums: Sums,
        trace: Trace,
        parent: tuple[bytes, bytes],
        below: int,
        start_ns: int,
    ) -> None:
        """To the nearest span around that has not ended. Those that have do not count any more.

        One that had ended when the call began is not around it: a context was left behind.
        """
        trace_id, span_id = parent
        for _ in range(MAX_HOPS):
            row = self._built.get(trace_id + span_id)
            if row is not None:
                if below & kind_of(row.promoted) and start_ns < row.values[END_NS]:
                    repeat(row)
                above = row.values[PARENT]
            elif (found := self._stored(db, trace, span_id)) is not None:
                above, end_ns, is_node, *counted = found
                if not is_node and start_ns < end_ns and below & kind_of(_promoted(counted)):
                    db.execute(SQL["repeat_span"], (trace.id, span_id))
                    sums.take_back(counted[-1], _promoted(counted))
            else:
                self._below[trace_id + span_id] = self._below.get(trace_id + span_id, 0) | below
                return
            if above is None:
                return
            span_id = above

    def _stored(self, db: sqlite3.Connection, trace: Trace, span_id: bytes) -> Any:
        """A span that has ended, of an earlier batch."""
        if trace.is_new and self._is_building:
            return None
        return db.execute(SQL["ended_span"], (trace.id, span_id)).fetchone()

    def _restore(self, db: sqlite3.Connection, sums: Sums, trace: Trace, trace_id: bytes) -> None:
        """What the process that has begun a trace knew of its open spans."""
        if trace.id in self._restored:
            return
        if len(self._restored) > KEPT:
            self._restored.clear()  # to find it out again does no harm
        self._restored.add(trace.id)
        for parent, start_ns, *counted in db.execute(SQL["calls_of_trace"], (trace.id, KEPT)).fetchall():
            kind = kind_of(_promoted(counted))
            if kind:
                self._hand_on(db, sums, trace, (trace_id, parent), kind, start_ns)


def _promoted(columns: list[Any]) -> Promoted:
    """Of the columns of the statements `ended_span` and `calls_of_trace`."""
    node_type, prompt, completion, total, usd, source, repeats, *_ = columns
    if repeats:
        return Promoted()
    return Promoted(None, prompt, completion, total, usd, node_type=node_type, cost_source=source)
