"""Exit while a daemon thread holds the writer's lock, with a finaliser that needs it: flush, shutdown or cut."""

from __future__ import annotations

import sys
import threading

from common import hold, say
from opentelemetry.sdk.trace import TracerProvider

from hush_otel import HushSpanProcessor
from hush_otel.attachment import attach

WHAT = sys.argv[1]
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(HushSpanProcessor(live=False))
tracer = provider.get_tracer("app")
tracer.start_span("first").end()


class Late:
    """What clients do in `__del__`."""

    def __init__(self) -> None:
        self.span = tracer.start_span("late", attributes={"text": "x" * 20_000_000} if WHAT == "cut" else {})
        flush, shutdown = provider.force_flush, provider.shutdown
        self.last = {"flush": lambda: flush(200), "shutdown": shutdown, "cut": self.span.end}[WHAT]

    def __del__(self) -> None:
        self.last()


late = Late()
begun = threading.Event()
threading.Thread(target=hold, args=(attach(None).writer._lock, begun), daemon=True).start()
begun.wait()
say("done")
