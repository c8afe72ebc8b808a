"""Traces and requests: which request a span belongs to, and the roll-ups of each."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from hush_otel.mapping import exceptions
from hush_otel.mapping.counted import Counted, counted, held_tokens, held_usd
from hush_otel.mapping.semconv import NOTHING, Promoted

from . import search_index
from .pruning import settle_traces
from .rows import END_NS, END_SEQ, EVENTS, NODE, START_NS, STATE, STATUS_CODE, STATUS_MESSAGE, SpanRow
from .statements import load_statements
from .tags import MAX_SPAN_TAGS, join_tags

SQL: Final = load_statements("ingest")

AT_ONCE: Final = 500
"""Keys in one IN list; SQLite takes 999 of old, and a statement's text is parsed anew for each length."""
CACHED_TRACES: Final = 20_000
"""Traces whose rows are remembered; above it all are forgotten and looked up again."""


class Trace:
    """A trace's row and the request that its spans belong to unless they say otherwise."""

    __slots__ = ("id", "is_new", "named", "request", "request_id")

    def __init__(
        self,
        id: int,  # noqa: A002
        request: int,
        request_id: str,
        *,
        named: bool,
        is_new: bool = False,
    ) -> None:
        self.id = id
        self.is_new = is_new  # made in this batch: no row of an earlier one belongs to it
        self.request = request
        self.request_id = request_id
        self.named = named


