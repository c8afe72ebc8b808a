"""End N spans, then die in the given way, with no further word to anyone."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from common import end_spans, tracer

WAYS = {
    "sigkill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "sigterm": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "os_exit": lambda: os._exit(7),
    "segfault": lambda: ctypes.string_at(0),
}

count, way = int(sys.argv[1]), sys.argv[2]
end_spans(tracer(), "n", count)
WAYS[way]()
