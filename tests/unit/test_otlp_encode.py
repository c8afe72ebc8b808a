"""OTLP encoding: equal to the official encoder where that one is right, and never failing."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from hush_otel.destinations.otlp_encode import encode
from hush_otel.destinations.otlp_json import encode_json, to_otlp_json
from hush_otel.destinations.otlp_wire import DEPTH_MARK, MAX_DEPTH
from hush_otel.model import FLAGS_HAS_IS_REMOTE, FLAGS_IS_REMOTE, EventData, LinkData, Origin, SpanData
from hush_otel.testing import attributes_of, decode_request

ATTRIBUTES: dict[str, Any] = {
    "text": "grüße 🎈",
    "empty": "",
    "true": True,
    "zero": 0,
    "big": 2**63 - 1,
    "small": -(2**63),
    "ratio": 0.25,
    "raw": b"\x00\xff",
    "none": None,
    "texts": ["a", "b"],
    "numbers": [1, 2.5, True],
    "nested": {"a": [{"b": None}], "c": {}},
    "nothing": [],
}
ORIGIN = Origin(
    resource={"service.name": "checkout", "process.pid": 7},
    resource_schema_url="https://opentelemetry.io/schemas/1.30.0",
    scope_name="lib",
    scope_version="1.2",
    scope_schema_url="https://example.com/scope",
    scope_attributes={"scope.key": "v"},
)
TRACE_ID, SPAN_ID, PARENT_ID = bytes(range(16)), bytes(range(8)), bytes(range(1, 9))


def make_span(**changes: Any) -> SpanData:
    """A span with every field filled."""
    span = SpanData(
        trace_id=TRACE_ID,
        span_id=SPAN_ID,
        parent_span_id=PARENT_ID,
        flags=FLAGS_HAS_IS_REMOTE | FLAGS_IS_REMOTE | 1,
        trace_state="vendor=1,other=2",
        name="chat gpt-4o",
        kind=3,
        start_ns=1_700_000_000_000_000_001,
        end_ns=1_700_000_000_000_000_999,
        status_code=2,
        status_message="boom",
        attributes=dict(ATTRIBUTES),
        events=[EventData("exception", 1_700_000_000_000_000_500, {"exception.type": "E"}, 3)],
        links=[LinkData(bytes(range(1, 17)), PARENT_ID, "l=1", FLAGS_HAS_IS_REMOTE | 1, {"k": "v"}, 4)],
        dropped_attributes=1,
        dropped_events=2,
        dropped_links=5,
        origin=ORIGIN,
        request_id="r1",
    )
    return msgspec.structs.replace(span, **changes)


def decode(spans: list[SpanData]) -> ExportTraceServiceRequest:
    """What a receiver parses."""
    return ExportTraceServiceRequest.FromString(encode(spans))


def decode_one(**changes: Any) -> Span:
    """The span of `make_span` with `changes`, as a receiver parses it."""
    return decode([make_span(**changes)]).resource_spans[0].scope_spans[0].spans[0]


class _Dropping(ReadableSpan):
    """The SDK span of `make_span`, with the dropped counts that only a recording span can have."""

    dropped_attributes = 1
    dropped_events = 2
    dropped_links = 5


# The official encoder of 1.30 refuses null below the top level, and drops it there.
WITHOUT_NULL: dict[str, Any] = {**ATTRIBUTES, "none": "", "nested": {"a": [{"b": 1}], "c": {}}}


def official_span() -> ReadableSpan:
    """The span of `make_span` as the SDK holds it."""
    trace_id, span_id, parent_id = (int.from_bytes(i, "big") for i in (TRACE_ID, SPAN_ID, PARENT_ID))
    state = TraceState([("vendor", "1"), ("other", "2")])
    linked = SpanContext(
        int.from_bytes(range(1, 17), "big"),
        parent_id,
        is_remote=False,
        trace_flags=TraceFlags(1),
        trace_state=TraceState([("l", "1")]),
    )
    return _Dropping(
        name="chat gpt-4o",
        context=SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(1), trace_state=state),
        parent=SpanContext(trace_id, parent_id, is_remote=True, trace_flags=TraceFlags(1)),
        resource=Resource(ORIGIN.resource, ORIGIN.resource_schema_url),
        attributes=WITHOUT_NULL,
        events=[Event("exception", {"exception.type": "E"}, 1_700_000_000_000_000_500)],
        links=[Link(linked, {"k": "v"})],
        kind=SpanKind.CLIENT,
        instrumentation_scope=InstrumentationScope(
            "lib", "1.2", "https://example.com/scope", {"scope.key": "v"}
        ),
        status=Status(StatusCode.ERROR, "boom"),
        start_time=1_700_000_000_000_000_001,
        end_time=1_700_000_000_000_000_999,
    )


def test_equals_official_encoder_field_by_field() -> None:
    """Where the official encoder is right, the two requests are the same message."""
    ours = decode([make_span(attributes=dict(WITHOUT_NULL))])
    official = encode_spans([official_span()])
    span = ours.resource_spans[0].scope_spans[0].spans[0]
    span.flags &= ~0xFF
    span.links[0].flags &= ~0xFF
    span.links[0].trace_state = ""
    span.links[0].dropped_attributes_count = 0
    span.events[0].dropped_attributes_count = 0
    theirs = official.resource_spans[0].scope_spans[0].spans[0]
    for field in Span.DESCRIPTOR.fields:
        assert getattr(span, field.name) == getattr(theirs, field.name), field.name
    theirs_scope, our_scope = (r.resource_spans[0].scope_spans[0] for r in (official, ours))
    assert theirs_scope.schema_url in ("", our_scope.schema_url)
    our_scope.schema_url = theirs_scope.schema_url  # 1.30 leaves it out, and scope attributes
    if not theirs_scope.scope.attributes:
        del our_scope.scope.attributes[:]
    assert ours == official


def test_keeps_what_official_encoder_drops() -> None:
    """Link trace state, the W3C bits of both flags and dropped counts inside events and links are sent."""
    span = decode_one()
    official = encode_spans([official_span()]).resource_spans[0].scope_spans[0].spans[0]
    assert (span.links[0].trace_state, official.links[0].trace_state) == ("l=1", "")
    assert span.flags == FLAGS_HAS_IS_REMOTE | FLAGS_IS_REMOTE | 1
    assert span.links[0].flags == FLAGS_HAS_IS_REMOTE | 1
    assert official.flags & 0xFF == 0
    assert (span.events[0].dropped_attributes_count, span.links[0].dropped_attributes_count) == (3, 4)


@pytest.mark.parametrize("key", ATTRIBUTES)
def test_attribute_value_survives(key: str) -> None:
    """Every attribute type comes back with its value and its type."""
    value = attributes_of(decode_one().attributes)[key]
    assert value == ATTRIBUTES[key]
    assert type(value) is type(ATTRIBUTES[key])


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (2**63, str(2**63)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (10**5000, hex(10**5000)),
        ([1, 2**64], [1, str(2**64)]),
        ("a\ud800b", "a\ufffdb"),
        ("\ud83d\ude00", "😀"),
        ({"k\udfff": "\udfff"}, {"k\ufffd": "\ufffd"}),
        (("a", 1), ["a", 1]),
        (bytearray(b"x"), b"x"),
        (3 + 4j, "(3+4j)"),
    ],
    ids=[
        "above-int64",
        "below-int64",
        "huge",
        "huge-in-list",
        "lone",
        "pair",
        "map",
        "tuple",
        "bytearray",
        "other",
    ],
)
def test_value_that_protobuf_refuses_is_repaired(value: Any, sent: Any) -> None:
    """What does not fit the wire is sent in the nearest form, and its neighbours as they are."""
    span = decode_one(attributes={"before": 1, "it": value, "after": "x"})
    assert attributes_of(span.attributes) == {"before": 1, "it": sent, "after": "x"}


def test_repaired_span_stays_single_and_in_order() -> None:
    """A span that needs repair is written once, between its neighbours."""
    names = [make_span(name=n, attributes={"x": v}) for n, v in (("a", 1), ("b", 2**70), ("c", 2))]
    assert [s.name for s in decode(names).resource_spans[0].scope_spans[0].spans] == ["a", "b", "c"]


def test_numbers_out_of_range_are_clamped() -> None:
    """Times and counts outside their unsigned range take its nearest end."""
    span = decode_one(start_ns=-5, end_ns=2**70, dropped_attributes=2**40, dropped_events=-1, flags=-1)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (0, 2**64 - 1)
    assert (span.dropped_attributes_count, span.dropped_events_count, span.flags) == (2**32 - 1, 0, 0)


def test_ids_of_wrong_length_are_sent_as_given() -> None:
    """An id is never padded, cut or invented."""
    span = decode_one(trace_id=b"\x01", span_id=b"", parent_span_id=None)
    assert (span.trace_id, span.span_id, span.parent_span_id) == (b"\x01", b"", b"")


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"k": v}], ids=["list", "map"])
@pytest.mark.parametrize("extra", [0, 1, 100])
def test_depth_is_cut_where_receivers_stop_parsing(wrap: Any, extra: int) -> None:
    """Nesting up to the limit parses with protobuf's default recursion limit; deeper is marked."""
    value: Any = 1
    for _ in range(MAX_DEPTH + extra):
        value = wrap(value)
    span = decode_one(attributes={"deep": value}, events=[EventData("e", 1, {"deep": value})])
    text = str(attributes_of(span.events[0].attributes))
    assert (DEPTH_MARK in text) == (extra > 0)


