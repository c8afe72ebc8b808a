"""P2: how long `on_start` and `on_end` hold up their caller, against BatchSpanProcessor + OTLP/HTTP.

Batch's `on_end` appends to a queue in memory; ours returns when the span survives SIGKILL. Calls are timed
one by one, in runs of their own: alone, beside a CPU-bound thread, in 8 threads. Fresh pages count: nothing
is warmed up, the first span and the calls that begin a segment are in the distribution and apart.

Where other threads run, an app thread comes back from waiting, records some spans and waits again: whoever
gives up the GIL within a call waits to get it back, 5 ms beside a CPU-bound thread. In the rows that never
wait, the interpreter itself takes the GIL away every 5 ms, from whatever runs then.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import workload
from harness import ROUNDS, fresh, in_turn, quantile, workspace
from report import Row, Target, row, run
from sides import BATCH_HTTP, HUSH
from sinks import Sink, otlp_sink

SPANS: Final = 10_000
THREADS: Final = 8
BURST_SPANS: Final = 20
"""What a thread records before it waits again: under a millisecond, far below the 5 ms of a GIL slice."""
WAIT_S: Final = 0.001
QUANTILES: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}

ALONE: Final = "alone"
BESIDE_CPU: Final = "beside a CPU-bound thread"
BESIDE_CPU_NO_WAIT: Final = "beside a CPU-bound thread, never waiting"
IN_THREADS: Final = f"in {THREADS} threads"
IN_THREADS_NO_WAIT: Final = f"in {THREADS} threads, never waiting"


# ------------------------------------------------------------------ in the app


class Timed:
    """Stands before a processor and times its calls, in nanoseconds; 0.1 µs of each is its own."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.rolls: list[int] = []
        """Calls that made a segment, the first one excepted."""
        pipeline = getattr(inner, "_pipeline", None)
        self._writer = pipeline.writer if pipeline else None
        self._segment: object = None

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        began = time.perf_counter_ns()
        self.inner.on_start(span, parent_context)
        self._note(self.starts, time.perf_counter_ns() - began)

    def _on_ending(self, span: Any) -> None:
        """Nobody here needs it."""

    def on_end(self, span: Any) -> None:
        began = time.perf_counter_ns()
        self.inner.on_end(span)
        self._note(self.ends, time.perf_counter_ns() - began)

    def _note(self, calls: list[int], took_ns: int) -> None:
        calls.append(took_ns)
        if self._writer is not None and self._writer._segment is not self._segment:
            if self._segment is not None:
                self.rolls.append(took_ns)
            self._segment = self._writer._segment

    def shutdown(self) -> None:
        self.inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.inner.force_flush(timeout_millis)


def app(side: str, work: str, condition: str, sink: Sequence[str], directory: str) -> dict[str, float]:
    """Microseconds by the names that `named` makes."""
    import sides

    timed = Timed(sides.processor(side, sink, directory))
    provider = sides.provider(timed)
    tracer = provider.get_tracer("benchmark")
    _CONDITIONS[condition](work, tracer)
    assert provider.force_flush(60_000)
    provider.shutdown()
    found = {"first on_start": timed.starts[0] / 1000, "first on_end": timed.ends[0] / 1000}
    if timed.rolls:
        found["roll"] = max(timed.rolls) / 1000
    for call, calls in (("on_start", sorted(timed.starts)), ("on_end", sorted(timed.ends))):
        found |= {f"{call} {name}": quantile(calls, share) / 1000 for name, share in QUANTILES.items()}
    return found | {"worst": max(found["on_start max"], found["on_end max"])}


def _alone(work: str, tracer: Any, spans: int = SPANS) -> None:
    record = workload.work(work).record
    for _ in range(spans):
        record(tracer)


