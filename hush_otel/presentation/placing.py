"""Where each span of a request stands in its tree: a pure function of its columns.

Columns are those of `queries/request_skeleton.sql`, ids as bytes; a span is its index in them. Of 50,000
spans an object for each costs more than all that is asked of it, so that nothing here makes one; tree.py
does, for those who walk it. Nothing recurses: a chain of 5,000 spans costs what 5,000 siblings cost.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from hush_otel.mapping.iterations import Iteration, IterationNode, group_iterations
from hush_otel.mapping.parents import PlacedNode, parent_candidates, resolve_parents

from . import text
from .standing_in import AWAITED, MISSING, SAID, Columns, stand_ins

Children: TypeAlias = dict[int, list[int]]

ROOT: Final = -1
"""What the roots are children of."""

CYCLE: Final = "its parents form a cycle"


@dataclass(frozen=True, slots=True)
class Forest:
    """The places of all spans.

    Attributes:
        children: By index, those below it in the order of execution; what has none may be missing.
        added: Rows that are not stored: in place of parents that are named and not there, and for passes of
            loops. Their indexes come after the spans'.
        notes: By index, what is unusual about a place; few have one.
    """

    children: Children
    added: list[dict[str, Any]]
    notes: dict[int, list[str]]

    def walk(self) -> Iterator[tuple[int, int, int]]:
        """All, depth-first, in the order of execution: index, depth, and the parent's place in this order.

        A root has -1 for it.
        """
        stack, at = [(index, 0, ROOT) for index in reversed(self.children.get(ROOT, ()))], 0
        while stack:
            index, depth, parent = stack.pop()
            yield index, depth, parent
            if below := self.children.get(index):
                stack += [(child, depth + 1, at) for child in reversed(below)]
            at += 1


def place(columns: Columns) -> Forest:
    """Each span exactly once, whatever the parents say.

    Nodes of a loop's pass hang below a row for it, ``iteration[0]``; those whose parent has not come, below a
    row in its place. A span of another kind whose parent is not stored stands at the root level with a note.
    So does the earliest of the spans whose parents form a cycle; the others hang below it.
    """
    absent, stored = stand_ins(columns), len(columns["span_id"])
    if absent:
        columns = {name: [*column, *(row[name] for row in absent)] for name, column in columns.items()}
    order = _execution_order(columns)
    parent_ids = _parent_ids(columns, order, stored)
    keys = zip(columns["trace_id"], columns["span_id"], strict=True)
    index_of = {key: index for index, key in enumerate(keys)}
    parents = list(map(index_of.get, zip(columns["trace_id"], parent_ids, strict=True)))
    passes, pass_of = _passes(columns, parent_ids, order)
    children: Children = defaultdict(list)
    for index in order:
        parent = parents[index]
        if parent is None:
            parent = ROOT
        elif (of_pass := pass_of.get(index)) is not None:
            if of_pass not in children:
                children[parent].append(of_pass)
            parent = of_pass
        children[parent].append(index)
    notes = _missing_parents(columns, children[ROOT])
    _cut_cycles(order, children, notes)
    for index, row in enumerate(absent, stored):
        notes.setdefault(index, []).append(SAID[row["status"]])
    forest = Forest(children, [*absent, *passes], notes)
    if absent:
        _roll_up_times(forest, columns, stored)
    return forest


def _execution_order(columns: Columns) -> list[int]:
    # Spans of the OTel SDK have no execution_order: they sort by start, after numbered ones.
    starts = [start or 0 for start in text.numbers(columns["start_ns"])]
    numbered = text.numbers(columns["execution_order"])
    found = sorted(range(len(starts)), key=starts.__getitem__)
    if any(number is not None for number in numbered):
        found.sort(key=lambda index: math.inf if (number := numbered[index]) is None else number)
    return found


def _parent_ids(columns: Columns, order: list[int], stored: int) -> Sequence[Any]:
    """Node traces name their parent, and get its span id only when the request is queued: foretell it.

    A node whose parent did not come was given the root then; here it hangs below the row in that place.
    """
    given = columns["parent_span_id"]
    nodes = [index for index in order if columns["is_node"][index]]
    if all(given[index] or columns["parent_node"][index] is None for index in nodes):
        return given
    resolved = resolve_parents([_placed(columns, index) for index in nodes])
    absent = set(columns["span_id"][stored:])
    named = {
        child: parent
        for child, (parent, missing) in resolved.items()
        if parent is not None and (not missing or child in absent)
    }
    pairs = zip(columns["span_id"], given, strict=True)
    return [found if (found := named.get(child)) in absent else given or found for child, given in pairs]


def _passes(
    columns: Columns, parent_ids: Sequence[Any], order: list[int]
) -> tuple[list[dict[str, Any]], dict[int, int]]:
    """The passes of loops as rows, and by a node's index that of its pass."""
    nodes = [index for index in order if columns["is_node"][index]]
    if all(columns["context_id"][index] is None for index in nodes):
        return [], {}
    found = group_iterations([_in_pass(columns, index, parent_ids[index]) for index in nodes])
    rows, pass_of, drawn = list[dict[str, Any]](), dict[int, int](), dict[bytes, int]()
    for index in nodes:
        group = found.of_node.get(columns["span_id"][index])
        if group is None:
            continue
        if group.span_id not in drawn:
            drawn[group.span_id] = len(columns["span_id"]) + len(rows)
            rows.append(_pass_row(group, columns, index))
        pass_of[index] = drawn[group.span_id]
        if columns["status"][index] == AWAITED:
            rows[pass_of[index] - len(columns["span_id"])] |= {"status": "running", "duration_ms": None}
    return rows, pass_of


