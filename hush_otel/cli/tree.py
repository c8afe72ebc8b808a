"""The spans of one request as a tree with aligned columns.

Drawn here and not by `rich.tree`, for two reasons: durations and costs stand in columns, and a chain of
5,000 spans costs what 5,000 siblings cost (guides that grow with every level are quadratic). Below
`max_level` the indentation stops and the depth is written instead. Nothing recurses.

Rows are those of `queries/request_tree.sql`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from hush_otel.mapping.iterations import Iteration, IterationNode, group_iterations
from hush_otel.mapping.parents import PlacedNode, resolve_parents

from . import text

Row: TypeAlias = Mapping[str, object]
Key: TypeAlias = tuple[object, object]

GUIDE_CELLS: Final = 3
GAP_CELLS: Final = 2
MODEL_CELLS: Final = 24
"""How much of the line is kept free for model names."""
NAME_MIN_CELLS: Final = 24
NAME_MAX_CELLS: Final = 72
"""Longer names push their own columns to the right instead of everybody's."""

MARKS: Final = {
    "ok": ("✓", "green"),
    "error": ("✗", "bold red"),
    "running": ("●", "yellow"),
    "interrupted": ("◌", "yellow"),
}
"""Status to mark and style."""


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


@dataclass(slots=True, frozen=True)
class Line:
    """One node in its place: `guides` stand before it, `below` before whatever belongs under it."""

    node: Node
    guides: str
    below: str


def arrange(rows: Iterable[Row]) -> list[Node]:
    """The roots, with all others below them; every row exactly once, whatever the parents say.

    Nodes of a loop's pass hang below a node for it, ``iteration[0]``, which no row stands for.

    A row whose parent is not stored stands at the root level with a note. So does the earliest of the rows
    whose parents form a cycle; the others hang below it.
    """
    nodes = sorted((Node(row) for row in rows), key=_execution_order)
    by_key = {node.key: node for node in nodes}
    named = _named_parents(nodes)
    parents = {node.key: node.row["parent_span_id"] or named.get(str(node.row["span_id"])) for node in nodes}
    passes = _passes(nodes, parents)
    roots: list[Node] = []
    for node in nodes:
        parent = by_key.get((node.row["trace_id"], parents[node.key]))
        _note_missing_parent(node, parent)
        group = passes.get(node.key)
        if group is not None and parent is not None:
            if not group.children:
                parent.children.append(group)
            parent = group
        (roots if parent is None else parent.children).append(node)
    return roots + _cut_cycles(nodes, roots)


def walk(roots: list[Node], max_level: int) -> Iterator[Line]:
    """Depth first, parents before children, with the guides of each line."""
    stack = [(root, 0, "", "") for root in reversed(roots)]
    while stack:
        node, level, guides, below = stack.pop()
        yield Line(node, guides, below)
        last = node.children[-1:]
        stack.extend(
            (child, level + 1, *_guides(level + 1, below, max_level, is_last=child in last))
            for child in reversed(node.children)
        )


def _guides(level: int, above: str, max_level: int, *, is_last: bool) -> tuple[str, str]:
    if level > max_level:
        return f"{above}⋯{level} ", above
    return (above + "└─ ", above + "   ") if is_last else (above + "├─ ", above + "│  ")


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


def _note_missing_parent(node: Node, parent: Node | None) -> None:
    row = node.row
    missing = row["parent_node"] if row["is_node"] else row["parent_span_id"]
    if parent is not None or missing is None:
        return
    if row["parent_is_remote"]:
        node.notes.append("parent in another service")
    else:
        node.notes.append(f"parent {text.clean(missing, limit=40)} not stored")


def _cut_cycles(nodes: list[Node], roots: list[Node]) -> list[Node]:
    """Make roots that reach every unreached node; the edges that close the cycles are dropped."""
    reached = {id(line.node) for line in walk(roots, 0)}
    cut = []
    for node in nodes:
        if id(node) in reached:
            continue
        node.notes.append("its parents form a cycle")
        cut.append(node)
        _reach(node, reached)
    return cut


def _reach(start: Node, reached: set[int]) -> None:
    """Mark all below `start` and drop the edges that lead back."""
    reached.add(id(start))
    stack = [start]
    while stack:
        node = stack.pop()
        node.children = [child for child in node.children if id(child) not in reached]
        reached.update(id(child) for child in node.children)
        stack.extend(node.children)


