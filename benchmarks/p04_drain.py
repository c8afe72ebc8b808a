"""P4: the drain, spool to SQLite, against `executemany` of the same rows into the same table and indexes.

The drain reads a spool with start and end records (live), decodes them, makes rows, sums requests up, fills
the outbox for a destination, and queues every delivery. The limit has the rows ready and only inserts them.
Both in a fresh process, over the same spans, each with the closing of its database.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import backlog
import workload
from backlog import Backlog
from harness import ROUNDS, fresh, in_turn, workspace
from report import Row, Target, row, run
from sides import RULES

SPANS: Final = 60_000
INFO_ROUNDS: Final = 3
LIMIT: Final = "executemany"
DRAIN: Final = "drain"

REDACTED: Final = "the same without redaction"
HALF: Final = Target(text="≥ 50 %", bound=0.5, at_least=True)
RATE: Final = Target(text="≥ 30,000 spans/s", bound=30_000, of="ours", at_least=True)


def limit(spool: Backlog) -> dict[str, float]:
    with workspace() as directory:
        found: dict[str, float] = fresh(
            "limit.insert", spool=str(spool.spool), database=str(directory / "limit.db")
        )
    assert found["spans"] == spool.spans
    return found


def drain(spool: Backlog, config: str = "") -> dict[str, float]:
    with workspace() as directory:
        return backlog.drained(spool, directory, config)


def both(work: str, *, rounds: int = ROUNDS, **how: Any) -> Callable[..., Row]:
    """Measure both sides over one backlog; returns what makes a row of one clock."""
    with workspace() as directory:
        spool = backlog.record(directory, work, SPANS, **how)
        found = in_turn({LIMIT: partial(limit, spool), DRAIN: partial(drain, spool)}, rounds)

    def made(what: str, clock: str, target: Target | None = None) -> Row:
        theirs, ours = ([one["spans"] / one[clock] for one in found[side]] for side in (LIMIT, DRAIN))
        return row(what, ours, "spans/s", theirs=theirs, against=LIMIT, target=target, show="percent")

    return made


def redaction() -> Row:
    """The drain with rules and without, in turn over one backlog."""
    with workspace() as directory:
        spool = backlog.record(directory, workload.LLM, SPANS)
        found = in_turn({REDACTED: partial(drain, spool), DRAIN: partial(drain, spool, RULES)}, INFO_ROUNDS)
    theirs, ours = ([one["spans"] / one["wall_s"] for one in found[side]] for side in (REDACTED, DRAIN))
    return row("LLM spans with redaction", ours, "spans/s", theirs=theirs, against=REDACTED, show="percent")


def searched(spool: Backlog) -> dict[str, float]:
    """The drain with nothing else to do, then the index of what it has stored."""
    with workspace() as directory:
        drained = backlog.drained(spool, directory)
        found: dict[str, float] = fresh("backlog.index", database=str(directory / "traces.db"))
    return {f"index_{name}": value for name, value in found.items()} | drained


def full_text(work: str, what: str) -> list[Row]:
    """The index does not work while the drain has something to do: it has a rate, and a size, of its own."""
    with workspace() as directory:
        spool = backlog.record(directory, work, SPANS)
        found = in_turn({DRAIN: partial(searched, spool)}, INFO_ROUNDS)[DRAIN]
    spans = found[0]["spans"]
    drains = [spans / one["wall_s"] for one in found]
    return [
        row(
            f"{what} indexed for full-text search, behind the drain",
            [spans / one["index_wall_s"] for one in found],
            "spans/s",
            theirs=drains,
            against=DRAIN,
            show="percent",
        ),
        row(f"{what}: CPU time of indexing", [one["index_cpu_s"] / spans * 1e6 for one in found], "µs/span"),
        row(f"{what}: size of the index", [one["index_bytes"] / spans for one in found], "bytes/span"),
        row(f"{what}: longest step, of CPU time", [one["index_longest_ms"] for one in found], "ms"),
    ]


def measure() -> list[Row]:
    llm, small = both(workload.LLM), both(workload.SMALL)
    single = both(workload.LLM, rounds=INFO_ROUNDS, spans_per_request=1)
    running = both(workload.LLM, rounds=INFO_ROUNDS, open_at_once=3_000)
    return [
        llm("LLM spans", "wall_s", HALF),
        llm("LLM spans", "wall_s", RATE),
        llm("LLM spans, of CPU time", "cpu_s"),
        small("small spans", "wall_s", HALF),
        small("small spans, of CPU time", "cpu_s"),
        single("LLM spans, each a request of its own", "wall_s"),
        running("LLM spans, 3,000 side by side: starts stored before their ends", "wall_s"),
        *full_text(workload.LLM, "LLM spans"),
        *full_text(workload.SMALL, "small spans"),
        redaction(),
    ]


if __name__ == "__main__":
    run(__doc__, measure)
