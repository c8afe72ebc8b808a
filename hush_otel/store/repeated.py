"""Node traces that only repeat what those below them took: a workflow's sums on its agents and flows.

The same rule as for spans (`calls`): of a call around others of its type the inner ones count, and a sum on
any other step counts only where nothing below it does. For nodes it is found out when they are placed: before
that nobody knows what is below what. One that turns out to repeat others is taken out of its request's sums,
whether it came before them or after, also where those were queued already. What a vendor was sent before
stays as it was sent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from hush_otel.mapping.counted import counted
from hush_otel.mapping.parents import parent_candidates, place_names
from hush_otel.mapping.semconv import COUNTED, NOTHING, Promoted

from .statements import load_statements

SQL: Final = load_statements("placing")

_LLM: Final = 1
_EMBEDDING: Final = 2
_ANY: Final = _LLM | _EMBEDDING
"""A sum may be of calls of either type."""


def kind_of(usage: Promoted) -> int:
    """Which calls a row speaks for, as bits; 0: it has nothing to count."""
    if usage is NOTHING or not (
        (usage.prompt_tokens or 0) > 0
        or (usage.completion_tokens or 0) > 0
        or (usage.total_tokens or 0) > 0
        or (usage.cost_usd or 0) > 0
    ):
        return 0
    if usage.node_type not in COUNTED:
        return _ANY
    return _EMBEDDING if usage.node_type == "embedding" else _LLM


class _Row(NamedTuple):
    """A node trace with its usage: the columns of the statements."""

    number: int
    span_id: bytes
    usage: Promoted
    is_counted: bool

    @classmethod
    def of(cls, columns: tuple[Any, ...]) -> _Row:
        number, span_id, node_type, prompt, completion, total, usd, source, repeats = columns
        usage = Promoted(None, prompt, completion, total, usd, node_type=node_type, cost_source=source)
        return cls(number, span_id, usage, not repeats)


def mark_repeats(
    db: sqlite3.Connection, request: int, queued: int, parents: Mapping[bytes, bytes | None]
) -> None:
    """Find those that repeat others, and take them out of their request's sums.

    What late calls cost does not grow with their request; for a late sum all of it is read.

    Args:
        db: In a transaction.
        request: Its nodes have been placed.
        queued: Up to which end_seq it was queued before.
        parents: Of those placed now, by span id.
    """
    of = {"request": request, "queued": queued}
    placed = [_Row.of(row) for row in db.execute(SQL["usage_after"], of)]
    if not placed:
        return
    if not queued:
        repeated = _repeated(placed, parents)
    elif any(kind_of(row.usage) == _ANY for row in placed):
        late = {row.span_id for row in placed}
        everything = [_Row.of(row) for row in db.execute(SQL["usage_after"], of | {"queued": 0})]
        repeated = _repeated(everything, _parents_as_named(db, request, late))
    else:
        repeated = [above for row in placed for above in _above(db, row)]
    _take_back(db, request, [row for row in repeated if row.is_counted])


def _repeated(rows: list[_Row], parents: Mapping[bytes, bytes | None]) -> list[_Row]:
    """Calls first, then the sums that have none below them. Linear: nothing is told the same twice."""
    below: dict[bytes, int] = {}
    kinds = [(row, kind) for row in rows if (kind := kind_of(row.usage))]
    for row, kind in kinds:
        if kind != _ANY:
            _tell(parents, row.span_id, kind, below)
    alone = [row for row, kind in kinds if kind == _ANY and not below.get(row.span_id)]
    for row in alone:
        _tell(parents, row.span_id, _ANY, below)
    return [row for row, kind in kinds if below.get(row.span_id, 0) & kind]


def _tell(parents: Mapping[bytes, bytes | None], span_id: bytes, kind: int, below: dict[bytes, int]) -> None:
    """All above a row."""
    at = parents.get(span_id)
    while at is not None and below.get(at, 0) & kind != kind:
        below[at] = below.get(at, 0) | kind
        at = parents.get(at)


def _parents_as_named(db: sqlite3.Connection, request: int, late: set[bytes]) -> dict[bytes, bytes | None]:
    """The parents of a request's nodes. Of those that were sent as orphans the late ones that they name."""
    rows = [(span_id, parent, place_names(node)) for span_id, parent, node in _tree(db, request)]
    names = {span_id: node.node_name for span_id, _, node in rows}
    came = {(node.node_name, node.context_id): span_id for span_id, _, node in rows if span_id in late}
    parents: dict[bytes, bytes | None] = {}
    for span_id, parent, node in rows:
        parents[span_id] = parent
        if node.parent_name is not None and (parent is None or names.get(parent) != node.parent_name):
            places = ((node.parent_name, context) for context in parent_candidates(node.context_id))
            named = next((came[place] for place in places if place in came), None)
            parents[span_id] = parent if named is None or named == span_id else named
    return parents


def _tree(db: sqlite3.Connection, request: int) -> Iterable[tuple[bytes, bytes | None, str]]:
    return db.execute(SQL["tree_of_nodes"], (request,))


def _above(db: sqlite3.Connection, row: _Row) -> Iterable[_Row]:
    """Those above a late call that repeat it."""
    kind = kind_of(row.usage)
    for columns in db.execute(SQL["usage_above"], (row.number,)).fetchall():
        above = _Row.of(columns)
        if kind & kind_of(above.usage):
            yield above


def _take_back(db: sqlite3.Connection, request: int, rows: Iterable[_Row]) -> None:
    for row in {row.number: row for row in rows}.values():
        usage = row.usage
        given = counted(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.cost_usd)
        computed = given.cost_usd if usage.cost_source is not None else None
        db.execute(SQL["take_back"], {**given._asdict(), "computed_usd": computed, "request": request})
        db.execute(SQL["repeat_node"], (row.number,))
