"""Who called whom: node traces name their parent, spans need its id.

Nodes arrive before their parents (children end first) and name them only by name and context, of which a
loop or a reused request_id makes many. Resolved over all nodes of one request, at its first queueing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import msgspec


class PlacedNode(msgspec.Struct, eq=False):
    """What parents are resolved from. `span_id` is unique within the request; times unix nanoseconds."""

    span_id: bytes
    node_name: str
    parent_name: str | None
    context_id: str | None
    start_ns: int
    end_ns: int


class PlaceNames(msgspec.Struct):
    """What a node trace says of its place, of the JSON that it is stored as."""

    node_name: str
    parent_name: str | None = None
    context_id: str | None = None


place_names: Final = msgspec.json.Decoder(PlaceNames).decode

_CONTEXT: Final = re.compile(r"\[[0-9]+\](?:\.\[[0-9]+\])*")
_MAX_LEVELS: Final = 64
"""A context id with more levels is opaque: its candidates would cost the square of its length."""


def parent_candidates(context_id: str | None) -> list[str | None]:
    """Where a node's parent may be, nearest first: ``[0].[1]`` → ``[0].[1]``, ``[0]``, None.

    A context id of another form is opaque: itself, then None.
    """
    if context_id is None:
        return [None]
    levels = context_id.split(".")
    if len(levels) > _MAX_LEVELS or not _CONTEXT.fullmatch(context_id):
        return [context_id, None]
    return [*(".".join(levels[:count]) for count in range(len(levels), 0, -1)), None]


_Place: TypeAlias = tuple[str, str | None]
_Parents: TypeAlias = dict[bytes, tuple[bytes | None, bool]]


def resolve_parents(
    nodes: Sequence[PlacedNode], placed: Sequence[PlacedNode] = (), root_id: bytes | None = None
) -> _Parents:
    """The parent of each of `nodes`, of one request: span id → (parent's span id or None, flagged).

    The parent is a node named `parent_name` in the nearest of `parent_candidates` that has one: the latest
    started occurrence that contains the child's start, else the latest before it, else the first. A missing
    parent hangs the child under the root, flagged; a cycle is broken at its earliest node, which hangs under
    the root, flagged. Without a root both get None (missing_root.py). The result is always a forest.

    Args:
        nodes: In order of arrival: the first without `parent_name` is the root. n log n in their number.
        placed: Of those that came before and keep their parents, the ones that may be a parent: each that is
            named so in one of a node's `parent_candidates`. In order of arrival.
        root_id: The root, if it is among those that came before.
    """
    if root_id is None:
        root_id = next((node.span_id for node in nodes if node.parent_name is None), None)
    parents: _Parents = {}
    occurrences: dict[_Place, list[PlacedNode]] = {}
    for node in (*placed, *nodes):
        occurrences.setdefault((node.node_name, node.context_id), []).append(node)
    children: dict[_Place, list[PlacedNode]] = {}
    for node in nodes:
        if node.parent_name is None:
            parents[node.span_id] = (None if node.span_id == root_id else root_id, False)
        elif (place := _parent_place(node, occurrences)) is None:
            parents[node.span_id] = (root_id, True)
        else:
            children.setdefault(place, []).append(node)
    for place, members in children.items():
        for child, parent in _match(place, occurrences[place], members):
            parents[child.span_id] = (parent.span_id, False)
    _break_cycles(nodes, parents, root_id)
    return parents


def _parent_place(node: PlacedNode, occurrences: dict[_Place, list[PlacedNode]]) -> _Place | None:
    """The nearest place of the node's parent that holds anything but the node itself."""
    name = node.parent_name or ""
    for context_id in parent_candidates(node.context_id):
        found = occurrences.get((name, context_id))
        if found is not None and (len(found) > 1 or found[0] is not node):
            return name, context_id
    return None


def _match(
    place: _Place, members: list[PlacedNode], children: list[PlacedNode]
) -> Iterator[tuple[PlacedNode, PlacedNode]]:
    """Each child with its occurrence among `members`: one sweep over both in order of start.

    `around` are the occurrences that started and may still contain a later start: one that ended before a
    child's start contains no later start either.
    """

    def is_own(child: PlacedNode) -> bool:
        return (child.node_name, child.context_id) == place

    members = sorted(members, key=lambda node: node.start_ns)
    around: list[PlacedNode] = []
    begun = 0
    # A recursive node is a member itself: it comes first among equals, before it is put around itself.
    for child in sorted(children, key=lambda node: (node.start_ns, not is_own(node))):
        while (
            begun < len(members) and members[begun].start_ns <= child.start_ns and members[begun] is not child
        ):
            around.append(members[begun])
            begun += 1
        while around and around[-1].end_ns < child.start_ns:
            around.pop()
        if around:
            yield child, around[-1]
        elif begun:
            yield child, members[begun - 1]
        else:
            yield child, members[1] if members[0] is child else members[0]


def _break_cycles(nodes: Sequence[PlacedNode], parents: _Parents, root_id: bytes | None) -> None:
    """Follows every node up once; where a walk meets itself, the earliest node of the circle is cut off.

    What has its parent already is in no circle: it was sent when these were not there.
    """
    by_id = {node.span_id: node for node in nodes}
    done: set[bytes] = set()
    for node in nodes:
        walk: dict[bytes, None] = {}
        at: bytes | None = node.span_id
        while at in by_id and at not in done and at not in walk:
            walk[at] = None
            at = parents[at][0]
        if at is not None and at in walk:
            path = list(walk)
            circle = path[path.index(at) :]
            earliest = min(circle, key=lambda span_id: by_id[span_id].start_ns)
            parents[earliest] = (root_id, True)
        done.update(walk)
