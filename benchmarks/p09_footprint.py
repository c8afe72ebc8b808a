"""P9: what hush-otel adds to the start and to the memory of an app, against the app without it.

Imports in turn, each in a fresh interpreter: `opentelemetry.sdk.trace` first, then what is measured. Memory
of an app after 10,000 LLM spans, flushed, beside the same app without a processor and with Batch.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

import workload
from harness import FULL, environment, fresh, in_turn, memory_mb, workspace
from report import Row, Target, row, run
from sides import BATCH_HTTP, HUSH, NOTHING
from sinks import Sink, otlp_sink

IMPORT_ROUNDS: Final = 41 if FULL else 21
MEMORY_ROUNDS: Final = 5
SPANS: Final = 10_000

SDK: Final = "opentelemetry.sdk.trace"
OURS: Final = "hush_otel"
EXPORTER: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
TIMED_IMPORT: Final = """
import importlib, sys, time
def import_ms(name):
    began = time.perf_counter()
    importlib.import_module(name)
    return (time.perf_counter() - began) * 1e3
print(*map(import_ms, sys.argv[1:]))
"""


def import_ms(*modules: str) -> float:
    """Milliseconds that the last of the modules takes after the others."""
    command = [sys.executable, "-c", TIMED_IMPORT, *modules]
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    return float(out.stdout.split()[-1])


def app(side: str, sink: Sequence[str], directory: str) -> float:
    """Megabytes of resident memory at the end."""
    import sides

    provider = sides.provider(sides.processor(side, sink, directory))
    tracer = provider.get_tracer("benchmark")
    recorder = workload.work(workload.LLM)
    for _ in range(SPANS):
        recorder.record(tracer)
    assert provider.force_flush(60_000)
    used = memory_mb("VmRSS")
    provider.shutdown()
    return used


def resident_mb(side: str, sink: Sink) -> float:
    with workspace() as directory:
        used: float = fresh("p09_footprint.app", side=side, sink=sink, directory=str(directory))
    sink.taken()
    return used


def import_rows() -> list[Row]:
    sides = {SDK: (SDK,), OURS: (SDK, OURS), EXPORTER: (SDK, EXPORTER)}
    for modules in sides.values():
        import_ms(*modules)  # compiled files and the page cache are there afterwards
    found = in_turn({name: partial(import_ms, *modules) for name, modules in sides.items()}, IMPORT_ROUNDS)
    target = Target(text="≤ 30 ms", bound=30, of="ours")
    what, peer = "import hush_otel after the SDK", "import of the SDK"
    return [
        row(what, found[OURS], "ms", theirs=found[SDK], against=peer, target=target),
        row(what, found[OURS], "ms", theirs=found[EXPORTER], against="import of OTLP/HTTP after the SDK"),
    ]


def memory_rows() -> list[Row]:
    with otlp_sink() as sink:
        sides = (NOTHING, HUSH, BATCH_HTTP)
        found = in_turn({side: partial(resident_mb, side, sink) for side in sides}, MEMORY_ROUNDS)
    ours, theirs = (
        [with_it - without for with_it, without in zip(found[side], found[NOTHING], strict=True)]
        for side in (HUSH, BATCH_HTTP)
    )
    target = Target(text="≤ +10 MB", bound=10, of="ours")
    what = "RSS added after 10,000 spans"
    return [
        row("RSS without a processor", found[NOTHING], "MB"),
        row(what, ours, "MB", theirs=theirs, against=BATCH_HTTP, target=target),
    ]


def measure() -> list[Row]:
    return [*import_rows(), *memory_rows()]


if __name__ == "__main__":
    run(__doc__, measure)
