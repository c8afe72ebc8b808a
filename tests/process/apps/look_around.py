"""Record spans, then say what that has done to this process: what was around it before and after."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from common import end_spans, pace, say, tracer
from opentelemetry.trace import Tracer

from hush_otel import get_background, get_store


def around() -> dict[str, object]:
    """What belongs to the app alone."""
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "handlers": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "environment": dict(os.environ),
        "cwd": str(Path.cwd()),
        "umask": umask(),
    }


def umask() -> int:
    """It can only be read by setting it."""
    before = os.umask(0o022)
    os.umask(before)
    return before


def children() -> list[str]:
    """Names and states of this process's children, zombies too (proc(5))."""
    pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] for pid in pids]


def without_children(t: Tracer) -> list[str]:
    """Those that stay, however often it records and looks after what it has launched."""
    until = time.monotonic() + 20
    while (left := children()) and time.monotonic() < until:
        pace(0.6)
        end_spans(t, "c", 1)
    return left


before = around()
t = tracer()
end_spans(t, "a", 100)
store = get_store()
store.insert_node_trace("run", "flow", "node", None, None, 0, None, None, 1.0, {}, {})
assert store.force_flush(20_000)
assert get_background().is_running
pace(0.6)  # past the writer's next look at the background process
end_spans(t, "b", 1)
assert store.force_flush(20_000)
after = around()
say({key: [before[key], after[key]] for key in before})
say(sorted(sys.modules))
say(without_children(t))
