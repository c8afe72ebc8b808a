"""Requests to a receiver's own API, and what a test reads there."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import urllib3
from compare import Fields
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SpanId = tuple[str, str]
"""Trace id and span id, lowercase hex."""


class Place(Protocol):
    """Where one test sends to and reads from: a project, an experiment, a session.

    Attributes:
        endpoint: Base URL for OTLP over HTTP.
        headers: What a sender adds.
        type: As which it is sent to: without a dialect, which would add attributes.
        deduplicates: Whether a span that comes twice is there once.
    """

    endpoint: str
    headers: dict[str, str]
    type: str
    deduplicates: bool

    def spans(self) -> list[Fields]:
        """All that arrived, with the fields that the receiver keeps, named and typed as in `compare`."""
        ...

    def kept(self, stored: Fields) -> Fields:
        """What the receiver keeps of a row of the view `spans`: the rest it loses."""
        ...


def ids(spans: Iterable[Fields]) -> Counter[SpanId]:
    """How often each span is there."""
    return Counter((span["trace_id"], span["span_id"]) for span in spans)


def get(url: str, query: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Any:
    """A GET that must give JSON."""
    fields = [(key, one) for key, value in (query or {}).items() for one in _all(value)]
    response = urllib3.request(
        "GET", url, fields=fields, headers=dict(headers or {}), retries=False, timeout=60.0
    )
    return _json(url, response)


def post(url: str, content: object, headers: Mapping[str, str] | None = None) -> Any:
    """A POST of JSON that must give JSON."""
    response = urllib3.request(
        "POST", url, json=content, headers=dict(headers or {}), retries=False, timeout=60.0
    )
    return _json(url, response)


def _all(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _json(url: str, response: urllib3.BaseHTTPResponse) -> Any:
    assert response.status == 200, f"{url} answered {response.status}: {response.data[:500]!r}"
    return response.json()


# ------------------------------------------------------------------ OTLP as JSON

_IDS = frozenset({"traceId", "spanId", "parentSpanId"})


def from_otlp_json(document: Any) -> ExportTraceServiceRequest:
    """`{"resourceSpans": …}` as a message. OTLP writes ids in hex, protobuf's own JSON in base64."""
    return ParseDict(_with_base64_ids(document), ExportTraceServiceRequest())


def _with_base64_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_base64_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: b64encode(bytes.fromhex(item)).decode() if key in _IDS else _with_base64_ids(item)
        for key, item in value.items()
    }
