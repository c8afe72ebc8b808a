"""Threads that end spans side by side, from the moment the test says so.

threads.py PREFIX THREADS COUNT
"""

from __future__ import annotations

import sys
import threading

from common import end_spans, hear, say, tracer

prefix, workers, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
t = tracer()
threads = [threading.Thread(target=end_spans, args=(t, f"{prefix}-{i}", count)) for i in range(workers)]
say("ready")
hear()
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
say("done")
