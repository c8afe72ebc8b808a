"""Stored spans as ReadableSpans: what an exporter of others gets is what the SDK had, through the pipe and back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from inprocess import App, no_background
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from hush_otel.destinations.foreign_wire import Export, decode_question, encode, pack, unpack
from hush_otel.destinations.readable import readable_spans
from hush_otel.model import Origin, SpanData, SpanFacts
from hush_otel.store.history import HistoryReader

STATE = TraceState([("vendor", "a=b"), ("other", "x")])
REMOTE = SpanContext(0xA1, 0xB2, True, TraceFlags(3), STATE)
LOCAL = SpanContext(2**128 - 1, 7, False, TraceFlags(0))


def span_data(**fields: Any) -> SpanData:
    """A span with little in it."""
    plain: dict[str, Any] = {
        "trace_id": b"t" * 16,
        "span_id": b"s" * 8,
        "parent_span_id": None,
        "flags": 0x101,
        "trace_state": "",
        "name": "a",
        "kind": 1,
        "start_ns": 1,
        "end_ns": 2,
        "status_code": 0,
        "status_message": "",
        "attributes": {},
        "events": [],
        "links": [],
        "dropped_attributes": 0,
        "dropped_events": 0,
        "dropped_links": 0,
        "origin": Origin(),
        "request_id": "r",
    }
    return SpanData(**plain | fields)


def through_the_pipe(spans: list[SpanData]) -> list[SpanData]:
    """As the process of foreign code gets them."""
    question = decode_question(encode(Export(pack(spans))))
    assert isinstance(question, Export)
    return unpack(question.spans)


def same(one: Any, other: Any) -> bool:
    """Equal in value and type; NaN equals NaN."""
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    if isinstance(one, tuple):
        return isinstance(other, tuple) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def fields_of(span: ReadableSpan) -> dict[str, Any]:
    """All that an exporter can ask a span for, by its public properties."""
    context, parent, scope = span.get_span_context(), span.parent, span.instrumentation_scope
    assert context is not None
    assert scope is not None
    return {
        "name": span.name,
        "context": tuple(context),
        "parent": parent and (parent.trace_id, parent.span_id, parent.is_remote),
        "kind": span.kind,
        "times": (span.start_time, span.end_time),
        "status": (span.status.status_code, span.status.description),
        "dropped": (span.dropped_attributes, span.dropped_events, span.dropped_links),
        "events": [
            (e.name, e.timestamp, dict(e.attributes or {}), e.dropped_attributes) for e in span.events
        ],
        "links": [(tuple(n.context), dict(n.attributes or {}), n.dropped_attributes) for n in span.links],
        "resource": (dict(span.resource.attributes), span.resource.schema_url),
        "scope": (scope.name, scope.version, scope.schema_url, dict(scope.attributes or {})),
    }


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ReadableSpan, ReadableSpan]:
    """A span that has everything: as the SDK had it, and rebuilt from its row."""
    no_background(monkeypatch, tmp_path)
    app = App(tmp_path / "t.db", live=False)
    memory = InMemorySpanExporter()
    provider = TracerProvider(
        resource=app.provider.resource,
        shutdown_on_exit=False,
        span_limits=SpanLimits(
            max_span_attributes=9, max_events=2, max_links=2, max_event_attributes=2, max_link_attributes=2
        ),
    )
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.add_span_processor(app.processor)
    tracer = provider.get_tracer("scope", "1.2", "https://schema", {"n": 1, "b": "x"})
    span = tracer.start_span(
        "rich\0 é",
        context=set_span_in_context(NonRecordingSpan(REMOTE)),
        kind=SpanKind.PRODUCER,
        links=[Link(LOCAL, {"gone": 1}), Link(REMOTE, {"a": 1, "b": 2, "c": 3}), Link(LOCAL)],
        attributes={"gone": 1},
        start_time=1_700_000_000_123_456_789,
    )
    for number in range(3):
        span.add_event(f"event {number}", {"a": 1, "b": [1.5], "c": "é"}, timestamp=number + 1)
    for key, value in {
        "text": "é\u202e\0",
        "int": 2**63 - 1,
        "float": 1.0,
        "nan": math.nan,
        "bytes": b"\0x",
        "bool": True,
        "texts": ["a", ""],
        "ints": [1, -(2**63)],
        "empty": [],
    }.items():
        span.set_attribute(key, value)
    span.set_status(Status(StatusCode.ERROR, "broken"))
    span.end(end_time=1_700_000_000_999_999_999)
    app.drain()
    reader = HistoryReader(tmp_path / "t.db")
    (rebuilt,) = readable_spans(through_the_pipe(list(reader.spans_of(1))))
    reader.close()
    return memory.get_finished_spans()[0], rebuilt


def test_a_rebuilt_span_equals_the_original(both: tuple[ReadableSpan, ReadableSpan]) -> None:
    """Field by field, and attribute by attribute with its type."""
    original, rebuilt = both
    assert fields_of(rebuilt) == fields_of(original)
    attributes = dict(original.attributes or {})
    assert len(attributes) == 9
    assert list(rebuilt.attributes or {}) == list(attributes)
    assert all(same(value, (rebuilt.attributes or {})[key]) for key, value in attributes.items())
    assert original.dropped_attributes == original.dropped_links == original.dropped_events == 1


def test_a_rebuilt_span_has_the_sdks_own_json(both: tuple[ReadableSpan, ReadableSpan]) -> None:
    """What exporters in Python make of a span goes through the same methods."""
    original, rebuilt = both
    for span in both:
        span._attributes = {
            k: v for k, v in (span.attributes or {}).items() if k != "bytes"
        }  # no JSON has them
    assert rebuilt.to_json() == original.to_json()


def test_an_attribute_cannot_be_changed_by_an_exporter(both: tuple[ReadableSpan, ReadableSpan]) -> None:
    """As behind the SDK's own processors."""
    _, rebuilt = both
    with pytest.raises(TypeError):
        rebuilt.attributes["new"] = 1  # type: ignore[index]


