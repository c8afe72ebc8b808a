"""What a receiver gives back by its own API is what was stored, field by field, less what it loses."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from compare import assert_same, from_view, rows
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from phoenix_server import Project
from reading import Place
from support import eventually
from workflow import nodes_of

from hush_otel import Destination, HushSpanProcessor, TraceStore

VALUES: dict[str, Any] = {
    "text": 'naïve 日本語 👩‍🚀 \t\n" \\',
    "text.empty": "",
    "text.like.json": '{"a": [1]}',
    "text.like.number": "1",
    "text.like.null": "null",
    "metadata": '{"deep": {"er": [1]}}',
    "bool": False,
    "int.max": 2**63 - 1,
    "int.min": -(2**63),
    "int.above.double": 2**53 + 1,
    "float": 0.1,
    "float.largest": 1.7976931348623157e308,
    "list.empty": [],
    "list.text": ["a", ""],
    "list.int": [1, 2**53 + 1],
    "list.float": [0.5, 1e-300],
    "list.bool": [True, False],
    "long": "x" * 100_000,
    "openinference.span.kind": "CHAIN",
}
"""What JSON can carry."""


def provider_to(store: TraceStore, place: Place) -> TracerProvider:
    """A provider whose spans go to a place."""
    provider = TracerProvider(
        resource=Resource({"service.name": "reading", "n": 2**53 + 1, "l": ["a", "b"]}),
        shutdown_on_exit=False,
    )
    destination = Destination(place.type, name="place", endpoint=place.endpoint, headers=place.headers)
    provider.add_span_processor(HushSpanProcessor(store.db_path, destinations=[destination]))
    return provider


def assert_reads_back(store: TraceStore, place: Place, count: int) -> None:
    """All of it, once it is there: some receivers answer before they have written."""
    stored = [from_view(row) for row in rows(store.db_path, "SELECT * FROM spans")]
    assert len(stored) == count
    eventually(lambda: len(place.spans()) >= count, what=f"{count} spans")
    assert_same([place.kept(span) for span in stored], place.spans(), "the receiver")


def test_spans(store: TraceStore, place: Place) -> None:
    """A tree with every status, values of every type, events, a link, an exception."""
    provider = provider_to(store, place)
    tracer = provider.get_tracer("reading", "1.2", attributes={"scope.n": 1})
    with tracer.start_as_current_span("root", kind=SpanKind.SERVER, attributes=VALUES) as root:
        root.add_event("event", {"k": 1, "s": "é"})
        root.add_event("bare")
        link = Link(root.get_span_context(), {"why": "it can"})
        with tracer.start_as_current_span("good", kind=SpanKind.CLIENT, links=[link]) as span:
            span.set_status(Status(StatusCode.OK))
        with pytest.raises(ValueError, match="no good"), tracer.start_as_current_span("bad"):
            raise ValueError("no good")
    assert store.wait_delivered(30_000)
    provider.shutdown()
    assert_reads_back(store, place, 3)


def test_node_traces(store: TraceStore, place: Place) -> None:
    """A workflow with a generation, a tool and an error."""
    nodes = nodes_of(request_id := uuid.uuid4().hex)
    for node in nodes:
        store.insert_node_trace(**node)
    config = {"endpoint": place.endpoint, "headers": place.headers}
    store.mark_request_complete(request_id, place.type, config, ["a", "b"])
    assert store.wait_delivered(30_000, request_id)
    assert_reads_back(store, place, len(nodes))


def test_phoenix_loses_a_span_with_bytes_behind_its_answer(store: TraceStore, project: Project) -> None:
    """It has accepted both spans; only the second one is there. When this fails, the documentation has to change."""
    provider = provider_to(store, project)
    tracer = provider.get_tracer("reading")
    tracer.start_span("lost", attributes={"value": b"\0"}).end()
    tracer.start_span("kept").end()
    assert store.wait_delivered(30_000)
    provider.shutdown()
    names = eventually(lambda: [span["name"] for span in project.spans()], what="a span in Phoenix")
    assert names == ["kept"]
