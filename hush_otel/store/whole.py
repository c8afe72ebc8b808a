"""Requests whole, for destinations that cannot do with the spans of one delivery."""

from __future__ import annotations

from typing import Final

from hush_otel.model import RowFacts, WholeRequest

from .above import AboveReader
from .outbox import Delivery
from .spans import COLUMNS, SQL

_SPAN_COLUMNS: Final = len(COLUMNS.split(", ")) + 3
"""What `SpanReader` makes a span of; whether it is new and its node follow."""
_STATE: Final = 17


class RequestReader(AboveReader):
    """Reads whole requests, too: without those above, which tracers make themselves of names and contexts."""

    def read_request(self, delivery: Delivery) -> WholeRequest | None:
        """The request of a delivery, up to it; None when no row is left that the delivery is about."""
        spans, rows = [], []
        for row in self._connection.execute(SQL["rows_of_request"], (delivery.id,)):
            spans.append(self._span(row[:_SPAN_COLUMNS]))
            is_new, node = row[_SPAN_COLUMNS:]
            rows.append(RowFacts(row[_STATE], bool(is_new), node))
        if not any(row.is_new for row in rows):
            return None
        (follows,) = self._connection.execute(SQL["follows_another"], (delivery.id,)).fetchone()
        is_delta = bool(follows) or not all(row.is_new for row in rows)
        return WholeRequest(spans[0].request_id, spans[0].facts.request, is_delta, spans, rows)
