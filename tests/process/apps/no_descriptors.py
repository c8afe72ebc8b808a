"""Begin to record with every descriptor taken; with the limit raised, end a span at each line it is told."""

from __future__ import annotations

import resource

from common import end_spans, hear, say
from opentelemetry.sdk.trace import TracerProvider

from hush_otel import HushSpanProcessor

provider = TracerProvider()
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))  # its three standard streams
provider.add_span_processor(HushSpanProcessor())
tracer = provider.get_tracer("app")
end_spans(tracer, "lost", 5)
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
say("recorded")
while hear():
    end_spans(tracer, "kept", 1)
    say("ended")