def test_spans_of_one_resource_share_it() -> None:
    """Exporters group by it; the order of the spans stays."""
    one, other = Origin({"service.name": "one"}), Origin({"service.name": "other"}, scope_name="s")
    spans = [span_data(name=name, origin=origin) for name, origin in (("a", one), ("b", other), ("c", one))]
    a, b, c = readable_spans(through_the_pipe(spans))
    assert [span.name for span in (a, b, c)] == ["a", "b", "c"]
    assert a.resource is c.resource
    assert a.instrumentation_scope is c.instrumentation_scope
    assert b.resource.attributes == {"service.name": "other"}


def test_a_span_survives_the_pipe_unchanged() -> None:
    """Every field, every type of value."""
    values = {"a": [1, 1.0, True, None, "x", b"x"], "b": {"c": {"d": [b""]}}, "n": -(2**63), "": "no key"}
    span = span_data(
        attributes=values, trace_state="a=b", parent_span_id=b"p" * 8, facts=SpanFacts(True, "llm")
    )
    (back,) = through_the_pipe([span])
    assert repr(back) == repr(span)  # which tells 1 from 1.0 and True


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"status_code": 1, "status_message": "only errors have words"}, (StatusCode.OK, None)),
        ({"status_code": 2, "status_message": ""}, (StatusCode.ERROR, None)),
        ({}, (StatusCode.UNSET, None)),
    ],
)
def test_a_status_is_one_that_the_sdk_allows(
    fields: dict[str, Any], status: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It would log a warning for each span otherwise."""
    (span,) = readable_spans([span_data(**fields)])
    assert (span.status.status_code, span.status.description) == status
    assert not caplog.records


def test_kinds_are_the_sdks() -> None:
    """OTLP counts from 1; what it does not know is INTERNAL."""
    kinds = [span.kind for span in readable_spans([span_data(kind=number) for number in range(6)])]
    assert kinds == [
        SpanKind.INTERNAL,
        SpanKind.INTERNAL,
        SpanKind.SERVER,
        SpanKind.CLIENT,
        SpanKind.PRODUCER,
        SpanKind.CONSUMER,
    ]
