"""The spans of one request, arranged as a tree: a pure function of its rows.

Rows are those of `queries/request_tree.sql`. Nothing recurses: a chain of 5,000 spans costs what
5,000 siblings cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from hush_otel.mapping.iterations import Iteration, IterationNode, group_iterations
from hush_otel.mapping.parents import PlacedNode, resolve_parents

from . import text

Row: TypeAlias = Mapping[str, object]
Key: TypeAlias = tuple[object, object]


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
    def key(self) -> Key:
        """Span ids are unique only within their trace, and a request may span several."""
        return self.row["trace_id"], self.row["span_id"]


def arrange(rows: Iterable[Row]) -> list[Node]:
    """The roots, with all others below them; every row exactly once, whatever the parents say.

    Nodes of a loop's pass hang below a node for it, ``iteration[0]``, which no row stands for.

    A row whose parent is not stored stands at the root level with a note. So does the earliest of the rows
    whose parents form a cycle; the others hang below it.
    """
    nodes = sorted(map(Node, rows), key=_execution_order)
    keys = [node.key for node in nodes]
    by_key = dict(zip(keys, nodes, strict=True))
    named = _named_parents(nodes)
    parents = {
        key: node.row["parent_span_id"] or named.get(str(key[1]))
        for key, node in zip(keys, nodes, strict=True)
    }
    passes = _passes(nodes, parents)
    roots: list[Node] = []
    for key, node in zip(keys, nodes, strict=True):
        parent = by_key.get((key[0], parents[key]))
        if parent is None:
            _note_missing_parent(node)
            roots.append(node)
            continue
        group = passes.get(key) if passes else None
        if group is not None:
            if not group.children:
                parent.children.append(group)
            parent = group
        parent.children.append(node)
    return roots + _cut_cycles(nodes, roots)


def _execution_order(node: Node) -> tuple[float, float]:
    # Spans of the OTel SDK have no execution_order: they sort by start, after numbered ones.
    order, start = text.number(node.row["execution_order"]), text.number(node.row["start_ns"])
    return (float("inf") if order is None else order, start or 0.0)


def _named_parents(nodes: list[Node]) -> dict[str, str]:
    """Node traces name their parent, and get its span id only when the request is queued: foretell it."""
    rows = [node.row for node in nodes if node.row["is_node"]]
    if all(row["parent_span_id"] or row["parent_node"] is None for row in rows):
        return {}
    resolved = resolve_parents([_placed(row) for row in rows])
    return {
        child.hex(): parent.hex()
        for child, (parent, missing) in resolved.items()
        if parent is not None and not missing
    }


def _passes(nodes: list[Node], parents: Mapping[Key, object]) -> dict[Key, Node]:
    """The passes of loops, which no row stands for: a node's pass, by the node's key."""
    rows = [node for node in nodes if node.row["is_node"]]
    if all(node.row["context_id"] is None for node in rows):
        return {}
    found = group_iterations([_in_pass(node.row, parents[node.key]) for node in rows])
    drawn: dict[bytes, Node] = {}
    passes = {}
    for node in rows:
        group = found.of_node.get(bytes.fromhex(str(node.row["span_id"])))
        if group is not None:
            passes[node.key] = drawn.setdefault(group.span_id, Node(_pass_row(group, node.row)))
    return passes


def _in_pass(row: Row, parent: object) -> IterationNode:
    placed = _placed(row)
    return IterationNode(
        span_id=placed.span_id,
        parent_span_id=None if parent is None else bytes.fromhex(str(parent)),
        node_name=placed.node_name,
        parent_name=placed.parent_name,
        context_id=placed.context_id,
        start_ns=placed.start_ns,
        end_ns=placed.end_ns,
        end_seq=0,
        prompt_tokens=_whole(row["prompt_tokens"]),
        completion_tokens=_whole(row["completion_tokens"]),
        total_tokens=_whole(row["total_tokens"]),
        cost_usd=text.number(row["cost_usd"]),
    )


def _whole(value: object) -> int | None:
    number = text.number(value)
    return None if number is None else int(number)


def _pass_row(group: Iteration, of_node: Row) -> Row:
    return {
        **dict.fromkeys(of_node),
        "trace_id": of_node["trace_id"],
        "span_id": group.span_id.hex(),
        "parent_span_id": group.loop_id.hex(),
        "name": group.name,
        "node_name": group.name,
        "start_ns": group.start_ns,
        "duration_ms": (group.end_ns - group.start_ns) / 1e6,
        "prompt_tokens": group.prompt_tokens,
        "completion_tokens": group.completion_tokens,
        "total_tokens": group.total_tokens,
        "cost_usd": group.cost_usd,
        "cost_source": of_node["cost_source"],
        "status": "ok",
    }


def _placed(row: Row) -> PlacedNode:
    parent, context = row["parent_node"], row["context_id"]
    start_ns, end_ns = text.number(row["start_ns"]), text.number(row["end_ns"])
    return PlacedNode(
        span_id=bytes.fromhex(str(row["span_id"])),
        node_name=str(row["node_name"]),
        parent_name=None if parent is None else str(parent),
        context_id=None if context is None else str(context),
        start_ns=int(start_ns or 0),
        end_ns=int(end_ns or start_ns or 0),
    )


def _note_missing_parent(node: Node) -> None:
    row = node.row
    missing = row["parent_node"] if row["is_node"] else row["parent_span_id"]
    if missing is None:
        return
    if row["parent_is_remote"]:
        node.notes.append("parent in another service")
    else:
        node.notes.append(f"parent {text.clean(missing, limit=40)} not stored")


def _cut_cycles(nodes: list[Node], roots: list[Node]) -> list[Node]:
    """Make roots that reach every unreached node; the edges that close the cycles are dropped."""
    if _all_hang(nodes, roots):
        return []
    reached: set[int] = set()
    for root in roots:
        _reach(root, reached)
    cut = []
    for node in nodes:
        if id(node) in reached:
            continue
        node.notes.append("its parents form a cycle")
        cut.append(node)
        _reach(node, reached)
    return cut


def _all_hang(nodes: list[Node], roots: list[Node]) -> bool:
    """Whether the roots reach every node. Each hangs at one place, so that counting tells."""
    reached, stack = 0, list(roots)
    while stack:
        node = stack.pop()
        reached += node.row["is_node"] is not None  # a pass of a loop is none of them
        stack.extend(node.children)
    return reached == len(nodes)


def _reach(start: Node, reached: set[int]) -> None:
    """Mark all below `start` and drop the edges that lead back."""
    reached.add(id(start))
    stack = [start]
    while stack:
        node = stack.pop()
        node.children = [child for child in node.children if id(child) not in reached]
        reached.update(id(child) for child in node.children)
        stack.extend(node.children)