def _in_bursts(work: str, tracer: Any, spans: int = SPANS) -> None:
    record = workload.work(work).record
    for _ in range(spans // BURST_SPANS):
        time.sleep(WAIT_S)
        for _ in range(BURST_SPANS):
            record(tracer)


def _beside_cpu(record_all: Any, work: str, tracer: Any) -> None:
    stop: list[bool] = []

    def spin() -> None:
        for number in itertools.count():
            if stop and number:
                return

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    record_all(work, tracer)
    stop.append(True)
    thread.join()


def _in_threads(record_all: Any, work: str, tracer: Any) -> None:
    each = (work, tracer, SPANS // THREADS)
    threads = [threading.Thread(target=record_all, args=each) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


_CONDITIONS: Final = {
    ALONE: _alone,
    BESIDE_CPU: partial(_beside_cpu, _in_bursts),
    BESIDE_CPU_NO_WAIT: partial(_beside_cpu, _alone),
    IN_THREADS: partial(_in_threads, _in_bursts),
    IN_THREADS_NO_WAIT: partial(_in_threads, _alone),
}


# ------------------------------------------------------------------ around it


def measure_side(side: str, work: str, condition: str, sink: Sink) -> dict[str, float]:
    with workspace() as directory:
        found: dict[str, float] = fresh(
            "p02_latency.app",
            side=side,
            work=work,
            condition=condition,
            sink=sink,
            directory=str(directory),
        )
    sink.taken()
    return found


class Condition:
    """Both sides under one condition, and rows of what was found."""

    def __init__(self, work: str, condition: str, sink: Sink) -> None:
        self._label = f"{'small' if work == workload.SMALL else 'LLM'} span {condition}"
        runs = {side: partial(measure_side, side, work, condition, sink) for side in (HUSH, BATCH_HTTP)}
        self._found = in_turn(runs, ROUNDS)

    def row(self, figure: str, target: Target | None = None) -> Row:
        ours, theirs = (
            [one[figure] for one in self._found[side] if figure in one] for side in (HUSH, BATCH_HTTP)
        )
        return row(
            f"{self._label}: {figure}",
            ours,
            "µs",
            theirs=theirs,
            against=BATCH_HTTP if theirs else "",
            target=target,
        )

    def rows(self, call: str, **targets: Target) -> list[Row]:
        """All quantiles of a call; `p99_9` stands for p99.9."""
        return [self.row(f"{call} {name}", targets.get(name.replace(".", "_"))) for name in QUANTILES]


def at_most_us(bound: float, text: str, *, worst: bool = False) -> Target:
    return Target(text=text, bound=bound, of="ours", worst=worst)


def measure() -> list[Row]:
    worst = at_most_us(10_000, "≤ 10 ms, every round", worst=True)
    tail = at_most_us(100, "≤ 100 µs")
    with otlp_sink() as sink:
        alone = Condition(workload.LLM, ALONE, sink)
        small = Condition(workload.SMALL, ALONE, sink)
        beside = Condition(workload.LLM, BESIDE_CPU, sink)
        never_waiting = Condition(workload.LLM, BESIDE_CPU_NO_WAIT, sink)
        threads = Condition(workload.LLM, IN_THREADS, sink)
        threads_never_waiting = Condition(workload.LLM, IN_THREADS_NO_WAIT, sink)
    return [
        *alone.rows("on_end", p50=at_most_us(5, "≤ 5 µs")),
        *alone.rows("on_start", p50=at_most_us(3, "≤ 3 µs")),
        small.row("on_end p50", at_most_us(3, "≤ 3 µs")),
        small.row("on_start p50", at_most_us(3, "≤ 3 µs")),
        alone.row("first on_start"),
        alone.row("first on_end"),
        alone.row("roll"),
        alone.row("worst", worst),
        *beside.rows("on_end", p99_9=tail),
        *beside.rows("on_start", p99_9=tail),
        beside.row("worst", worst),
        *never_waiting.rows("on_end"),
        *threads.rows("on_end"),
        *threads_never_waiting.rows("on_end"),
    ]


if __name__ == "__main__":
    run(__doc__, measure)
