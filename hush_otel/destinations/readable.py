"""Stored spans as the SDK's ReadableSpan, which is what exporters of others take.

They go through the SDK's own classes, so that an exporter finds what it would find behind a
BatchSpanProcessor: attributes bounded, sequences as tuples, what was dropped counted. Of the parent's context
only the ids and whether it was remote are stored; it is given the span's own flags and state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from hush_otel.model import (
    FLAGS_IS_REMOTE,
    FLAGS_W3C_MASK,
    AttributeValue,
    EventData,
    LinkData,
    Origin,
    SpanData,
)

_T = TypeVar("_T")


def readable_spans(spans: Iterable[SpanData]) -> list[ReadableSpan]:
    """These spans, in this order; those of one resource share it."""
    origins: dict[int, tuple[Resource, InstrumentationScope]] = {}
    made = []
    for span in spans:
        key = id(span.origin)
        if key not in origins:
            origins[key] = _origin(span.origin)
        made.append(_readable(span, *origins[key]))
    return made


def _origin(origin: Origin) -> tuple[Resource, InstrumentationScope]:
    resource: Any = origin.resource
    scope: Any = origin.scope_attributes
    return (
        Resource(resource, origin.resource_schema_url or None),
        InstrumentationScope(
            origin.scope_name, origin.scope_version or None, origin.scope_schema_url or None, scope or None
        ),
    )


def _readable(span: SpanData, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    flags = TraceFlags(span.flags & FLAGS_W3C_MASK)
    state = TraceState.from_header([span.trace_state]) if span.trace_state else TraceState()
    trace_id = int.from_bytes(span.trace_id)
    parent = None
    if span.parent_span_id is not None:
        is_remote = bool(span.flags & FLAGS_IS_REMOTE)
        parent = SpanContext(trace_id, int.from_bytes(span.parent_span_id), is_remote, flags, state)
    return ReadableSpan(
        name=span.name,
        context=SpanContext(trace_id, int.from_bytes(span.span_id), False, flags, state),
        parent=parent,
        resource=resource,
        attributes=_attributes(span.attributes, span.dropped_attributes),
        events=_bounded(map(_event, span.events), span.dropped_events),
        links=_bounded(map(_link, span.links), span.dropped_links),
        kind=SpanKind(max(span.kind - 1, 0)),  # OTLP's numbers start at 1, the SDK's at 0
        instrumentation_scope=scope,
        status=_status(span),
        start_time=span.start_ns,
        end_time=span.end_ns,
    )


def _attributes(attributes: Mapping[str, AttributeValue], dropped: int) -> BoundedAttributes:
    given: Any = attributes
    bounded = BoundedAttributes(attributes=given)
    bounded.dropped += dropped
    return bounded


def _bounded(items: Iterable[_T], dropped: int) -> BoundedList[_T]:
    bounded: BoundedList[_T] = BoundedList(None)
    bounded.extend(list(items))
    bounded.dropped = dropped
    return bounded


def _event(event: EventData) -> Event:
    return Event(event.name, _attributes(event.attributes, event.dropped_attributes), event.time_ns)


def _link(link: LinkData) -> Link:
    context = SpanContext(
        int.from_bytes(link.trace_id),
        int.from_bytes(link.span_id),
        bool(link.flags & FLAGS_IS_REMOTE),
        TraceFlags(link.flags & FLAGS_W3C_MASK),
        TraceState.from_header([link.trace_state]) if link.trace_state else TraceState(),
    )
    return Link(context, _attributes(link.attributes, link.dropped_attributes))


def _status(span: SpanData) -> Status:
    code = StatusCode(span.status_code)
    # The SDK allows a description beside ERROR alone, and logs a warning otherwise.
    return Status(code, span.status_message or None if code is StatusCode.ERROR else None)
