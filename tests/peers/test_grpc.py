"""A receiver that nobody here wrote, over gRPC, from the application to its own reading of the spans."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from receiving_agent import AgentEndpoints, AgentSession
from recording import Recording
from test_rich_span import LIMITS, VALUES, make_rich_span

from hush_otel import Destination


@pytest.fixture
def far(agent: AgentSession, agent_endpoints: AgentEndpoints) -> Destination:
    """The agent's gRPC port."""
    return agent.destination(endpoint=agent_endpoints.grpc, protocol="grpc")


def test_spans_arrive_over_grpc(record: Callable[..., Recording], far: Destination) -> None:
    """A trace of three is at the receiver and in the view as the SDK saw it."""
    recording = record(far=far)
    tracer = recording.provider.get_tracer("lib")
    with tracer.start_as_current_span("outer", attributes={"n": 7}):
        tracer.start_span("a").end()
        tracer.start_span("b").end()
    assert [span.name for span in recording.compare()] == ["a", "b", "outer"]
    (request,) = recording.agent.requests()
    # The agent's gRPC side posts to its HTTP side: over HTTP it would have our own name.
    assert not request.headers["user-agent"].startswith("hush-otel")


def test_a_rich_span_arrives_unchanged_over_grpc(record: Callable[..., Recording], far: Destination) -> None:
    """Everything that the SDK kept is in the view and at the receiver, with its types: as over HTTP."""
    span = make_rich_span(record(far=far, **LIMITS))
    assert dict(span.attributes or {}).keys() == VALUES.keys()
