"""Model calls: what they cost, and which of them only repeat others.

Two instrumentations at work make two spans of one call, one around the other (a framework's around the
client's), and some frameworks put the sums of several calls on a span of the same type around them. The inner
ones count. Spans end from the inside out, so that a span's end is where it is known whether there were calls
of its type below it; what lies between them hands that on.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from hush_otel import records
from hush_otel.mapping.prices import with_cost
from hush_otel.mapping.semconv import COUNTED
from hush_otel.model import FLAGS_IS_REMOTE

from .rows import SpanRow

KEPT: Final = 10_000
"""Open spans with calls below them. More are those whose end never comes: the oldest are forgotten."""

_EMBEDDING: Final = 2
_LLM: Final = 1


class Calls:
    """What is known of open spans, by trace id and span id: which types of calls were below them.

    It is not stored: between a call's end and that of a span around it lie milliseconds. A background process
    that is replaced just then counts both.
    """

    def __init__(self) -> None:
        self._below: dict[bytes, int] = {}
        self._committed: dict[bytes, int] = {}

    def begin(self) -> None:
        """A batch begins: what the one before it has found is stored."""
        if len(self._below) > KEPT:
            self._below = dict(islice(self._below.items(), len(self._below) - KEPT, None))
        self._committed = self._below
        if self._below:
            self._below = self._below.copy()

    def forget(self) -> None:
        """After a rollback: that batch comes again, and finds what it has used up."""
        self._below = self._committed | self._below

    def look_at(self, row: SpanRow, record: records.End) -> None:
        """A span ended: set what its row says of its cost, and whether it repeats calls below it."""
        below = self._below.pop(row.key, 0) if self._below else 0
        promoted = row.promoted
        if promoted.node_type in COUNTED and (
            promoted.prompt_tokens is not None
            or promoted.total_tokens is not None
            or promoted.cost_usd is not None
        ):
            kind = _EMBEDDING if promoted.node_type == "embedding" else _LLM
            if below & kind:
                row.repeats = 1
            else:
                row.promoted = with_cost(promoted, record.attributes, record.start_ns)
                below |= kind
        if below and record.parent_span_id is not None and not record.flags & FLAGS_IS_REMOTE:
            parent = record.trace_id + record.parent_span_id
            self._below[parent] = self._below.get(parent, 0) | below
