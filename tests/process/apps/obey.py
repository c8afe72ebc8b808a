"""Do what the test says, a line at a time, and answer each: `command arguments…`, see the functions.

obey.py [ENDPOINT]
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from common import end_spans, hear, say, tracer
from opentelemetry.trace import Span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from hush_otel import get_background, get_store, shutdown_background

t = tracer(endpoint=sys.argv[1] if len(sys.argv) > 1 else "")
spans: dict[str, Span] = {}


def timed(call: Callable[[], Any]) -> list[Any]:
    """The result of a call, and how many seconds it took."""
    began = time.monotonic()
    result = call()
    return [result, time.monotonic() - began]


def end(prefix: str, count: str, first: str = "0") -> float:
    """End numbered spans; answers the seconds that it took."""
    return timed(lambda: end_spans(t, prefix, int(count), int(first)))[1]


def slowest(prefix: str, count: str) -> float:
    """The same; answers the seconds that the slowest one took."""
    return max(timed(lambda i=i: end_spans(t, prefix, 1, i))[1] for i in range(int(count)))


def pad(count: str, size: str) -> str:
    """End spans that carry so many bytes."""
    for i in range(int(count)):
        t.start_span(f"pad-{i}", attributes={"padding": "x" * int(size)}).end()
    return "ok"


def open_(name: str, parent: str = "") -> str:
    """Start a span, of an open one if given; answers its trace id."""
    spans[name] = t.start_span(name, context=set_span_in_context(spans[parent]) if parent else None)
    return f"{spans[name].get_span_context().trace_id:032x}"


def close(name: str, by: str = "") -> str:
    """End an open span, and note in it who did."""
    if by:
        spans[name].set_attribute("by", by)
    spans[name].end()
    return "ok"


def child(name: str, parent: str) -> str:
    """Start and end a child of a span that was opened here."""
    t.start_span(name, context=set_span_in_context(spans[parent])).end()
    return "ok"


def remote(name: str, traceparent: str) -> str:
    """Start and end a child of another process's span."""
    t.start_span(name, context=TraceContextTextMapPropagator().extract({"traceparent": traceparent})).end()
    return "ok"


def context(name: str) -> str:
    """The traceparent of a span that was opened here."""
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, set_span_in_context(spans[name]))
    return carrier["traceparent"]


def fork(fork: Callable[[], int] = os.fork) -> int:
    """From now on a forked child obeys; answers its pid."""
    pid = fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        say(f"child left with {os.waitstatus_to_exitcode(status)}")
    return os.getpid()


def c_fork() -> int:
    """The same without the interpreter's hooks."""
    return fork(ctypes.PyDLL(None).fork)


def leave() -> None:
    """End this process at once; its parent says so, and obeys again."""
    os._exit(0)


def flush(millis: str) -> list[Any]:
    """force_flush: [result, seconds]."""
    return timed(lambda: get_store().force_flush(int(millis)))


def delivered(millis: str, request: str = "") -> list[Any]:
    """wait_delivered: [result, seconds]."""
    return timed(lambda: get_store().wait_delivered(int(millis), request or None))


def node(request: str, name: str) -> str:
    """insert_node_trace."""
    get_store().insert_node_trace(request, "flow", name, None, None, 0, None, None, 1.0, {}, {})
    return "ok"


def mark(request: str, kind: str, config: str = "{}") -> str:
    """mark_request_complete."""
    get_store().mark_request_complete(request, kind, json.loads(config))
    return "ok"


def background() -> list[Any]:
    """[pid, is_running] of the handle."""
    handle = get_background()
    return [handle.pid, handle.is_running]


def blocked() -> str:
    """Send SIGTERM to this process while its application has it blocked; answers once all threads had a turn."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    os.kill(os.getpid(), signal.SIGTERM)
    get_store().force_flush(5_000)
    return "pending" if signal.SIGTERM in signal.sigpending() else "taken"


def shutdown() -> str:
    """shutdown_background, of the handles that were asked for."""
    shutdown_background(20)
    return "ok"


COMMANDS = {
    "background": background,
    "blocked": blocked,
    "c_fork": c_fork,
    "child": child,
    "close": close,
    "context": context,
    "delivered": delivered,
    "end": end,
    "flush": flush,
    "fork": fork,
    "leave": leave,
    "mark": mark,
    "node": node,
    "open": open_,
    "pad": pad,
    "remote": remote,
    "shutdown": shutdown,
    "slowest": slowest,
}

say(os.getpid())
while line := hear():
    name, *arguments = line.split()
    say(COMMANDS[name](*arguments))