def test_equal_origins_share_resource_and_scope() -> None:
    """Spans of equal resources travel under one ResourceSpans, of equal scopes under one ScopeSpans."""
    twin = msgspec.structs.replace(ORIGIN)
    other_scope = msgspec.structs.replace(ORIGIN, scope_name="other")
    other_resource = msgspec.structs.replace(ORIGIN, resource={"service.name": "checkout", "process.pid": 8})
    request = decode([make_span(origin=o) for o in (ORIGIN, twin, other_scope, other_resource, ORIGIN)])
    counts = [[len(s.spans) for s in r.scope_spans] for r in request.resource_spans]
    assert counts == [[3, 1], [1]]


def test_resources_that_only_python_calls_equal_stay_apart() -> None:
    """1, 1.0 and True are three values on the wire, so their resources are three."""
    origins = [Origin(resource={"x": value}) for value in (1, 1.0, True)]
    assert len(decode([make_span(origin=o) for o in origins]).resource_spans) == 3


def test_origin_that_protobuf_refuses_is_repaired() -> None:
    """A resource or scope with a lone surrogate is sent with a replacement character."""
    origin = Origin(resource={"a": "\ud800", "n": 2**64}, scope_name="s\udc00")
    resource_spans = decode([make_span(origin=origin)]).resource_spans[0]
    assert attributes_of(resource_spans.resource.attributes) == {"a": "\ufffd", "n": str(2**64)}
    assert resource_spans.scope_spans[0].scope.name == "s\ufffd"


