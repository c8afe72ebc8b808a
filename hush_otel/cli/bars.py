"""Waterfall bars: when each span of a request ran, on one line of a terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hush_otel.presentation import text
from hush_otel.presentation.tree import Row

MIN_CELLS: Final = 16
MAX_CELLS: Final = 48
"""Fewer say too little, more are hard to follow."""

WHOLE: Final = "━"
RIGHT_HALF: Final = "╺"
LEFT_HALF: Final = "╸"


@dataclass(frozen=True, slots=True)
class Bars:
    """A scale from the first start to the last end.

    Attributes:
        cells: How wide.
        begin_ns: Where it begins; it lasts `lasts_ns`.
    """

    cells: int
    begin_ns: float
    lasts_ns: float

    def of(self, row: Row) -> str:
        """The bar of a span, half a cell at least; blank where it has no times."""
        start, end = _times(row, self.begin_ns + self.lasts_ns)
        if start is None or end is None:
            return " " * self.cells
        halves = 2 * self.cells
        first = min(self._at(start), halves - 1)
        return _drawn(first, min(max(first + 1, self._at(end)), halves), self.cells)

    def _at(self, time_ns: float) -> int:
        """In halves of cells."""
        return round((time_ns - self.begin_ns) / self.lasts_ns * 2 * self.cells)


def bars_of(rows: Sequence[Row], cells: int) -> Bars | None:
    """Where there is room for a scale, and something lasts."""
    if cells < MIN_CELLS:
        return None
    now_ns = time.time_ns()
    times = [_times(row, now_ns) for row in rows]
    starts = [start for start, _ in times if start is not None]
    ends = [end for _, end in times if end is not None]
    if not starts or not ends or max(ends) <= min(starts):
        return None
    return Bars(min(cells, MAX_CELLS), min(starts), max(ends) - min(starts))


def _times(row: Row, now_ns: float) -> tuple[float | None, float | None]:
    """Start and end in nanoseconds; what runs has not ended before now."""
    start, duration_ms = text.number(row["start_ns"]), text.number(row["duration_ms"])
    if start is None:
        return None, None
    if row["status"] == "running":
        return start, max(now_ns, start)
    return start, None if duration_ms is None else start + max(duration_ms, 0.0) * 1e6


def _drawn(first: int, last: int, cells: int) -> str:
    """Halves of cells from `first` to before `last`."""
    bar = []
    for cell in range(cells):
        left, right = first <= 2 * cell < last, first <= 2 * cell + 1 < last
        bar.append(WHOLE if left and right else LEFT_HALF if left else RIGHT_HALF if right else " ")
    return "".join(bar)
