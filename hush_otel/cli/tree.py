"""The spans of one request as a tree with aligned columns.

Drawn here and not by `rich.tree`, for two reasons: durations and costs stand in columns, and a chain of
5,000 spans costs what 5,000 siblings cost (guides that grow with every level are quadratic). Below
`max_level` the indentation stops and the depth is written instead. Nothing recurses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from hush_otel.presentation import text
from hush_otel.presentation.standing_in import SAID
from hush_otel.presentation.tree import Node, Row, arrange

from .bars import Bars, bars_of

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
    "awaited": ("○", "yellow"),
    "missing": ("?", "yellow"),
}
"""Status to mark and style."""


@dataclass(slots=True, frozen=True)
class Line:
    """One node in its place: `guides` stand before it, `below` before whatever belongs under it."""

    node: Node
    guides: str
    below: str
    depth: int


def walk(roots: list[Node], max_level: int) -> Iterator[Line]:
    """Depth first, parents before children, with the guides of each line."""
    stack = [(root, 0, "", "") for root in reversed(roots)]
    while stack:
        node, level, guides, below = stack.pop()
        yield Line(node, guides, below, level)
        last = node.children[-1:]
        stack.extend(
            (child, level + 1, *_guides(level + 1, below, max_level, is_last=child in last))
            for child in reversed(node.children)
        )


def _guides(level: int, above: str, max_level: int, *, is_last: bool) -> tuple[str, str]:
    if level > max_level:
        return f"{above}⋯{level} ", above
    return (above + "└─ ", above + "   ") if is_last else (above + "├─ ", above + "│  ")


class SpanTree:
    """A rich renderable: one line a span, with duration, tokens, cost and model; errors on a line below."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.roots = arrange(rows)

    @property
    def passes(self) -> int:
        """Of loops: lines that are no spans."""
        return sum(line.node.is_pass for line in walk(self.roots, 0))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = _Columns(options.max_width, clip=console.is_terminal)
        lines = list(walk(self.roots, table.max_level))
        table.measure(lines)
        if console.is_terminal:
            table.make_room_for_bars(lines)
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
    bars: Bars | None = None

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

    def make_room_for_bars(self, lines: list[Line]) -> None:
        """Where the terminal is wide: behind the names, what is left of the line."""
        others = self.name + self.duration + self.tokens + self.cost + self.model + 5 * GAP_CELLS
        self.bars = bars_of([line.node.row for line in lines], self.width - others)

    def render(self, line: Line) -> Iterator[Segment]:
        row = line.node.row
        mark, style = MARKS.get(str(row["status"]), ("?", "yellow"))
        yield Segment(line.guides, _style("bright_black"))
        yield Segment(f"{mark} ", _style(style))
        yield from self._name(line)
        if self.bars is not None:
            yield Segment("  " + self.bars.of(row), _style(style))
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
        message = text.clean(text.headline(str(line.node.row["error"])), limit=300)
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
    tokens = text.tokens(row["prompt_tokens"], row["completion_tokens"], row["total_tokens"])
    return took_of(row), tokens, text.cost(row["cost_usd"], row["cost_source"])


def took_of(row: Row) -> str:
    """How long it took; nothing of what stands in the place of a node that is not there."""
    if row["status"] in SAID:
        return ""
    return "…" if row["status"] == "running" else text.duration(row["duration_ms"])


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
