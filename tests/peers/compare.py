"""Field by field: what the SDK saw, what the view `spans` shows, what the receiver got.

Each side becomes a dict of the same keys, its values tagged with their types; nothing of hush-otel takes part.
"""

from __future__ import annotations

import base64
import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, SpanContext

Fields: TypeAlias = dict[str, Any]

HAS_IS_REMOTE = 0x100
IS_REMOTE = 0x200
W3C_MASK = 0xFF


def typed(value: object) -> Any:
    """A value and its OTLP type, so that 1, 1.0 and True differ, and NaN equals NaN."""
    if isinstance(value, float):
        return "float", value.hex()
    if value is None or isinstance(value, (bool, int, str, bytes)):
        return type(value).__name__, value
    if isinstance(value, Mapping):
        return "map", {key: typed(item) for key, item in value.items()}
    assert isinstance(value, Sequence), f"no attribute value: {value!r}"
    return "list", [typed(item) for item in value]


# ------------------------------------------------------------------ the SDK


def from_sdk(span: ReadableSpan) -> Fields:
    """A finished span as the SDK hands it to processors."""
    context, parent, scope = span.get_span_context(), span.parent, span.instrumentation_scope
    assert context is not None
    assert scope is not None
    return {
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "parent_span_id": None if parent is None else f"{parent.span_id:016x}",
        "parent_is_remote": parent is not None and parent.is_remote,
        "trace_state": context.trace_state.to_header(),
        "flags": _flags(context, remote=parent is not None and parent.is_remote),
        "name": span.name,
        "kind": span.kind.name,
        "start_ns": span.start_time,
        "end_ns": span.end_time,
        "status_code": span.status.status_code.name,
        "status_message": span.status.description or "",
        "attributes": typed(span.attributes),
        "events": [_sdk_event(event) for event in span.events],
        "links": [_sdk_link(link) for link in span.links],
        "dropped_attributes": span.dropped_attributes,
        "dropped_events": span.dropped_events,
        "dropped_links": span.dropped_links,
        "resource": typed(span.resource.attributes),
        "resource_schema_url": span.resource.schema_url,
        "scope": {
            "name": scope.name,
            "version": scope.version or "",
            "schema_url": scope.schema_url or "",
            "attributes": typed(scope.attributes or {}),
        },
    }


def _flags(context: SpanContext, *, remote: bool) -> int:
    """OTLP's flags: the W3C byte of the span, and whether its parent (a link's target) is remote."""
    return HAS_IS_REMOTE | (IS_REMOTE if remote else 0) | (context.trace_flags & W3C_MASK)


def _sdk_event(event: Event) -> Fields:
    return {
        "name": event.name,
        "time_ns": event.timestamp,
        "attributes": typed(event.attributes or {}),
        "dropped_attributes": event.dropped_attributes,
    }


def _sdk_link(link: Link) -> Fields:
    return {
        "trace_id": f"{link.context.trace_id:032x}",
        "span_id": f"{link.context.span_id:016x}",
        "trace_state": link.context.trace_state.to_header(),
        "flags": _flags(link.context, remote=link.context.is_remote),
        "attributes": typed(link.attributes or {}),
        "dropped_attributes": link.dropped_attributes,
    }


# ------------------------------------------------------------------ the view