def _in_pass(columns: Columns, index: int, parent: bytes | None) -> IterationNode:
    placed = _placed(columns, index)
    counts = columns["repeats"][index] is None
    return IterationNode(
        span_id=placed.span_id,
        parent_span_id=parent,
        node_name=placed.node_name,
        parent_name=placed.parent_name,
        context_id=placed.context_id,
        start_ns=placed.start_ns,
        end_ns=placed.end_ns,
        end_seq=0,
        prompt_tokens=_whole(columns["prompt_tokens"][index]) if counts else None,
        completion_tokens=_whole(columns["completion_tokens"][index]) if counts else None,
        total_tokens=_whole(columns["total_tokens"][index]) if counts else None,
        cost_usd=text.number(columns["cost_usd"][index]) if counts else None,
    )


def _whole(value: object) -> int | None:
    number = text.number(value)
    return None if number is None else int(number)


def _pass_row(group: Iteration, columns: Columns, of_node: int) -> dict[str, Any]:
    return {
        **dict.fromkeys(columns),
        "trace_id": columns["trace_id"][of_node],
        "span_id": group.span_id,
        "parent_span_id": group.loop_id,
        "name": group.name,
        "node_name": group.name,
        "start_ns": group.start_ns,
        "duration_ms": (group.end_ns - group.start_ns) / 1e6,
        "prompt_tokens": group.prompt_tokens,
        "completion_tokens": group.completion_tokens,
        "total_tokens": group.total_tokens,
        "cost_usd": group.cost_usd,
        "cost_source": columns["cost_source"][of_node],
        "repeats": None,
        "status": "ok",
    }


def _placed(columns: Columns, index: int) -> PlacedNode:
    parent, context = columns["parent_node"][index], columns["context_id"][index]
    start_ns, end_ns = text.number(columns["start_ns"][index]), text.number(columns["end_ns"][index])
    return PlacedNode(
        span_id=columns["span_id"][index],
        node_name=str(columns["node_name"][index]),
        parent_name=None if parent is None else str(parent),
        context_id=None if context is None else str(context),
        start_ns=int(start_ns or 0),
        end_ns=int(end_ns or start_ns or 0),
    )


def _missing_parents(columns: Columns, roots: list[int]) -> dict[int, list[str]]:
    """Notes on the roots that say that they have a parent."""
    notes = dict[int, list[str]]()
    places = _places(columns) if any(columns["is_node"][index] for index in roots) else set()
    for index in roots:
        if columns["status"][index] in SAID:
            continue
        is_node = columns["is_node"][index]
        missing = columns["parent_node" if is_node else "parent_span_id"][index]
        if missing is None:
            continue
        if columns["parent_is_remote"][index]:
            notes[index] = ["parent in another service"]
        elif is_node and _is_placed(_placed(columns, index), places):
            notes[index] = [CYCLE]
        else:
            named = missing.hex() if isinstance(missing, bytes) else text.clean(missing, limit=40)
            notes[index] = [f"parent {named} not stored"]
    return notes


def _places(columns: Columns) -> set[tuple[str, str | None]]:
    """Where nodes are that others may name as their parent."""
    nodes = (_placed(columns, index) for index, is_node in enumerate(columns["is_node"]) if is_node)
    return {(node.node_name, node.context_id) for node in nodes}


def _is_placed(node: PlacedNode, places: set[tuple[str, str | None]]) -> bool:
    """Whether the parent that a root names is there: it is below that root, which was cut off."""
    return any((node.parent_name, context) in places for context in parent_candidates(node.context_id))


def _cut_cycles(order: list[int], children: Children, notes: dict[int, list[str]]) -> None:
    """Make roots that reach every unreached span; the edges that close the cycles are dropped."""
    if _hanging(children) == sum(map(len, children.values())):
        return
    reached = {ROOT}
    _reach(ROOT, children, reached)
    for index in order:
        if index in reached:
            continue
        notes[index] = [CYCLE]
        children[ROOT].append(index)
        reached.add(index)
        _reach(index, children, reached)


def _hanging(children: Children) -> int:
    """How many the roots reach, themselves among them. Each hangs at one place, so that counting tells."""
    found, stack = 0, [ROOT]
    while stack:
        below = children.get(stack.pop(), [])
        found += len(below)
        stack += [child for child in below if child in children]
    return found


def _roll_up_times(forest: Forest, columns: Columns, stored: int) -> None:
    """What stands in a parent's place lasted as long as what is below it, as far as that is known."""
    added = dict(enumerate(forest.added, stored))
    walked = list(forest.walk())
    for index, _, at in reversed(walked):
        parent = added.get(walked[at][0]) if at != ROOT else None
        if parent is None or parent["status"] not in SAID:
            continue
        start, end = _times(added.get(index) or {name: columns[name][index] for name in _TIMES})
        parent["start_ns"] = min(text.number(parent["start_ns"]) or start, start)
        if parent["status"] == MISSING:
            parent["end_ns"] = max(text.number(parent["end_ns"]) or end, end)


_TIMES: Final = ("start_ns", "end_ns", "duration_ms")


def _times(row: Mapping[str, Any]) -> tuple[float, float]:
    """A pass of a loop has a duration, and no end of its own."""
    start, end, took = (text.number(row[name]) for name in _TIMES)
    return start or 0, end or (start or 0) + (took or 0) * 1e6


def _reach(start: int, children: Children, reached: set[int]) -> None:
    """Mark all below `start` and drop the edges that lead back."""
    stack = [start]
    while stack:
        index = stack.pop()
        if index in children:
            children[index] = below = [child for child in children[index] if child not in reached]
            reached.update(below)
            stack += below
