"""One span, resource or scope in protobuf's wire format, written by hand.

The protobuf runtime makes a Python object of every field; that takes twice as long. Nothing is checked here
for its own sake: what the format cannot carry raises, and `otlp_encode` repairs it.

Sources: opentelemetry-proto v1.x `trace.proto`, `common.proto`, `resource.proto` (the field numbers);
Protocol Buffers, "Encoding" (tags, varints, length-delimited records; fields at their default may be left
out).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from hush_otel.model import AttributeValue, EventData, LinkData, Origin, SpanData

MAX_DEPTH: Final = 31
"""Nested lists and maps of one attribute that are sent. Protobuf parsers in C++, Java and Python refuse
more than 100 nested messages; a map level takes 3 of them, and an event attribute starts at 7."""

DEPTH_MARK: Final = "<depth>"
"""Stands for what lies deeper than `MAX_DEPTH`."""

U32_MAX: Final = 2**32 - 1
U64_MAX: Final = 2**64 - 1
I32_MAX: Final = 2**31 - 1
I64_LIMIT: Final = 2**63

_TABLE: Final = 2048
"""Lengths and numbers below are looked up."""
_MEMO: Final = 4096
_MEMO_CHARACTERS: Final = 200
_CONTINUES: Final = 0x80

Add = Callable[[bytes], None]


def varint(number: int) -> bytes:
    """A number that is not negative, seven bits a byte, the lowest first."""
    out = bytearray()
    while number >= _CONTINUES:
        out.append(number & 0x7F | _CONTINUES)
        number >>= 7
    out.append(number)
    return bytes(out)


class _Lengths:
    """A tag and a length; the `small` ones are ready."""

    def __init__(self, tag: bytes) -> None:
        self.small = [tag + varint(length) for length in range(_TABLE)]
        self._tag = tag

    def of(self, length: int) -> bytes:
        return self.small[length] if length < _TABLE else self._tag + varint(length)


class _Texts:
    """Strings that come again and again, each as a field. All are forgotten when there are too `many`."""

    def __init__(self, tag: bytes) -> None:
        self.known: dict[str, bytes] = {}
        self._tag = tag

    def of(self, text: str) -> bytes:
        raw = text.encode()
        field = self._tag + varint(len(raw)) + raw
        if len(text) <= _MEMO_CHARACTERS:
            if len(self.known) >= _MEMO:
                self.known.clear()
            self.known[text] = field
        return field


# ------------------------------------------------------------------ values and attributes

# `common.proto`: KeyValue {key = 1, value = 2}; AnyValue {string = 1, bool = 2, int = 3, double = 4,
# array = 5, kvlist = 6, bytes = 7}; ArrayValue and KeyValueList {values = 1}.
_KEY: Final = _Texts(b"\x0a")
_keys: Final = _KEY.known
_VALUE_TAG: Final = b"\x12"
_VALUE: Final = _Lengths(_VALUE_TAG)
_ITEM: Final = _Lengths(b"\x0a")
_BYTES: Final = _Lengths(b"\x3a")
_ARRAY: Final = _Lengths(b"\x2a")
_KVLIST: Final = _Lengths(b"\x32")
_NO_VALUE: Final = b"\x12\x00"
_FALSE, _TRUE = b"\x12\x02\x10\x00", b"\x12\x02\x10\x01"
_double: Final = struct.Struct("<2sBd").pack
_DOUBLE: Final = b"\x12\x09", 0x21


def _text_head(length: int) -> bytes:
    """What stands before a text that is a KeyValue's value."""
    size = varint(length)
    return _VALUE_TAG + varint(1 + len(size) + length) + b"\x0a" + size


def _int_value(number: int) -> bytes:
    if not -I64_LIMIT <= number < I64_LIMIT:
        raise ValueError(f"{number:#x} does not fit 64 bit")
    size = varint(number & U64_MAX)
    return _VALUE_TAG + varint(1 + len(size)) + b"\x18" + size


_TEXT_HEAD: Final = [_text_head(length) for length in range(_TABLE)]
_INT: Final = [_int_value(number) for number in range(_TABLE)]


