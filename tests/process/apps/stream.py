"""End spans one by one until told to stop, at least N of them; then say how many there were.

stream.py PREFIX MINIMUM PAUSE_S
"""

from __future__ import annotations

import select
import sys

from common import end_spans, hear, pace, say, tracer

prefix, minimum, pause_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
t = tracer()
say("ready")
i = 0
while i < minimum or not select.select([0], [], [], 0)[0]:
    end_spans(t, prefix, 1, i)
    i += 1
    pace(pause_s)
hear()
say(i)
hear()
