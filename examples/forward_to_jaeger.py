"""Spans into the local database and on to Jaeger; says when Jaeger has accepted them.

    docker compose -f compose/jaeger.yaml up --detach jaeger
    python examples/forward_to_jaeger.py

`OTEL_EXPORTER_OTLP_ENDPOINT` names another receiver (default http://127.0.0.1:4318).
"""

from __future__ import annotations

import os
import time

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from hush_otel import Destination, HushSpanProcessor, get_store

endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "http://127.0.0.1:4318"

provider = TracerProvider()
provider.add_span_processor(HushSpanProcessor(destinations=[Destination("jaeger", endpoint=endpoint)]))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("forward_to_jaeger")


def checkout(order: int) -> None:
    """A request with one failing attempt inside, so that there is something to look at."""
    with tracer.start_as_current_span("checkout", kind=trace.SpanKind.SERVER) as span:
        span.set_attribute("order.id", order)
        for attempt in (1, 2):
            with tracer.start_as_current_span("charge card", kind=trace.SpanKind.CLIENT) as charge:
                charge.set_attribute("http.request.resend_count", attempt - 1)
                time.sleep(0.01)
                if attempt == 1:
                    charge.set_status(trace.StatusCode.ERROR, "gateway timeout")
                    continue
            break
        with tracer.start_as_current_span("send receipt", kind=trace.SpanKind.PRODUCER):
            time.sleep(0.005)


def main() -> None:
    with tracer.start_as_current_span("nightly orders") as root:
        for order in range(1001, 1004):
            checkout(order)
        trace_id = trace.format_trace_id(root.get_span_context().trace_id)

    if get_store().wait_delivered(timeout_millis=30_000):
        print(f"accepted by {endpoint}; with Jaeger, open http://127.0.0.1:16686/trace/{trace_id}")
    else:
        # Stored and queued: it goes when the receiver is back, by whichever process runs then.
        raise SystemExit(f"not yet accepted by {endpoint}; see `hush-otel status`")


if __name__ == "__main__":
    main()
