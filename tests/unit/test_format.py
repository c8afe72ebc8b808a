"""The byte layout of a segment, against FORMAT.md."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hush_otel.errors import SpoolError
from hush_otel.spool import format as layout
from hush_otel.spool.format import DamagedHeaderError, Header, NewerVersionError, pack_header, unpack_header

HEADER = Header(
    ordinal=3,
    segment_id=bytes(range(16)),
    writer_id=bytes(range(16, 32)),
    pid=4711,
    process_start=123456789,
    wall_ns=1_700_000_000_000_000_000,
    monotonic_ns=42,
    capacity=262144,
)


def test_the_header_lies_as_format_md_says() -> None:
    """Each field stands at its documented offset, little-endian, and the CRC covers bytes 0 to 87."""
    data = pack_header(HEADER)
    assert len(data) == 256
    assert data[0:8] == b"HUSHSEG\0"
    assert struct.unpack_from("<II", data, 8) == (1, 3)
    assert data[16:32] == HEADER.segment_id
    assert data[32:48] == HEADER.writer_id
    assert struct.unpack_from("<QQQQQ", data, 48) == HEADER[3:]
    assert struct.unpack_from("<I", data, 88) == (crc32(data[:88]),)
    assert not any(data[92:])


def test_the_fields_of_the_background_process_have_their_documented_places() -> None:
    """drained_upto, sleeping, fenced, sealed and the drop counters are where other versions look."""
    places = (
        layout.DRAINED_AT,
        layout.SLEEPING_AT,
        layout.FENCED_AT,
        layout.SEALED_AT,
        layout.DROPS_AT,
    )
    assert places == (96, 104, 108, 112, 128)
    assert layout.DROP_REASONS == ("quota", "no_space", "cut", "error")


def test_a_header_reads_back_as_it_was_written() -> None:
    """unpack_header undoes pack_header."""
    assert unpack_header(pack_header(HEADER), "x.seg") == HEADER


@pytest.mark.parametrize(
    "data",
    [b"", b"HUSHSEG\0", bytes(256), b"SQLite format 3\0" + bytes(240), pack_header(HEADER)[:255]],
    ids=["empty", "magic only", "zeros", "another format", "short"],
)
def test_what_is_no_segment_is_refused_by_name(data: bytes) -> None:
    """A file that is no segment gives a SpoolError that names it."""
    with pytest.raises(SpoolError, match=r"some\.seg is no segment"):
        unpack_header(data, "some.seg")


def test_every_flipped_bit_of_the_header_is_noticed() -> None:
    """No single flipped bit in bytes 0 to 91 gives a header."""
    good = pack_header(HEADER)
    for bit in range(92 * 8):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SpoolError):
            unpack_header(bytes(data), "x")


@pytest.mark.parametrize("capacity", [0, 255, layout.MOST_CAPACITY_BYTES + 1, 2**63, 2**64 - 1])
def test_b12_a_capacity_that_no_segment_has_is_damage(capacity: int) -> None:
    """B12: be the CRC right, nobody allocates what such a header says."""
    with pytest.raises(DamagedHeaderError, match=str(capacity)):
        unpack_header(pack_header(HEADER._replace(capacity=capacity)), "some.seg")


def test_a_newer_version_is_told_from_damage() -> None:
    """A higher format version says so, whatever else is in the header, with a hint to upgrade.

    A version that is wrong by itself, with all else as its CRC says, is damage.
    """
    data = bytearray(pack_header(HEADER))
    data[8:12] = struct.pack("<I", 2)
    with pytest.raises(layout.DamagedHeaderError):
        unpack_header(bytes(data), "x")
    data[88:92] = struct.pack("<I", crc32(data[:88]))
    with pytest.raises(NewerVersionError, match=r"format version 2 \(upgrade hush-otel\)"):
        unpack_header(bytes(data), "x")


def test_drop_counters_are_named_and_zeros_left_out() -> None:
    """Counters read as a dict of those that counted."""
    data = bytearray(256)
    struct.pack_into("<4Q", data, layout.DROPS_AT, 7, 0, 2**40, 0)
    assert layout.unpack_drops(bytes(data)) == {"quota": 7, "cut": 2**40}


@given(st.binary(max_size=3 * layout.CRC_PIECE_BYTES))
def test_the_checksum_in_pieces_is_the_crc(payload: bytes) -> None:
    """Feeding 4 KiB pieces gives what zlib gives at once."""
    assert layout.checksum(payload) == crc32(payload)


@given(st.integers(32, 2**24), st.integers(1, 2**24))
def test_frames_are_aligned_and_hold_their_payload(word: int, length: int) -> None:
    """The next frame starts at a multiple of 8 with less than 8 bytes of padding before it."""
    offset = word * 8
    end = layout.frame_end(offset, length)
    assert end % 8 == 0
    assert 0 <= end - (offset + 8 + length) < 8


def test_the_place_mask_is_documented_and_differs_by_place_and_segment() -> None:
    """Mask = (crc32(segment id) + offset * 0x9E3779B1) mod 2^32: no two places of a segment share one."""
    seed = layout.place_seed(HEADER.segment_id)
    assert seed == crc32(HEADER.segment_id)
    assert layout.place_mask(seed, 256) == (seed + 256 * 0x9E3779B1) % 2**32
    masks = {layout.place_mask(seed, offset) for offset in range(256, layout.MIN_SEGMENT_BYTES, 8)}
    assert len(masks) == (layout.MIN_SEGMENT_BYTES - 256) // 8
