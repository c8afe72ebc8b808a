"""Node traces get their parents when their request is queued: only now are those there that ended after them.

What was queued before stays as it was sent. Those that come later are placed among it by look-ups: what one
costs does not grow with its request, unless its parent's name occurs as often, or it is a sum (`repeated`).
In the owner's transactions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from hush_otel.mapping.nodes import node_key
from hush_otel.mapping.parents import PlacedNode, parent_candidates, place_names, resolve_parents

from .repeated import mark_repeats
from .statements import load_statements

SQL: Final = load_statements("placing")


class _Row(NamedTuple):
    """A node trace as it is stored: the columns of the statements."""

    number: int
    trace: int
    span_id: bytes
    parent_span_id: bytes | None
    node: str
    start_ns: int
    end_ns: int


def place_nodes(db: sqlite3.Connection, request: int) -> None:
    """Give those node traces of a request their parents that have not been queued yet."""
    (queued,) = db.execute(SQL["queued_seq"], (request,)).fetchone()
    rows = _rows(db.execute(SQL["nodes_after"], (request, queued)))
    if not rows:
        return
    nodes = [_placed(row) for row in rows]
    before = {"request": request, "trace": rows[0].trace, "queued": queued}
    if queued:
        parents = resolve_parents(nodes, _candidates(db, before, nodes), _root(db, before))
    else:
        parents = resolve_parents(nodes)
    changes = []
    for row in rows:
        parent, flagged = parents[row.span_id]
        if flagged or parent != row.parent_span_id:
            changes.append((parent, flagged, row.number))
    db.executemany(SQL["set_parent"], changes)
    mark_repeats(db, request, queued, {span_id: parent for span_id, (parent, _) in parents.items()})


def _candidates(
    db: sqlite3.Connection, before: dict[str, int], nodes: Iterable[PlacedNode]
) -> list[PlacedNode]:
    """Those queued before that may be a parent, in order of arrival."""
    keys = {
        node_key(node.parent_name, context_id)
        for node in nodes
        if node.parent_name is not None
        for context_id in parent_candidates(node.context_id)
    }
    wanted = before | {"keys": msgspec.json.encode(sorted(keys)).decode()}
    return [_placed(row) for row in _rows(db.execute(SQL["nodes_called"], wanted))]


def _root(db: sqlite3.Connection, before: dict[str, int]) -> bytes | None:
    """Of those queued before, the first that names no parent."""
    top = db.execute(SQL["top"], before).fetchone()
    if top is not None and place_names(top[1]).parent_name is None:
        return bytes(top[0])
    root = db.execute(SQL["first_root"], before).fetchone()
    return None if root is None else bytes(root[0])


def _rows(found: Iterable[Sequence[Any]]) -> list[_Row]:
    return [_Row(*columns) for columns in found]


def _placed(row: _Row) -> PlacedNode:
    names = place_names(row.node)
    return PlacedNode(
        row.span_id, names.node_name, names.parent_name, names.context_id, row.start_ns, row.end_ns
    )