class SpanTree:
    """A rich renderable: one line a span, with duration, tokens, cost and model; errors on a line below."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.roots = arrange(rows)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = _Columns(options.max_width, clip=console.is_terminal)
        lines = list(walk(self.roots, table.max_level))
        table.measure(lines)
        for line in lines:
            yield from table.render(line)


@dataclass(slots=True)
class _Columns:
    """Widths in cells. Names may take what the other columns leave; `clip` cuts what is longer."""

    width: int
    clip: bool
    name: int = 0
    duration: int = 0
    tokens: int = 0
    cost: int = 0
    model: int = 0
    max_level: int = 0

    def __post_init__(self) -> None:
        # Half of the line for guides at most, the other half for what they lead to.
        self.max_level = max(2, min(self.width // 2, NAME_MAX_CELLS) // GUIDE_CELLS)

    def measure(self, lines: list[Line]) -> None:
        for line in lines:
            self.name = max(self.name, cell_len(line.guides) + 2 + cell_len(_label(line.node)))
            duration, tokens, cost = _figures(line.node.row)
            self.duration = max(self.duration, len(duration))
            self.tokens = max(self.tokens, len(tokens))
            self.cost = max(self.cost, len(cost))
            self.model = max(self.model, min(MODEL_CELLS, cell_len(_model(line.node.row))))
        left = self.width - self.duration - self.tokens - self.cost - self.model - 4 * GAP_CELLS
        self.name = min(self.name, max(left, NAME_MIN_CELLS), NAME_MAX_CELLS)

    def render(self, line: Line) -> Iterator[Segment]:
        row = line.node.row
        mark, style = MARKS.get(str(row["status"]), ("?", "yellow"))
        yield Segment(line.guides, _style("bright_black"))
        yield Segment(f"{mark} ", _style(style))
        yield from self._name(line)
        yield from self._figures(row)
        yield from _remarks(line.node)
        yield Segment.line()
        if row["error"]:
            yield from self._error(line)

    def _name(self, line: Line) -> Iterator[Segment]:
        room = self.name - cell_len(line.guides) - 2
        label, full = _label(line.node), _full_name(line.node.row)
        if self.clip and cell_len(label) > room:
            label, full = set_cell_size(label, room - 1) + "…", ""
        name = label.removesuffix(full)
        yield Segment(name, _style("" if line.guides else "bold"))
        yield Segment(full + " " * (room - cell_len(label)), _style("bright_black"))

    def _figures(self, row: Row) -> Iterator[Segment]:
        duration, tokens, cost = _figures(row)
        yield Segment("  " + duration.rjust(self.duration), _style("cyan"))
        if self.tokens:
            yield Segment("  " + tokens.rjust(self.tokens))
        if self.cost:
            yield Segment("  " + cost.rjust(self.cost), _style("green"))

    def _error(self, line: Line) -> Iterator[Segment]:
        indent = line.below + ("│ " if line.node.children else "  ")
        room = max(NAME_MIN_CELLS, self.width - cell_len(indent) - 2)
        message = text.clean(line.node.row["error"], limit=300)
        if self.clip and cell_len(message) > room:
            message = set_cell_size(message, room - 1) + "…"
        yield Segment(indent, _style("bright_black"))
        yield Segment(message, _style("red"))
        yield Segment.line()


def _label(node: Node) -> str:
    return text.clean(node.row["name"], limit=80) + _full_name(node.row)


def _full_name(row: Row) -> str:
    """What tells apart nodes of the same short name: the full node name, and the iteration."""
    differs = row["node_name"] != row["name"]
    full = f" ({text.clean(row['node_name'], limit=60)})" if differs else ""
    return full + (f" {text.clean(row['context_id'], limit=30)}" if row["context_id"] else "")


def _figures(row: Row) -> tuple[str, str, str]:
    duration = "…" if row["status"] == "running" else text.duration(row["duration_ms"])
    tokens = text.tokens(row["prompt_tokens"], row["completion_tokens"], row["total_tokens"])
    return duration, tokens, text.cost(row["cost_usd"], row["cost_source"])


def _model(row: Row) -> str:
    return text.clean(row["model"], limit=60) if row["model"] else ""


def _remarks(node: Node) -> Iterator[Segment]:
    if node.row["model"]:
        yield Segment("  " + _model(node.row), _style("magenta"))
    state = [str(node.row["status"])] if node.row["status"] in {"running", "interrupted"} else []
    if state or node.notes:
        yield Segment("  " + ", ".join(state + node.notes), _style("yellow"))


def _style(definition: str) -> Style:
    return Style.parse(definition)