def test_no_spans_is_an_empty_request() -> None:
    """An empty batch encodes to an empty message."""
    assert encode([]) == b""


def test_json_follows_otlp_json_rules() -> None:
    """Ids are hex, enums integers, 64-bit integers strings, bytes base64, non-finite doubles words."""
    attributes = {**ATTRIBUTES, "nan": math.nan, "inf": math.inf, "-inf": -math.inf}
    document = json.loads(encode_json([make_span(attributes=attributes)]))
    span = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    values = {a["key"]: a["value"] for a in span["attributes"]}
    assert (span["traceId"], span["spanId"], span["parentSpanId"]) == (
        TRACE_ID.hex(),
        SPAN_ID.hex(),
        PARENT_ID.hex(),
    )
    assert (span["kind"], span["status"]) == (3, {"code": 2, "message": "boom"})
    assert span["startTimeUnixNano"] == "1700000000000000001"
    assert span["links"][0]["traceId"] == bytes(range(1, 17)).hex()
    assert values["big"] == {"intValue": str(2**63 - 1)}
    assert values["raw"] == {"bytesValue": base64.b64encode(b"\x00\xff").decode()}
    assert [values[k]["doubleValue"] for k in ("nan", "inf", "-inf", "ratio")] == [
        "NaN",
        "Infinity",
        "-Infinity",
        0.25,
    ]
    assert values["none"] == {}
    assert values["empty"] == {"stringValue": ""}


def test_json_and_protobuf_carry_the_same() -> None:
    """An OTLP JSON receiver decodes the same message as a protobuf receiver."""
    spans = [make_span(), make_span(name="b", origin=Origin())]
    from_json = decode_request(encode_json(spans), "application/json")
    from_protobuf = decode_request(encode(spans), "application/x-protobuf")
    assert [r.span for r in from_json] == [r.span for r in from_protobuf]
    assert [r.resource for r in from_json] == [r.resource for r in from_protobuf]


def test_json_is_one_line() -> None:
    """Line breaks in values are escaped: one batch, one line."""
    assert b"\n" not in encode_json([make_span(name="a\nb")])
    assert list(to_otlp_json([])) == []


ANY_TEXT = st.text(st.characters(), max_size=8)  # with surrogates
ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=8) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
ANY_MAP = st.dictionaries(ANY_TEXT, ANY_VALUE, max_size=4)
ANY_SPAN = st.builds(
    SpanData,
    trace_id=st.binary(max_size=20),
    span_id=st.binary(max_size=10),
    parent_span_id=st.none() | st.binary(max_size=10),
    flags=st.integers(),
    trace_state=ANY_TEXT,
    name=ANY_TEXT,
    kind=st.integers(),
    start_ns=st.integers(),
    end_ns=st.integers(),
    status_code=st.integers(),
    status_message=ANY_TEXT,
    attributes=ANY_MAP,
    events=st.lists(st.builds(EventData, ANY_TEXT, st.integers(), ANY_MAP, st.integers()), max_size=2),
    links=st.lists(
        st.builds(LinkData, st.binary(), st.binary(), ANY_TEXT, st.integers(), ANY_MAP, st.integers()),
        max_size=2,
    ),
    dropped_attributes=st.integers(),
    dropped_events=st.integers(),
    dropped_links=st.integers(),
    origin=st.builds(Origin, ANY_MAP, ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_MAP),
    request_id=ANY_TEXT,
)


@given(st.lists(ANY_SPAN, max_size=3))
@settings(deadline=None, max_examples=60)
def test_never_raises_and_loses_no_span(spans: list[SpanData]) -> None:
    """Whatever a span holds, it is encoded, and the request parses with every span in it."""
    request = decode(spans)
    sent = [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
    assert len(sent) == len(spans)
    assert json.loads(encode_json(spans)) is not None
