"""What a span costs the app: `on_end` as its caller sees it, and CPU of all threads of the process.

Sides, in turn, each in a fresh process: no processor, BatchSpanProcessor with the OTLP/HTTP exporter
(into a sink process), hush-otel without and with start records (live). Run: `make bench`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from workload import LLM_ATTRIBUTES, otlp_sink

ROUNDS = 5
SPANS = 4_000
SIDES = ("nothing", "batch + otlp/http", "hush", "hush live")


def processor_of(side: str, endpoint: str, directory: str) -> object:
    if side == "batch + otlp/http":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # A queue that holds all: otherwise it drops, and what it drops costs nothing.
        return BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces"), max_queue_size=2 * SPANS)
    from hush_otel import Destination, HushSpanProcessor

    receiver = Destination("otlp", name="sink", endpoint=endpoint)
    return HushSpanProcessor(f"{directory}/traces.db", destinations=[receiver], live=side == "hush live")


class Timed:
    """Stands before a processor and times its calls, in nanoseconds."""

    def __init__(self, inner) -> None:
        self.inner = inner
        self.starts: list[int] = []
        self.ends: list[int] = []

    def on_start(self, span, parent_context=None) -> None:
        began = time.perf_counter_ns()
        self.inner.on_start(span, parent_context)
        self.starts.append(time.perf_counter_ns() - began)

    def _on_ending(self, span) -> None:
        pass

    def on_end(self, span) -> None:
        began = time.perf_counter_ns()
        self.inner.on_end(span)
        self.ends.append(time.perf_counter_ns() - began)

    def shutdown(self) -> None:
        self.inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self.inner.force_flush(timeout_millis)


def run_side(side: str, endpoint: str, directory: str) -> None:
    """In its own process: print the figures as JSON."""
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider(shutdown_on_exit=False)
    timed = None
    if side != "nothing":
        timed = Timed(processor_of(side, endpoint, directory))
        provider.add_span_processor(timed)
    tracer = provider.get_tracer("benchmark")
    for _ in range(200):
        tracer.start_span("warm-up", attributes=LLM_ATTRIBUTES).end()
    if timed:
        timed.starts.clear()
        timed.ends.clear()
    cpu = time.process_time_ns()
    for _ in range(SPANS):
        tracer.start_span("chat", attributes=LLM_ATTRIBUTES).end()
    if timed:
        timed.force_flush(60_000)
    cpu = time.process_time_ns() - cpu
    figures = {"cpu_us": cpu / SPANS / 1000}
    for name in ("starts", "ends") if timed else ():
        calls = sorted(getattr(timed, name))
        figures |= {
            f"{name}_p50": calls[len(calls) // 2] / 1000,
            f"{name}_p99": calls[len(calls) * 99 // 100] / 1000,
            f"{name}_max": calls[-1] / 1000,
        }
    print(json.dumps(figures))
    provider.shutdown()


def measure(endpoint: str) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(ROUNDS):
        for side in SIDES:
            with tempfile.TemporaryDirectory() as directory:
                command = [sys.executable, __file__, side, endpoint, directory]
                out = subprocess.run(command, capture_output=True, text=True, check=True)
                found[side].append(json.loads(out.stdout))
                stop_background(directory)
    return found


def stop_background(directory: str) -> None:
    """The next side must not share the machine with this one's background process."""
    if not Path(directory, "traces.db").exists():
        return
    from hush_otel import get_background

    background = get_background(f"{directory}/traces.db")
    while (pid := background.pid) is not None:
        subprocess.run(["/bin/kill", str(pid)], check=False, capture_output=True)
        time.sleep(0.05)


def show(found: dict[str, list[dict[str, float]]]) -> None:
    def median(side: str, figure: str) -> float:
        return statistics.median(run.get(figure, float("nan")) for run in found[side])

    table = Table(title=f"LLM span (1.6 KB), {SPANS} spans, median of {ROUNDS} rounds, microseconds")
    for column in ("side", "on_start p50", "on_end p50", "on_end p99", "on_end max", "CPU added a span"):
        table.add_column(column, justify="left" if column == "side" else "right")
    base = median("nothing", "cpu_us")
    for side in SIDES[1:]:
        figures = [median(side, name) for name in ("starts_p50", "ends_p50", "ends_p99", "ends_max")]
        table.add_row(side, *(f"{value:.1f}" for value in (*figures, median(side, "cpu_us") - base)))
    console = Console(width=110)
    console.print(table)
    peer = median("batch + otlp/http", "cpu_us") - base
    for side in ("hush", "hush live"):
        ratios = sorted(
            (ours["cpu_us"] - base) / (theirs["cpu_us"] - base)
            for ours, theirs in zip(found[side], found["batch + otlp/http"], strict=True)
        )
        console.print(
            f"{side}: CPU added is 1/{peer / (median(side, 'cpu_us') - base):.1f} of the peer's "
            f"(rounds 1/{1 / ratios[-1]:.1f} to 1/{1 / ratios[0]:.1f})"
        )
    console.print(
        "BatchSpanProcessor's on_end only queues in memory; ours returns when the span survives SIGKILL."
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_side(*sys.argv[1:])
    else:
        with otlp_sink() as sink:
            show(measure(sink))