def _write_attributes(
    parts: list[bytes], tag: _Lengths, attributes: Mapping[str, AttributeValue], depth: int = 1
) -> None:
    """Each as a KeyValue behind `tag`. Inlined for usual types: a call each would double a span's time."""
    heads = tag.small
    for key, value in attributes.items():
        try:
            head = _keys[key]
        except KeyError:
            head = _KEY.of(key)
        kind = type(value)
        if kind is str:
            text = value.encode()  # type: ignore[union-attr]
            length = len(text)
            middle = _TEXT_HEAD[length] if length < _TABLE else _text_head(length)
            size = len(head) + len(middle) + length
            parts += (heads[size] if size < _TABLE else tag.of(size), head, middle, text)
            continue
        if kind is int:
            body = _INT[value] if 0 <= value < _TABLE else _int_value(value)  # type: ignore[index,operator,arg-type]
        elif kind is float:
            body = _double(*_DOUBLE, value)
        elif value is True:
            body = _TRUE
        elif value is False:
            body = _FALSE
        else:
            body = _value(value, depth)
        size = len(head) + len(body)
        parts += (heads[size] if size < _TABLE else tag.of(size), head, body)


def _value(value: object, depth: int) -> bytes:
    """A KeyValue's value: field 2, an AnyValue."""
    if value is None:
        return _NO_VALUE  # present, with nothing in it
    inner = _any_value(value, depth)
    return _VALUE.of(len(inner)) + inner


