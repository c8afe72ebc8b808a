"""P8: a long backlog, drained in one pass, against the 60,000 spans of P4, and the memory that it takes.

1 GB with BENCH_FULL=1, else 400 MB: both are more than the drain may hold at once. LLM spans with their start
records, in requests of 10; the same drain in a fresh process.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import backlog
import workload
from backlog import Backlog
from harness import FULL, in_turn, workspace
from report import Row, Target, row, run

BACKLOG_MB: Final = 1_000 if FULL else 400
SPAN_KB: Final = 2.9
"""An LLM span's start and end record in a segment."""
SHORT_SPANS: Final = 60_000
ROUNDS: Final = 3
SHORT: Final = "60,000 spans"
LONG: Final = "backlog"


def drained(spool: Backlog) -> dict[str, float]:
    with workspace() as directory:
        return backlog.drained(spool, directory)


def measure() -> list[Row]:
    with workspace() as short_place, workspace() as long_place:
        short = backlog.record(short_place, workload.LLM, SHORT_SPANS)
        long = backlog.record(long_place, workload.LLM, int(BACKLOG_MB * 1000 / SPAN_KB))
        size = f"{long.size_mb():,.0f} MB"
        found = in_turn({SHORT: partial(drained, short), LONG: partial(drained, long)}, ROUNDS)
    theirs, ours = found[SHORT], found[LONG]
    return [
        row(
            f"{size}, drained",
            [one["spans"] / one["wall_s"] for one in ours],
            "spans/s",
            theirs=[one["spans"] / one["wall_s"] for one in theirs],
            against=SHORT,
            target=Target(text="≥ 80 %", bound=0.8, at_least=True),
            show="percent",
        ),
        row(
            f"{size}, peak RSS of the draining process",
            [one["peak_mb"] for one in ours],
            "MB",
            theirs=[one["peak_mb"] for one in theirs],
            against=SHORT,
            target=Target(text="≤ 150 MB", bound=150, of="ours"),
        ),
    ]


if __name__ == "__main__":
    run(__doc__, measure)