def rows(database: Path, sql: str, *parameters: object) -> list[dict[str, Any]]:
    """What a query gives, read-only, a dict a row."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql, parameters)]


def from_view(row: Mapping[str, Any]) -> Fields:
    """A row of `spans`; its JSON parsed, its types kept."""
    scope = json.loads(row["scope"])
    return {
        **{key: row[key] for key in row if key not in ("state", "request_id")},
        "parent_is_remote": bool(row["parent_is_remote"]),
        "attributes": typed(json.loads(row["attributes"])),
        "events": [_with_types(event) for event in json.loads(row["events"])],
        "links": [_with_types(link) for link in json.loads(row["links"])],
        "resource": typed(json.loads(row["resource"])),
        "scope": _with_types(scope),
    }


def _with_types(part: Fields) -> Fields:
    return part | {"attributes": typed(part["attributes"])}


def as_shown(fields: Any) -> Any:
    """What the view's JSON makes of it: bytes in base64, non-finite numbers as text."""
    if isinstance(fields, dict):
        return {key: as_shown(value) for key, value in fields.items()}
    if isinstance(fields, list):
        return [as_shown(value) for value in fields]
    if not isinstance(fields, tuple):
        return fields
    kind, value = fields
    if kind == "bytes":
        return "str", base64.b64encode(value).decode()
    if kind == "float" and not math.isfinite(float.fromhex(value)):
        return "str", {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[value]
    return kind, as_shown(value)


# ------------------------------------------------------------------ the receiver


def from_otlp(requests: Iterable[ExportTraceServiceRequest]) -> list[Fields]:
    """Every span of every request, in order."""
    return [
        _received(resource_spans, scope_spans, span)
        for request in requests
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


def _received(resource_spans: ResourceSpans, scope_spans: ScopeSpans, span: Span) -> Fields:
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex() or None,
        "parent_is_remote": bool(span.flags & IS_REMOTE),
        "trace_state": span.trace_state,
        "flags": span.flags,
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        "start_ns": span.start_time_unix_nano,
        "end_ns": span.end_time_unix_nano,
        "status_code": Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        "status_message": span.status.message,
        "attributes": _map(span.attributes),
        "events": [_received_event(event) for event in span.events],
        "links": [_received_link(link) for link in span.links],
        "dropped_attributes": span.dropped_attributes_count,
        "dropped_events": span.dropped_events_count,
        "dropped_links": span.dropped_links_count,
        "resource": _map(resource_spans.resource.attributes),
        "resource_schema_url": resource_spans.schema_url,
        "scope": {
            "name": scope_spans.scope.name,
            "version": scope_spans.scope.version,
            "schema_url": scope_spans.schema_url,
            "attributes": _map(scope_spans.scope.attributes),
        },
    }


def _received_event(event: Span.Event) -> Fields:
    return {
        "name": event.name,
        "time_ns": event.time_unix_nano,
        "attributes": _map(event.attributes),
        "dropped_attributes": event.dropped_attributes_count,
    }


def _received_link(link: Span.Link) -> Fields:
    return {
        "trace_id": link.trace_id.hex(),
        "span_id": link.span_id.hex(),
        "trace_state": link.trace_state,
        "flags": link.flags,
        "attributes": _map(link.attributes),
        "dropped_attributes": link.dropped_attributes_count,
    }


_SCALARS = {
    "string_value": "str",
    "bool_value": "bool",
    "int_value": "int",
    "double_value": "float",
    "bytes_value": "bytes",
}


def _map(entries: Any) -> Any:
    keys = [entry.key for entry in entries]
    assert len(keys) == len(set(keys)), f"a key is sent twice: {keys}"
    return "map", {entry.key: _value(entry.value) for entry in entries}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return "NoneType", None
    if kind == "array_value":
        return "list", [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _map(value.kvlist_value.values)
    content = getattr(value, kind)
    return _SCALARS[kind], content.hex() if kind == "double_value" else content


# ------------------------------------------------------------------ the comparison


def assert_same(expected: Sequence[Fields], actual: Sequence[Fields], where: str) -> None:
    """Every span exactly once, and every field equal."""
    assert sorted(map(_key, actual)) == sorted(map(_key, expected)), f"other spans at {where}"
    found = {_key(fields): fields for fields in actual}
    for fields in expected:
        other = found[_key(fields)]
        assert other.keys() == fields.keys(), f"other fields at {where}"
        for name, value in fields.items():
            assert other[name] == value, f"{name} of the span {fields['name']!r} at {where}"


def _key(fields: Fields) -> tuple[str, str]:
    return fields["trace_id"], fields["span_id"]


def assert_ends_agree(
    database: Path, exports: Iterable[ExportTraceServiceRequest], seen: Sequence[ReadableSpan] | None = None
) -> list[Fields]:
    """Compare the view and the receiver with what the SDK saw, or with each other; gives the received spans."""
    stored = rows(database, "SELECT * FROM spans ORDER BY start_ns, span_id")
    assert {row["state"] for row in stored} <= {"ended"}
    received = from_otlp(exports)
    if seen is not None:
        assert_same([from_sdk(span) for span in seen], received, "the receiver")
    assert_same(as_shown(received), [from_view(row) for row in stored], "the view `spans`")
    return received