def _any_value(value: object, depth: int) -> bytes:  # noqa: PLR0911 - one for each type
    if value is None:
        return b""
    if isinstance(value, str):
        raw = value.encode()
        return _ITEM.of(len(raw)) + raw
    if isinstance(value, bool):  # before int, which it is
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return _int_value(int(value))[2:]
    if isinstance(value, float):
        return b"\x21" + struct.pack("<d", value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        raw = bytes(value)
        return _BYTES.of(len(raw)) + raw
    if isinstance(value, (Mapping, Sequence)):
        return _container(value, depth)
    return _any_value(str(value), depth)


def _container(value: Mapping[str, AttributeValue] | Sequence[AttributeValue], depth: int) -> bytes:
    if depth > MAX_DEPTH:
        return _any_value(DEPTH_MARK, depth)
    parts: list[bytes] = []
    if isinstance(value, Mapping):
        _write_attributes(parts, _ITEM, value, depth + 1)
        tag = _KVLIST
    else:
        _write_items(parts, value, depth + 1)
        tag = _ARRAY
    body = b"".join(parts)
    return tag.of(len(body)) + body


def _write_items(parts: list[bytes], items: Sequence[AttributeValue], depth: int) -> None:
    for item in items:
        if type(item) is float:  # embeddings: thousands in one attribute
            parts.append(_double(b"\x0a\x09", 0x21, item))
        else:
            inner = _any_value(item, depth)
            parts += (_ITEM.of(len(inner)), inner)


# ------------------------------------------------------------------ spans

# `trace.proto`, Span: trace_id = 1, span_id = 2, trace_state = 3, parent_span_id = 4, name = 5, kind = 6,
# start = 7, end = 8, attributes = 9, dropped = 10, events = 11, dropped = 12, links = 13, dropped = 14,
# status = 15, flags = 16.
_ids: Final = struct.Struct("<2s16s2s8s").pack
_ids_and_parent: Final = struct.Struct("<2s16s2s8s2s8s").pack
_times_and_flags: Final = struct.Struct("<BQBQ2sI").pack
_TRACE_ID, _SPAN_ID, _PARENT_ID = b"\x0a\x10", b"\x12\x08", b"\x22\x08"
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8
_START, _END, _FLAGS = 0x39, 0x41, b"\x85\x01"
_NAME: Final = _Texts(b"\x2a")
_names: Final = _NAME.known
_KIND: Final = [b"", *(bytes([0x30, kind]) for kind in range(1, 6))]
_SPAN: Final = _Lengths(b"\x12")
_ATTRIBUTE: Final = _Lengths(b"\x4a")
_EVENT: Final = _Lengths(b"\x5a")
_LINK: Final = _Lengths(b"\x6a")
_STATUS: Final = _Lengths(b"\x7a")


def write_span(parts: list[bytes], span: SpanData) -> None:
    """One span as a field of its ScopeSpans, `parts` in order.

    Raises:
        ValueError, TypeError, AttributeError, struct.error: It holds what protobuf cannot carry. Nothing
            was added to `parts`.
    """
    trace_id, span_id, parent = span.trace_id, span.span_id, span.parent_span_id
    if len(trace_id) != _TRACE_ID_BYTES or len(span_id) != _SPAN_ID_BYTES:
        ids = _field(b"\x0a", trace_id) + _field(b"\x12", span_id) + _field(b"\x22", parent or b"")
    elif not parent:
        ids = _ids(_TRACE_ID, trace_id, _SPAN_ID, span_id)
    elif len(parent) == _SPAN_ID_BYTES:
        ids = _ids_and_parent(_TRACE_ID, trace_id, _SPAN_ID, span_id, _PARENT_ID, parent)
    else:
        ids = _ids(_TRACE_ID, trace_id, _SPAN_ID, span_id) + _field(b"\x22", parent)
    kind = span.kind
    body = [
        ids,
        _names.get(span.name) or _NAME.of(span.name),
        _KIND[kind] if 0 <= kind < len(_KIND) else _number(b"\x30", kind, I32_MAX),
        _times_and_flags(_START, span.start_ns, _END, span.end_ns, _FLAGS, span.flags),
    ]
    _write_attributes(body, _ATTRIBUTE, span.attributes)
    if span.events:
        _write_events(body, span.events)
    if span.links:
        _write_links(body, span.links)
    if span.status_code or span.status_message:
        _write_status(body, span)
    if span.trace_state:
        body.append(_text(b"\x1a", span.trace_state))
    if span.dropped_attributes or span.dropped_events or span.dropped_links:
        body.append(_number(b"\x50", span.dropped_attributes))
        body.append(_number(b"\x60", span.dropped_events))
        body.append(_number(b"\x70", span.dropped_links))
    whole = b"".join(body)
    parts += (_SPAN.of(len(whole)), whole)


def _write_status(body: list[bytes], span: SpanData) -> None:
    """`Status`: message = 2, code = 3."""
    status = _text(b"\x12", span.status_message) + _number(b"\x18", span.status_code, I32_MAX)
    body += (_STATUS.of(len(status)), status)


def _write_events(body: list[bytes], events: Sequence[EventData]) -> None:
    """`Span.Event`: time = 1, name = 2, attributes = 3, dropped = 4."""
    for event in events:
        parts = [b"\x09" + struct.pack("<Q", event.time_ns), _text(b"\x12", event.name)]
        _write_attributes(parts, _EVENT_ATTRIBUTE, event.attributes)
        parts.append(_number(b"\x20", event.dropped_attributes))
        whole = b"".join(parts)
        body += (_EVENT.of(len(whole)), whole)


def _write_links(body: list[bytes], links: Sequence[LinkData]) -> None:
    """`Span.Link`: trace_id = 1, span_id = 2, trace_state = 3, attributes = 4, dropped = 5, flags = 6."""
    for link in links:
        parts = [
            _field(b"\x0a", link.trace_id),
            _field(b"\x12", link.span_id),
            _text(b"\x1a", link.trace_state),
        ]
        _write_attributes(parts, _LINK_ATTRIBUTE, link.attributes)
        parts.append(_number(b"\x28", link.dropped_attributes))
        parts.append(b"\x35" + struct.pack("<I", link.flags))
        whole = b"".join(parts)
        body += (_LINK.of(len(whole)), whole)


_EVENT_ATTRIBUTE: Final = _Lengths(b"\x1a")
_LINK_ATTRIBUTE: Final = _Lengths(b"\x22")


# ------------------------------------------------------------------ resources and scopes


def resource(origin: Origin) -> bytes:
    """`ResourceSpans.resource`, field 1. Raises as `write_span`."""
    parts: list[bytes] = []
    _write_attributes(parts, _ITEM, origin.resource)
    return _field(b"\x0a", b"".join(parts), always=True)


def scope(origin: Origin) -> bytes:
    """`ScopeSpans.scope`, field 1: name = 1, version = 2, attributes = 3. Raises as `write_span`."""
    parts = [_text(b"\x0a", origin.scope_name), _text(b"\x12", origin.scope_version)]
    _write_attributes(parts, _EVENT_ATTRIBUTE, origin.scope_attributes)
    return _field(b"\x0a", b"".join(parts), always=True)


def record(tag: bytes, parts: Sequence[bytes]) -> bytes:
    """A message of `parts` as a field."""
    return _field(tag, b"".join(parts), always=True)


def schema_url(url: str) -> bytes:
    """`schema_url`, field 3 of ResourceSpans and of ScopeSpans."""
    return _text(b"\x1a", url)


def _field(tag: bytes, raw: bytes, *, always: bool = False) -> bytes:
    return tag + varint(len(raw)) + raw if raw or always else b""


def _text(tag: bytes, text: str) -> bytes:
    return _field(tag, text.encode())


def _number(tag: bytes, number: int, most: int = U32_MAX) -> bytes:
    if not 0 <= number <= most:
        raise ValueError(f"{number} is not between 0 and {most}")
    return tag + varint(number) if number else b""
