"""`reprice`: costs that a price table says, by the table of today. What an app gave is never touched.

A call that the table does not know keeps the cost that it has, with its source: the table that said it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from hush_otel.mapping.prices import cost_of
from hush_otel.mapping.semconv import Promoted

from .database import load_sql
from .statements import load_statements

SQL: Final = load_statements("commands")
PRICEABLE: Final = load_sql("queries/priceable_spans.sql")


class Change(NamedTuple):
    """A span whose cost is another by the table of today. US dollars; None: it had none."""

    span: int
    request: int
    before_usd: float | None
    usd: float
    source: str


def changes(rows: Iterable[Sequence[Any]]) -> Iterator[Change]:
    """What is to be changed of the rows of queries/priceable_spans.sql."""
    for span, request, model, prompt, completion, node_type, usd, source, start_ns, attributes in rows:
        call = Promoted(model=model, prompt_tokens=prompt, completion_tokens=completion, node_type=node_type)
        found = cost_of(call, msgspec.json.decode(attributes), start_ns)
        if found is not None and found != (usd, source):
            yield Change(span, request, usd, found.usd, found.source)


def reprice(db: sqlite3.Connection, requests: Sequence[int]) -> dict[str, Any]:
    """Price the calls of these requests anew, and sum the requests up again.

    Args:
        db: In a transaction.
        requests: Numbers of rows.
    """
    wanted = msgspec.json.encode(requests).decode()
    found = list(changes(db.execute(PRICEABLE, {"requests": wanted})))
    db.executemany(SQL["set_cost"], [(one.usd, one.source, one.span) for one in found])
    changed = sorted({one.request for one in found})
    db.execute(SQL["roll_cost_up"], (msgspec.json.encode(changed).decode(),))
    return summary(found)


def summary(found: Sequence[Change]) -> dict[str, Any]:
    """How many spans of how many requests, and their costs before and after in US dollars."""
    return {
        "requests": len({one.request for one in found}),
        "spans": len(found),
        "before_usd": sum(one.before_usd or 0.0 for one in found),
        "after_usd": sum(one.usd for one in found),
    }
