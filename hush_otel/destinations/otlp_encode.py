"""Spans to OTLP, as protobuf and as JSON.

Built in place with the protobuf runtime from `model.SpanData`, not by way of the SDK's exporter: that
one takes three times as long, and drops link trace states and the W3C bits of the flags.

The fast path checks nothing: protobuf itself refuses what it cannot carry. Only then is the span
repaired (`_repaired_span`) and written again, so that no span ever fails to encode.

Sources: opentelemetry-proto v1.x `trace.proto`, `common.proto`; OTLP specification, "JSON Protobuf
Encoding". Works with opentelemetry-proto >= 1.30 on protobuf >= 5.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from hush_otel.model import AttributeValue, EventData, LinkData, Origin, SpanData

JsonObject: TypeAlias = dict[str, Any]

MAX_DEPTH: Final = 31
"""Nested lists and maps of one attribute that are sent. Protobuf parsers in C++, Java and Python refuse
more than 100 nested messages; a map level takes 3 of them, and an event attribute starts at 7."""

DEPTH_MARK: Final = "<depth>"
"""Stands for what lies deeper than `MAX_DEPTH`."""

_U32_MAX: Final = 2**32 - 1
_U64_MAX: Final = 2**64 - 1
_I32_MAX: Final = 2**31 - 1
_I64_LIMIT: Final = 2**63


def encode(spans: Sequence[SpanData]) -> bytes:
    """One serialised ExportTraceServiceRequest with `spans`, in their order within each scope."""
    return build_request(spans).SerializeToString()


def build_request(spans: Sequence[SpanData]) -> ExportTraceServiceRequest:
    """One ExportTraceServiceRequest: one ResourceSpans per distinct resource, one ScopeSpans per scope in it.

    Never raises for the content of spans: times and counts are clamped to their unsigned range, integers
    beyond 64 bit become strings, lone surrogates U+FFFD, what is nested too deep `DEPTH_MARK`. Ids are
    sent as given.
    """
    request = ExportTraceServiceRequest()
    scopes = _Scopes(request)
    targets: dict[int, Any] = {}
    for span in spans:
        target = targets.get(id(span.origin))
        if target is None:
            target = targets[id(span.origin)] = scopes.find(span.origin).spans
        before = len(target)
        try:
            _write_span(target, span)
        except (ValueError, TypeError):
            del target[before:]
            _write_span(target, _repaired_span(span))
    return request


_Content: TypeAlias = tuple[bytes, str]
"""A serialised resource or scope, and its schema URL. Unlike dict equality it tells 1, 1.0 and True apart."""


class _Scopes:
    """The ScopeSpans of one request, by content: equal origins that are two objects share one."""

    def __init__(self, request: ExportTraceServiceRequest) -> None:
        self._request = request
        self._resources: dict[_Content, tuple[ResourceSpans, dict[_Content, ScopeSpans]]] = {}

    def find(self, origin: Origin) -> ScopeSpans:
        try:
            return self._find(origin)
        except (ValueError, TypeError):
            return self._find(_repaired_origin(origin))

    def _find(self, origin: Origin) -> ScopeSpans:
        resource, scope = ResourceSpans(schema_url=origin.resource_schema_url), ScopeSpans()
        resource.resource.SetInParent()
        _write_attributes(resource.resource.attributes.add, origin.resource)
        _write_scope(scope, origin)
        key = (resource.resource.SerializeToString(), resource.schema_url)
        if key not in self._resources:
            self._resources[key] = self._request.resource_spans.add(), {}
            self._resources[key][0].CopyFrom(resource)
        parent, scopes = self._resources[key]
        scope_key = (scope.scope.SerializeToString(), scope.schema_url)
        if scope_key not in scopes:
            scopes[scope_key] = parent.scope_spans.add()
            scopes[scope_key].CopyFrom(scope)
        return scopes[scope_key]


def _write_scope(target: ScopeSpans, origin: Origin) -> None:
    target.schema_url = origin.scope_schema_url
    target.scope.SetInParent()
    target.scope.name = origin.scope_name
    target.scope.version = origin.scope_version
    _write_attributes(target.scope.attributes.add, origin.scope_attributes)


def _write_span(target: Any, span: SpanData) -> None:
    added: Span = target.add(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id or b"",
        flags=span.flags,
        trace_state=span.trace_state,
        name=span.name,
        kind=span.kind,
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
    )
    added.status.code = span.status_code  # type: ignore[assignment]  # the number of the enum
    if span.status_message:
        added.status.message = span.status_message
    _write_attributes(added.attributes.add, span.attributes)
    if span.events:
        _write_events(added.events.add, span.events)
    if span.links:
        _write_links(added.links.add, span.links)
    if span.dropped_attributes or span.dropped_events or span.dropped_links:
        added.dropped_attributes_count = span.dropped_attributes
        added.dropped_events_count = span.dropped_events
        added.dropped_links_count = span.dropped_links


def _write_events(add: Any, events: Sequence[EventData]) -> None:
    for event in events:
        added = add(
            name=event.name,
            time_unix_nano=event.time_ns,
            dropped_attributes_count=event.dropped_attributes,
        )
        _write_attributes(added.attributes.add, event.attributes)


def _write_links(add: Any, links: Sequence[LinkData]) -> None:
    for link in links:
        added = add(
            trace_id=link.trace_id,
            span_id=link.span_id,
            trace_state=link.trace_state,
            flags=link.flags,
            dropped_attributes_count=link.dropped_attributes,
        )
        _write_attributes(added.attributes.add, link.attributes)


def _write_attributes(add: Any, attributes: Mapping[str, AttributeValue]) -> None:
    # Inlined for the four usual types: a call for each value would double the time of a span.
    for key, value in attributes.items():
        entry = add()
        entry.key = key
        kind = type(value)
        if kind is str:
            entry.value.string_value = value
        elif kind is int:
            entry.value.int_value = value
        elif kind is float:
            entry.value.double_value = value
        elif kind is bool:
            entry.value.bool_value = value
        else:
            _write_value(entry.value, value, 1)


def _write_value(target: AnyValue, value: object, depth: int) -> None:
    if value is None:
        target.SetInParent()  # present, with no value in it
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):  # before int, which it is
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, (bytes, bytearray, memoryview)):
        target.bytes_value = bytes(value)
    elif isinstance(value, (Mapping, Sequence)):
        _write_container(target, value, depth)
    else:
        target.string_value = str(value)


def _write_container(
    target: AnyValue, value: Mapping[str, AttributeValue] | Sequence[AttributeValue], depth: int
) -> None:
    if depth > MAX_DEPTH:
        target.string_value = DEPTH_MARK
    elif isinstance(value, Mapping):
        target.kvlist_value.SetInParent()
        entries = target.kvlist_value.values
        for key, item in value.items():
            _write_value(entries.add(key=key).value, item, depth + 1)
    else:
        target.array_value.SetInParent()
        _write_items(target.array_value.values.add, value, depth + 1)


def _write_items(add: Any, items: Sequence[AttributeValue], depth: int) -> None:
    for item in items:
        kind = type(item)
        if kind is float:  # embeddings: thousands in one attribute
            add().double_value = item
        elif kind is str:
            add().string_value = item
        else:
            _write_value(add(), item, depth)


# The failure path: a copy that protobuf takes.


def _repaired_span(span: SpanData) -> SpanData:
    return msgspec.structs.replace(
        span,
        trace_id=bytes(span.trace_id),
        span_id=bytes(span.span_id),
        flags=_clamped(span.flags, _U32_MAX),
        trace_state=_text(span.trace_state),
        name=_text(span.name),
        kind=_clamped(span.kind, _I32_MAX),
        start_ns=_clamped(span.start_ns, _U64_MAX),
        end_ns=_clamped(span.end_ns, _U64_MAX),
        status_code=_clamped(span.status_code, _I32_MAX),
        status_message=_text(span.status_message),
        attributes=_map(span.attributes, 1),
        events=[_repaired_event(event) for event in span.events],
        links=[_repaired_link(link) for link in span.links],
        dropped_attributes=_clamped(span.dropped_attributes, _U32_MAX),
        dropped_events=_clamped(span.dropped_events, _U32_MAX),
        dropped_links=_clamped(span.dropped_links, _U32_MAX),
    )


def _repaired_event(event: EventData) -> EventData:
    return EventData(
        name=_text(event.name),
        time_ns=_clamped(event.time_ns, _U64_MAX),
        attributes=_map(event.attributes, 1),
        dropped_attributes=_clamped(event.dropped_attributes, _U32_MAX),
    )


def _repaired_link(link: LinkData) -> LinkData:
    return msgspec.structs.replace(
        link,
        trace_state=_text(link.trace_state),
        flags=_clamped(link.flags, _U32_MAX),
        attributes=_map(link.attributes, 1),
        dropped_attributes=_clamped(link.dropped_attributes, _U32_MAX),
    )


def _repaired_origin(origin: Origin) -> Origin:
    return Origin(
        resource=_map(origin.resource, 1),
        resource_schema_url=_text(origin.resource_schema_url),
        scope_name=_text(origin.scope_name),
        scope_version=_text(origin.scope_version),
        scope_schema_url=_text(origin.scope_schema_url),
        scope_attributes=_map(origin.scope_attributes, 1),
    )


def _map(values: Mapping[str, object], depth: int) -> dict[str, AttributeValue]:
    return {_text(str(key)): _repaired(value, depth) for key, value in values.items()}


def _repaired(value: object, depth: int) -> AttributeValue:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -_I64_LIMIT <= value < _I64_LIMIT else _digits(value)
    if value is None or isinstance(value, (bool, float, bytes)):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (Mapping, Sequence)) and not isinstance(value, str):
        return _repaired_container(value, depth)
    return _text(str(value))


def _repaired_container(value: Mapping[str, object] | Sequence[object], depth: int) -> AttributeValue:
    if depth > MAX_DEPTH:
        return DEPTH_MARK
    if isinstance(value, Mapping):
        return _map(value, depth + 1)
    return [_repaired(item, depth + 1) for item in value]


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # above sys.get_int_max_str_digits()
        return hex(value)


def _text(value: str) -> str:
    """Valid UTF-8: halves of a surrogate pair are joined, lone ones become U+FFFD."""
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _clamped(value: int, maximum: int) -> int:
    return min(max(value, 0), maximum)


# OTLP JSON.

_ID_FIELDS: Final = frozenset({"trace_id", "span_id", "parent_span_id"})
_WIDE_TYPES: Final = frozenset(
    {FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_FIXED64, FieldDescriptor.TYPE_UINT64}
)


def encode_json(spans: Sequence[SpanData]) -> bytes:
    """`to_otlp_json` as one line of JSON, without a line break."""
    return msgspec.json.encode(to_otlp_json(spans))


def to_otlp_json(spans: Sequence[SpanData]) -> JsonObject:
    """The request of `build_request` as an OTLP JSON object: ``{"resourceSpans": […]}``.

    Ids are lowercase hex, enums integers, 64-bit integers decimal strings, bytes base64, non-finite
    doubles the strings NaN, Infinity, -Infinity; fields at their default are left out (OTLP
    specification, "JSON Protobuf Encoding"; protobuf JSON mapping).
    """
    return _json_object(build_request(spans))


def _json_object(message: Message) -> JsonObject:
    return {field.json_name: _json_value(field, value) for field, value in message.ListFields()}


def _json_value(field: FieldDescriptor, value: Any) -> Any:
    kind = field.type
    if kind == FieldDescriptor.TYPE_MESSAGE:
        return _json_object(value) if isinstance(value, Message) else [_json_object(item) for item in value]
    if kind == FieldDescriptor.TYPE_BYTES:
        return value.hex() if field.name in _ID_FIELDS else base64.b64encode(value).decode()
    if kind in _WIDE_TYPES:
        return str(value)
    if kind == FieldDescriptor.TYPE_DOUBLE and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
