"""Parents that no row stands for: nodes are written when they end, children before those that they name.

    columns ──who is named and not there──► stand_ins ──► rows in their places

A pure function of a request's columns, linear in its nodes. A row in place of a parent has its name, the id
that it will have (`mapping.nodes`), and no numbers: nobody counts it. Where it stands is known by what is
stored: a node of the same name, or a sibling, says at which level of the loops and below whom. Else it is
taken for the loop of whose passes its children are, one level up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from typing import Any, Final, TypeAlias

from hush_otel.mapping.nodes import root_span_id_of, span_id_of
from hush_otel.mapping.parents import parent_candidates

Columns: TypeAlias = Mapping[str, Sequence[Any]]
Place: TypeAlias = tuple[str | None, str | None]
"""Name and context."""

AWAITED: Final = "awaited"
"""Status of a row for a node that has not ended yet: its request is not complete."""
MISSING: Final = "missing"
"""Of one for a node that did not come, though its request is complete."""
SAID: Final = {AWAITED: "not ended yet", MISSING: "not stored"}
"""What is said of such a row, by its status."""

NOBODY: Final = ""
"""Named as the parent where none is known: such a row hangs below the root. No node trace can name it."""


def stand_ins(columns: Columns) -> list[dict[str, Any]]:
    """A row for each node that is named as a parent and not there, with those above it.

    Args:
        columns: Of `request_skeleton.sql`.
    """
    places = set(_of_nodes(columns, "node_name", "context_id"))
    asked = dict.fromkeys(_of_nodes(columns, "parent_node", "context_id"))
    waiting = {place for place in asked if place[0] is not None and not _is_there(place, places)}
    return list(_Absent(columns, places).rows(waiting)) if waiting else []


def _of_nodes(columns: Columns, *names: str) -> Iterator[tuple[Any, ...]]:
    return compress(zip(*(columns[name] for name in names), strict=True), columns["is_node"])


def _is_there(asked: Place, places: set[Place]) -> bool:
    name, context = asked
    if asked in places or (name, None) in places:  # nearly always: the levels between are told apart slowly
        return True
    return any((name, one) in places for one in _candidates(context))


def _candidates(context: object) -> list[str | None]:
    return parent_candidates(None if context is None else str(context))


def _depth(context: object) -> int:
    return 0 if context is None else str(context).count(".") + 1


class _Absent:
    """Those who are not there, by what is stored of the others.

    Args:
        columns: Of the request.
        places: Where nodes are.
    """

    def __init__(self, columns: Columns, places: set[Place]) -> None:
        self._columns = columns
        self._places = places
        self._depths: dict[object, set[int]] = {}  # of nodes, by their name
        self._depths_below: dict[object, set[int]] = {}  # of nodes, by their parent's name
        self._parents: dict[object, object] = {}
        for name, parent, context in _of_nodes(columns, "node_name", "parent_node", "context_id"):
            depth = _depth(context)
            self._depths.setdefault(name, set()).add(depth)
            self._depths_below.setdefault(parent, set()).add(depth)
            self._parents.setdefault(name, parent)

    def rows(self, waiting: set[Place]) -> Iterator[dict[str, Any]]:
        """One for each of them, and for those above; never more than there are nodes."""
        asking = [self._child(index) for index in self._first_of(waiting)]
        room = len(self._places)
        for child in asking:
            if room and not _is_there((child["parent_node"], child["context_id"]), self._places):
                row = self._row(child)
                self._places.add((row["node_name"], row["context_id"]))
                room -= 1
                yield row
                if row["parent_node"]:
                    asking.append(row)

    def _first_of(self, waiting: set[Place]) -> list[int]:
        """The first child of each, by index."""
        found = dict[Place, int]()
        indexes = compress(range(len(self._columns["is_node"])), self._columns["is_node"])
        asked = _of_nodes(self._columns, "parent_node", "context_id")
        for index, place in zip(indexes, asked, strict=True):
            if place in waiting:
                found.setdefault(place, index)
        return list(found.values())

    def _child(self, index: int) -> dict[str, Any]:
        return {name: column[index] for name, column in self._columns.items()}

    def _row(self, child: Mapping[str, Any]) -> dict[str, Any]:
        name, parent = str(child["parent_node"]), self._parent_of(child)
        context = self._context_of(name, parent, child["context_id"])
        kept = ("trace_id", "request_id", "workflow_name", "is_complete", "execution_order", "start_ns")
        return dict.fromkeys(self._columns) | {column: child[column] for column in kept} | {
            "span_id": self._span_id(child, name, parent, context),
            "is_node": 1,
            "name": name.rpartition(".")[2] or name,
            "node_name": name,
            "parent_node": parent,
            "context_id": context,
            "end_ns": child["end_ns"] if child["is_complete"] else None,
            "status": MISSING if child["is_complete"] else AWAITED,
        }  # fmt: skip

    def _parent_of(self, child: Mapping[str, Any]) -> str | None:
        """The name of the parent's own parent: as others of its name say it, or as its dotted name does.

        None: it is the root itself.
        """
        name, workflow = child["parent_node"], child["workflow_name"]
        if name in self._parents:
            parent = self._parents[name]
            return NOBODY if parent is None else str(parent)
        if name == workflow and None not in self._depths_below:
            return None
        above = str(name).rpartition(".")[0]
        is_known = above in self._depths or above in self._depths_below or above == workflow
        return above if above and is_known else NOBODY

    def _context_of(self, name: str, parent: str | None, below: object) -> str | None:
        candidates = _candidates(below)
        depths = self._depths.get(name) or self._depths_below.get(parent) or set()
        known = (context for context in candidates if _depth(context) in depths)
        return next(known, candidates[min(1, len(candidates) - 1)])

    def _span_id(self, child: Mapping[str, Any], name: str, parent: str | None, context: str | None) -> bytes:
        request = str(child["request_id"])
        return root_span_id_of(request) if parent is None else span_id_of(request, name, context, 0)