class Requests:
    """Finds and makes traces and requests within the drain's transaction.

    A request that a batch begins is a row only at the batch's end (`insert_new`), written once with all
    that the batch knows of it. Until then it is in `new`. `forget()` after a rollback: what was cached may
    not exist.
    """

    def __init__(self) -> None:
        self.known: dict[bytes, Trace] = {}
        """By trace id; `prepare` puts them there."""
        self.new: dict[int, Trace] = {}
        """Requests that are no rows yet, by the id that they will have."""
        self._new_names: dict[str, int] = {}
        self._made: list[Trace] = []

    def forget(self) -> None:
        """Trust nothing that was cached."""
        self.known.clear()
        self.new.clear()
        self._new_names.clear()
        self._made.clear()

    def forget_traces(self, trace_ids: Iterable[bytes]) -> None:
        """These are gone, or lead elsewhere."""
        for trace_id in trace_ids:
            self.known.pop(trace_id, None)

    def trim(self) -> None:
        """Bound the memory; between batches only, for a batch holds on to its traces."""
        for trace in self._made:
            trace.is_new = False
        self._made.clear()
        if len(self.known) > CACHED_TRACES:
            self.known.clear()

    def trace(self, db: sqlite3.Connection, trace_id: bytes) -> Trace:
        """The trace of 16 bytes, made when new together with a request of its own."""
        if trace_id not in self.known:
            self.prepare(db, [trace_id])
        return self.known[trace_id]

    def prepare(self, db: sqlite3.Connection, trace_ids: Iterable[bytes]) -> None:
        """Have all these traces at hand: a few statements for all of them instead of a few for each."""
        unknown = [trace_id for trace_id in dict.fromkeys(trace_ids) if trace_id not in self.known]
        for start in range(0, len(unknown), AT_ONCE):
            some = unknown[start : start + AT_ONCE]
            for trace_id, number, request, request_id, named in _find_traces(db, some):
                self.known[trace_id] = Trace(number, request, request_id, named=bool(named))
            self._make(db, [trace_id for trace_id in some if trace_id not in self.known])

    def _make(self, db: sqlite3.Connection, trace_ids: Sequence[bytes]) -> None:
        if not trace_ids:
            return
        # A mark may have named a request by its trace id before the first span came.
        names = [trace_id.hex() for trace_id in trace_ids]
        marked = dict(_find(db, SQL["find_requests"], names))
        ((trace, request),) = db.execute(SQL["last_ids"]).fetchall()
        request = max(request, *self.new, 0)
        for trace_id, name in zip(trace_ids, names, strict=True):
            trace += 1
            number = marked.get(name)
            if number is None:
                request = number = request + 1
            made = self.known[trace_id] = Trace(trace, number, name, named=False, is_new=True)
            if name in marked:
                db.execute(SQL["set_request_trace"], (trace, number))
            else:
                self.new[number] = made
                self._new_names[name] = number
            self._made.append(made)
        db.executemany(
            SQL["insert_trace"], [(t.id, i, t.request) for i in trace_ids for t in (self.known[i],)]
        )

    def of_trace(self, db: sqlite3.Connection, trace_id: bytes) -> int | None:
        """The request that a stored trace's spans belong to."""
        known = self.known.get(trace_id)
        if known is not None:
            return known.request
        found = _find_traces(db, [trace_id])
        return int(found[0][2]) if found else None

    def request(self, db: sqlite3.Connection, request_id: str, now: float, *, named: bool) -> int:
        """The request's row, made when new. Not while there are requests that are no rows yet."""
        row = db.execute(SQL["find_request"], (request_id,)).fetchone()
        if row is not None:
            return int(row[0])
        return int(db.execute(SQL["insert_request"], (request_id, int(named), now, now)).lastrowid or 0)

    def insert_new(self, db: sqlite3.Connection, values_of: Callable[[int], dict[str, Any]]) -> None:
        """Make rows of the requests that this batch has begun, with what `values_of` knows of each."""
        rows = [
            values_of(number) | {"request_id": trace.request_id, "named": int(trace.named), "trace": trace.id}
            for number, trace in self.new.items()
        ]
        self.new.clear()
        self._new_names.clear()
        db.executemany(SQL["insert_new_request"], rows)

    def assign(
        self,
        db: sqlite3.Connection,
        trace: Trace,
        request_id: str,
        now: float,
        *,
        untouched: bool,
        before_merge: Callable[[], None],
    ) -> int:
        """The request of a span that names it. The first name in a trace names all of its spans.

        Args:
            db: In a transaction.
            trace: The span's.
            request_id: The name.
            now: Unix seconds.
            untouched: Whether this batch has added nothing to the trace's request yet.
            before_merge: Called before two requests become one: every request must be a row then.
        """
        if request_id == trace.request_id:
            return trace.request
        if trace.named:
            before_merge()
            return self.request(db, request_id, now, named=True)
        row = db.execute(SQL["find_request"], (request_id,)).fetchone()
        number = self._new_names.get(request_id) if row is None else int(row[0])
        if number is not None:
            if trace.request in self.new and untouched:
                self._join(db, trace, number)
            else:
                before_merge()
                self._merge(db, trace.request, number, trace.id)
                trace.request = number
        elif trace.request in self.new:
            self._new_names[request_id] = trace.request  # written with the row
        else:
            db.execute(SQL["name_request"], (request_id, trace.request))
        trace.request_id, trace.named = request_id, True
        return trace.request

    def _join(self, db: sqlite3.Connection, trace: Trace, request: int) -> None:
        """A trace whose own request is no row yet goes to one that is there: nothing has to move."""
        del self.new[trace.request]
        self._new_names.pop(trace.request_id, None)
        trace.request = request
        db.execute(SQL["move_trace"], (request, trace.id))
        db.execute(SQL["set_request_trace"], (trace.id, request))

    def _merge(self, db: sqlite3.Connection, old: int, new: int, trace: int) -> None:
        """All that a trace's own request holds belongs to a request that exists already."""
        self._move_traces(db, old, new, trace)
        search_index.again_of_request(db, old)
        db.execute(SQL["lower_queued"], {"old": old, "new": new})
        db.execute(SQL["move_spans"], (new, old))
        db.execute(SQL["move_deliveries"], (new, old))
        db.execute(SQL["move_request_destinations"], (new, old))
        db.execute(SQL["move_askers"], (new, old))
        db.execute(SQL["move_labels"], (new, old))
        db.execute(SQL["merge_request"], (new, old))
        join_tags(db, old, new)
        db.execute(SQL["first_to_say"], (new,))
        db.execute(SQL["set_request_trace"], (trace, new))
        for name in ("forget_request_destinations", "forget_askers", "forget_labels", "forget_request"):
            db.execute(SQL[name], (old,))

    def _move_traces(self, db: sqlite3.Connection, old: int, new: int, trace: int) -> None:
        """Every trace whose spans go to a request: those with spans there, and those that were looked up."""
        db.execute(SQL["move_traces"], (new, old))
        for known in self.known.values():
            if known.request == old:
                known.request = new
                db.execute(SQL["move_trace"], (new, known.id))
        db.execute(SQL["move_trace"], (new, trace))


