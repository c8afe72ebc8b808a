"""What protobuf cannot carry, made so that it can: no span ever fails to be sent because of its content.

Times and counts are clamped to their unsigned range, integers beyond 64 bit become strings, lone surrogates
U+FFFD, what is nested too deep `DEPTH_MARK`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from hush_otel.destinations.otlp_wire import DEPTH_MARK, I32_MAX, I64_LIMIT, MAX_DEPTH, U32_MAX, U64_MAX
from hush_otel.model import AttributeValue, EventData, LinkData, Origin, SpanData


def repaired_span(span: SpanData) -> SpanData:
    """A copy that can be written."""
    return msgspec.structs.replace(
        span,
        trace_id=bytes(span.trace_id),
        span_id=bytes(span.span_id),
        flags=_clamped(span.flags, U32_MAX),
        trace_state=_text(span.trace_state),
        name=_text(span.name),
        kind=_clamped(span.kind, I32_MAX),
        start_ns=_clamped(span.start_ns, U64_MAX),
        end_ns=_clamped(span.end_ns, U64_MAX),
        status_code=_clamped(span.status_code, I32_MAX),
        status_message=_text(span.status_message),
        attributes=_map(span.attributes, 1),
        events=[_repaired_event(event) for event in span.events],
        links=[_repaired_link(link) for link in span.links],
        dropped_attributes=_clamped(span.dropped_attributes, U32_MAX),
        dropped_events=_clamped(span.dropped_events, U32_MAX),
        dropped_links=_clamped(span.dropped_links, U32_MAX),
    )


def _repaired_event(event: EventData) -> EventData:
    return EventData(
        name=_text(event.name),
        time_ns=_clamped(event.time_ns, U64_MAX),
        attributes=_map(event.attributes, 1),
        dropped_attributes=_clamped(event.dropped_attributes, U32_MAX),
    )


def _repaired_link(link: LinkData) -> LinkData:
    return msgspec.structs.replace(
        link,
        trace_state=_text(link.trace_state),
        flags=_clamped(link.flags, U32_MAX),
        attributes=_map(link.attributes, 1),
        dropped_attributes=_clamped(link.dropped_attributes, U32_MAX),
    )


def repaired_origin(origin: Origin) -> Origin:
    """A copy that can be written."""
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
        return value if -I64_LIMIT <= value < I64_LIMIT else _digits(value)
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
