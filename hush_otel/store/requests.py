"""Traces and requests: which request a span belongs to, and the roll-ups of each."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from hush_otel.mapping.semconv import countable

from .rows import END_NS, END_SEQ, NODE, START_NS, STATE, STATUS_CODE, STATUS_MESSAGE, SpanRow
from .statements import load_statements

SQL: Final = load_statements("ingest")

CACHED_TRACES: Final = 20_000
"""Traces whose rows are remembered; above it all are forgotten and looked up again."""


class Trace:
    """A trace's row and the request that its spans belong to unless they say otherwise."""

    __slots__ = ("id", "named", "request", "request_id")

    def __init__(self, id: int, request: int, request_id: str, *, named: bool) -> None:  # noqa: A002
        self.id = id
        self.request = request
        self.request_id = request_id
        self.named = named


class Requests:
    """Finds and makes traces and requests within the drain's transaction.

    `forget()` after a rollback: what was cached may not exist.
    """

    def __init__(self) -> None:
        self._traces: dict[bytes, Trace] = {}

    def forget(self) -> None:
        """Trust nothing that was cached."""
        self._traces.clear()

    def trim(self) -> None:
        """Bound the memory; between batches only, for a batch holds on to its traces."""
        if len(self._traces) > CACHED_TRACES:
            self._traces.clear()

    def trace(self, db: sqlite3.Connection, trace_id: bytes, now: float) -> Trace:
        """The trace of 16 bytes, made when new together with a request of its own."""
        found = self._traces.get(trace_id)
        if found is None:
            found = self._traces[trace_id] = self._load(db, trace_id) or self._make(db, trace_id, now)
        return found

    def _load(self, db: sqlite3.Connection, trace_id: bytes) -> Trace | None:
        row = db.execute(SQL["find_trace"], (trace_id,)).fetchone()
        return None if row is None else Trace(row[0], row[1], row[2], named=bool(row[3]))

    def _make(self, db: sqlite3.Connection, trace_id: bytes, now: float) -> Trace:
        # A mark may have named the request by its trace id before the first span came.
        request_id = trace_id.hex()
        request = self.request(db, request_id, now, named=False)
        cursor = db.execute(SQL["insert_trace"], (trace_id, request))
        trace = Trace(int(cursor.lastrowid or 0), request, request_id, named=False)
        db.execute(SQL["set_request_trace"], (trace.id, request))
        return trace

    def request(self, db: sqlite3.Connection, request_id: str, now: float, *, named: bool) -> int:
        """The request's row, made when new."""
        row = db.execute(SQL["find_request"], (request_id,)).fetchone()
        if row is not None:
            return int(row[0])
        return int(db.execute(SQL["insert_request"], (request_id, int(named), now, now)).lastrowid or 0)

    def assign(self, db: sqlite3.Connection, trace: Trace, request_id: str, now: float) -> int:
        """The request of a span that names it. The first name in a trace names all of its spans."""
        if request_id == trace.request_id:
            return trace.request
        if trace.named:
            return self.request(db, request_id, now, named=True)
        row = db.execute(SQL["find_request"], (request_id,)).fetchone()
        if row is None:
            db.execute(SQL["name_request"], (request_id, trace.request))
        else:
            self._merge(db, trace.request, int(row[0]), trace.id)
            trace.request = int(row[0])
        trace.request_id, trace.named = request_id, True
        return trace.request

    def _merge(self, db: sqlite3.Connection, old: int, new: int, trace: int) -> None:
        """All that a trace's own request holds belongs to a request that exists already."""
        db.execute(SQL["lower_queued"], {"old": old, "new": new})
        db.execute(SQL["move_spans"], (new, old))
        db.execute(SQL["move_deliveries"], (new, old))
        db.execute(SQL["move_request_destinations"], (new, old))
        db.execute(SQL["move_askers"], (new, old))
        db.execute(SQL["merge_request"], (new, old))
        db.execute(SQL["move_traces"], (new, trace))
        db.execute(SQL["set_request_trace"], (trace, new))
        for name in ("forget_request_destinations", "forget_askers", "forget_request"):
            db.execute(SQL[name], (old,))


class RollUp:
    """What one batch adds to one request."""

    __slots__ = ("values",)

    def __init__(self, request: int, now: float) -> None:
        self.values: dict[str, Any] = dict.fromkeys(
            (
                "prompt_tokens",
                "completion_tokens",
                "total_tokens",
                "cost_usd",
                "start_ns",
                "end_ns",
                "error_message",
                "root_name",
                "workflow_name",
                "user_id",
                "session_id",
            )
        )
        self.values.update(
            request=request, now=now, nodes=0, running=0, errors=0, max_seq=0, has_nodes=0, writer_id=None
        )

    def add(self, row: SpanRow, *, was_running: bool = False, was_error: bool = False) -> None:
        """A row was inserted, or has replaced the row of a span that ran or was interrupted."""
        v, values, promoted = self.values, row.values, row.promoted
        if not (was_running or was_error):
            v["nodes"] += 1
        if values[STATE] == 0:
            v["running"] += 1
        else:
            v["running"] -= was_running
            v["max_seq"] = max(v["max_seq"], values[END_SEQ])
            v["end_ns"] = values[END_NS] if v["end_ns"] is None else max(v["end_ns"], values[END_NS])
            self._add_usage(row)
        v["errors"] += (values[STATUS_CODE] == 2) - was_error  # noqa: PLR2004 - OTLP's ERROR
        if values[STATUS_CODE] == 2 and v["error_message"] is None:  # noqa: PLR2004
            v["error_message"] = values[STATUS_MESSAGE] or ""
        start = values[START_NS]
        v["start_ns"] = start if v["start_ns"] is None else min(v["start_ns"], start)
        v["has_nodes"] |= values[NODE] is not None
        v["root_name"] = v["root_name"] or row.root_name
        v["workflow_name"] = v["workflow_name"] or row.workflow_name
        v["user_id"] = v["user_id"] or promoted.user_id
        v["session_id"] = v["session_id"] or promoted.session_id
        v["writer_id"] = v["writer_id"] or row.writer_id

    def _add_usage(self, row: SpanRow) -> None:
        v, promoted = self.values, row.promoted
        if not countable(promoted.node_type, row.values[NODE] is not None):
            return
        for name in ("prompt_tokens", "completion_tokens", "total_tokens", "cost_usd"):
            amount = getattr(promoted, name)
            if amount is not None:
                v[name] = amount if v[name] is None else v[name] + amount
