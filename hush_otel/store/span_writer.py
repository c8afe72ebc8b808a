"""Spans of one batch into rows: those that ended, those that began, those that came again.

The first end of a span wins, a repeat is counted, an end replaces the row of a span that ran or was
interrupted. A forked child's end of its parent's span is kept until the parent ends it, or dies.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final

from hush_otel import records
from hush_otel.mapping.semconv import promote
from hush_otel.model import SpanState

from . import ledger, search_index
from .arrivals import Arrival, Place, Running
from .media import store_media
from .payloads import store_large
from .rows import REQUEST, ROUTE, SpanRow, as_text, end_columns, end_values, set_apart, start_values
from .statements import load_statements
from .sums import Sums

if TYPE_CHECKING:
    from .ingest import Ingest

SQL: Final = load_statements("ingest")

DIED: Final = "interrupted: its process died before the span ended"
REMOTE: Final = 0x200
"""OTLP's bit for a remote parent: such a span is the local root of its trace."""


class SpanWriter:
    """Of one batch: `take_end` and the lists, then the writing, in the order in which it stands here.

    Args:
        shared: What batches share.
        sums: The batch's.
        db: In a transaction.
        now: Unix seconds.
        completed: Traces that an end completes are added to it.
    """

    def __init__(
        self, shared: Ingest, sums: Sums, db: sqlite3.Connection, now: float, completed: list[bytes]
    ) -> None:
        self.ended = 0
        self.interrupted = 0
        self.starts: dict[bytes, Arrival] = {}
        self.more_starts: list[Arrival] = []
        self.ends: dict[bytes, Arrival] = {}
        self.repeats: list[Arrival] = []
        self.provisional: list[Arrival] = []
        self.completed = completed
        self._shared = shared
        self._sums = sums
        self._calls = shared.calls
        self._db = db
        self._now = now

    def take_end(self, arrival: Arrival, record: records.End) -> None:
        """Sort an end by what must happen to it."""
        key = record.trace_id + record.span_id
        if record.flags & records.FLAG_PROVISIONAL:
            self.provisional.append(arrival)
        elif key in self.ends:
            self.repeats.append(arrival)
        else:
            self.ends[key] = arrival
            if record.flags & records.FLAG_COMPLETE:
                self.completed.append(record.trace_id)

    def trace_ids(self) -> list[bytes]:
        """Of all that was taken."""
        taken = (*self.ends.values(), *self.starts.values(), *self.repeats, *self.provisional)
        return [arrival.record.trace_id for arrival in taken]

    def write(self) -> None:
        """Everything that was taken."""
        self._name_requests()
        self._write_ends()
        self._write_starts()
        for arrival in self.repeats:
            self._repeat(arrival)
        for arrival in self.provisional:
            self._keep_provisional(arrival)

    def _name_requests(self) -> None:
        """Before any row is built: a name that comes late in a batch counts for the spans before it."""
        for arrival in (*self.ends.values(), *self.starts.values()):
            request_id = arrival.record.attributes.get("hush.request_id")
            if isinstance(request_id, str) and request_id:
                self._sums.assign(self._sums.trace(arrival.record.trace_id), request_id)

    def _write_ends(self) -> None:
        rows = [self._end_row(arrival) for arrival in self.ends.values()]
        self._calls.end_building()
        running = self._shared.running(self._db)
        if not running:
            self.insert(rows)
        else:
            self.insert([row for row in rows if row.key not in running])
            self._end_running([(row, running.pop(row.key)) for row in rows if row.key in running])
        self.ended += len(rows)

    def _end_running(self, ended: list[tuple[SpanRow, Running]]) -> None:
        """Spans that were stored as running."""
        self._db.executemany(SQL["end_span"], [(*end_columns(row.values), was.row) for row, was in ended])
        self._db.executemany(SQL["delete_running"], [(was.row,) for _, was in ended])
        self._search_again([was.row for _, was in ended])
        for row, was in ended:
            self._sums.count(row, was_running=True, moved_from=was.request)
            if row.large or was.large:
                store_large(self._db, row, was.row, replaces=True)

    def _search_again(self, numbers: list[int]) -> None:
        """Rows that have ended: the full-text index passes over those that run."""
        late = [number for number in numbers if number <= self._shared.searched_upto]
        if late:
            search_index.again(self._db, late)
            self._shared.unsearched += len(late)

    def _end_row(self, arrival: Arrival) -> SpanRow:
        record: records.End = arrival.record
        row, place = self._span_row(arrival)
        self._calls.look_at(self._db, self._sums, self._sums.trace(record.trace_id), row, record)
        row.values = end_values(record, row, place, self._shared.next_seq(self._db), self._now)
        set_apart(row, record.attributes)
        return row

    def _span_row(self, arrival: Arrival) -> tuple[SpanRow, tuple[int, int, int, int | None]]:
        """What start and end have in common: the row's place, request and destinations."""
        record, writer_id, origin = arrival
        if origin is None:
            origin = self._shared.nowhere(self._db)
        name = record.name if type(record.name) is str else as_text(record.name) or ""
        promoted = promote(record.attributes, name)
        trace = self._sums.trace(record.trace_id)
        row = SpanRow(record.trace_id + record.span_id, promoted, writer_id)
        request = (
            trace.request if promoted.request_id is None else self._sums.assign(trace, promoted.request_id)
        )
        if record.parent_span_id is None:
            row.root_name = promoted.workflow_name or name
        elif record.flags & REMOTE:
            # The root of this process's part only: it names the request until the real root is known.
            row.workflow_name = row.workflow_name or name
        if origin.route is not None:
            self._sums.ask(writer_id, request, origin.route)
        return row, (trace.id, request, origin.origin, origin.route)

    def insert(self, rows: list[SpanRow]) -> None:
        """Insert all at once; when some are there already, or have texts or files apart, one by one."""
        db = self._db
        apart = [row for row in rows if row.large or row.media]
        if apart:
            rows = [row for row in rows if not (row.large or row.media)]
        db.execute("SAVEPOINT rows")
        before = db.total_changes
        db.executemany(SQL["insert_span"], [row.values for row in rows])
        if db.total_changes - before == len(rows):
            for row in rows:
                self._sums.count(row)
        else:
            db.execute("ROLLBACK TO rows")
            for row in rows:
                self._insert_one(row)
        db.execute("RELEASE rows")
        for row in apart:
            self._insert_one(row)

    def _insert_one(self, row: SpanRow) -> None:
        cursor = self._db.execute(SQL["insert_span"], row.values)
        if cursor.rowcount == 1:
            self._sums.count(row)
            store_large(self._db, row, int(cursor.lastrowid or 0))
            store_media(self._db, int(cursor.lastrowid or 0), row.media)
            return
        number, state, route, request = self._db.execute(SQL["find_span"], row.values[:2]).fetchone()
        if state == SpanState.INTERRUPTED:
            # The real end turns up after all. Whoever was sent the interrupted one is sent this one, too.
            union = self._shared.routes.union(self._db, route, row.values[ROUTE])
            row.values = (*row.values[:ROUTE], union, *row.values[ROUTE + 1 :])
            self._replace(row, number)
            self._sums.count(row, was_error=True, moved_from=request)
            self._sums.mend(row.values[REQUEST])
            ledger.count(self._db, {ledger.MENDED: 1})
        else:
            self._shared.count_loss(self._db, "duplicate", 1)
            self._join_routes(number, request, route, row.values[ROUTE])

    def _repeat(self, arrival: Arrival) -> None:
        """The same span twice in a batch: another processor's copy, or a repeat."""
        record, origin = arrival.record, arrival.origin
        trace = self._sums.trace(record.trace_id)
        found = self._db.execute(SQL["find_span"], (trace.id, record.span_id)).fetchone()
        new_route = origin.route if origin else None
        if new_route is not None:
            self._shared.routes.ask(self._db, arrival.writer_id, found[3], new_route)
        self._shared.count_loss(self._db, "duplicate", 1)
        self._join_routes(found[0], found[3], found[2], new_route)

    def _join_routes(self, number: int, request: int, route: int | None, new_route: int | None) -> None:
        """A repeat changes nothing but where the span goes. The first content wins.

        Its request may be queued already: the span is new to the destinations that it gains.
        """
        union = self._shared.routes.union(self._db, route, new_route)
        if new_route is None or union == route:
            return
        seq = self._shared.next_seq(self._db)
        self._db.execute(SQL["set_route"], (union, seq, number))
        self._sums.roll_up(request).reach(seq)

    def _replace(self, row: SpanRow, number: int) -> None:
        search_index.forget_changed(self._db, number)
        self._shared.unsearched += 1
        self._db.execute(SQL["replace_span"], (*row.values, number))
        store_large(self._db, row, number, replaces=True)

    def _write_starts(self) -> None:
        running = self._shared.running(self._db)
        fresh: list[tuple[bytes, SpanRow]] = []
        for key, arrival in self.starts.items():
            if key in self.ends:
                continue
            if key in running:
                self.more_starts.append(arrival)
                continue
            row, place = self._span_row(arrival)
            row.values = start_values(arrival.record, row.promoted, place, self._now)
            set_apart(row, arrival.record.attributes)
            fresh.append((key, row))
        self._insert_running(fresh)
        for arrival in self.more_starts:
            was = running.get(arrival.record.trace_id + arrival.record.span_id)
            if was is not None:
                self._start_again(arrival, was)

    def _insert_running(self, fresh: list[tuple[bytes, SpanRow]]) -> None:
        """Spans that have only started. One whose end is stored already says nothing new."""
        if not fresh:
            return
        db, running = self._db, self._shared.running(self._db)
        first = look(self._db, SQL["last_span"], ()) + 1
        numbered = [(first + index, key, row) for index, (key, row) in enumerate(fresh)]
        before = db.total_changes
        db.executemany(SQL["insert_numbered_span"], [(number, *row.values) for number, _, row in numbered])
        if db.total_changes - before < len(numbered):
            numbered = [one for one in numbered if look(self._db, SQL["is_running"], (one[0],))]
        db.executemany(SQL["insert_running"], [(number, row.writer_id) for number, _, row in numbered])
        for number, key, row in numbered:
            running[key] = Running(number, row.values[REQUEST], bool(row.large))
            self._sums.count(row)
            if row.large:
                store_large(self._db, row, number)

    def _start_again(self, arrival: Arrival, was: Running) -> None:
        """Another processor saw the same start: an interrupted span goes to its destinations, too."""
        new_route = arrival.origin.route if arrival.origin else None
        if new_route is None:
            return
        routes = self._shared.routes
        routes.ask(self._db, arrival.writer_id, was.request, new_route)
        (route,) = self._db.execute(SQL["find_route"], (was.row,)).fetchone()
        if new_route != route:
            self._db.execute(SQL["set_route"], (routes.union(self._db, route, new_route), None, was.row))

    def _keep_provisional(self, arrival: Arrival) -> None:
        """A forked child ended a span of its parent: kept until the parent does, or dies."""
        record: records.End = arrival.record
        was = self._shared.running(self._db).get(record.trace_id + record.span_id)
        if was is None:
            self._end_after_owner(arrival, record)
            return
        ((before,),) = self._db.execute(SQL["find_provisional"], (was.row,)).fetchall()
        origin = arrival.origin
        if before is not None:  # another processor's copy: the first content wins, its destinations join
            record, place = records.unpack_provisional(before)
            origin = self._with_route(Place(*place) if place else None, origin)
            self._shared.count_loss(self._db, "duplicate", 1)
        else:
            ledger.count(self._db, {ledger.KEPT: 1})
        self._db.execute(SQL["set_provisional"], (records.pack_provisional(record, origin), was.row))

    def _with_route(self, place: Place | None, other: Place | None) -> Place | None:
        """A place that is routed to the destinations of both."""
        if place is None or other is None:
            return place or other
        return place._replace(route=self._shared.routes.union(self._db, place.route, other.route))

    def _end_after_owner(self, arrival: Arrival, record: records.End) -> None:
        """A child's end of a span that runs no more: used when the span was interrupted, else a repeat."""
        trace = self._sums.trace(record.trace_id)
        found = self._db.execute(SQL["find_span"], (trace.id, record.span_id)).fetchone()
        if found is None:
            self._shared.count_loss(self._db, "provisional", 1)
        elif found[1] == SpanState.INTERRUPTED:
            record.flags &= ~records.FLAG_PROVISIONAL
            self._insert_one(self._end_row(arrival))
            self.ended += 1
        else:
            self._shared.count_loss(self._db, "duplicate", 1)
            self._join_routes(found[0], found[3], found[2], arrival.origin.route if arrival.origin else None)

    def end_of_child(self, provisional: bytes, writer_id: bytes) -> None:
        """Use the end that a forked child saw."""
        record, origin = records.unpack_provisional(provisional)
        ledger.count(self._db, {ledger.USED: 1})
        self.take_end(Arrival(record, writer_id, Place(*origin) if origin else None), record)

    def interrupt(self, key: bytes, was: Running, start_ns: int) -> None:
        """End a span whose process died."""
        self.interrupted += 1
        seq = self._shared.next_seq(self._db)
        end_ns = max(start_ns, int(self._now * 1e9))
        self._db.execute(SQL["interrupt_span"], (seq, end_ns, DIED, was.row))
        self._db.execute(SQL["delete_running"], (was.row,))
        self._search_again([was.row])
        self._shared.running(self._db).pop(key, None)
        roll_up = self._sums.roll_up(was.request)
        roll_up.running -= 1
        roll_up.errors += 1
        roll_up.reach(seq, end_ns)
        roll_up.error_message = roll_up.error_message or DIED


def look(db: sqlite3.Connection, sql: str, values: tuple[Any, ...]) -> int:
    """One number; 0 where there is none."""
    row = db.execute(sql, values).fetchone()
    return 0 if row is None or row[0] is None else int(row[0])
