"""Node traces of one batch into rows: each is a span whose id follows from its request, name and context."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from hush_otel.mapping.media import files_of
from hush_otel.mapping.nodes import node_from_record, node_span_id, root_span_id_of, trace_id_of

from .arrivals import Arrival
from .requests import Trace
from .rows import NodeRow, SpanRow, set_apart
from .span_writer import SpanWriter, look
from .statements import load_statements
from .sums import Sums

if TYPE_CHECKING:
    from .ingest import Ingest

SQL: Final = load_statements("ingest")


class NodeWriter:
    """Of one batch: what is `taken`, then `write`.

    Args:
        shared: What batches share.
        sums: The batch's.
        spans: Inserts the rows.
        db: In a transaction.
        now: Unix seconds.
    """

    def __init__(
        self, shared: Ingest, sums: Sums, spans: SpanWriter, db: sqlite3.Connection, now: float
    ) -> None:
        self.taken: list[Arrival] = []
        self._shared = shared
        self._sums = sums
        self._spans = spans
        self._db = db
        self._now = now
        self._occurrences: dict[tuple[int, str], int] = {}  # by trace and key
        self._roots: set[tuple[int, bytes]] = set()

    def write(self) -> None:
        """Everything that was taken."""
        nodes = [
            (arrival, NodeRow(node_from_record(record.values), record.received_ns, files_of(record)))
            for arrival in self.taken
            for record in (arrival.record,)
        ]
        traces = [trace_id_of(node.node.request_id) for _, node in nodes]
        self._shared.requests.prepare(self._db, traces)
        found = list(zip(nodes, traces, strict=True))
        # Names first, as for spans: a request that joins another must not have rows that are only built yet.
        for (_, node), trace in found:
            self._sums.assign(self._sums.trace(trace), node.node.request_id)
        rows = [self._node_row(arrival, node, self._sums.trace(trace)) for (arrival, node), trace in found]
        self._spans.insert(rows)
        self._spans.ended += len(nodes)

    def _node_row(self, arrival: Arrival, node: NodeRow, trace: Trace) -> SpanRow:
        request = self._sums.assign(trace, node.node.request_id)
        row = SpanRow(b"", node.promoted, arrival.writer_id)
        row.media = [file for file in node.media if file.digest]
        if node.node.parent_name is None:
            row.root_name = node.node.workflow_name
        origin = arrival.origin or self._shared.nowhere(self._db)
        place = (trace.id, request, origin.origin, None)
        row.values = node.values(
            self._node_span_id(trace, node), place, self._shared.next_seq(self._db), self._now
        )
        set_apart(row, node.fields.attributes)
        return row

    def _node_span_id(self, trace: Trace, node: NodeRow) -> bytes:
        """A reused request_id appends occurrences; it never overwrites."""
        key = (trace.id, node.key)
        occurrence = self._occurrences.get(key)
        if occurrence is None:
            occurrence = 0 if trace.is_new else look(self._db, SQL["count_occurrences"], key)
        self._occurrences[key] = occurrence + 1
        if node.node.parent_name is not None:
            return node_span_id(node.node, occurrence, root_taken=False)
        root = (trace.id, root_span_id_of(node.node.request_id))
        taken = root in self._roots or (not trace.is_new and bool(look(self._db, SQL["span_exists"], root)))
        self._roots.add(root)
        return node_span_id(node.node, occurrence, root_taken=taken)
