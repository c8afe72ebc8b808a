"""P7: a database of millions of spans against an empty one: the drain, one request, the first page.

The grown one is made by growth.py: 1,000,000 small spans in requests of 10, 10,000,000 with BENCH_FULL=1 or
`--spans`. Every round drains a spool of its own into both, each in a fresh process, then asks both what the
command line asks, on a new connection each time. The files lie in the page cache.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

import backlog
import growth
import workload
from backlog import Backlog
from harness import FULL, ROUNDS, fresh, in_turn, workspace
from report import Row, Target, missing, row, run
from stored import rows

DRAINED_SPANS: Final = 40_000
REQUESTS_ASKED: Final = 50
PAGES_ASKED: Final = 10
PAGE_ROWS: Final = 20
"""What `hush-otel ls` shows."""
EMPTY: Final = "empty database"
GROWN: Final = "grown database"


# ------------------------------------------------------------------ in processes of their own


def ask(database: str) -> dict[str, float]:
    """Milliseconds of the slowest answer of each kind, with opening the database."""
    path = Path(database)
    page = {"limit": PAGE_ROWS, "status": None, "workflow": None}
    return {
        "nodes": max(_asked_ms(path, "request_nodes", request_id=one) for one in _request_ids(path)),
        "page": max(_asked_ms(path, "list_requests", **page) for _ in range(PAGES_ASKED)),
    }


def _request_ids(path: Path) -> list[str]:
    """Of requests from everywhere in the table."""
    ((last,),) = rows(path, "SELECT max(id) FROM hush_requests")
    some = [last * number // REQUESTS_ASKED + 1 for number in range(REQUESTS_ASKED)]
    return [one for (one,) in rows(path, f"SELECT request_id FROM hush_requests WHERE id IN {tuple(some)}")]  # noqa: S608


def _asked_ms(path: Path, query: str, **parameters: Any) -> float:
    from hush_otel.store.reading import Reader

    began = time.perf_counter()
    with Reader(path) as reader:
        found = reader.rows(query, **parameters)
    took = time.perf_counter() - began
    assert len(found) in (backlog.SPANS_PER_REQUEST, PAGE_ROWS)
    return took * 1e3


# ------------------------------------------------------------------ around them


class Databases:
    """Both databases. A round brings spans to both that neither has seen."""

    def __init__(self, grown: Path, spools: list[Backlog]) -> None:
        self._grown = grown
        self._spools = {EMPTY: iter(spools), GROWN: iter(spools)}

    def round(self, side: str) -> dict[str, float]:
        with workspace() as directory:
            place = directory if side == EMPTY else self._grown
            found = backlog.drained(next(self._spools[side]), place)
            answers = fresh("p07_growth.ask", database=str(place / "traces.db"))
        return {"rate": found["spans"] / found["wall_s"], **answers}


def rounds_of(spans: int) -> dict[str, list[dict[str, float]]]:
    with workspace() as directory:
        grown, *places = (directory / name for name in ("grown", *map(str, range(ROUNDS))))
        for place in (grown, *places):
            place.mkdir()
        growth.fill(grown / "traces.db", spans)
        spools = [backlog.record(place, workload.SMALL, DRAINED_SPANS) for place in places]
        databases = Databases(grown, spools)
        return in_turn({side: partial(databases.round, side) for side in (EMPTY, GROWN)}, ROUNDS)


def measure(options: argparse.Namespace) -> list[Row]:
    found = rounds_of(options.spans)
    many = f"{options.spans:,} spans"

    def made(what: str, figure: str, unit: str, target: Target, **shown: Any) -> Row:
        ours, theirs = ([one[figure] for one in found[side]] for side in (GROWN, EMPTY))
        return row(f"{many}: {what}", ours, unit, theirs=theirs, against=EMPTY, target=target, **shown)

    return [
        made(
            "drain, small spans",
            "rate",
            "spans/s",
            Target(text="≥ 75 %", bound=0.75, at_least=True),
            show="percent",
        ),
        made(
            "one request's nodes, slowest of 50", "nodes", "ms", Target(text="≤ 10 ms", bound=10, of="ours")
        ),
        made(
            "first page of requests, slowest of 10", "page", "ms", Target(text="≤ 50 ms", bound=50, of="ours")
        ),
        missing("retention", "keeps up with 5,000 spans/s"),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=10_000_000 if FULL else 1_000_000)
    run(__doc__, measure, parser)
