"""P7: a database of millions of spans against an empty one: the drain, one request, the first page.

The grown one is made by growth.py: 1,000,000 small spans in requests of 10, 10,000,000 with BENCH_FULL=1 or
`--spans`. Every round drains a spool of its own into both, each in a fresh process, then asks both what the
command line asks, on a new connection each time. The files lie in the page cache. Then retention deletes of
the grown one, for some seconds, while an application records 5,000 spans a second and the same process drains
them.
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
from harness import FULL, ROUNDS, fresh, in_turn, start, workspace
from report import Row, Target, row, run
from stored import rows

DRAINED_SPANS: Final = 40_000
REQUESTS_ASKED: Final = 50
PAGES_ASKED: Final = 10
PAGE_ROWS: Final = 20
"""What `hush-otel ls` shows."""
FILTERS: Final[dict[str, Any]] = {
    "status": "failed",
    "workflow": "none of this name",
    "model": "none of this name",
    "user": "none of this name",
    "session": "none of this name",
    "tag": "none of this name",
    "errors": True,
    "min_ms": 1e6,
    "until": 1.0,
}
"""Each leaves nothing of what growth.py makes, so that nothing ends the search but its index."""
EMPTY: Final = "empty database"
GROWN: Final = "grown database"
RETENTION: Final = "retention"
PRUNE_ROUNDS: Final = 3
PRUNE_S: Final = 3.0
ARRIVE_PER_S: Final = 5_000
YOUNG_S: Final = 60.0
"""What arrives while it is measured is not too old yet; what was there before is."""
EXTERNAL: Final = {"HUSH_BACKGROUND": "external"}


# ------------------------------------------------------------------ in processes of their own


def ask(database: str) -> dict[str, float]:
    """Milliseconds of the slowest answer of each kind, with opening the database."""
    path = Path(database)
    return {
        "nodes": max(_asked_ms(path, "request_nodes", request_id=one) for one in _request_ids(path)),
        "page": max(_page_ms(path) for _ in range(PAGES_ASKED)),
        "filtered": max(_page_ms(path, **{name: value}) for name, value in FILTERS.items()),
    }


def arrive(database: str) -> None:
    """Record 5,000 spans a second until killed."""
    import sides

    from hush_otel import HushSpanProcessor

    tracer = sides.provider(HushSpanProcessor(Path(database), destinations=["local"])).get_tracer("benchmark")
    recorder, done, began = workload.work(workload.SMALL), 0, time.monotonic()
    while True:
        if done >= (time.monotonic() - began) * ARRIVE_PER_S:
            time.sleep(0.002)
            continue
        recorder.record_request(tracer, backlog.SPANS_PER_REQUEST)
        done += backlog.SPANS_PER_REQUEST
        if done == ARRIVE_PER_S:
            print("{}", flush=True)


def prune(database: str) -> dict[str, float]:
    """The owner's loop for some seconds, with all that was there before to be deleted."""
    from hush_otel.background.garbage import collect_seldom
    from hush_otel.background.retention import Retention
    from hush_otel.background.service import elect
    from hush_otel.config import Settings

    settings = Settings.load(database, retention_days=YOUNG_S / (24 * 3600))
    collect_seldom()
    service = elect(settings)
    assert service is not None
    steps, cpu = list[float](), list[float]()
    step = Retention.step

    def timed(self: Retention, **how: Any) -> None:
        began, used = time.perf_counter(), time.thread_time()
        step(self, **how)
        steps.append(time.perf_counter() - began)
        cpu.append(time.thread_time() - used)

    Retention.step = timed  # type: ignore[method-assign]
    while not service._drain.step().caught_up:
        pass  # what was recorded before it began; nothing is deleted yet
    before, began = _ledger(service), time.perf_counter()
    while time.perf_counter() < began + PRUNE_S:
        pause_s = service.step()
        if pause_s > 0:
            service._bell.wait(pause_s)
    took = time.perf_counter() - began
    after = _ledger(service)
    service.close()
    return {
        "arrived": (after["end"] - before["end"]) / took,
        "deleted": (after.get("pruned", 0) - before.get("pruned", 0)) / took,
        "longest_ms": max(steps) * 1e3,
        "longest_cpu_ms": max(cpu) * 1e3,
    }


def _ledger(service: Any) -> dict[str, int]:
    return dict(
        service._database.read(lambda db: db.execute("SELECT name, count FROM hush_ledger").fetchall())
    )


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
    assert len(found) == backlog.SPANS_PER_REQUEST
    return took * 1e3


def _page_ms(path: Path, **filters: Any) -> float:
    from hush_otel.presentation.filters import Filters
    from hush_otel.presentation.listing import page
    from hush_otel.store.reading import Reader

    began = time.perf_counter()
    with Reader(path) as reader:
        found = page(reader, Filters(**filters), limit=PAGE_ROWS)
    took = time.perf_counter() - began
    assert len(found.requests) == (0 if filters else PAGE_ROWS)
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
        found = in_turn({side: partial(databases.round, side) for side in (EMPTY, GROWN)}, ROUNDS)
        return found | in_turn({RETENTION: partial(deleting, grown / "traces.db")}, PRUNE_ROUNDS)


def deleting(database: Path) -> dict[str, float]:
    """What is deleted of the grown database in some seconds, while an application goes on recording."""
    with start("p07_growth.arrive", EXTERNAL, database=str(database)) as app:
        assert app.stdout is not None
        app.stdout.readline()
        try:
            found: dict[str, float] = fresh("p07_growth.prune", EXTERNAL, database=str(database))
        finally:
            app.kill()
    return found


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
        made(
            "first page by a filter that nothing meets, slowest of 9",
            "filtered",
            "ms",
            Target(text="≤ 50 ms", bound=50, of="ours"),
        ),
        *retention_rows(many, found[RETENTION]),
    ]


def retention_rows(many: str, found: list[dict[str, float]]) -> list[Row]:
    names = ("deleted", "arrived", "longest_ms", "longest_cpu_ms")
    deleted, arrived, longest, cpu = ([one[name] for one in found] for name in names)
    what = f"{many}: retention, while 5,000 spans/s come"
    keeps_up = Target(text="as fast as they arrive", bound=1, at_least=True)
    wait = Target(text="≤ 50 ms", bound=50, of="ours")
    return [
        row(f"{what}: deleted", deleted, "spans/s", theirs=arrived, against="arrived", target=keeps_up),
        row(f"{what}: longest step between two of the drain", longest, "ms", target=wait),
        row(f"{what}: longest step, of CPU time", cpu, "ms"),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=10_000_000 if FULL else 1_000_000)
    run(__doc__, measure, parser)
