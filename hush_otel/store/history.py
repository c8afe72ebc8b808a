"""Stored spans of whole requests, typed, for whoever writes them elsewhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from hush_otel.errors import StoreError
from hush_otel.model import SpanData

from .above import AboveReader
from .spans import COLUMNS
from .statements import load_statements

SQL: Final = {name: text.replace("{columns}", COLUMNS) for name, text in load_statements("history").items()}


class HistoryReader(AboveReader):
    """Reads requests' spans, one by one: a request may be larger than memory."""

    def spans_of(self, request: int) -> Iterator[SpanData]:
        """The spans of one request that have ended, in that order; those above before their first nodes.

        Raises:
            StoreError: The database cannot be read; also midway.
        """
        try:
            self._begin()
            for row in self._connection.execute(SQL["spans_of_request"], (request,)):
                span = self._span(row)
                self._place(span)
                if span.above is not None:
                    yield span.above
                    span.above = None
                yield span
        except sqlite3.Error as exc:
            raise StoreError(f"cannot read the spans of request {request}: {exc}") from exc
