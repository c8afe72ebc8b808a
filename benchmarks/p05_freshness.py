"""P5: how soon an ended span is visible by SELECT, and what the idle background process costs.

An app ends 100 spans a second; a reader in another process looks every 0.5 ms, on a read-only connection,
at the public view. Then nothing happens for 20 s, in which CPU and memory of the background process are read,
and a loop that looks into a directory every 20 ms runs beside as the other way to be fresh. Then single
spans, 10 s apart. For BatchSpanProcessor fresh means: accepted by the receiver.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import workload
from harness import (
    FULL,
    background_pid,
    cpu_s,
    in_turn,
    memory_mb,
    quantile,
    result,
    start,
    until,
    workspace,
)
from report import Row, Target, row, run
from sides import BATCH_HTTP, HUSH, HUSH_NOT_LIVE
from sinks import Sink, otlp_sink

RATE_PER_S: Final = 100
SPANS: Final = 1_000
WARM_UP: Final = 50
"""Spans that are left out: the background process is being started."""
SETTLE_S: Final = 1.0
IDLE_S: Final = 20
REST_S: Final = 10
SINGLE_SPANS: Final = 2
ROUNDS: Final = 5 if FULL else 2
POLL_S: Final = 0.0005
POLLING: Final = "20 ms polling"
SEARCHED: Final = {"HUSH_SEARCH": "on"}
"""As users have it: a span that ends while the full-text index is worked on waits for that step."""


# ------------------------------------------------------------------ the app, and who looks


def app(side: str, sink: Sequence[str], directory: str) -> list[tuple[str, int]]:
    """End spans when told to: each line of standard input is a number of spans to come.

    Returns:
        Span ids in hex, and the monotonic nanoseconds before each call of `end`.
    """
    import sides

    provider = sides.provider(sides.processor(side, sink, directory))
    tracer = provider.get_tracer("benchmark")
    ended: list[tuple[str, int]] = []
    for line in sys.stdin:
        _end_spans(tracer, int(line), ended)
        print("done", flush=True)
    provider.shutdown()
    return ended


def _end_spans(tracer: Any, spans: int, ended: list[tuple[str, int]]) -> None:
    recorder = workload.work(workload.LLM)
    due = time.monotonic()
    for _ in range(spans):
        span, content = recorder.begin(tracer)
        span.set_attributes(content.before_end)
        ended.append((f"{span.get_span_context().span_id:016x}", time.monotonic_ns()))
        span.end()
        due += 1 / RATE_PER_S
        time.sleep(max(due - time.monotonic(), 0))


def watch(database: str, spans: int) -> list[tuple[str, int]]:
    """In a process of its own: when each ended span was first seen, until so many are."""
    until(Path(database).is_file, "a database")
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None)
    seen: list[tuple[str, int]] = []
    last = 0
    while len(seen) < spans:
        for number, span_id in _ended_after(connection, last):
            seen.append((span_id, time.monotonic_ns()))
            last = number
        time.sleep(POLL_S)
    return seen


def _ended_after(connection: sqlite3.Connection, last: int) -> Iterator[tuple[int, str]]:
    """Rows in the order of their starts, which is that of their ends here, up to one that still runs."""
    sql = "SELECT id, span_id, status FROM node_traces WHERE id > ? ORDER BY id"
    try:
        rows = connection.execute(sql, (last,)).fetchall()
    except sqlite3.OperationalError:
        return  # the schema is being made
    for number, span_id, status in rows:
        if status == "running":
            return
        yield number, span_id


POLLING_LOOP: Final = "import os, sys, time\nwhile True:\n    os.listdir(sys.argv[1])\n    time.sleep(0.02)"


@contextmanager
def polling(directory: Path) -> Iterator[int]:
    """A process that looks into a directory every 20 ms; yields its pid."""
    with subprocess.Popen([sys.executable, "-c", POLLING_LOOP, str(directory)]) as process:
        yield process.pid
        process.kill()


# ------------------------------------------------------------------ around them


class App:
    """The app's process, told by lines how many spans to end."""

    def __init__(self, side: str, sink: Sequence[str], directory: Path) -> None:
        self._process = start("p05_freshness.app", SEARCHED, side=side, sink=sink, directory=str(directory))

    def end_spans(self, spans: int) -> None:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{spans}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"

    def close(self) -> dict[str, int]:
        """When each span ended, by its id, in the order in which they did."""
        return dict(result(self._process))


