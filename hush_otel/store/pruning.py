"""Requests deleted with all that belongs to them, in units of bounded work.

Everything runs in the owner's transactions and may be broken off after each unit: what is left of a request
is found and deleted by the next look. A request goes in this order, so that no unit leaves anything behind
that would be missed (`hush-otel audit`) or sent by mistake:

1. its deliveries, each destination's with what it owes there; with the last of them what it is found by;
2. its spans, each with its words in the full-text index, its references to payloads and media, and those with
   their last reference;
3. its traces, unless spans of other requests are in them, and the request itself.

Counted in the same transaction: ended rows as `ledger.PRUNED`, spans of deliveries that nobody has accepted
in `hush_destinations.pruned`.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from hush_otel.model import SpanState

from . import ledger, search_index
from .statements import load_statements

SQL: Final = load_statements("retention")

ROWS_AT_ONCE: Final = 100
"""Spans, or deliveries, that one unit deletes at most: about a millisecond. Long texts lie in payloads."""
BYTES_AT_ONCE: Final = 1024 * 1024
"""Of long texts and files whose pages one unit gives back: 10 ms. One span's go together."""
CHARS_AT_ONCE: Final = 64 * 1024
"""Of texts that one unit forgets in the full-text index: 5 ms. One that has more to forget does only that."""


class Pruned:
    """What was deleted since this was made.

    Attributes:
        requests: Whole ones.
        spans: Rows of any state.
        trace_ids: Traces that are gone, or lead to another request: whoever remembers them must forget them.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.spans = 0
        self.trace_ids: list[bytes] = []


class Pruning:
    """Deletes some requests, unit by unit. Valid within one transaction.

    Args:
        db: In a transaction.
        into: Where what is deleted is added up.
    """

    def __init__(self, db: sqlite3.Connection, into: Pruned) -> None:
        self._db = db
        self._into = into

    def delete(self, requests: Sequence[int], rows_at_most: int = ROWS_AT_ONCE) -> bool:
        """One unit of these requests; True when nothing of them is left.

        Args:
            requests: Numbers of rows. None of them runs or is being sent.
            rows_at_most: Bound of the unit, in spans and in deliveries.
        """
        names = {"requests": _json(requests)}
        limited = names | {"limit": rows_at_most}
        deliveries = self._rows("delete_deliveries", limited)
        self._count_undelivered(deliveries)
        self._db.executemany(
            SQL["forget_settled"], {(request, number) for request, number, _, _ in deliveries}
        )
        if self._rows("has_deliveries", names):
            return False
        for statement in ("forget_owed", "forget_askers", "forget_labels"):
            self._db.execute(SQL[statement], names)
        numbers = self._few_bytes([number for (number,) in self._rows("spans_of", limited)])
        if not search_index.forget(self._db, numbers, CHARS_AT_ONCE):
            return False
        spans = self._rows("delete_spans", {"spans": _json(numbers)})
        self._count_spans(spans)
        self._delete_payloads([number for number, _, _, large in spans if large])
        self._delete_media([number for number, _, _, large in spans if large])
        traces = {trace for _, trace, _, _ in spans}
        done = not self._rows("has_spans", names)
        if done:
            gone = self._rows("delete_requests", names)
            self._into.requests += len(gone)
            traces |= {trace for (trace,) in gone if trace is not None}
        self._into.trace_ids += settle_traces(self._db, traces, requests)
        return done

    def _few_bytes(self, spans: list[int]) -> list[int]:
        """The first of these spans, as many as have few bytes in other tables."""
        held = Counter[int]()
        for table, column, statement in _LONG:
            for span, number in self._rows(statement, {"spans": _json(spans)}):
                with self._db.blobopen(table, column, number, readonly=True) as blob:  # reads none of it
                    held[span] += len(blob)
        few, bytes_ = 0, 0
        while few < len(spans) and bytes_ < BYTES_AT_ONCE:
            bytes_ += held[spans[few]]
            few += 1
        return spans[:few]

    def _rows(self, statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        return self._db.execute(SQL[statement], values).fetchall()

    def _count_undelivered(self, deliveries: list[tuple[int, int, str, int]]) -> None:
        lost = Counter[int]()
        for _, destination, state, spans in deliveries:
            if state != "delivered":
                lost[destination] += spans
        self._db.executemany(SQL["count_pruned"], [(spans, number) for number, spans in lost.items()])

    def _count_spans(self, spans: list[tuple[int, int, int, int | None]]) -> None:
        if not spans:
            return
        self._into.spans += len(spans)
        search_index.spans_gone(self._db, [number for number, _, _, _ in spans])
        states = Counter(state for _, _, state, _ in spans)
        # No record stands for an interrupted row: it leaves the ledger as it came.
        counts = {ledger.PRUNED: states[SpanState.ENDED], ledger.INTERRUPTED: -states[SpanState.INTERRUPTED]}
        ledger.count(self._db, {name: number for name, number in counts.items() if number})

    def _delete_payloads(self, spans: list[int]) -> None:
        if spans:
            values = {"spans": _json(spans)}
            payloads = self._rows("payloads_of", values)
            self._db.execute(SQL["forget_payloads_of"], values)
            delete_payloads(self._db, payloads)

    def _delete_media(self, spans: list[int]) -> None:
        if spans:
            values = {"spans": _json(spans)}
            media = self._rows("media_of", values)
            self._db.execute(SQL["forget_media_of"], values)
            self._db.executemany(SQL["delete_media"], [{"id": number} for (number,) in media])


_LONG: Final = (
    ("hush_payloads", "json", "payloads_by_span"),
    ("hush_media", "data", "media_by_span"),
)
"""Tables of what is long, and which spans refer to it."""


def delete_payloads(db: sqlite3.Connection, payloads: Iterable[tuple[int]]) -> None:
    """Of these rows of numbers those that nobody refers to any more."""
    db.executemany(SQL["delete_payload"], [{"id": number} for (number,) in payloads])


def settle_traces(db: sqlite3.Connection, traces: Iterable[int], requests: Sequence[int] = ()) -> list[bytes]:
    """Delete traces without spans whose request is gone, or one of these; others lead to one that is left.

    Returns:
        Ids of the traces that were changed.
    """
    values = {"traces": _json(sorted(traces)), "requests": _json(requests)}
    gone = db.execute(SQL["delete_traces"], values).fetchall()
    led_on = db.execute(SQL["lead_traces_on"], {"traces": values["traces"]}).fetchall()
    return [trace_id for (trace_id,) in gone + led_on]


def _json(numbers: Sequence[int]) -> str:
    return msgspec.json.encode(numbers).decode()
