"""Processes of one family, each ending spans of its own: by fork, or by multiprocessing.

processes.py METHOD CHILDREN COUNT      METHOD: os_fork | libc_fork | fork | forkserver | spawn
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import random
import sys
from collections.abc import Callable

from common import end_spans, tracer
from opentelemetry.trace import Tracer

METHOD, CHILDREN, COUNT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def work(prefix: str, t: Tracer | None = None) -> None:
    """A child's part. Without a tracer, as in a spawned process, it makes its own."""
    end_spans(t or tracer(), prefix, COUNT)


def by_fork(fork: Callable[[], int], t: Tracer) -> None:
    """Fork each child, and go on meanwhile."""
    pids = []
    for i in range(CHILDREN):
        pid = fork()
        if pid == 0:
            random.seed()  # os.fork does that; without it the SDK gives parent and child the same ids
            work(f"child{i}", t)
            os._exit(0)
        pids.append(pid)
        end_spans(t, f"between{i}", COUNT)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0


def by_multiprocessing(t: Tracer) -> None:
    """The same by multiprocessing; a forked child inherits the tracer."""
    context = multiprocessing.get_context(METHOD)
    children = []
    for i in range(CHILDREN):
        arguments = (f"child{i}", t) if METHOD == "fork" else (f"child{i}",)
        child = context.Process(target=work, args=arguments)
        child.start()
        children.append(child)
        end_spans(t, f"between{i}", COUNT)
    for child in children:
        child.join()
        assert child.exitcode == 0


if __name__ == "__main__":
    t = tracer()
    end_spans(t, "before", COUNT)
    if METHOD == "os_fork":
        by_fork(os.fork, t)
    elif METHOD == "libc_fork":
        # PyDLL keeps the GIL: the child is the thread that holds it. No hook of the interpreter runs.
        by_fork(ctypes.PyDLL(None).fork, t)
    else:
        by_multiprocessing(t)
    end_spans(t, "after", COUNT)
