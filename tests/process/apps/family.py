"""Parent and child end spans without end, and write each one's name after its on_end has returned."""

from __future__ import annotations

import os

from common import end_spans, pace, say, tracer

t = tracer()
end_spans(t, "parent", 1)
pid = os.fork()
if pid:
    say([os.getpid(), pid])
    os.write(1, b"parent-0\n")
name = "parent" if pid else "child"
i = 1
while True:
    end_spans(t, name, 1, i)
    os.write(1, f"{name}-{i}\n".encode())
    i += 1
    pace(0.002)
