"""End spans without end, and write each span's id to a pipe after its on_end has returned."""

from __future__ import annotations

import os
import sys

from common import tracer

t = tracer()
prefix = sys.argv[1]
i = 0
while True:
    span = t.start_span(f"{prefix}-{i}")
    span.end()
    os.write(1, b"%016x\n" % span.get_span_context().span_id)
    i += 1
