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

MOST_NS: Final = 2.0**63
"""A longer duration is none that a clock has measured; in nanoseconds it may be infinite."""

WHOLE: Final = "━"
RIGHT_HALF: Final = "╺"
LEFT_HALF: Final = "╸"


@dataclass(frozen=True, slots=True)
class Scale:
    """From the first start to the last end, in nanoseconds."""

    begin_ns: float
    lasts_ns: float

    def of(self, row: Row) -> tuple[float, float] | None:
        """Start and end of a span as parts of the whole; None where it has no times."""
        start, end = _times(row, self.begin_ns + self.lasts_ns)
        if start is None or end is None:
            return None
        return (start - self.begin_ns) / self.lasts_ns, (end - self.begin_ns) / self.lasts_ns


def scale_of(rows: Sequence[Row]) -> Scale | None:
    """Where something lasts."""
    now_ns = time.time_ns()
    times = [_times(row, now_ns) for row in rows]
    starts = [start for start, _ in times if start is not None]
    ends = [end for _, end in times if end is not None]
    # The difference, for a float that is larger than an integer may be none.
    lasts_ns = max(ends) - min(starts) if starts and ends else 0
    return Scale(min(starts), lasts_ns) if lasts_ns > 0 else None


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars of so many cells."""

    cells: int
    scale: Scale

    def of(self, row: Row) -> str:
        """The bar of a span, half a cell at least; blank where it has no times."""
        part = self.scale.of(row)
        if part is None:
            return " " * self.cells
        halves = 2 * self.cells
        first = min(round(part[0] * halves), halves - 1)
        return _drawn(first, min(max(first + 1, round(part[1] * halves)), halves), self.cells)


def bars_of(rows: Sequence[Row], cells: int) -> Bars | None:
    """Where there is room for them, and something lasts."""
    scale = scale_of(rows) if cells >= MIN_CELLS else None
    return None if scale is None else Bars(min(cells, MAX_CELLS), scale)


def _times(row: Row, now_ns: float) -> tuple[float | None, float | None]:
    """Start and end in nanoseconds; what runs has not ended before now."""
    start, duration_ms = text.number(row["start_ns"]), text.number(row["duration_ms"])
    if start is None:
        return None, None
    if row["status"] == "running":
        return start, max(now_ns, start)
    return start, None if duration_ms is None else start + min(max(duration_ms, 0.0) * 1e6, MOST_NS)


def _drawn(first: int, last: int, cells: int) -> str:
    """Halves of cells from `first` to before `last`."""
    bar = []
    for cell in range(cells):
        left, right = first <= 2 * cell < last, first <= 2 * cell + 1 < last
        bar.append(WHOLE if left and right else LEFT_HALF if left else RIGHT_HALF if right else " ")
    return "".join(bar)
