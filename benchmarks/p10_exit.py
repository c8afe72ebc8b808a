"""P10: how long an app takes to exit while its destination is down, against BatchSpanProcessor + OTLP/HTTP.

From the end of main to the end of the process, after 100 spans and without a flush of the app's own. Down is
either refused (nobody listens) or mute (connections are taken and never answered). Afterwards ours are
counted: in SQLite, and still owed to the receiver. Batch had its own in memory: nothing is left to count.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import workload
from harness import in_turn, start, until, workspace
from report import Row, Target, fact, row, run
from sides import BATCH_HTTP, HUSH, NOTHING
from stored import expect, rows

SPANS: Final = 100
ROUNDS: Final = 5
BATCH_ROUNDS: Final = 2
"""Each of them may take half a minute."""


class Left(NamedTuple):
    """How an app left: how long it took, and how many spans are still owed."""

    took_s: float
    owed: int


def app(side: str, endpoint: str, directory: str) -> None:
    """Record, say when main is over, and leave the usual way: by the SDK's atexit handler."""
    import logging

    import sides
    from opentelemetry.sdk.trace import TracerProvider

    logging.disable()  # the peer says at length that its receiver is down
    provider = TracerProvider()
    processor = sides.processor(side, (endpoint, endpoint), directory)
    if processor is not None:
        provider.add_span_processor(processor)
    tracer = provider.get_tracer("benchmark")
    recorder = workload.work(workload.LLM)
    for _ in range(SPANS):
        recorder.record(tracer)
    print(json.dumps(time.monotonic()), flush=True)
    _kept.append(provider)


_kept: list[Any] = []
"""A provider that nobody holds would be shut down before the process ends."""


@contextmanager
def refused() -> Iterator[str]:
    """Nobody listens: the port is bound, so that nobody else gets it."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def mute() -> Iterator[str]:
    """The kernel takes connections, and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def leave(side: str, down: Callable[[], AbstractContextManager[str]]) -> Left:
    with workspace() as directory, down() as endpoint:
        with start("p10_exit.app", side=side, endpoint=endpoint, directory=str(directory)) as process:
            assert process.stdout is not None
            ended: float = json.loads(process.stdout.readline())
            process.wait()
            took = time.monotonic() - ended
        assert process.returncode == 0
        return Left(took, _owed(directory / "traces.db") if side == HUSH else 0)


def _owed(database: Path) -> int:
    """Spans of deliveries that nobody has accepted, once all are stored and their requests queued."""
    sql = "SELECT coalesce(sum(span_count), 0) FROM deliveries WHERE state IN ('pending', 'sending')"
    expect(database, SPANS)

    def look() -> int | None:
        found = rows(database, sql)
        return found[0][0] if found and found[0][0] >= SPANS else None

    return until(look, f"{SPANS} spans owed")


def rows_of(down: Callable[[], AbstractContextManager[str]]) -> list[Row]:
    found = in_turn({side: partial(leave, side, down) for side in (NOTHING, BATCH_HTTP, HUSH)}, BATCH_ROUNDS)
    more = in_turn({side: partial(leave, side, down) for side in (NOTHING, HUSH)}, ROUNDS - BATCH_ROUNDS)
    ours, nothing = found[HUSH] + more[HUSH], found[NOTHING] + more[NOTHING]
    times, batch_times = [one.took_s for one in ours], [one.took_s for one in found[BATCH_HTTP]]
    what, kept = f"exit, receiver {down.__name__}", min(one.owed for one in ours)
    target = Target(text="≤ 1 s, every round", bound=1, of="ours", worst=True)
    return [
        row(what, times, "s", theirs=batch_times, against=BATCH_HTTP, target=target, show="fraction"),
        row(what, times, "s", theirs=[one.took_s for one in nothing], against=NOTHING),
        fact(f"{what}: stored and owed", f"{kept} of {SPANS}", target="all", met=kept == SPANS),
    ]


def measure() -> list[Row]:
    return [*rows_of(refused), *rows_of(mute)]


if __name__ == "__main__":
    run(__doc__, measure)
