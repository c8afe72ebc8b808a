"""Requests whole, for destinations that cannot do with the spans of one delivery."""

from __future__ import annotations

from typing import Final

import msgspec

from hush_otel.model import NodeColumns, WholeRequest

from .outbox import Delivery
from .spans import COLUMNS, SQL, SpanReader

_SPAN_COLUMNS: Final = len(COLUMNS.split(", ")) + 3
"""What `SpanReader` makes a span of; the columns of NodeColumns follow."""
_STATE: Final = 17
_TAGS: Final = msgspec.json.Decoder(list[str])


class RequestReader(SpanReader):
    """A SpanReader that reads whole requests, too."""

    def read_request(self, delivery: Delivery) -> WholeRequest | None:
        """The request of a delivery, up to it; None when no row is left that the delivery is about."""
        spans, nodes = [], []
        for row in self._connection.execute(SQL["rows_of_request"], (delivery.id,)):
            spans.append(self._span(row[:_SPAN_COLUMNS]))
            is_new, *columns = row[_SPAN_COLUMNS:]
            nodes.append(NodeColumns(row[_STATE], bool(is_new), *columns))
        head = self._connection.execute(SQL["request_of_delivery"], (delivery.id,)).fetchone()
        if head is None or not any(node.is_new for node in nodes):
            return None
        request_id, workflow_name, user_id, session_id, tags, follows = head
        return WholeRequest(
            request_id,
            workflow_name,
            user_id,
            session_id,
            _TAGS.decode(tags) if tags else [],
            bool(follows) or not all(node.is_new for node in nodes),
            spans,
            nodes,
        )
