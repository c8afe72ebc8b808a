"""The byte layout of a segment, as FORMAT.md specifies it. Pure functions and constants."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple
from zlib import crc32

from hush_otel.errors import SpoolError

MAGIC: Final = b"HUSHSEG\0"
VERSION: Final = 1
HEADER_BYTES: Final = 256
START: Final = MAGIC + VERSION.to_bytes(4, "little")
"""How a segment of this version begins."""

RULED_AT: Final = 92
DRAINED_AT: Final = 96
SLEEPING_AT: Final = 104
FENCED_AT: Final = 108
SEALED_AT: Final = 112
DROPS_AT: Final = 128
DROP_REASONS: Final = ("quota", "no_space", "cut", "error")
"""Order of the drop counters in the header. `cut` counts records stored with a part cut away."""

IMPLAUSIBLE_DROPS: Final = 1 << 48
"""No CRC covers the counters, which change. A million drops a second take nine years to get there."""

MIN_SEGMENT_BYTES: Final = 256 * 1024
"""Small enough that a short-lived worker costs little space."""
MAX_SEGMENT_BYTES: Final = 4 * 1024 * 1024
"""Large enough that a roll is rare (about 2,500 LLM spans), small enough for a bounded RSS."""
MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""A larger record is cut by the codec before it gets here; a longer frame is damage."""

MOST_CAPACITY_BYTES: Final = 64 * 1024 * 1024
"""A segment for the largest record, its definition and the rules, each of MAX_RECORD_BYTES, is smaller. A
header that says more is damaged, be its CRC right: nobody shall allocate what it says."""

FRAME_MARGIN_BYTES: Final = 16
"""More than a frame's word and padding take."""

PLACE_FACTOR: Final = 0x9E3779B1
"""2**32 divided by the golden ratio: neighbouring offsets get masks that differ in most bits."""

CRC_PIECE_BYTES: Final = 4096
"""zlib.crc32 gives up the GIL above 5 KiB, which costs 5 ms beside a CPU-bound thread."""

_HEADER: Final = struct.Struct("<8sII16s16sQQQQQ")
_CRC: Final = struct.Struct("<I")
_RULED: Final = struct.Struct("<I")
_DROPS: Final = struct.Struct("<4Q")
_CRC_AT: Final = _HEADER.size  # 88


class Header(NamedTuple):
    """The fields that the writer stores once. Times in nanoseconds."""

    ordinal: int
    segment_id: bytes
    writer_id: bytes
    pid: int
    process_start: int
    wall_ns: int
    monotonic_ns: int
    capacity: int


def pack_header(header: Header, *, ruled: bool = False) -> bytes:
    """The first 256 bytes of a new segment. `ruled`: its first record are redaction rules."""
    head = _HEADER.pack(MAGIC, VERSION, *header)
    return (head + _CRC.pack(crc32(head)) + _RULED.pack(ruled)).ljust(HEADER_BYTES, b"\0")


def unpack_header(data: bytes, path: str) -> Header:
    """Read and check a header.

    Raises:
        SpoolError: The file is no segment, is damaged, or is of a newer version.
    """
    if len(data) < HEADER_BYTES:
        raise SpoolError(f"{path} is no segment")
    magic, version, *values = _HEADER.unpack_from(data)
    check = _CRC.unpack_from(data, _CRC_AT)[0]
    if magic == MAGIC and version > VERSION and check != crc32(START + data[len(START) : _CRC_AT]):
        raise NewerVersionError(f"{path} has format version {version}", hint="upgrade hush-otel")
    if magic != MAGIC or check != crc32(data[:_CRC_AT]):
        raise DamagedHeaderError(f"{path} is no segment, or its header is damaged")
    header = Header(*values)
    if not HEADER_BYTES <= header.capacity <= MOST_CAPACITY_BYTES:
        raise DamagedHeaderError(f"{path} says that it holds {header.capacity} bytes")
    return header


def guess_header(data: bytes, segment_id: bytes, size: int) -> Header:
    """What a damaged header still says; the id and the size in bytes are known from elsewhere."""
    capacity = min(size, MOST_CAPACITY_BYTES)
    return Header(*_HEADER.unpack_from(data)[2:])._replace(segment_id=segment_id, capacity=capacity)


class NewerVersionError(SpoolError):
    """A newer hush-otel wrote this segment; it must stay untouched."""


class DamagedHeaderError(SpoolError):
    """Its CRC does not confirm the header. The frames have their own."""


def unpack_drops(header: bytes) -> dict[str, int]:
    """The drop counters of a header, without those that are zero or damaged beyond belief."""
    values = _DROPS.unpack_from(header, DROPS_AT)
    return {
        reason: count
        for reason, count in zip(DROP_REASONS, values, strict=True)
        if 0 < count < IMPLAUSIBLE_DROPS
    }


def place_seed(segment_id: bytes) -> int:
    """What `place_mask` starts from; computed once a segment."""
    return crc32(segment_id)


def place_mask(seed: int, offset: int) -> int:
    """The value that ties a frame's CRC to its segment and offset."""
    return (seed + offset * PLACE_FACTOR) & 0xFFFFFFFF


def checksum(payload: bytes | memoryview) -> int:
    """CRC-32 without giving up the GIL."""
    if len(payload) <= CRC_PIECE_BYTES:
        return crc32(payload)
    value = 0
    view = memoryview(payload)
    for start in range(0, len(view), CRC_PIECE_BYTES):
        value = crc32(view[start : start + CRC_PIECE_BYTES], value)
    return value


def frame_end(offset: int, length: int) -> int:
    """Where the next frame begins after one of `length` payload bytes at `offset`."""
    return (offset + 8 + length + 7) & ~7
