"""One batch of records into the store, within the drain's transaction.

Spans are keyed by (trace, span id): the first end wins, a repeat is counted, an end replaces the
row of a span that ran or was interrupted. Everything here is undone by a rollback except the caches,
which `forget()` drops.
"""

from __future__ import annotations

import hashlib
import logging
import re
import sqlite3
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from hush_otel import records
from hush_otel.mapping.jsontext import json_text
from hush_otel.mapping.nodes import node_from_record, node_span_id, root_span_id_of, trace_id_of
from hush_otel.mapping.semconv import promote
from hush_otel.model import SpanState

from . import ledger
from .calls import Calls
from .pruning import delete_payloads
from .requests import Requests, RollUp, Trace
from .routes import Routes, masked_json, tags_json
from .rows import (
    REQUEST,
    ROUTE,
    NodeRow,
    SpanRow,
    as_text,
    end_columns,
    end_values,
    origin_columns,
    set_apart,
    start_values,
)
from .statements import load_statements

SQL: Final = load_statements("ingest")
log = logging.getLogger(__name__)

DIED: Final = "interrupted: its process died before the span ended"


class Place(NamedTuple):
    """Rows that a record's interned origin stands for."""

    origin: int
    route: int | None


class Arrival(NamedTuple):
    """A decoded record, who wrote it, and its origin when it has one."""

    record: Any
    writer_id: bytes
    origin: Place | None


class Running(NamedTuple):
    """A stored span that has not ended."""

    row: int
    request: int
    large: bool


class Ingest:
    """Turns arrivals into rows. One an owner; used by the drain's thread only."""

    def __init__(self) -> None:
        self._requests = Requests()
        self._routes = Routes()
        self._running: dict[bytes, Running] | None = None
        self._seq: int | None = None
        self._nowhere: Place | None = None
        self._calls = Calls()

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
        self._calls.begin()
        batch = _Batch(self, db, now)
        for arrival in arrivals:
            batch.take(arrival)
        batch.finish()
        return batch.ended

    def interrupt(self, db: sqlite3.Connection, writer_id: bytes, now: float) -> int:
        """A writer died: its open spans end as interrupted, its requests are complete.

        Returns:
            The number of spans interrupted.
        """
        batch = _Batch(self, db, now)
        rows = db.execute(SQL["running_of_writer"], (writer_id,)).fetchall()
        for trace_id, span_id, row, request, start_ns, provisional in rows:
            if provisional is not None:
                # A forked child ended it, and its owner never will.
                batch.end_of_child(provisional, writer_id)
            else:
                batch.interrupt(trace_id + span_id, Running(row, request, large=False), start_ns)
        batch.finish()
        ledger.count(db, {ledger.INTERRUPTED: batch.interrupted} if batch.interrupted else {})
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


