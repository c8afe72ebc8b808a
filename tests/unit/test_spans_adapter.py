"""From the SDK's spans to records: by private fields and by public properties, on this SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from hush_otel import records
from hush_otel.capture import spans as adapter
from hush_otel.capture.spans import end_record, origin_record, start_record
from hush_otel.codec import ENCODER, encode
from hush_otel.records import decode_record

REMOTE = SpanContext(
    0xABCDEF, 0x1234, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("v", "1")])
)


class Keep(SpanProcessor):
    """Keeps spans as a processor sees them."""

    def __init__(self) -> None:
        self.started: list[Span] = []
        self.ended: list[ReadableSpan] = []

    def on_start(self, span: Span, parent_context: object = None) -> None:
        """Kept at once."""
        self.started.append(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Kept, too."""
        self.ended.append(span)


@pytest.fixture
def keep() -> Keep:
    """A processor that keeps."""
    return Keep()


@pytest.fixture
def tracer(keep: Keep) -> Iterator[trace.Tracer]:
    """A tracer whose limits are small enough to be met."""
    limits = SpanLimits(
        max_attributes=4, max_events=2, max_links=2, max_event_attributes=1, max_link_attributes=1
    )
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(keep)
    return provider.get_tracer("t", "1", attributes={"k": "v"})


def plain(tracer: trace.Tracer) -> None:
    """A span with nothing in it."""
    tracer.start_span("plain").end()


def usual(tracer: trace.Tracer) -> None:
    """Attributes of every type."""
    attributes: Any = {"s": "x", "i": 1, "f": 0.5, "l": ["a", "b"]}
    tracer.start_span("usual", kind=SpanKind.CLIENT, attributes=attributes).end()


def child(tracer: trace.Tracer) -> None:
    """A local parent."""
    with tracer.start_as_current_span("parent"):
        tracer.start_span("child").end()


def remote(tracer: trace.Tracer) -> None:
    """A parent in another process, with trace state."""
    context = trace.set_span_in_context(NonRecordingSpan(REMOTE))
    tracer.start_span("remote", context, kind=SpanKind.SERVER).end()


def failed(tracer: trace.Tracer) -> None:
    """An exception and its event."""
    with pytest.raises(KeyError), tracer.start_as_current_span("failed"):
        raise KeyError("gone")


def ok(tracer: trace.Tracer) -> None:
    """An explicit OK."""
    span = tracer.start_span("ok")
    span.set_status(Status(StatusCode.OK))
    span.end()


def full(tracer: trace.Tracer) -> None:
    """Events, links, and more of everything than the limits allow."""
    links = [Link(REMOTE, {"a": 1, "b": 2}), Link(SpanContext(1, 2, is_remote=False)), Link(REMOTE)]
    span = tracer.start_span("full", links=links, attributes={f"k{i}": i for i in range(9)}, start_time=5)
    for index in range(4):
        span.add_event(f"e{index}", {"x": index, "y": index}, timestamp=10 + index)
    span.set_status(Status(StatusCode.ERROR, "why"))
    span.end(end_time=99)


def numbered(tracer: trace.Tracer) -> None:
    """What the SDK lets through although it should not."""
    span: Any = tracer.start_span(123, start_time=1.5)  # type: ignore[arg-type]
    span.end(end_time=2.5)


SHAPES = [plain, usual, child, remote, failed, ok, full, numbered]


@pytest.mark.parametrize("make", SHAPES, ids=lambda make: make.__name__)
def test_private_fields_and_public_properties_give_the_same_end(
    make: Callable[[trace.Tracer], None], tracer: trace.Tracer, keep: Keep
) -> None:
    """For every shape of span the fast way's record equals the fallback's."""
    make(tracer)
    assert keep.ended
    for span in keep.ended:
        fast, public = end_record(span, 3, 1 << 17), adapter._public_end_record(span, 3, 1 << 17)
        one, other = (decode_record(encode(record)[0]) for record in (fast, public))
        one.extra = one.extra or records.Extra()
        if make is not numbered:
            assert one == other
        assert (one.origin, one.flags >> 17) == (3, 1)


@pytest.mark.parametrize("make", SHAPES[:-1], ids=lambda make: make.__name__)
def test_private_fields_and_public_properties_give_the_same_start(
    make: Callable[[trace.Tracer], None], tracer: trace.Tracer, keep: Keep
) -> None:
    """The same for starts."""
    make(tracer)
    for span in keep.started:
        fast, public = start_record(span, 3), adapter._public_start_record(span, 3)
        assert decode_record(encode(fast)[0]) == decode_record(encode(public)[0])


