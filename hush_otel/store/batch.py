"""One batch of records: sorted by what must happen to each, then written in the order that it takes."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Final

from hush_otel import records

from .arrivals import Arrival
from .node_writer import NodeWriter
from .routes import masked_json
from .span_writer import SpanWriter
from .statements import load_statements
from .sums import Sums
from .tags import mark_tags

if TYPE_CHECKING:
    from .ingest import Ingest

SQL: Final = load_statements("ingest")


class Batch:
    """The records of one transaction: `take` each, then `finish`.

    Args:
        shared: What batches share.
        db: In a transaction.
        now: Unix seconds.
    """

    def __init__(self, shared: Ingest, db: sqlite3.Connection, now: float) -> None:
        self._shared = shared
        self._db = db
        self._now = now
        self._marks: list[Arrival] = []
        self._completed: list[bytes] = []
        self._sums = Sums(shared, db, now)
        self.spans = SpanWriter(shared, self._sums, db, now, self._completed)
        self._nodes = NodeWriter(shared, self._sums, self.spans, db, now)

    def take(self, arrival: Arrival) -> None:
        """Sort a record by what must happen to it."""
        record = arrival.record
        kind = record.type
        if kind == records.END:
            self.spans.take_end(arrival, record)
        elif kind == records.START:
            if self.spans.starts.setdefault(record.trace_id + record.span_id, arrival) is not arrival:
                self.spans.more_starts.append(arrival)
        elif kind == records.NODE:
            self._nodes.taken.append(arrival)
        elif kind == records.MARK:
            self._marks.append(arrival)
        elif kind == records.COMPLETE:
            self._completed.append(record.trace_id)

    def finish(self) -> None:
        """Write everything."""
        self._shared.requests.prepare(self._db, [*self.spans.trace_ids(), *self._completed])
        self.spans.write()
        self._nodes.write()
        self._sums.write(self._completed)
        for arrival in self._marks:
            self._mark(arrival.record, arrival.writer_id)
        self._shared.routes.save(self._db)
        self._shared.save_seq(self._db)

    def _marked_request(self, request_id: str) -> int:
        """By its id, or by the trace id of spans that have given their request another name."""
        requests = self._shared.requests
        if _TRACE_ID.fullmatch(request_id):
            found = requests.of_trace(self._db, bytes.fromhex(request_id))
            if found is not None:
                return found
        return requests.request(self._db, request_id, self._now, named=True)

    def _mark(self, record: records.Mark, writer_id: bytes) -> None:
        request = self._marked_request(record.request_id)
        shown = (record.tracer_type, masked_json(record.tracer_config))
        self._db.execute(SQL["mark_request"], (*shown, self._now, self._now, request))
        if record.tags is not None:
            mark_tags(self._db, request, map(str, record.tags))
        self._sums.complete_request(request, "mark")
        destination = self._shared.routes.marked(self._db, record, self._now)
        if destination is not None:
            self._shared.routes.ask_whole(writer_id, request, destination)


_TRACE_ID: Final = re.compile("[0-9a-f]{32}")