def idle_cost(pid: int, directory: Path) -> dict[str, float]:
    """CPU over IDLE_S in percent of a core, and memory."""
    with polling(directory) as other:
        time.sleep(SETTLE_S)  # start-up and the last deliveries are over
        before, before_other = cpu_s(pid), cpu_s(other)
        time.sleep(IDLE_S)
        return {
            "cpu": (cpu_s(pid) - before) / IDLE_S * 100,
            POLLING: (cpu_s(other) - before_other) / IDLE_S * 100,
            "rss": memory_mb("VmRSS", pid),
            "peak": memory_mb("VmHWM", pid),
        }


def delays_ms(ended: dict[str, int], seen: dict[str, int]) -> list[float]:
    return [(seen[span_id] - ended_ns) / 1e6 for span_id, ended_ns in ended.items()]


def measure_ours(side: str, sink: Sink) -> dict[str, Any]:
    """Milliseconds from end to visible; for the default mode also after a rest, and the idle cost."""
    singles = SINGLE_SPANS if side == HUSH else 0
    with workspace() as directory:
        app = App(side, sink, directory)
        watcher = start("p05_freshness.watch", database=str(directory / "traces.db"), spans=SPANS + singles)
        app.end_spans(SPANS)
        found = idle_cost(background_pid(directory), directory) if singles else {}
        for number in range(singles):
            time.sleep(REST_S if number else 0)
            app.end_spans(1)
        delays = delays_ms(app.close(), dict(result(watcher)))
    sink.taken()
    return {"delays": delays[WARM_UP:SPANS], "singles": delays[SPANS:], **found}


def measure_batch(sink: Sink) -> dict[str, Any]:
    """Milliseconds from end to accepted by the receiver."""
    with workspace() as directory:
        app = App(BATCH_HTTP, sink, directory)
        app.end_spans(SPANS)
        delays = delays_ms(app.close(), sink.arrivals())
    return {"delays": delays[WARM_UP:]}


def delay_rows(found: dict[str, list[dict[str, Any]]]) -> Iterator[Row]:
    targets = {
        "p50": Target(text="≤ 20 ms", bound=20, of="ours"),
        "p99": Target(text="≤ 60 ms", bound=60, of="ours"),
    }
    for side in (HUSH, HUSH_NOT_LIVE):
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            ours, theirs = (
                [quantile(sorted(one["delays"]), share) for one in found[of]] for of in (side, BATCH_HTTP)
            )
            yield row(
                f"ended → visible at 100 spans/s, {side}, {name}",
                ours,
                "ms",
                theirs=theirs,
                against=BATCH_HTTP,
                target=targets.get(name),
                show="fraction",
            )


def idle_rows(found: list[dict[str, Any]]) -> Iterator[Row]:
    soon = Target(text="≤ 100 ms, every one", bound=100, of="ours", worst=True)
    yield row(
        "the first span after 10 s without", [ms for one in found for ms in one["singles"]], "ms", target=soon
    )
    yield row(
        "idle background process, CPU",
        [one["cpu"] for one in found],
        "% of a core",
        theirs=[one[POLLING] for one in found],
        against=POLLING,
        target=Target(text="≤ 0.2 %", bound=0.2, of="ours"),
        show="fraction",
    )
    memory = Target(text="≤ 60 MB", bound=60, of="ours")
    yield row("idle background process, RSS", [one["rss"] for one in found], "MB", target=memory)
    yield row("its peak RSS", [one["peak"] for one in found], "MB")


def measure() -> list[Row]:
    with otlp_sink() as sink:
        sides = {side: partial(measure_ours, side, sink) for side in (HUSH, HUSH_NOT_LIVE)}
        found = in_turn({BATCH_HTTP: partial(measure_batch, sink), **sides}, ROUNDS)
    return [*delay_rows(found), *idle_rows(found[HUSH])]


if __name__ == "__main__":
    run(__doc__, measure)
