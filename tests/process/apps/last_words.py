"""End spans where few think of: in atexit before and after the SDK's own, in __del__, in daemon threads."""

from __future__ import annotations

import atexit
import threading

from common import end_spans, end_spans_for_ever, say, tracer

THREADS = 4

kept = []
atexit.register(lambda: end_spans(kept[0], "registered-first", 1))  # runs after the provider's own
t = tracer()
kept.append(t)
atexit.register(end_spans, t, "registered-last", 1)


class Thing:
    """Ends a span when it dies."""

    def __init__(self) -> None:
        self.tracer = t
        self.end = end_spans

    def __del__(self) -> None:
        self.end(self.tracer, "finaliser", 1)


thing = Thing()
for i in range(THREADS):
    running = threading.Event()
    threading.Thread(target=end_spans_for_ever, args=(t, f"daemon{i}", running), daemon=True).start()
    running.wait()
end_spans(t, "main", 1)
say("done")