def test_the_fast_way_is_taken_on_this_sdk(
    tracer: trace.Tracer, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The private fields that it reads exist here: the fallback is not needed for the SDK's own spans."""

    def refuse(*_: object) -> Any:
        raise AssertionError("fallback")

    monkeypatch.setattr(adapter, "_public_end_record", refuse)
    monkeypatch.setattr(adapter, "_public_start_record", refuse)
    for make in SHAPES:
        make(tracer)
    for span in keep.ended:
        end_record(span, 0, 0)
    for span in keep.started:
        start_record(span, 0)


def test_a_full_span_is_recorded_exactly(tracer: trace.Tracer, keep: Keep) -> None:
    """Each field of a span with everything in it, spelled out."""
    full(tracer)
    (span,) = keep.ended
    record = decode_record(encode(end_record(span, 7, 0))[0])
    context = span.get_span_context()
    assert context is not None
    link_ids = (0xABCDEF).to_bytes(16, "big"), (0x1234).to_bytes(8, "big")
    assert record == records.End(
        records.END, 7, context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big"), None,
        0x100 | context.trace_flags, "full", 1, 5, 99, 2, "why", {"k5": 5, "k6": 6, "k7": 7, "k8": 8},
        records.Extra(
            "",
            [["e2", 12, {"y": 2}, 1], ["e3", 13, {"y": 3}, 1]],
            [
                [(1).to_bytes(16, "big"), (2).to_bytes(8, "big"), "", 0x100, {}, 0],
                [*link_ids, "v=1", 0x301, {}, 0],
            ],
            5, 2, 1,
        ),
    )  # fmt: skip


def test_a_remote_parent_is_told_from_a_local_one(tracer: trace.Tracer, keep: Keep) -> None:
    """OTLP's flags say whether the parent is known and remote."""
    remote(tracer)
    child(tracer)
    # The W3C flags themselves are the SDK's: newer ones set the random bit, too.
    flags = {span.name: decode_record(encode(end_record(span, 0, 0))[0]).flags & 0x301 for span in keep.ended}
    assert flags == {"remote": 0x301, "child": 0x101, "parent": 0x101}


def test_a_span_is_not_changed_by_being_recorded(tracer: trace.Tracer, keep: Keep) -> None:
    """Recording reads: the span's own JSON is the same before and after."""
    full(tracer)
    (span,) = keep.ended
    before = span.to_json()
    encode(end_record(span, 0, 0))
    encode(adapter._public_end_record(span, 0, 0))
    assert span.to_json() == before


def test_a_hand_made_span_is_recorded(tracer: trace.Tracer) -> None:
    """A ReadableSpan of another SDK or a test has only its public properties."""
    span = ReadableSpan(
        "made",
        SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1)),
        parent=SpanContext(1, 3, is_remote=True),
        attributes={"a": 1},
        events=[Event("e", {"x": 1}, 5)],
        links=[Link(REMOTE)],
        kind=SpanKind.CONSUMER,
        status=Status(StatusCode.ERROR, "bad"),
        start_time=1,
        end_time=2,
    )
    record = decode_record(encode(end_record(span, 0, 0))[0])
    assert (record.name, record.kind, record.start_ns, record.end_ns) == ("made", 5, 1, 2)
    assert (record.trace_id, record.span_id) == ((1).to_bytes(16, "big"), (2).to_bytes(8, "big"))
    assert (record.parent_span_id, record.flags) == ((3).to_bytes(8, "big"), 0x301)
    assert (record.status_code, record.status_message) == (2, "bad")
    assert record.attributes == {"a": 1}
    assert record.extra.events == [["e", 5, {"x": 1}, 0]]
    assert len(record.extra.links) == 1


def test_b10_a_hand_made_span_is_cut_when_it_is_endless_written_out() -> None:
    """B10: attributes that the SDK has not copied may share parts again and again; those beside them stay."""
    part: list[Any] = [1]
    for _ in range(25):
        part = [part, part]
    span = ReadableSpan("hand-made", attributes={"shared": part, "kept": "whole"})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        ENCODER.encode(end_record(span, 0, 0))
    payload, cut = encode(end_record(span, 0, 0))
    record = decode_record(payload)
    assert cut
    assert record.attributes["kept"] == "whole"


def test_a_bare_span_is_recorded() -> None:
    """Nothing but a name: the rest is zero."""
    record = decode_record(encode(end_record(ReadableSpan("bare"), 0, 0))[0])
    assert (record.trace_id, record.span_id, record.parent_span_id) == (bytes(16), bytes(8), None)
    assert (record.name, record.start_ns, record.end_ns, record.attributes) == ("bare", 0, 0, {})


class OddIds(RandomIdGenerator):
    """Ids that no specification allows."""

    def __init__(self, trace_id: int, span_id: int) -> None:
        self.odd = trace_id, span_id

    def generate_trace_id(self) -> int:
        """One for all."""
        return self.odd[0]

    def generate_span_id(self) -> int:
        """Likewise."""
        return self.odd[1]


