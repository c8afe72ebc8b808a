"""P1: CPU that a span adds to its app, all threads, flush included, against BatchSpanProcessor + OTLP/HTTP.

Each side records the same spans in a fresh process, then flushes: Batch has exported all of them to a sink
in another process, hush-otel has them in SQLite and delivers them to the same sink. What the app needs
without a processor is subtracted, round by round. Both ends are counted: neither side may drop. The other
processors inform; so does a pace of 1,000 spans a second, ten of them every 10 ms: an app that waits after
every span spends more on waking, and more unevenly, than any processor adds. After SIGKILL what is left of
the spans is counted.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import workload
from harness import ROUNDS, fresh, in_turn, start, workspace
from report import Row, Target, fact, row, run
from sides import (
    BATCH_GRPC,
    BATCH_HTTP,
    BATCH_NULL,
    HUSH,
    HUSH_NOT_LIVE,
    HUSH_REDACTING,
    NOTHING,
    OURS,
    SIMPLE_HTTP,
)
from sinks import Sink, otlp_sink
from stored import ended_spans, expect

SPANS: Final = 10_000
SIMPLE_SPANS: Final = 1_000
"""A request for each span: a tenth of them take as long."""
WARM_UP: Final = 200
PACE_PER_S: Final = 1_000
PACED_SPANS: Final = 4_000
BURST_SPANS: Final = 10
INFO_ROUNDS: Final = 3

TARGETS: Final = {
    HUSH: Target(text="≤ 1/5", bound=1 / 5),
    HUSH_NOT_LIVE: Target(text="≤ 1/8", bound=1 / 8),
}


# ------------------------------------------------------------------ in the app


def app(side: str, work: str, spans: int, pace_per_s: int, sink: Sequence[str], directory: str) -> float:
    """Microseconds of process CPU for a span, on all threads, until everything is flushed."""
    import sides

    processor = sides.processor(side, sink, directory)
    provider = sides.provider(processor)
    tracer = provider.get_tracer("benchmark")
    recorder = workload.work(work)
    record_all(recorder, tracer, WARM_UP, 0)
    assert provider.force_flush(60_000)
    began = time.process_time_ns()
    record_all(recorder, tracer, spans, pace_per_s)
    assert provider.force_flush(60_000)
    used = time.process_time_ns() - began
    provider.shutdown()
    return used / spans / 1000


def record_all(recorder: workload.Work, tracer: Any, spans: int, pace_per_s: int) -> None:
    record = recorder.record
    if not pace_per_s:
        for _ in range(spans):
            record(tracer)
        return
    due = time.monotonic()
    for _ in range(spans // BURST_SPANS):
        for _ in range(BURST_SPANS):
            record(tracer)
        due += BURST_SPANS / pace_per_s
        time.sleep(max(due - time.monotonic(), 0))


def killed(side: str, sink: Sequence[str], directory: str) -> None:
    """End spans, then die at once."""
    import sides

    tracer = sides.provider(sides.processor(side, sink, directory)).get_tracer("benchmark")
    record_all(workload.work(workload.LLM), tracer, SPANS, 0)
    os.kill(os.getpid(), signal.SIGKILL)


# ------------------------------------------------------------------ around it


def measure_side(side: str, work: str, spans: int, pace_per_s: int, sink: Sink) -> float:
    """One run, after which both ends are counted."""
    with workspace() as directory:
        used_us = fresh(
            "p01_app_cpu.app",
            side=side,
            work=work,
            spans=spans,
            pace_per_s=pace_per_s,
            sink=sink,
            directory=str(directory),
        )
        if side in OURS:
            expect(directory / "traces.db", spans + WARM_UP)
    # After the background process has ended: what it delivered is not to be taken for the next side's.
    received = sink.taken()
    assert received == spans + WARM_UP or side in (NOTHING, BATCH_NULL, *OURS), f"{side} lost spans"
    return used_us


def added(sides: Sequence[str], work: str, sink: Sink, *, pace_per_s: int = 0, rounds: int = ROUNDS) -> dict:
    """Microseconds a span that each side adds, round by round, to the same app without a processor."""

    def runs(side: str) -> Callable[[], float]:
        spans = PACED_SPANS if pace_per_s else SIMPLE_SPANS if side == SIMPLE_HTTP else SPANS
        return partial(measure_side, side, work, spans, pace_per_s, sink)

    found = in_turn({side: runs(side) for side in (NOTHING, *sides)}, rounds)
    return {
        side: [with_it - without for with_it, without in zip(found[side], found[NOTHING], strict=True)]
        for side in sides
    }


def rows_of(found: dict, what: str, *, judged: bool = True) -> list[Row]:
    peer = found[BATCH_HTTP]
    return [
        row(
            f"{what}, {side}",
            found[side],
            "µs",
            theirs=peer,
            against=BATCH_HTTP,
            target=TARGETS[side] if judged else None,
            show="fraction",
        )
        for side in OURS
        if side in found
    ]


def others(sink: Sink) -> list[Row]:
    """What the other processors add, with ours beside them."""
    found = added((HUSH, BATCH_GRPC, BATCH_NULL, SIMPLE_HTTP), workload.LLM, sink, rounds=INFO_ROUNDS)
    return [
        row(f"LLM span, {HUSH}", found[HUSH], "µs", theirs=found[side], against=side)
        for side in (BATCH_GRPC, BATCH_NULL, SIMPLE_HTTP)
    ]


def redacting(sink: Sink) -> Row:
    """What rules cost the app that applies them itself. P4 has what they cost the drain."""
    found = added((HUSH, HUSH_REDACTING), workload.LLM, sink, rounds=INFO_ROUNDS)
    return row(f"LLM span, {HUSH_REDACTING}", found[HUSH_REDACTING], "µs", theirs=found[HUSH], against=HUSH)


def after_kill(sink: Sink) -> Row:
    """How many of the spans that had ended are left when the app is killed."""
    kept = {}
    for side in (HUSH, BATCH_HTTP):
        with workspace() as directory:
            with start("p01_app_cpu.killed", side=side, sink=sink, directory=str(directory)) as process:
                pass  # leaving the block waits
            assert process.returncode == -signal.SIGKILL
            if side == HUSH:
                expect(directory / "traces.db", SPANS)
                kept[side] = ended_spans(directory / "traces.db")
        if side == BATCH_HTTP:
            kept[side] = sink.taken()
        else:
            sink.taken()
    shown = {side: f"{count:,} of {SPANS:,}" for side, count in kept.items()}
    return fact(
        "kept after SIGKILL at the end of the last span",
        shown[HUSH],
        theirs=shown[BATCH_HTTP],
        against=BATCH_HTTP,
        target="all",
        met=kept[HUSH] == SPANS,
    )


def measure() -> list[Row]:
    sides = (BATCH_HTTP, HUSH, HUSH_NOT_LIVE)
    with otlp_sink() as sink:
        return [
            *rows_of(added(sides, workload.LLM, sink), "LLM span"),
            after_kill(sink),
            *rows_of(
                added(sides, workload.LLM_AT_START, sink),
                "LLM span, all attributes at its start",
                judged=False,
            ),
            *rows_of(added(sides, workload.SMALL, sink), "small span", judged=False),
            *rows_of(
                added((BATCH_HTTP, HUSH), workload.LLM, sink, pace_per_s=PACE_PER_S),
                "LLM span at 1,000 a second",
                judged=False,
            ),
            *others(sink),
            redacting(sink),
        ]


if __name__ == "__main__":
    run(__doc__, measure)
