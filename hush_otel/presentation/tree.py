"""The spans of one request as a tree of objects, for those who walk it: a pure function of its rows.

Rows are those of `queries/request_tree.sql`; placing.py says where each stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from .placing import ROOT, place
from .standing_in import SAID

Row: TypeAlias = Mapping[str, object]
Key: TypeAlias = tuple[object, object]

SPAN_IDS: Final = ("span_id", "parent_span_id")


@dataclass(slots=True, eq=False)
class Node:
    """One span and what hangs below it.

    Attributes:
        row: Its columns.
        notes: What is unusual about its place or state.
        children: In the order of execution.
    """

    row: Row
    notes: list[str] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    @property
    def is_pass(self) -> bool:
        """Whether it is the pass of a loop, which no row stands for."""
        return self.row["kind"] is None and self.row["status"] not in SAID

    @property
    def key(self) -> Key:
        """Span ids are unique only within their trace, and a request may span several."""
        return self.row["trace_id"], self.row["span_id"]


def arrange(rows: Iterable[Row]) -> list[Node]:
    """The roots, with all others below them, as `place` has them; so are the rows that it adds."""
    rows = list(rows)
    if not rows:
        return []
    forest = place({name: [row[name] for row in rows] for name in rows[0]} | _span_ids(rows))
    added = (row | {name: row[name] and row[name].hex() for name in SPAN_IDS} for row in forest.added)
    nodes = [Node(row, forest.notes.get(index, [])) for index, row in enumerate((*rows, *added))]
    for index, below in forest.children.items():
        if index != ROOT:
            nodes[index].children = [nodes[child] for child in below]
    return [nodes[child] for child in forest.children.get(ROOT, ())]


def _span_ids(rows: Sequence[Row]) -> dict[str, list[object]]:
    """As bytes; rows have them in hex."""
    return {
        name: [None if row[name] is None else bytes.fromhex(str(row[name])) for row in rows]
        for name in SPAN_IDS
    }