@pytest.mark.parametrize(
    ("trace_id", "span_id"), [(0, 0), (2**128, 2**64 + 7), (2**200 + 5, 1), (-1, -1)], ids=repr
)
def test_b11_malformed_ids_are_masked_to_size(trace_id: int, span_id: int, keep: Keep) -> None:
    """B11: zero, too large and negative ids give a record with ids of 16 and 8 bytes."""
    provider = TracerProvider(id_generator=OddIds(trace_id, span_id), shutdown_on_exit=False)
    provider.add_span_processor(keep)
    odd = SpanContext(2**129, 2**65, is_remote=True)
    span: Any = provider.get_tracer("t").start_span("odd", links=[Link(SpanContext(1, 1, is_remote=False))])
    span._links._dq.append(Link(odd)) if hasattr(span._links, "_dq") else None
    span.end()
    mask16, mask8 = (1 << 128) - 1, (1 << 64) - 1
    for record in (end_record(span, 0, 0), start_record(span, 0)):
        decoded = decode_record(encode(record)[0])
        assert decoded.trace_id == (trace_id & mask16).to_bytes(16, "big")
        assert decoded.span_id == (span_id & mask8).to_bytes(8, "big")


def test_an_origin_holds_resource_scope_and_route() -> None:
    """The definition that spans refer to, with defaults where the SDK has None."""
    scope = InstrumentationScope("s", "1", "https://schema/scope", {"k": 1})
    resource = Resource({"service.name": "x"}, "https://schema/resource")
    record = decode_record(encode(origin_record(4, resource, scope, [{"type": "otlp"}]))[0])
    assert record == records.OriginRecord(
        records.ORIGIN, 4, {"service.name": "x"}, "https://schema/resource", "s", "1",
        "https://schema/scope", {"k": 1}, [{"type": "otlp"}],
    )  # fmt: skip
    empty = decode_record(encode(origin_record(0, None, None, []))[0])
    assert empty == records.OriginRecord(records.ORIGIN, 0, {}, "", "", "", "", {}, [])


def test_b11_an_origin_whose_texts_are_none_can_be_read() -> None:
    """B11: the SDK takes anything for a name, a version or a schema; the record holds text."""
    scope = InstrumentationScope(("a", 1), 1.2, object())  # type: ignore[arg-type]
    resource = Resource({"a": "b"}, 7)  # type: ignore[arg-type]
    record = decode_record(encode(origin_record(0, resource, scope, []))[0])
    assert (record.resource_schema_url, record.scope_name, record.scope_version, record.scope_schema_url) == (
        "7",
        "['a', 1]",
        "1.2",
        "<builtins.object>",
    )


def endless(levels: int = 22) -> list[Any]:
    """A list of few parts that has no end when it is written out: each level holds the next one twice."""
    part: list[Any] = ["a"]
    for _ in range(levels):
        part = [part, part]
    return part


def named(tracer: trace.Tracer) -> None:
    """A span's name."""
    tracer.start_span(endless()).end()  # type: ignore[arg-type]


def event_named(tracer: trace.Tracer) -> None:
    """An event's name."""
    span = tracer.start_span("event")
    span.add_event(endless())  # type: ignore[arg-type]
    span.end()


def event_timed(tracer: trace.Tracer) -> None:
    """An event's time."""
    span = tracer.start_span("event")
    span.add_event("e", timestamp=endless())  # type: ignore[arg-type]
    span.end()


def started(tracer: trace.Tracer) -> None:
    """The time of a start."""
    tracer.start_span("started", start_time=endless()).end()  # type: ignore[arg-type]


def ended(tracer: trace.Tracer) -> None:
    """The time of an end."""
    tracer.start_span("ended").end(end_time=endless())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make", [named, event_named, event_timed, started, ended], ids=lambda make: make.__name__
)
def test_b10_what_the_sdk_does_not_copy_is_a_page_at_most(
    make: Callable[[trace.Tracer], None], tracer: trace.Tracer, keep: Keep
) -> None:
    """B10: names and times may be anything: natively 26 levels are seconds and 300 MB, 40 the application's end."""
    make(tracer)
    (start,), (end,) = keep.started, keep.ended
    records_of = [end_record(end, 0, 0)]
    if make in (named, started):
        records_of.append(start_record(start, 0))
    if make is named:  # of times the public way takes whole numbers only
        records_of += [adapter._public_end_record(end, 0, 0), adapter._public_start_record(start, 0)]
    for record in records_of:
        payload = ENCODER.encode(record)
        assert b"<cut>" in payload
        assert len(payload) < 1 << 15


def test_a_name_of_an_enumeration_of_texts_stays_its_text(tracer: trace.Tracer, keep: Keep) -> None:
    """Names are often kept in one; nothing of it is walked."""

    class Names(StrEnum):
        CHAT = "chat"

    span = tracer.start_span(Names.CHAT)
    span.add_event(Names.CHAT)
    span.end()
    record = decode_record(ENCODER.encode(end_record(keep.ended[0], 0, 0)))
    assert (record.name, record.extra.events[0][0]) == ("chat", "chat")
