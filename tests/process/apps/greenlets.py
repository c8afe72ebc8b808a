"""Nested spans in greenlets that take turns, in an application whose library has patched everything.

greenlets.py gevent|eventlet GREENLETS COUNT
"""

from __future__ import annotations

import sys

if sys.argv[1] == "gevent":
    import gevent as library
    from gevent import monkey

    monkey.patch_all()
else:
    import eventlet as library

    library.monkey_patch()

import threading
import time

from common import say, tracer

from hush_otel import get_store

t = tracer()


def work(number: int, count: int) -> None:
    """One greenlet: a span with steps, each of which lets the others have a turn."""
    with t.start_as_current_span(f"task-{number}"):
        for i in range(count):
            with t.start_as_current_span(f"step{number}-{i}"):
                time.sleep(0)


def main(greenlets: int, count: int) -> None:
    """All at once: half of them by the library, half by patched threads."""
    by_library = [library.spawn(work, number, count) for number in range(0, greenlets, 2)]
    threads = [threading.Thread(target=work, args=(number, count)) for number in range(1, greenlets, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for greenlet in by_library:
        greenlet.join() if hasattr(greenlet, "join") else greenlet.wait()


main(int(sys.argv[2]), int(sys.argv[3]))
say(get_store().force_flush(20_000))
