"""A receiver that nobody here wrote, over gRPC, from the application to its own reading of the spans."""

from __future__ import annotations

from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from receiving_agent import AgentEndpoints, AgentSession

from hush_otel import Destination, HushSpanProcessor, TraceStore


def test_spans_arrive_over_grpc(agent: AgentSession, agent_endpoints: AgentEndpoints, database: Path) -> None:
    """What a processor captured is delivered by the background process with protocol grpc."""
    far = Destination(
        "otlp", name="far", endpoint=agent_endpoints.grpc, protocol="grpc", headers=agent.headers
    )
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(HushSpanProcessor(database, destinations=[far]))
    with provider.get_tracer("lib").start_as_current_span("outer", attributes={"n": 7}) as span:
        trace_id = span.get_span_context().trace_id
    assert TraceStore(database).wait_delivered(30_000)
    spans = [
        span
        for export in agent.exports()
        for resource in export.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert [(span.name, span.trace_id.hex()) for span in spans] == [("outer", f"{trace_id:032x}")]
    provider.shutdown()