def _find(db: sqlite3.Connection, sql: str, keys: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement with an IN list."""
    return db.execute(sql.format(keys=", ".join("?" * len(keys))), keys).fetchall() if keys else []


LAST: Final = 2**62
"""Above every end_seq: the turn of a span that still runs."""


def _find_traces(db: sqlite3.Connection, trace_ids: Sequence[bytes]) -> list[tuple[Any, ...]]:
    found = _find(db, SQL["find_traces"], trace_ids)
    lost = [row[1] for row in found if row[3] is None]
    if not lost:
        return found
    settle_traces(db, lost)  # their request was pruned
    return _find(db, SQL["find_traces"], trace_ids)


_TOKENS: Final = ("prompt_tokens", "completion_tokens", "total_tokens")
_AMOUNTS: Final = ("cost_usd", "computed_usd")


class RollUp:
    """What one batch adds to one request."""

    __slots__ = (
        "completion_tokens",
        "computed_usd",
        "cost_usd",
        "end_ns",
        "error_message",
        "errors",
        "has_nodes",
        "max_seq",
        "models",
        "nodes",
        "now",
        "prompt_tokens",
        "request",
        "root_name",
        "running",
        "session_id",
        "session_seq",
        "start_ns",
        "tags",
        "total_tokens",
        "user_id",
        "user_seq",
        "workflow_name",
        "writer_id",
    )

    def __init__(self, request: int, now: float) -> None:
        self.request: int = request
        self.now: float = now
        self.nodes = self.running = self.errors = self.max_seq = self.has_nodes = 0
        self.start_ns: int | None = None
        self.end_ns: int | None = None
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.total_tokens: int | None = None
        self.cost_usd: float | None = None
        self.computed_usd: float | None = None
        self.error_message: str | None = None
        self.root_name: str | None = None
        self.workflow_name: str | None = None
        self.user_id: str | None = None
        self.session_id: str | None = None
        self.user_seq = self.session_seq = LAST + 1
        self.writer_id: bytes | None = None
        self.models: set[str] = set()
        self.tags: dict[str, None] = {}

    def values(self) -> dict[str, Any]:
        """The parameters of the statements `roll_up` and `insert_new_request`."""
        found = {name: getattr(self, name) for name in self.__slots__}
        for name in _TOKENS:
            found[name] = held_tokens(found[name])
        for name in _AMOUNTS:
            found[name] = held_usd(found[name])
        return found

    def add(self, row: SpanRow, *, was_running: bool = False, was_error: bool = False) -> None:
        """A row was inserted, or has replaced the row of a span that ran or was interrupted."""
        values, promoted = row.values, row.promoted
        if not (was_running or was_error):
            self.nodes += 1
        is_node = values[NODE] is not None
        if values[STATE] == 0:
            self.running += 1
        else:
            self.running -= was_running
            self.reach(values[END_SEQ], values[END_NS])
            if promoted is not NOTHING and not row.repeats:
                self._add_usage(promoted)
        if was_error or values[STATUS_CODE] == ERROR:
            self._add_error(values, was_error=was_error)
        start_ns = values[START_NS]
        if self.start_ns is None or start_ns < self.start_ns:
            self.start_ns = start_ns
        if is_node:
            self.has_nodes = 1
        # Whoever says it first.
        self.root_name = self.root_name or row.root_name
        self.workflow_name = self.workflow_name or row.workflow_name
        if promoted.user_id or promoted.session_id:
            self._hear(promoted, values[END_SEQ])
        if promoted.model is not None:
            self.models.add(promoted.model)
        if promoted.tags and len(self.tags) < MAX_SPAN_TAGS:
            self.tags.update(dict.fromkeys(promoted.tags))
        self.writer_id = self.writer_id or row.writer_id

    def _hear(self, promoted: Promoted, seq: int | None) -> None:
        """Whose request it is: the span that ended first says it, in whatever order rows are written."""
        turn = LAST if seq is None else seq
        if promoted.user_id and turn < self.user_seq:
            self.user_id, self.user_seq = promoted.user_id, turn
        if promoted.session_id and turn < self.session_seq:
            self.session_id, self.session_seq = promoted.session_id, turn

    def _add_usage(self, promoted: Promoted) -> None:
        prompt, completion, total, usd = _counted(promoted)
        if prompt is not None:
            self.prompt_tokens = (self.prompt_tokens or 0) + prompt
        if completion is not None:
            self.completion_tokens = (self.completion_tokens or 0) + completion
        if total is not None:
            self.total_tokens = (self.total_tokens or 0) + total
        if usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + usd
            if promoted.cost_source is not None:
                self.computed_usd = (self.computed_usd or 0.0) + usd

    def take_back(self, usage: Promoted) -> None:
        """What `add` has added of it, also in an earlier batch."""
        added = _counted(usage)
        for name, amount in zip(Counted._fields, added, strict=True):
            if amount is not None:
                setattr(self, name, (getattr(self, name) or 0) - amount)
        if added.cost_usd is not None and usage.cost_source is not None:
            self.computed_usd = (self.computed_usd or 0.0) - added.cost_usd

    def reach(self, seq: int, end_ns: int | None = None) -> None:
        """A row has this end_seq, and ended at this time."""
        self.max_seq = max(self.max_seq, seq)
        if end_ns is not None and (self.end_ns is None or end_ns > self.end_ns):
            self.end_ns = end_ns

    def _add_error(self, values: tuple[Any, ...], *, was_error: bool) -> None:
        self.errors += (values[STATUS_CODE] == ERROR) - was_error
        if values[STATUS_CODE] == ERROR and self.error_message is None:
            self.error_message = values[STATUS_MESSAGE] or exceptions.words_in(values[EVENTS])


def _counted(usage: Promoted) -> Counted:
    return counted(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.cost_usd)


ERROR: Final = 2
"""OTLP's status code."""
