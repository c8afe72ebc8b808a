"""The steps of two requests as lines with aligned columns.

Drawn here and not by `rich.table`, which makes objects for every cell and looks at each of them six times: of
50,000 steps that took four times as long as finding out what differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from hush_otel.presentation import text
from hush_otel.presentation.compare import Pair, Side

MARKS: Final = {"both": (" ", ""), "a": ("-", "red"), "b": ("+", "green")}
"""Where a step is to mark and style."""
MAX_INDENT: Final = 12
"""Levels that are drawn; deeper ones say their number."""
NARROW_CELLS: Final = 90
"""A terminal that is narrower has no room for tokens and cost."""
GAP: Final = "  "
STEP_MIN_CELLS: Final = 12
CLOSE: Final = 1.05
"""Durations that differ by less are no difference to speak of."""
DOUBLE: Final = 2
TENFOLD: Final = 10
PALE: Final = "bright_black"


class Cell(NamedTuple):
    """What stands in a column. A step has its context behind its name, pale."""

    text: str
    style: str = ""
    pale: str = ""

    @property
    def cells(self) -> int:
        """How wide it is."""
        return _cells(self.text) + _cells(self.pale)


def _cells(value: str) -> int:
    return len(value) if value.isascii() else cell_len(value)  # nothing has controls here


HEAD: Final = tuple(Cell(name, PALE) for name in ("step", "A", "B", "", "tokens", "cost", "differs"))
FIGURES: Final = range(1, 6)
"""Columns of numbers, which stand to the right."""
LEFT_OUT: Final = frozenset({4, 5})
"""Where it is narrow."""
STEP: Final = 0
DIFFERS: Final = 6


class Steps:
    """A rich renderable: a line for each pair, below a head."""

    def __init__(self, pairs: list[Pair]) -> None:
        self._lines = [HEAD, *map(_line, pairs)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        narrow = console.is_terminal and options.max_width < NARROW_CELLS
        shown = [column for column in range(len(HEAD)) if not (narrow and column in LEFT_OUT)]
        widths = self._widths(shown, options.max_width)
        first, *others = shown
        for line in self._lines:
            yield from _drawn(line[first], widths[first])
            for column in others:
                yield from _drawn(line[column], widths[column], GAP, to_right=column in FIGURES)
            yield Segment.line()

    def _widths(self, shown: list[int], room: int) -> dict[int, int]:
        """As wide as what stands there. Where the line ends before, names give way, then what differs."""
        found = {column: max(line[column].cells for line in self._lines) for column in shown}
        figures = sum(len(GAP) + found[column] for column in shown if column in FIGURES)
        left = room - figures - len(GAP)
        found[STEP] = min(found[STEP], max(left - found[DIFFERS], STEP_MIN_CELLS))
        found[DIFFERS] = max(min(found[DIFFERS], left - found[STEP]), 0)
        return found


def _drawn(cell: Cell, room: int, gap: str = "", *, to_right: bool = False) -> Iterator[Segment]:
    style, blank = Style.parse(cell.style), " " * (room - cell.cells)
    if to_right:
        yield Segment(gap + blank + cell.text, style)
    elif cell.pale:
        name = _cut(cell.text, room)
        yield Segment(gap + name, style)
        yield Segment(_cut(cell.pale, room - _cells(name)) + blank, Style.parse(PALE))
    else:
        yield Segment(gap + _cut(cell.text, room) + blank, style)


def _cut(value: str, room: int) -> str:
    if _cells(value) <= room:
        return value
    return set_cell_size(value, room - 1) + "…" if room > 0 else ""


def _line(pair: Pair) -> tuple[Cell, ...]:
    a, b = (side.duration_ms if side else None for side in (pair.a, pair.b))
    durations = Cell(_duration(pair.a), "cyan"), Cell(_duration(pair.b), "cyan"), change(a, b)
    return _step(pair), *durations, _tokens(pair), _cost(pair), Cell(", ".join(_differences(pair)), "yellow")


def _step(pair: Pair) -> Cell:
    mark, style = MARKS[pair.where]
    indent = "  " * pair.depth if pair.depth <= MAX_INDENT else "  " * MAX_INDENT + f"⋯{pair.depth} "
    context = f" {text.clean(pair.context_id, limit=30)}" if pair.context_id else ""
    return Cell(f"{mark} {indent}{text.clean(pair.name, limit=60)}", style, context)


def _duration(side: Side | None) -> str:
    if side is None:
        return ""
    return "…" if side.status == "running" else text.duration(side.duration_ms)


def change(a: float | None, b: float | None) -> Cell:
    """How B's duration stands to A's."""
    if a is None or b is None or a <= 0 or b <= 0 or 1 / CLOSE < b / a < CLOSE:
        return Cell("")
    ratio = b / a
    said = f"{ratio - 1:+.0%}" if ratio < DOUBLE else f"{ratio:.1f}x" if ratio < TENFOLD else f"{ratio:.0f}x"
    return Cell(said, "red" if ratio > 1 else "green")


def _tokens(pair: Pair) -> Cell:
    sides = [
        text.tokens(one.prompt_tokens, one.completion_tokens, one.total_tokens) if one else ""
        for one in (pair.a, pair.b)
    ]
    return _both(*sides)


def _cost(pair: Pair) -> Cell:
    return _both(*(text.cost(one.cost_usd, one.cost_source) if one else "" for one in (pair.a, pair.b)))


def _both(a: str, b: str) -> Cell:
    """One figure where they agree or only one is there."""
    return Cell(a or b) if a == b or not a or not b else Cell(f"{a} ⇢ {b}", "yellow")


def _differences(pair: Pair) -> Iterator[str]:
    if pair.a is None or pair.b is None:
        return
    if pair.a.status != pair.b.status:
        yield f"{pair.a.status} ⇢ {pair.b.status}"
    if pair.a.model != pair.b.model:
        yield "model"
    if pair.input_differs:
        yield "input"
    if pair.output_differs:
        yield "output"
