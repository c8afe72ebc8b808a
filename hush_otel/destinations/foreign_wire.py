"""What the background process and the process of foreign code tell each other.

Each message is a frame: 8 bytes length, 4 bytes number, big-endian, then msgpack. An answer has the number
of its question. One question at a time; the questions are ours, and only as large as what is delivered.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from hush_otel.codec import decode
from hush_otel.model import EventData, LinkData, Origin, RequestFacts, RowFacts, SpanData, SpanFacts

HEADER: Final = struct.Struct(">QI")
MAX_ANSWER_BYTES: Final = 64 * 1024
"""Answers are words. Whoever says more is not our side of the pipe."""

_ORIGIN: Final = SpanData.__struct_fields__.index("origin")
_EVENTS: Final = SpanData.__struct_fields__.index("events")
_LINKS: Final = SpanData.__struct_fields__.index("links")
_FACTS: Final = SpanData.__struct_fields__.index("facts")
_ABOVE: Final = SpanData.__struct_fields__.index("above")
_OWN_FACTS: Final = tuple(name for name in SpanFacts.__struct_fields__ if name not in {"request", "media"})


class PackedSpans(msgspec.Struct, array_like=True):
    """Spans with each origin once: a row is a SpanData's fields, its origin by place."""

    origins: list[Any]
    rows: list[list[Any]]


class Open(msgspec.Struct, tag="open"):
    """The first question: find an exporter or a tracer, and make it.

    Attributes:
        role: What `name` names: an entry point of exporters, or a tracer.
        name: Its name.
        options: Of the exporter: its arguments, by name. Of the tracer: its configuration.
        modules: Where tracers may be registered.
    """

    role: Literal["exporter", "tracer"]
    name: str
    options: dict[str, Any]
    modules: tuple[str, ...]


class Export(msgspec.Struct, tag="export"):
    """Hand spans to the exporter."""

    spans: PackedSpans


class Flush(msgspec.Struct, tag="flush"):
    """Hand a request to the tracer; the fields are a WholeRequest's."""

    request_id: str
    facts: RequestFacts
    is_delta: bool
    spans: PackedSpans
    rows: list[RowFacts]


class Close(msgspec.Struct, tag="close"):
    """Shut down, and end."""


Question: TypeAlias = Open | Export | Flush | Close


class Answer(msgspec.Struct):
    """What came of a question. `words`, `hint` and `retry_after_s` are those of the error."""

    error: Literal["", "retry", "permanent", "paused"] = ""
    words: str = ""
    hint: str = ""
    retry_after_s: float | None = None


decode_question: Final[Callable[[bytes], Question]] = decode(Question)
decode_answer: Final[Callable[[bytes], Answer]] = decode(Answer)


encode: Final[Callable[[Question | Answer], bytes]] = msgspec.msgpack.encode


def frame(number: int, payload: bytes) -> bytes:
    """An encoded message as it goes through the pipe."""
    return HEADER.pack(len(payload), number) + payload


def pack(spans: Sequence[SpanData]) -> PackedSpans:
    """Spans for the pipe."""
    origins: dict[int, tuple[int, Origin]] = {}
    rows = []
    for span in spans:
        row = list(msgspec.structs.astuple(span))
        row[_ORIGIN], _ = origins.setdefault(id(span.origin), (len(origins), span.origin))
        row[_FACTS] = {name: getattr(span.facts, name) for name in _OWN_FACTS}
        row[_ABOVE] = None  # exporters get it as a span, tracers not at all
        rows.append(row)
    return PackedSpans([list(msgspec.structs.astuple(origin)) for _, origin in origins.values()], rows)


def unpack(packed: PackedSpans) -> list[SpanData]:
    """The spans that were packed, equal to them but for media and the facts of their request: one object."""
    origins = [Origin(*fields) for fields in packed.origins]
    spans = []
    for row in packed.rows:
        row[_ORIGIN] = origins[row[_ORIGIN]]
        row[_EVENTS] = [EventData(*event) for event in row[_EVENTS]]
        row[_LINKS] = [LinkData(*link) for link in row[_LINKS]]
        row[_FACTS] = SpanFacts(**row[_FACTS])
        spans.append(SpanData(*row))
    return spans
