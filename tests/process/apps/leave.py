"""Record, or not, and leave the usual way; say when main ended, by the clock that all processes share.

leave.py plain
leave.py hush ENDPOINT
"""

from __future__ import annotations

import sys
import time

from common import end_spans, say, tracer

if sys.argv[1] == "hush":
    end_spans(tracer(endpoint=sys.argv[2]), "a", 1_000)
say(time.monotonic())