class _Batch:
    """The records of one transaction, in the order in which they must be written."""

    def __init__(self, ingest: Ingest, db: sqlite3.Connection, now: float) -> None:
        self.ended = 0
        self.interrupted = 0
        self._calls = ingest.calls
        self._ingest = ingest
        self._db = db
        self._now = now
        self._starts: dict[bytes, Arrival] = {}
        self._more_starts: list[Arrival] = []
        self._ends: dict[bytes, Arrival] = {}
        self._repeats: list[Arrival] = []
        self._provisional: list[Arrival] = []
        self._nodes: list[Arrival] = []
        self._marks: list[Arrival] = []
        self._complete: list[bytes] = []
        self._roll_ups: dict[int, RollUp] = {}
        self._mended: set[int] = set()
        self._occurrences: dict[tuple[int, str], int] = {}  # of nodes, by trace and key
        self._roots: set[tuple[int, bytes]] = set()
        self._asked: tuple[bytes, int, int] | None = None

    def take(self, arrival: Arrival) -> None:
        """Sort a record by what must happen to it."""
        record = arrival.record
        kind = record.type
        if kind == records.END:
            self._take_end(arrival, record)
        elif kind == records.START:
            if self._starts.setdefault(record.trace_id + record.span_id, arrival) is not arrival:
                self._more_starts.append(arrival)
        elif kind == records.NODE:
            self._nodes.append(arrival)
        elif kind == records.MARK:
            self._marks.append(arrival)
        elif kind == records.COMPLETE:
            self._complete.append(record.trace_id)

    def _take_end(self, arrival: Arrival, record: records.End) -> None:
        key = record.trace_id + record.span_id
        if record.flags & records.FLAG_PROVISIONAL:
            self._provisional.append(arrival)
        elif key in self._ends:
            self._repeats.append(arrival)
        else:
            self._ends[key] = arrival
            if record.flags & records.FLAG_COMPLETE:
                self._complete.append(record.trace_id)

    def finish(self) -> None:
        """Write everything."""
        self._prepare()
        self._name_requests()
        self._write_ends()
        self._write_starts()
        for arrival in self._repeats:
            self._repeat(arrival)
        for arrival in self._provisional:
            self._keep_provisional(arrival)
        self._write_nodes()
        self._write_requests()
        for arrival in self._marks:
            self._mark(arrival.record, arrival.writer_id)
        self._ingest.routes.save(self._db)
        self._ingest.save_seq(self._db)

    def _prepare(self) -> None:
        """Look all traces up at once."""
        by_record = (*self._ends.values(), *self._starts.values(), *self._repeats, *self._provisional)
        trace_ids = [arrival.record.trace_id for arrival in by_record]
        self._ingest.requests.prepare(self._db, [*trace_ids, *self._complete])

    def _write_requests(self) -> None:
        """Roll-ups and completions. A request that this batch has begun is written once, with all of it."""
        db = self._db
        complete = dict.fromkeys(self._trace(trace_id).request for trace_id in self._complete)
        begun = set(self._ingest.requests.new)
        done = {"completed_by": "root", "completed_at": self._now}
        self._ingest.requests.insert_new(
            db, lambda number: self._roll_up(number).values() | (done if number in complete else NOT_COMPLETE)
        )
        roll_ups = [roll_up.values() for number, roll_up in self._roll_ups.items() if number not in begun]
        db.executemany(SQL["roll_up"], roll_ups)
        db.executemany(SQL["mend_request"], [{"request": request} for request in self._mended])
        for number in complete:
            if number not in begun:
                self._complete_request(number, "root")

    def _settle_new(self) -> None:
        """Before two requests become one: everything is a row. What the batch knows of it follows later."""
        self._ingest.requests.insert_new(
            self._db, lambda number: RollUp(number, self._now).values() | NOT_COMPLETE
        )
        self._ingest.routes.save(self._db)

    # ------------------------------------------------------------------ spans

    def _name_requests(self) -> None:
        """Before any row is built: a name that comes late in a batch counts for the spans before it."""
        for arrival in (*self._ends.values(), *self._starts.values()):
            request_id = arrival.record.attributes.get("hush.request_id")
            if isinstance(request_id, str) and request_id:
                self._assign(self._trace(arrival.record.trace_id), request_id)

    def _write_ends(self) -> None:
        rows = [self._end_row(arrival) for arrival in self._ends.values()]
        running = self._ingest.running(self._db)
        if not running:
            self._insert(rows)
        else:
            self._insert([row for row in rows if row.key not in running])
            self._end_running([(row, running.pop(row.key)) for row in rows if row.key in running])
        self.ended += len(rows)

    def _end_running(self, ended: list[tuple[SpanRow, Running]]) -> None:
        """Spans that were stored as running."""
        self._db.executemany(SQL["end_span"], [(*end_columns(row.values), was.row) for row, was in ended])
        self._db.executemany(SQL["delete_running"], [(was.row,) for _, was in ended])
        for row, was in ended:
            self._count(row, was_running=True, moved_from=was.request)
            if row.large or was.large:
                self._store_large(row, was.row, replaces=True)

    def _end_row(self, arrival: Arrival) -> SpanRow:
        record: records.End = arrival.record
        row, place = self._span_row(arrival)
        self._calls.look_at(row, record)
        row.values = end_values(record, row, place, self._ingest.next_seq(self._db), self._now)
        set_apart(row, record.attributes)
        return row

    def _span_row(self, arrival: Arrival) -> tuple[SpanRow, tuple[int, int, int, int | None]]:
        """What start and end have in common: the row's place, request and destinations."""
        record, writer_id, origin = arrival
        if origin is None:
            origin = self._ingest.nowhere(self._db)
        name = record.name if type(record.name) is str else as_text(record.name) or ""
        promoted = promote(record.attributes, name)
        trace = self._trace(record.trace_id)
        row = SpanRow(record.trace_id + record.span_id, promoted, writer_id)
        request = trace.request if promoted.request_id is None else self._assign(trace, promoted.request_id)
        if record.parent_span_id is None:
            row.root_name = promoted.workflow_name or name
        elif record.flags & REMOTE:
            # The root of this process's part only: it names the request until the real root is known.
            row.workflow_name = row.workflow_name or name
        if origin.route is not None:
            asks = writer_id, request, origin.route
            if asks != self._asked:  # most spans are of the same request as the one before
                self._ingest.routes.ask(self._db, *asks)
                self._asked = asks
        return row, (trace.id, request, origin.origin, origin.route)

    def _insert(self, rows: list[SpanRow]) -> None:
        """Insert all at once; when some are there already, or have texts apart, one by one."""
        db = self._db
        apart = [row for row in rows if row.large]
        if apart:
            rows = [row for row in rows if not row.large]
        db.execute("SAVEPOINT rows")
        before = db.total_changes
        db.executemany(SQL["insert_span"], [row.values for row in rows])
        if db.total_changes - before == len(rows):
            for row in rows:
                self._count(row)
        else:
            db.execute("ROLLBACK TO rows")
            for row in rows:
                self._insert_one(row)
        db.execute("RELEASE rows")
        for row in apart:
            self._insert_one(row)

    def _store_large(self, row: SpanRow, number: int, *, replaces: bool = False) -> None:
        """The long texts of a row, each stored once whoever sent it."""
        db = self._db
        before = db.execute(SQL["payloads_of_row"], (number,)).fetchall() if replaces else []
        if replaces:
            db.execute(SQL["forget_payloads"], (number,))
        for key, text in row.large.items():
            content = json_text(text)
            digest = hashlib.blake2b(content.encode(), digest_size=16).digest()
            db.execute(SQL["insert_payload"], (digest, content))
            (payload,) = db.execute(SQL["find_payload"], (digest,)).fetchone()
            db.execute(SQL["refer_to_payload"], (number, key, payload))
        delete_payloads(db, before)

    def _insert_one(self, row: SpanRow) -> None:
        cursor = self._db.execute(SQL["insert_span"], row.values)
        if cursor.rowcount == 1:
            self._count(row)
            self._store_large(row, int(cursor.lastrowid or 0))
            return
        number, state, route, request = self._db.execute(SQL["find_span"], row.values[:2]).fetchone()
        if state == SpanState.INTERRUPTED:
            # The real end turns up after all. Whoever was sent the interrupted one is sent this one, too.
            union = self._ingest.routes.union(self._db, route, row.values[ROUTE])
            row.values = (*row.values[:ROUTE], union, *row.values[ROUTE + 1 :])
            self._replace(row, number)
            self._count(row, was_error=True, moved_from=request)
            self._mended.add(row.values[REQUEST])
            ledger.count(self._db, {ledger.MENDED: 1})
        else:
            self._ingest.count_loss(self._db, "duplicate", 1)
            self._join_routes(number, request, route, row.values[ROUTE])

    def _repeat(self, arrival: Arrival) -> None:
        """The same span twice in a batch: another processor's copy, or a repeat."""
        record, origin = arrival.record, arrival.origin
        trace = self._trace(record.trace_id)
        found = self._db.execute(SQL["find_span"], (trace.id, record.span_id)).fetchone()
        new_route = origin.route if origin else None
        if new_route is not None:
            self._ingest.routes.ask(self._db, arrival.writer_id, found[3], new_route)
        self._ingest.count_loss(self._db, "duplicate", 1)
        self._join_routes(found[0], found[3], found[2], new_route)

    def _join_routes(self, number: int, request: int, route: int | None, new_route: int | None) -> None:
        """A repeat changes nothing but where the span goes. The first content wins.

        Its request may be queued already: the span is new to the destinations that it gains.
        """
        union = self._ingest.routes.union(self._db, route, new_route)
        if new_route is None or union == route:
            return
        seq = self._ingest.next_seq(self._db)
        self._db.execute(SQL["set_route"], (union, seq, number))
        self._roll_up(request).reach(seq)

    def _replace(self, row: SpanRow, number: int) -> None:
        self._db.execute(SQL["replace_span"], (*row.values, number))
        self._store_large(row, number, replaces=True)

    def _write_starts(self) -> None:
        running = self._ingest.running(self._db)
        fresh: list[tuple[bytes, SpanRow]] = []
        for key, arrival in self._starts.items():
            if key in self._ends:
                continue
            if key in running:
                self._more_starts.append(arrival)
                continue
            row, place = self._span_row(arrival)
            row.values = start_values(arrival.record, row.promoted, place, self._now)
            set_apart(row, arrival.record.attributes)
            fresh.append((key, row))
        self._insert_running(fresh)
        for arrival in self._more_starts:
            was = running.get(arrival.record.trace_id + arrival.record.span_id)
            if was is not None:
                self._start_again(arrival, was)

    def _insert_running(self, fresh: list[tuple[bytes, SpanRow]]) -> None:
        """Spans that have only started. One whose end is stored already says nothing new."""
        if not fresh:
            return
        db, running = self._db, self._ingest.running(self._db)
        first = self._look(SQL["last_span"], ()) + 1
        numbered = [(first + index, key, row) for index, (key, row) in enumerate(fresh)]
        before = db.total_changes
        db.executemany(SQL["insert_numbered_span"], [(number, *row.values) for number, _, row in numbered])
        if db.total_changes - before < len(numbered):
            numbered = [one for one in numbered if self._look(SQL["is_running"], (one[0],))]
        db.executemany(SQL["insert_running"], [(number, row.writer_id) for number, _, row in numbered])
        for number, key, row in numbered:
            running[key] = Running(number, row.values[REQUEST], bool(row.large))
            self._count(row)
            if row.large:
                self._store_large(row, number)

    def _start_again(self, arrival: Arrival, was: Running) -> None:
        """Another processor saw the same start: an interrupted span goes to its destinations, too."""
        new_route = arrival.origin.route if arrival.origin else None
        if new_route is None:
            return
        routes = self._ingest.routes
        routes.ask(self._db, arrival.writer_id, was.request, new_route)
        (route,) = self._db.execute(SQL["find_route"], (was.row,)).fetchone()
        if new_route != route:
            self._db.execute(SQL["set_route"], (routes.union(self._db, route, new_route), None, was.row))

    def _keep_provisional(self, arrival: Arrival) -> None:
        """A forked child ended a span of its parent: kept until the parent does, or dies."""
        record: records.End = arrival.record
        was = self._ingest.running(self._db).get(record.trace_id + record.span_id)
        if was is None:
            self._end_after_owner(arrival, record)
            return
        ((before,),) = self._db.execute(SQL["find_provisional"], (was.row,)).fetchall()
        origin = arrival.origin
        if before is not None:  # another processor's copy: the first content wins, its destinations join
            record, place = records.unpack_provisional(before)
            origin = self._with_route(Place(*place) if place else None, origin)
            self._ingest.count_loss(self._db, "duplicate", 1)
        else:
            ledger.count(self._db, {ledger.KEPT: 1})
        self._db.execute(SQL["set_provisional"], (records.pack_provisional(record, origin), was.row))

    def _with_route(self, place: Place | None, other: Place | None) -> Place | None:
        """A place that is routed to the destinations of both."""
        if place is None or other is None:
            return place or other
        return place._replace(route=self._ingest.routes.union(self._db, place.route, other.route))

    def _end_after_owner(self, arrival: Arrival, record: records.End) -> None:
        """A child's end of a span that runs no more: used when the span was interrupted, else a repeat."""
        trace = self._trace(record.trace_id)
        found = self._db.execute(SQL["find_span"], (trace.id, record.span_id)).fetchone()
        if found is None:
            self._ingest.count_loss(self._db, "provisional", 1)
        elif found[1] == SpanState.INTERRUPTED:
            record.flags &= ~records.FLAG_PROVISIONAL
            self._insert_one(self._end_row(arrival))
            self.ended += 1
        else:
            self._ingest.count_loss(self._db, "duplicate", 1)
            self._join_routes(found[0], found[3], found[2], arrival.origin.route if arrival.origin else None)

    def end_of_child(self, provisional: bytes, writer_id: bytes) -> None:
        """Use the end that a forked child saw."""
        record, origin = records.unpack_provisional(provisional)
        ledger.count(self._db, {ledger.USED: 1})
        self._take_end(Arrival(record, writer_id, Place(*origin) if origin else None), record)

    def interrupt(self, key: bytes, was: Running, start_ns: int) -> None:
        """End a span whose process died."""
        self.interrupted += 1
        seq = self._ingest.next_seq(self._db)
        end_ns = max(start_ns, int(self._now * 1e9))
        self._db.execute(SQL["interrupt_span"], (seq, end_ns, DIED, was.row))
        self._db.execute(SQL["delete_running"], (was.row,))
        self._ingest.running(self._db).pop(key, None)
        roll_up = self._roll_up(was.request)
        roll_up.running -= 1
        roll_up.errors += 1
        roll_up.reach(seq, end_ns)
        roll_up.error_message = roll_up.error_message or DIED

    # ------------------------------------------------------------------ node traces

    def _write_nodes(self) -> None:
        nodes = [
            (arrival, NodeRow(node_from_record(arrival.record.values), arrival.record.received_ns))
            for arrival in self._nodes
        ]
        traces = [trace_id_of(node.node.request_id) for _, node in nodes]
        self._ingest.requests.prepare(self._db, traces)
        found = list(zip(nodes, traces, strict=True))
        # Names first, as for spans: a request that joins another must not have rows that are only built yet.
        for (_, node), trace in found:
            self._assign(self._trace(trace), node.node.request_id)
        self._insert([self._node_row(arrival, node, self._trace(trace)) for (arrival, node), trace in found])
        self.ended += len(nodes)

    def _node_row(self, arrival: Arrival, node: NodeRow, trace: Trace) -> SpanRow:
        request = self._assign(trace, node.node.request_id)
        row = SpanRow(b"", node.promoted, arrival.writer_id)
        if node.node.parent_name is None:
            row.root_name = node.node.workflow_name
        origin = arrival.origin or self._ingest.nowhere(self._db)
        place = (trace.id, request, origin.origin, None)
        row.values = node.values(
            self._node_span_id(trace, node), place, self._ingest.next_seq(self._db), self._now
        )
        set_apart(row, node.fields.attributes)
        return row

    def _node_span_id(self, trace: Trace, node: NodeRow) -> bytes:
        """A reused request_id appends occurrences; it never overwrites."""
        key = (trace.id, node.key)
        occurrence = self._occurrences.get(key)
        if occurrence is None:
            occurrence = 0 if trace.is_new else self._look(SQL["count_occurrences"], key)
        self._occurrences[key] = occurrence + 1
        if node.node.parent_name is not None:
            return node_span_id(node.node, occurrence, root_taken=False)
        root = (trace.id, root_span_id_of(node.node.request_id))
        taken = root in self._roots or (not trace.is_new and bool(self._look(SQL["span_exists"], root)))
        self._roots.add(root)
        return node_span_id(node.node, occurrence, root_taken=taken)

    def _look(self, sql: str, values: tuple[Any, ...]) -> int:
        row = self._db.execute(sql, values).fetchone()
        return 0 if row is None or row[0] is None else int(row[0])

    # ------------------------------------------------------------------ requests

    def _trace(self, trace_id: bytes) -> Trace:
        return self._ingest.requests.known.get(trace_id) or self._ingest.requests.trace(self._db, trace_id)

    def _assign(self, trace: Trace, request_id: str) -> int:
        before = trace.request
        request = self._ingest.requests.assign(
            self._db,
            trace,
            request_id,
            self._now,
            untouched=before not in self._roll_ups,
            before_merge=self._settle_new,
        )
        if trace.request != before:
            self._follow_merge(before, trace.request)
        return request

    def _follow_merge(self, old: int, new: int) -> None:
        """Two requests became one in the midst of this batch: what is remembered follows."""
        self._ingest.routes.save(self._db)
        self._ingest.routes.forget()
        self._asked = None
        running = self._ingest.running(self._db)
        for key, was in running.items():
            if was.request == old:
                running[key] = was._replace(request=new)
        self._mended = {new if request == old else request for request in self._mended}
        moved = self._roll_ups.pop(old, None)
        if moved is not None:
            self._db.execute(SQL["roll_up"], {**moved.values(), "request": new})

    def _roll_up(self, request: int) -> RollUp:
        found = self._roll_ups.get(request)
        if found is None:
            found = self._roll_ups[request] = RollUp(request, self._now)
        return found

    def _count(
        self,
        row: SpanRow,
        *,
        was_running: bool = False,
        was_error: bool = False,
        moved_from: int | None = None,
    ) -> None:
        self._roll_up(row.values[REQUEST]).add(row, was_running=was_running, was_error=was_error)
        if moved_from is not None and moved_from != row.values[REQUEST]:
            # The start had not named its request yet.
            self._mended.add(moved_from)
            here, there = self._roll_up(row.values[REQUEST]), self._roll_up(moved_from)
            here.nodes += 1
            there.nodes -= 1
            here.running += was_running
            there.running -= was_running
            here.errors += was_error
            there.errors -= was_error

    def _complete_request(self, request: int, reason: str) -> None:
        self._db.execute(SQL["complete_request"], (reason, self._now, self._now, self._now, request))

    def _marked_request(self, request_id: str) -> int:
        """By its id, or by the trace id of spans that have given their request another name."""
        requests = self._ingest.requests
        if _TRACE_ID.fullmatch(request_id):
            found = requests.of_trace(self._db, bytes.fromhex(request_id))
            if found is not None:
                return found
        return requests.request(self._db, request_id, self._now, named=True)

    def _mark(self, record: records.Mark, writer_id: bytes) -> None:
        request = self._marked_request(record.request_id)
        shown = (record.tracer_type, masked_json(record.tracer_config), tags_json(record.tags))
        self._db.execute(SQL["mark_request"], (*shown, self._now, self._now, request))
        self._complete_request(request, "mark")
        destination = self._ingest.routes.marked(self._db, record, self._now)
        if destination is not None:
            self._ingest.routes.ask_whole(writer_id, request, destination)


NOT_COMPLETE: Final = {"completed_by": None, "completed_at": None}
_TRACE_ID: Final = re.compile("[0-9a-f]{32}")
REMOTE: Final = 0x200
"""OTLP's bit for a remote parent: such a span is the local root of its trace."""
