"""What the applications under test have in common: a tracer, numbered spans, a line each way."""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

from hush_otel import Destination, HushSpanProcessor


def tracer(*, endpoint: str = "", destinations: Sequence[Destination] = (), live: bool = True) -> Tracer:
    """A tracer whose spans go to $HUSH_TRACES_DB, and to an OTLP endpoint when one is given."""
    if endpoint:
        # Long: a receiver that a busy machine does not let answer would get the same once more.
        destinations = [Destination("otlp", name="receiver", endpoint=endpoint, timeout_s=60)]
    provider = TracerProvider()
    provider.add_span_processor(HushSpanProcessor(destinations=destinations, live=live))
    return provider.get_tracer("app")


def end_spans(tracer: Tracer, prefix: str, count: int, first: int = 0) -> None:
    """End `count` spans, each a trace of its own, named prefix-0, prefix-1 and so on."""
    for i in range(first, first + count):
        tracer.start_span(f"{prefix}-{i}").end()


def end_spans_for_ever(tracer: Tracer, prefix: str, running: threading.Event) -> None:
    """For a daemon thread. Here and not in the script, whose names its frame would keep alive."""
    for i in itertools.count():
        end_spans(tracer, prefix, 1, i)
        if i == 100:
            running.set()


def hold(lock: AbstractContextManager[object], taken: threading.Event) -> None:
    """For a daemon thread, likewise: as an append does that the end of the interpreter meets in its midst."""
    with lock:
        taken.set()
        threading.Event().wait()


def say(value: Any) -> None:
    """One line of JSON to the test. Not through sys.stdout, whose buffer a fork would copy."""
    os.write(1, json.dumps(value).encode() + b"\n")


def hear() -> str:
    """Wait for one line of the test; empty when it has closed the pipe."""
    return sys.stdin.readline().strip()


def pace(seconds: float) -> None:
    """Let time pass between two pieces of load."""
    threading.Event().wait(seconds)
