"""A Flask app whose workers are forked after the processor is set up.

    gunicorn -w 2 --preload --bind 127.0.0.1:8000 examples.gunicorn_app:app
    curl "http://127.0.0.1:8000/ask?q=hello"
    hush-otel ls

With `--preload` this module is imported once, in the master. Every worker that is forked from it
appends to a segment of its own, shares no lock with the others, and may be killed at any moment
without losing a span that has ended. Without `--preload` each worker imports it for itself: the same.

Needs `pip install flask gunicorn`.
"""

from __future__ import annotations

import os

from flask import Flask, request
from opentelemetry import trace
from opentelemetry.propagate import extract
from opentelemetry.sdk.trace import TracerProvider

from hush_otel import HushSpanProcessor

provider = TracerProvider()
provider.add_span_processor(HushSpanProcessor())
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("gunicorn_app")

app = Flask(__name__)


@app.get("/ask")
def ask() -> dict[str, str]:
    """Answer a question; the request continues the caller's trace when it sends `traceparent`."""
    question = request.args.get("q", "")
    with tracer.start_as_current_span(
        "GET /ask",
        context=extract(request.headers),
        kind=trace.SpanKind.SERVER,
        attributes={"http.request.method": "GET", "http.route": "/ask", "worker.pid": os.getpid()},
    ) as span:
        with tracer.start_as_current_span("chat echo-1", kind=trace.SpanKind.CLIENT) as chat:
            answer = question[::-1]  # your model
            chat.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.request.model": "echo-1"})
        span.set_attribute("http.response.status_code", 200)
        return {"answer": answer, "trace_id": trace.format_trace_id(span.get_span_context().trace_id)}
