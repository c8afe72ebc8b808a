"""The records that travel through the spool, as msgpack arrays (spool/FORMAT.md).

One place for both sides: capture encodes them, drain decodes them. The first element is the type;
a record has at most 15 elements, so that byte 1 of every payload is the type.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

from .codec import ENCODER, decode

END: Final = 1
START: Final = 2
COMPLETE: Final = 3
ORIGIN: Final = 4
RULES: Final = 5
NODE: Final = 6
MARK: Final = 7
AGAIN: Final = 8
COMMAND: Final = 9

FLAG_PROVISIONAL: Final = 1 << 16
"""In END.flags, above OTLP's bits: ended in a forked child of the process that started the span."""
FLAG_COMPLETE: Final = 1 << 17
"""In END.flags: the last open span of its trace in this process; also a completion record."""
FLAGS_OTLP_MASK: Final = 0xFFFF


MEDIA_KEY: Final = "__media__"
"""In a node trace's input, output or metadata: files that belong to it."""
MEDIA_NUMBER: Final = "media"
"""In what stands there in a record: which of `Node.media` it is."""


_FIXARRAY: Final = 0x9


def record_type(payload: bytes) -> int:
    """The type of an encoded record, without decoding it; 0 when it is none."""
    # The upper half of a fixarray's first byte is 0x9 (msgpack specification, array format family).
    return payload[1] if len(payload) > 1 and payload[0] >> 4 == _FIXARRAY else 0


WHOSE: Final = slice(2, 31)
"""What names the span in an encoded end or start, `[type, origin, trace id, span id, …]`: the origin in one
byte, the ids each behind its two-byte head (msgpack specification, bin format family)."""


def named_by_place(payload: bytes) -> bool:
    """Whether `WHOSE` holds all of it: the origin takes one byte (below 128, positive fixint)."""
    return payload[2] < _FIXINT_END


_FIXINT_END: Final = 0x80


class End(msgspec.Struct, array_like=True):
    """A span that ended: self-contained but for its origin."""

    type: int
    origin: int
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes | None
    flags: int
    name: Any  # as the user gave it, like the times and the message: the SDK does not check
    kind: int  # OTLP's number
    start_ns: Any
    end_ns: Any
    status_code: int
    status_message: Any
    attributes: dict[Any, Any]
    extra: Extra | None  # only when there is something in it: most spans have none


class Extra(msgspec.Struct, array_like=True):
    """The rarer parts of a span."""

    trace_state: str = ""
    events: list[list[Any]] = []  # [name, time_ns, attributes, dropped]
    links: list[list[Any]] = []  # [trace_id, span_id, trace_state, flags, attributes, dropped]
    dropped_attributes: int = 0
    dropped_events: int = 0
    dropped_links: int = 0


class Start(msgspec.Struct, array_like=True):
    """A span that began to run."""

    type: int
    origin: int
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes | None
    flags: int
    name: Any
    kind: int
    start_ns: Any
    attributes: dict[Any, Any]
    trace_state: str = ""


class Complete(msgspec.Struct, array_like=True):
    """Every span of a trace that this process had open has ended, its local root among them."""

    type: int
    trace_id: bytes


class OriginRecord(msgspec.Struct, array_like=True):
    """Defines an index: resource, scope, and the destinations of the capture that uses it."""

    type: int
    index: int
    resource: dict[Any, Any]
    resource_schema_url: str
    scope_name: str
    scope_version: str
    scope_schema_url: str
    scope_attributes: dict[Any, Any]
    destinations: list[
        dict[str, Any]
    ]  # secrets.with_fingerprints(Destination.as_record()); empty: store only


class Rules(msgspec.Struct, array_like=True):
    """What its writer wants hidden of all records of its segment, which begins with it."""

    type: int
    text: str  # RedactionRules.as_text()
    applied: bool  # by the writer already


class Node(msgspec.Struct, array_like=True):
    """One call of insert_node_trace: its arguments in the seed's order, and when it came (unix ns)."""

    type: int
    received_ns: int
    values: list[Any]
    origin: int | None = None  # whose resource is its process's
    media: list[Any] = []  # bytes, or in their place why there are none; `values` refer to them by number


class Mark(msgspec.Struct, array_like=True):
    """One call of mark_request_complete, and when it came (unix ns)."""

    type: int
    received_ns: int
    request_id: str
    tracer_type: str
    tracer_config: dict[Any, Any]
    tags: list[Any] | None
    name: str | None = None  # of the destination, when the mark named one that its process knows
    secrets: dict[str, str] = {}  # fingerprints of what tracer_config refers to


class Again(msgspec.Struct, array_like=True):
    """A record that its writer published in a fenced segment, and so publishes once more."""

    type: int
    segment_id: bytes
    offset: int
    record: bytes


class Command(msgspec.Struct, array_like=True):
    """What a person asks of the background process (store/commands.py), and when it came (unix ns)."""

    type: int
    received_ns: int
    id: bytes  # 16 bytes: whoever asked finds the answer by it
    name: str
    arguments: dict[str, Any]


Record: TypeAlias = Any
"""One of the structs above. Their common part is `type`; msgspec structs have no common base to name."""

TYPES: Final[dict[int, Any]] = {
    END: End,
    START: Start,
    COMPLETE: Complete,
    ORIGIN: OriginRecord,
    RULES: Rules,
    NODE: Node,
    MARK: Mark,
    AGAIN: Again,
    COMMAND: Command,
}

_DECODERS: Final = {kind: decode(struct) for kind, struct in TYPES.items()}


def decode_record(payload: bytes) -> Any:
    """The record of an encoded payload; None for a type that this version does not know.

    Raises:
        msgspec.MsgspecError: The payload is no such record.
    """
    decoder = _DECODERS.get(record_type(payload))
    return None if decoder is None else decoder(payload)


def encode_rules(text: str, *, applied: bool) -> bytes:
    """The record that tells whoever drains what must be hidden."""
    return ENCODER.encode((RULES, text, applied))


def encode_again(segment_id: bytes, offset: int, payload: bytes) -> bytes:
    """Wrap a published record for a second segment."""
    return ENCODER.encode((AGAIN, segment_id, offset, payload))


def pack_provisional(record: End, origin: tuple[int, int | None] | None) -> bytes:
    """An end that a forked child saw, with the store's rows for its origin, to be kept in the store."""
    return ENCODER.encode((origin, record))


def unpack_provisional(data: bytes) -> tuple[End, tuple[int, int | None] | None]:
    """What `pack_provisional` packed, as an ordinary end."""
    origin, record = _PROVISIONAL(data)
    record.flags &= ~FLAG_PROVISIONAL
    return record, origin


_PROVISIONAL: Final = decode(tuple[tuple[int, int | None] | None, End])
