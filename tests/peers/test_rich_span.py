"""One span with everything that the SDK can put into it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from compare import HAS_IS_REMOTE, IS_REMOTE, rows
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits
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
from recording import Recording

SCHEMA = "https://opentelemetry.io/schemas/1.30.0"
SCOPE_SCHEMA = "https://opentelemetry.io/schemas/1.28.0"
SAMPLED_AND_RANDOM = TraceFlags(0x03)
PARENT = SpanContext(
    trace_id=0x0102030405060708090A0B0C0D0E0F10,
    span_id=0xFFFFFFFFFFFFFFFE,
    is_remote=True,
    trace_flags=SAMPLED_AND_RANDOM,
    trace_state=TraceState([("vendor", "a=b"), ("other@1", "t61rcWkgMzE")]),
)
REMOTE_LINK = SpanContext(
    trace_id=1,
    span_id=1,
    is_remote=True,
    trace_flags=SAMPLED_AND_RANDOM,
    trace_state=TraceState([("linked", "yes")]),
)
LOCAL_LINK = SpanContext(trace_id=2**128 - 1, span_id=2, is_remote=False, trace_flags=TraceFlags(0))

VALUES: dict[str, Any] = {
    "text": "plain",
    "text.empty": "",
    "text.unicode": "naïve 日本語 👩‍🚀 \u202e\u0301",
    "text.control": 'nul \0 tab \t quote " backslash \\ newline \n del \x7f',
    "text.like.json": '{"a": [1, NaN]}',
    "text.like.number": "1",
    "bool": True,
    "bool.false": False,
    "int": 1,
    "int.max": 2**63 - 1,
    "int.min": -(2**63),
    "int.above.double": 2**53 + 1,
    "float": 0.1,
    "float.integral": 1.0,
    "float.negative.zero": -0.0,
    "float.smallest": 5e-324,
    "float.largest": 1.7976931348623157e308,
    "float.nan": math.nan,
    "float.inf": math.inf,
    "float.-inf": -math.inf,
    "bytes": bytes(range(256)),
    "bytes.empty": b"",
    "bytes.like.text": b"text",
    "list.empty": [],
    "list.text": ["a", "", "\0"],
    "list.int": [1, -(2**63), 2**63 - 1],
    "list.float": [1.0, 0.5, math.nan, -math.inf],
    "list.bool": [True, False],
    "list.bytes": [b"\0\xff", b""],
    "list.with.none": ["a", None, "b"],
    "list.mixed": [1, 1.0, True, "1", b"1"],
    "list.nested": [[1, [2.0]], []],
    "map": {"a": {"b": [1, {"c": b"\0"}]}, "none": None, "nan": math.nan},
    "map.empty": {},
    "none": None,
    'with "quotes" and \0 é': "key",
    "a.very.long.value": "x" * 100_000,
}
"""What an SDK does not allow it drops or changes; the comparison is with what it kept."""

FEW = {"number": 3, "share": 0.25, "data": b"\x01", "tags": ["x", "y"], "on": True}


def make_rich_span(recording: Recording) -> ReadableSpan:
    """End one span that has everything, and give it as both ends have it."""
    tracer = recording.provider.get_tracer(
        "rich.scope", "1.2.3", SCOPE_SCHEMA, {"scope.n": 1, "scope.b": b"\xff"}
    )
    links = [
        Link(LOCAL_LINK, {"dropped": 1}),
        Link(REMOTE_LINK, {"surplus": 0, **FEW}),
        Link(LOCAL_LINK),
    ]
    span = tracer.start_span(
        "rich\0 span é",
        context=set_span_in_context(NonRecordingSpan(PARENT)),
        kind=SpanKind.CONSUMER,
        attributes={"surplus.1": 1, "surplus.2": 2},
        links=links,
        start_time=1_700_000_000_123_456_789,
    )
    span.add_event("dropped event")
    span.add_event("event é\0", {"surplus": 0, **FEW}, timestamp=1_700_000_000_123_456_790)
    span.add_event("", timestamp=1)
    for key, value in VALUES.items():
        span.set_attribute(key, value)
    span.set_status(Status(StatusCode.ERROR, "broken: é\0\n"))
    span.end(end_time=1_700_000_009_999_999_999)
    (seen,) = recording.compare()
    return seen


LIMITS = {
    "resource": Resource({"service.name": "rich", "n": 2**53 + 1, "f": 1.0, "l": ["a", "b"]}, SCHEMA),
    "span_limits": SpanLimits(
        max_span_attributes=len(VALUES),
        max_events=2,
        max_links=2,
        max_event_attributes=len(FEW),
        max_link_attributes=len(FEW),
    ),
}
"""Options of a provider whose limits the span exceeds by two attributes, one event, one link, and one attribute of each."""


@pytest.fixture
def rich(record: Callable[..., Recording]) -> tuple[Recording, ReadableSpan]:
    """The span, with its recording."""
    recording = record(**LIMITS)
    return recording, make_rich_span(recording)


def test_a_rich_span_arrives_unchanged(rich: tuple[Recording, ReadableSpan]) -> None:
    """Everything that the SDK kept is in the view and at the receiver, with its types."""
    _, span = rich
    kept = dict(span.attributes or {})
    assert kept["int.min"] == -(2**63)
    assert math.isnan(kept["float.nan"])
    assert kept.keys() == VALUES.keys()
    assert (span.dropped_attributes, span.dropped_events, span.dropped_links) == (2, 1, 1)
    assert [event.dropped_attributes for event in span.events] == [1, 0]


def test_link_trace_states_and_w3c_flags_arrive(rich: tuple[Recording, ReadableSpan]) -> None:
    """What the SDK's own OTLP encoder leaves out: a link's trace state, the W3C bits of span and link flags."""
    recording, span = rich
    (request,) = recording.agent.exports()
    sent = request.resource_spans[0].scope_spans[0].spans[0]
    assert sent.trace_state == PARENT.trace_state.to_header()
    assert sent.flags == HAS_IS_REMOTE | IS_REMOTE | span.context.trace_flags
    assert sent.flags & TraceFlags.SAMPLED
    remote = next(link for link in sent.links if link.trace_id == (1).to_bytes(16, "big"))
    assert (remote.trace_state, remote.flags) == ("linked=yes", HAS_IS_REMOTE | IS_REMOTE | 0x03)
    local = next(link for link in sent.links if link is not remote)
    assert (local.trace_state, local.flags) == ("", HAS_IS_REMOTE)


def test_the_view_shows_what_json_cannot_carry_as_text(rich: tuple[Recording, ReadableSpan]) -> None:
    """Bytes are base64, non-finite numbers their names, and SQLite's own JSON functions read the columns."""
    recording, _ = rich
    (row,) = rows(
        recording.database,
        """SELECT attributes ->> '$."float.nan"' AS nan, attributes ->> '$."float.-inf"' AS minus,
                  attributes ->> '$."bytes.like.text"' AS base64, attributes ->> '$."int.max"' AS number,
                  attributes ->> '$."text.unicode"' AS text, resource ->> '$.n' AS n, scope ->> '$.version' AS v
           FROM spans""",
    )
    assert row == {
        "nan": "NaN",
        "minus": "-Infinity",
        "base64": "dGV4dA==",
        "number": 2**63 - 1,
        "text": VALUES["text.unicode"],
        "n": 2**53 + 1,
        "v": "1.2.3",
    }


def test_the_agent_reads_the_request_itself(rich: tuple[Recording, ReadableSpan]) -> None:
    """The receiver decodes the request with its own protobuf and finds the one span, by protobuf over HTTP."""
    recording, span = rich
    (request,) = recording.agent.requests()
    assert request.headers["content-type"] == "application/x-protobuf"
    (trace,) = recording.agent.traces()
    (sent,) = trace["resource_spans"][0]["scope_spans"][0]["spans"]
    assert (sent["name"], sent["kind"]) == (span.name, "SPAN_KIND_CONSUMER")
    assert sent["start_time_unix_nano"] == str(span.start_time)
