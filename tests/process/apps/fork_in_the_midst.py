"""Fork again and again while other threads append; each child ends one span and leaves.

fork_in_the_midst.py FORKS
"""

from __future__ import annotations

import os
import sys
import threading

from common import end_spans, say, tracer

t = tracer()
stop = threading.Event()
counts = [0, 0, 0]


def append(worker: int) -> None:
    """End spans until told to stop, and count them."""
    while not stop.is_set():
        end_spans(t, f"thread{worker}", 1, counts[worker])
        counts[worker] += 1


threads = [threading.Thread(target=append, args=(worker,)) for worker in range(len(counts))]
for thread in threads:
    thread.start()
pids = []
for i in range(int(sys.argv[1])):
    pid = os.fork()
    if pid == 0:
        end_spans(t, "child", 1, i)
        os._exit(0)
    pids.append(pid)
codes = {os.waitpid(pid, 0)[1] for pid in pids}
stop.set()
for thread in threads:
    thread.join()
say(sorted(codes))
say(counts)
