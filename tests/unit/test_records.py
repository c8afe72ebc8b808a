"""Records: what capture encodes is what the drain decodes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hush_otel import records
from hush_otel.codec import ENCODER, encode
from hush_otel.records import (
    Again,
    Complete,
    End,
    Extra,
    Mark,
    Node,
    OriginRecord,
    Start,
    decode_record,
    encode_again,
    pack_provisional,
    record_type,
    unpack_provisional,
)

TRACE, SPAN, PARENT = bytes(range(16)), bytes(range(8)), bytes(range(8, 16))

EXAMPLES = [
    End(records.END, 0, TRACE, SPAN, PARENT, 0x101, "work", 1, 5, 9, 2, "boom", {"a": 1}, None),
    End(
        records.END, 3, TRACE, SPAN, None, 0x301 | records.FLAG_COMPLETE, "", 3, 5, 9, 0, None, {},
        Extra("k=v", [["e", 6, {"x": 1.5}, 2]], [[TRACE, SPAN, "", 0x100, {}, 0]], 1, 2, 3),
    ),
    Start(records.START, 1, TRACE, SPAN, None, 0x101, "work", 2, 5, {"a": [1, 2]}, "k=v"),
    Complete(records.COMPLETE, TRACE),
    OriginRecord(records.ORIGIN, 7, {"service.name": "s"}, "u", "scope", "1", "su", {"k": True},
                 [{"type": "otlp", "name": "o", "config": {"endpoint": "http://x"}}]),
    Node(records.NODE, 1_700_000_000_000_000_000, ["r", "w", "n", None]),
    Mark(records.MARK, 1_700_000_000_000_000_000, "r", "otlp", {"endpoint": "x"}, ["a"]),
    Again(records.AGAIN, TRACE, 256, b"\x92\x03\xc4\x00"),
]  # fmt: skip


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_every_record_reads_back_and_tells_its_type(record: records.Record) -> None:
    """Encoding and decoding a record gives an equal one, and byte 1 is its type."""
    payload = ENCODER.encode(record)
    assert payload[1] == record.type == record_type(payload)
    assert decode_record(payload) == record


def test_no_record_has_more_than_fifteen_elements() -> None:
    """A sixteenth would move the type away from byte 1 (FORMAT.md, Frame)."""
    for kind, struct in records.TYPES.items():
        assert kind < 128
        assert len(struct.__struct_fields__) <= 15


def test_our_flags_are_above_otlps() -> None:
    """What is ours in `flags` never shows in what is exported."""
    ours = records.FLAG_COMPLETE | records.FLAG_PROVISIONAL
    assert ours & records.FLAGS_OTLP_MASK == 0
    assert records.FLAG_COMPLETE != records.FLAG_PROVISIONAL


def test_a_record_of_an_unknown_type_is_none() -> None:
    """A later version's record is passed over, not an error."""
    assert decode_record(ENCODER.encode((99, "new"))) is None
    assert decode_record(b"") is None
    assert decode_record(b"\x01") is None


def test_a_later_versions_longer_record_is_read() -> None:
    """Elements that this version does not know are ignored."""
    longer = (*(getattr(EXAMPLES[3], name) for name in Complete.__struct_fields__), "new", 5)
    assert decode_record(ENCODER.encode(longer)) == EXAMPLES[3]


@pytest.mark.parametrize(
    "payload",
    [
        ENCODER.encode((records.COMPLETE,)),
        ENCODER.encode((records.COMPLETE, 5)),
        ENCODER.encode((records.NODE, "soon", [])),
        b"\x92\x03",
    ],
    ids=["short", "wrong type", "wrong time", "cut"],
)
def test_a_broken_record_is_an_error(payload: bytes) -> None:
    """A known type of the wrong shape raises msgspec's error, which the drain counts."""
    with pytest.raises(msgspec.MsgspecError):
        decode_record(payload)


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_an_error(payload: bytes) -> None:
    """Arbitrary bytes give a record, None, or an error of the kind that the drain expects."""
    try:
        decode_record(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass


def test_s11_extension_types_are_refused() -> None:
    """A msgpack extension inside a record is a DecodeError: nothing is constructed from it."""
    payload = ENCODER.encode((records.NODE, 1, [msgspec.msgpack.Ext(5, b"x")]))
    with pytest.raises(msgspec.DecodeError, match="extension type 5"):
        decode_record(payload)


def test_again_wraps_the_payload_as_it_is() -> None:
    """The repeated record lies untouched inside, beside the place where it was first."""
    payload = ENCODER.encode(EXAMPLES[0])
    again = decode_record(encode_again(SPAN * 2, 4096, payload))
    assert (again.segment_id, again.offset, again.record) == (SPAN * 2, 4096, payload)


@pytest.mark.parametrize("origin", [None, (3, None), (3, 9)])
def test_a_provisional_end_is_kept_with_its_rows(origin: tuple[int, int | None] | None) -> None:
    """What a forked child saw comes back as an ordinary end, with origin and route."""
    end = decode_record(encode(EXAMPLES[0])[0])
    end.flags |= records.FLAG_PROVISIONAL
    back, rows = unpack_provisional(pack_provisional(end, origin))
    assert back == EXAMPLES[0]
    assert rows == origin
