"""Spans as OTLP JSON.

Source: OTLP specification, "JSON Protobuf Encoding".
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from hush_otel.destinations.otlp_encode import encode
from hush_otel.model import SpanData

JsonObject: TypeAlias = dict[str, Any]

_ID_FIELDS: Final = frozenset({"trace_id", "span_id", "parent_span_id"})
_WIDE_TYPES: Final = frozenset(
    {FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_FIXED64, FieldDescriptor.TYPE_UINT64}
)


def encode_json(spans: Sequence[SpanData]) -> bytes:
    """`to_otlp_json` as one line of JSON, without a line break."""
    return msgspec.json.encode(to_otlp_json(spans))


def to_otlp_json(spans: Sequence[SpanData]) -> JsonObject:
    """The request of `encode` as an OTLP JSON object: ``{"resourceSpans": […]}``.

    Ids are lowercase hex, enums integers, 64-bit integers decimal strings, bytes base64, non-finite
    doubles the strings NaN, Infinity, -Infinity; fields at their default are left out (OTLP
    specification, "JSON Protobuf Encoding"; protobuf JSON mapping).
    """
    return _json_object(ExportTraceServiceRequest.FromString(encode(spans)))


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
