"""One application under load, to be killed at any moment: app.py DATABASE ENDPOINT LOG SEED.

Two threads make requests of a few spans, now and then node traces, now and then in a forked child. Every span whose
`end` has returned is acknowledged by a line of LOG, which outlives the process: what stands there must be stored.

The threads wait while much of the spool is not drained: on a slow machine it would reach its bound, and what is dropped
then is lost by design.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import threading
import time
import uuid
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, Tracer, set_span_in_context

from hush_otel import Destination, HushSpanProcessor, get_store

PAUSE_S = 0.01
CROWDED_BYTES = 128 * 1024 * 1024
FORKS = 1 / 300
NODES = 1 / 10
WAITS = 1 / 4


class Log:
    """A file of acknowledgements. One write a line: a kill cuts the last one at most (reckoning.py)."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def span(self, span: Span) -> None:
        """Its `end` has returned."""
        context = span.get_span_context()
        self._write(f"span {context.trace_id:032x} {context.span_id:016x}")

    def attempt(self, request: str, name: str) -> None:
        """`insert_node_trace` is about to be called: whoever is killed before the next line may have stored it."""
        self._write(f"try {request} {name}")

    def node(self, request: str, name: str) -> None:
        """`insert_node_trace` has returned."""
        self._write(f"node {request} {name}")

    def mark(self, request: str) -> None:
        """`mark_request_complete` has returned: from here on its nodes are owed to the receiver."""
        self._write(f"mark {request} -")

    def _write(self, line: str) -> None:
        os.write(self._fd, f"{line}\n".encode())


def work(tracer: Tracer, log: Log, endpoint: str, spool: Path, chance: random.Random) -> None:
    """Make requests until killed."""
    while True:
        while is_crowded(spool):
            time.sleep(PAUSE_S)
        draw = chance.random()
        if draw < FORKS:
            in_a_child(tracer, log)
        elif draw < FORKS + NODES:
            node_traces(log, endpoint)
        else:
            request(tracer, log, chance)
        time.sleep(PAUSE_S * chance.random())


def is_crowded(spool: Path) -> bool:
    """Whether the drain is far behind."""
    total = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(spool) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                total += entry.stat().st_size
    return total > CROWDED_BYTES


def request(tracer: Tracer, log: Log, chance: random.Random) -> None:
    """A root with children, one of which may carry a long text."""
    root = tracer.start_span("request", attributes={"user.id": "u"})
    within = set_span_in_context(root)
    for number in range(chance.randrange(1, 6)):
        child = tracer.start_span(f"step-{number}", within)
        child.set_attribute("text", "x" * chance.choice((10, 1_000, 40_000)))
        child.end()
        log.span(child)
        if chance.random() < WAITS:
            time.sleep(PAUSE_S)  # whoever is killed now has a span open
    root.end()
    log.span(root)


def node_traces(log: Log, endpoint: str) -> None:
    """A workflow of the seed, marked for a tracer of its own."""
    store, request_id = get_store(), str(uuid.uuid4())
    for name in ("flow.answer", "flow"):
        parent = "flow" if "." in name else None
        log.attempt(request_id, name)
        store.insert_node_trace(
            request_id, "flow", name, parent, None, 0, None, None, 1.0, {"q": 1}, {"a": 2}
        )
        log.node(request_id, name)
    store.mark_request_complete(request_id, "otlp", {"endpoint": endpoint, "timeout_s": 5})
    log.mark(request_id)


def in_a_child(tracer: Tracer, log: Log) -> None:
    """While another thread records: the child has its own segment."""
    pid = os.fork()
    if not pid:
        span = tracer.start_span("in a child")
        span.end()
        log.span(span)
        os._exit(0)
    os.waitpid(pid, 0)


def main(database: str, endpoint: str, log_path: str, seed: str) -> None:
    """Two threads; this one is the second."""
    os.environ["HUSH_TRACES_DB"] = database
    destination = Destination("otlp", name="receiver", endpoint=endpoint, timeout_s=5)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(HushSpanProcessor(destinations=[destination]))
    spool = Path(f"{database}.spool")
    tracer, log = provider.get_tracer("soak"), Log(Path(log_path))
    for number in range(2):
        chance = random.Random(f"{seed}-{number}")
        thread = threading.Thread(target=work, args=(tracer, log, endpoint, spool, chance), daemon=True)
        thread.start()
    thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
