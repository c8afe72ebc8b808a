"""P3: `insert_node_trace` against the scheme it replaces: a multiprocessing queue, one commit a row.

Ten nodes a request, each with 1.6 KB of input and output, then a mark. The caller's time is taken call by
call in runs of its own, without a pause and at 1,000 nodes a second. Without a pause the queue's own thread
gets the GIL only every 5 ms: most calls are short then, and some take what it needs, so the mean is judged
there, and the median at the pace. CPU of all threads of the app and stored rows a second come from other
runs, from the first call until the last row is committed. Both databases are counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from harness import ROUNDS, fresh, in_turn, quantile, workspace
from report import Row, Target, row, run
from stored import rows

NODES: Final = 20_000
PACE_PER_S: Final = 1_000
PACED_NODES: Final = 3_000
NODES_PER_REQUEST: Final = 10
WARM_UP: Final = 200
SEED: Final = "queue, commit a row"
OURS: Final = "hush"


# ------------------------------------------------------------------ in the app


def app(side: str, directory: str, nodes: int) -> dict[str, float]:
    """CPU of all threads in microseconds a node, and nodes stored a second."""
    store = _open(side, Path(directory))
    _insert(store.insert_node_trace, store, "warm-up", WARM_UP)
    assert store.force_flush()
    began, cpu = time.perf_counter_ns(), time.process_time_ns()
    _insert(store.insert_node_trace, store, "run", nodes)
    assert store.force_flush()
    cpu, took = time.process_time_ns() - cpu, time.perf_counter_ns() - began
    if side == SEED:
        store.close()
    return {"cpu": cpu / nodes / 1000, "rows": nodes / (took / 1e9)}


def caller(side: str, directory: str, nodes: int, pace_per_s: int) -> dict[str, float]:
    """Microseconds that a call takes."""
    store = _open(side, Path(directory))
    _insert(store.insert_node_trace, store, "warm-up", WARM_UP)
    assert store.force_flush()
    calls: list[int] = []
    _insert(_timed(store.insert_node_trace, calls), store, "run", nodes, pace_per_s)
    assert store.force_flush()
    if side == SEED:
        store.close()
    calls.sort()
    found = {name: quantile(calls, share) / 1000 for name, share in (("p50", 0.5), ("p99", 0.99))}
    return found | {"mean": sum(calls) / nodes / 1000}


def _open(side: str, directory: Path) -> Any:
    if side == SEED:
        from seed import SeedStore

        return SeedStore(directory / "traces.db")
    from hush_otel import TraceStore

    return TraceStore(directory / "traces.db")


def _insert(insert: Callable[..., None], store: Any, name: str, nodes: int, pace_per_s: int = 0) -> None:
    due = time.monotonic()
    for number in range(nodes):
        insert(*_node(name, number))
        if number % NODES_PER_REQUEST == NODES_PER_REQUEST - 1:
            store.mark_request_complete(f"{name}-{number // NODES_PER_REQUEST}", "local", {})
        if pace_per_s:
            due += 1 / pace_per_s
            time.sleep(max(due - time.monotonic(), 0))


def _node(name: str, number: int) -> tuple[Any, ...]:
    """The arguments in the order of the signature."""
    order = number % NODES_PER_REQUEST
    node, parent = (f"digest.step-{order}", "digest") if order else ("digest", None)
    return (
        *(f"{name}-{number // NODES_PER_REQUEST}", "digest", node, parent, None, order),
        *("2026-01-31T09:00:00Z", "2026-01-31T09:00:01Z", 1000.0),
        *({"prompt": "The quick brown fox. " * 45}, {"text": "Jumps over the dog. " * 32}),
        *("user-1", "session-1", "gpt-4o", 123, 45, 168, 0.0021, True, {"attempt": 1}),
    )


def _timed(insert: Callable[..., None], calls: list[int]) -> Callable[..., None]:
    def timed(*values: Any) -> None:
        began = time.perf_counter_ns()
        insert(*values)
        calls.append(time.perf_counter_ns() - began)

    return timed


# ------------------------------------------------------------------ around it

COUNT: Final = {SEED: "SELECT count(*) FROM traces", OURS: "SELECT count(*) FROM node_traces"}


def measure_side(function: str, side: str, nodes: int, **arguments: Any) -> dict[str, float]:
    with workspace() as directory:
        found: dict[str, float] = fresh(
            function, side=side, directory=str(directory), nodes=nodes, **arguments
        )
        assert rows(directory / "traces.db", COUNT[side]) == [(nodes + WARM_UP,)]
    return found


def both(function: str, nodes: int, **arguments: Any) -> Callable[..., Row]:
    """Measure both sides; returns what makes a row of one figure of it."""
    runs = {side: partial(measure_side, function, side, nodes, **arguments) for side in (SEED, OURS)}
    found = in_turn(runs, ROUNDS)

    def made(what: str, figure: str, unit: str, **shown: Any) -> Row:
        ours, theirs = ([one[figure] for one in found[side]] for side in (OURS, SEED))
        return row(what, ours, unit, theirs=theirs, against=SEED, **shown)

    return made


def measure() -> list[Row]:
    calls = both("p03_node_traces.caller", NODES, pace_per_s=0)
    paced = both("p03_node_traces.caller", PACED_NODES, pace_per_s=PACE_PER_S)
    whole = both("p03_node_traces.app", NODES)
    half, quarter = Target(text="≤ 1/2", bound=1 / 2), Target(text="≤ 1/4", bound=1 / 4)
    six_times = Target(text="≥ 6x", bound=6, at_least=True)
    return [
        calls("caller's time, mean", "mean", "µs", target=half, show="fraction"),
        calls("caller's time, p50", "p50", "µs", show="fraction"),
        calls("caller's time, p99", "p99", "µs", show="fraction"),
        paced("caller's time at 1,000 a second, p50", "p50", "µs", target=half, show="fraction"),
        paced("caller's time at 1,000 a second, mean", "mean", "µs", show="fraction"),
        paced("caller's time at 1,000 a second, p99", "p99", "µs", show="fraction"),
        whole("CPU of the app, a node", "cpu", "µs", target=quarter, show="fraction"),
        whole("stored, end to end", "rows", "rows/s", target=six_times),
    ]


if __name__ == "__main__":
    run(__doc__, measure)
