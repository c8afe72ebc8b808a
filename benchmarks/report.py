"""Rows of a benchmark: both sides, ratio, target, met or missed; printed, and kept as JSON for run_all.py."""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

Show = Literal["fraction", "percent", "times"]


@dataclass(frozen=True)
class Spread:
    """A figure over the rounds of a run."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a figure has to reach.

    Attributes:
        text: As it is shown.
        bound: The number.
        of: Which column it bounds.
        at_least: Whether more is better.
        worst: Whether every round has to reach it, not their median.
    """

    text: str
    bound: float
    of: Literal["ratio", "ours"] = "ratio"
    at_least: bool = False
    worst: bool = False

    def is_met(self, found: Spread) -> bool:
        if self.at_least:
            return (found.low if self.worst else found.median) >= self.bound
        return (found.high if self.worst else found.median) <= self.bound


@dataclass(frozen=True)
class Row:
    """One line of a result; texts as they are shown."""

    what: str
    against: str
    theirs: str
    ours: str
    ratio: str
    target: str
    verdict: str


def row(
    what: str,
    ours: Sequence[float],
    unit: str,
    *,
    theirs: Sequence[float] = (),
    against: str = "",
    target: Target | None = None,
    show: Show = "times",
) -> Row:
    """Both sides of one figure. Ratios are taken round by round: the sides of a round met the same machine.

    Args:
        what: What is measured.
        ours: One value a round.
        unit: Of the values.
        theirs: The other side's, in the same rounds.
        against: Who the other side is.
        target: None for a row that only informs.
        show: How the ratio ours : theirs reads best.
    """
    mine = Spread.of(ours)
    ratio = Spread.of([a / b for a, b in zip(ours, theirs, strict=False) if b > 0]) if theirs else None
    verdict = ""
    if target is not None:
        judged = ratio if target.of == "ratio" else mine
        assert judged is not None
        verdict = "met" if target.is_met(judged) else "MISSED"
    return Row(
        what,
        against,
        _text(Spread.of(theirs), unit) if theirs else "",
        _text(mine, unit),
        _ratio_text(ratio, show) if ratio else "",
        target.text if target else "",
        verdict,
    )


def fact(
    what: str, ours: str, *, theirs: str = "", against: str = "", target: str = "", met: bool = True
) -> Row:
    """A row of which the figures are no rates: counts."""
    return Row(what, against, theirs, ours, "", target, ("met" if met else "MISSED") if target else "")


def _text(found: Spread, unit: str) -> str:
    number = _number(found.median)
    return f"{number} {unit} ({_number(found.low)} to {_number(found.high)})"


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _ratio_text(ratio: Spread, show: Show) -> str:
    values = (ratio.median, ratio.low, ratio.high)
    if show == "fraction":
        middle, low, high = (f"1/{1 / value:.1f}" if 0 < value < 1 else f"{value:.1f}x" for value in values)
        return f"{middle} ({low} to {high})"
    if show == "percent":
        return "{:.0%} ({:.0%} to {:.0%})".format(*values)
    middle, low, high = (_number(value) for value in values)
    return f"{middle}x ({low} to {high})"


COLUMNS: Final = ("what", "against", "theirs", "ours", "ours : theirs", "target", "verdict")


def show_rows(title: str, rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", caption_justify="left")
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for one in rows:
        style = {"met": "green", "MISSED": "red"}.get(one.verdict, "")
        table.add_row(*dataclasses.astuple(one), style=style)
    Console(width=None if sys.stdout.isatty() else 170).print(table)


def run(docstring: str | None, measure: Callable[[], Sequence[Row]], arguments: Any = None) -> None:
    """A program's main: measure, print, and with --json FILE keep the rows."""
    parser = arguments or argparse.ArgumentParser(description=docstring)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    title = (docstring or "").partition("\n")[0]
    rows = measure(options) if arguments else measure()
    show_rows(title, rows)
    if options.json:
        content = {"title": title, "rows": [dataclasses.asdict(one) for one in rows]}
        options.json.write_text(json.dumps(content), encoding="utf-8")
