"""One traced request in a local database, without a server: `python examples/quickstart.py`."""

from __future__ import annotations

import json

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from hush_otel import HushSpanProcessor, get_store

provider = TracerProvider()
provider.add_span_processor(HushSpanProcessor())
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("quickstart")

DOCUMENTS = {
    "spool.md": "A span that ends is appended to a memory-mapped segment file before on_end returns.",
    "store.md": "A background process moves every record from the spool into SQLite within milliseconds.",
    "relay.md": "Deliveries wait in an outbox until the receiver accepts them.",
}


def retrieve(question: str) -> list[str]:
    """Documents that share a word with the question."""
    with tracer.start_as_current_span("retrieval docs") as span:
        words = set(question.lower().rstrip("?").split())
        found = [name for name, text in DOCUMENTS.items() if words & set(text.lower().rstrip(".").split())]
        span.set_attribute("gen_ai.operation.name", "retrieval")
        span.set_attribute("retrieval.documents", found)
        return found


def chat(question: str, context: list[str]) -> str:
    """Where your model is called; the attributes are those of the GenAI semantic conventions."""
    messages = [{"role": "user", "parts": [{"type": "text", "content": question}]}]
    with tracer.start_as_current_span("chat gpt-4o-mini", kind=trace.SpanKind.CLIENT) as span:
        answer = DOCUMENTS[context[0]] if context else "I do not know."
        parts = [{"type": "text", "content": answer}]
        reply = [{"role": "assistant", "parts": parts, "finish_reason": "stop"}]
        span.set_attributes(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.input.messages": json.dumps(messages),
                "gen_ai.output.messages": json.dumps(reply),
                "gen_ai.usage.input_tokens": 1204,
                "gen_ai.usage.output_tokens": 38,
            }
        )
        return answer


def main() -> None:
    question = "where does a span go when it ends?"
    with tracer.start_as_current_span("answer") as root:
        root.set_attribute("session.id", "quickstart")
        print(chat(question, retrieve(question)))
        trace_id = trace.format_trace_id(root.get_span_context().trace_id)

    # Only so that the commands below see it at once: an application needs no flush.
    get_store().force_flush()
    print(f"\nhush-otel show {trace_id}\nhush-otel ls")


if __name__ == "__main__":
    main()
