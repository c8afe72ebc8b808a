"""Target `segments`: any bytes as a segment, read to its end, each payload decoded (spool/reader.py, mend.py).

The first byte of an input says what is put right in the rest, so that the fuzzer gets past the checksums:

| bit | meaning |
|---|---|
| 0 | the header is the fuzzer's too, its first 256 bytes; else a good one stands before them |
| 1 | of the fuzzer's header, magic, version and CRC are put right |
| 2 | the body is a list of payloads, each behind two bytes of length; they become good frames |
| 3 | the segment is sealed behind its last frame |
| 4 | one byte of the body is flipped: where, and how, say the next four bytes |
"""

from __future__ import annotations

import struct
from pathlib import Path
from zlib import crc32

from source import Source

from hush_otel import records
from hush_otel.errors import SpoolError
from hush_otel.mend import decode
from hush_otel.spool import format as layout
from hush_otel.spool.reader import MAX_FRAME_BYTES, SegmentReader, Stop

ID = bytes(range(16))
READ_BYTES = 64 * 1024


class Segments:
    """One file, written anew for each input."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / f"{ID.hex()}.seg"

    def attempt(self, data: bytes) -> None:
        """Read it as the drain does.

        Raises:
            AssertionError: A promise is broken.
        """
        content, payloads = _segment(Source(data))
        self._path.write_bytes(content)
        try:
            reader = SegmentReader(self._path)
        except SpoolError:
            assert payloads is None, "a good segment was refused"
            return
        try:
            found = _read(reader, content)
            assert payloads is None or found == payloads, "not the frames that were written"
            for payload in found:
                _decode(payload)
        finally:
            reader.close()

    def close(self) -> None:
        """Nothing is left open."""


def _segment(source: Source) -> tuple[bytes, list[bytes] | None]:
    """The file's content, and the payloads that a reader must find; None: whatever it finds."""
    how = source.byte()
    flip, mask = (source.number(3), source.byte()) if how & 16 else (0, 0)
    header = source.take(layout.HEADER_BYTES).ljust(layout.HEADER_BYTES, b"\0") if how & 1 else b""
    body, payloads = _body(source) if how & 4 else (source.rest(), None)
    end = layout.HEADER_BYTES + len(body)
    # Room for one word more, as a reader looks for the next frame behind the last.
    content = bytearray(_header(header, end + 8, is_mended=bool(how & 2)) + body + bytes(8))
    if how & 8:
        content[layout.SEALED_AT : layout.SEALED_AT + 8] = end.to_bytes(8, "little")
    if mask and body:
        content[layout.HEADER_BYTES + flip % len(body)] ^= mask
    return bytes(content), None if how & 1 or mask else payloads


def _body(source: Source) -> tuple[bytes, list[bytes]]:
    body, payloads = bytearray(), []
    while not source.is_empty:
        payload = source.take(source.number(2))
        if payload:  # a frame has at least one byte
            payloads.append(payload)
            body += _frame(layout.HEADER_BYTES + len(body), payload)
    return bytes(body), payloads


def _frame(offset: int, payload: bytes) -> bytes:
    check = crc32(payload) ^ layout.place_mask(layout.place_seed(ID), offset)
    data = struct.pack("<II", len(payload), check) + payload
    return data.ljust(layout.frame_end(offset, len(payload)) - offset, b"\0")


def _header(given: bytes, capacity: int, *, is_mended: bool) -> bytes:
    if not given:
        return layout.pack_header(layout.Header(0, ID, bytes(16), 1, 1, 0, 0, capacity))
    if not is_mended:
        return given
    head = layout.START + given[len(layout.START) : 88]
    return head + crc32(head).to_bytes(4, "little") + given[92:]


def _read(reader: SegmentReader, content: bytes) -> list[bytes]:
    """Every payload, and a look at each: it lies there, its CRC confirms it, no other overlaps it."""
    at, payloads, seed = layout.HEADER_BYTES, [], layout.place_seed(reader.header.segment_id)
    while True:
        found = reader.read(at, READ_BYTES)
        for offset, payload in found.frames:
            assert offset >= at, "frames overlap"
            assert 0 < len(payload) <= MAX_FRAME_BYTES, "a frame of an impossible length"
            assert content[offset + 8 : offset + 8 + len(payload)] == payload, "invented bytes"
            check = crc32(payload) ^ layout.place_mask(seed, offset)
            assert content[offset : offset + 8] == struct.pack("<II", len(payload), check), "no CRC says so"
            at = layout.frame_end(offset, len(payload))
            payloads.append(payload)
        assert found.position >= at, "the position went back"
        at = found.position
        if found.stop in (Stop.OPEN, Stop.END):
            break
        if found.stop is Stop.DAMAGED:
            at = reader.resync(found.position)
            if at >= reader.header.capacity:
                break
            assert at > found.position, "resynchronised to where it was"
    # What a process that starts later reads again.
    assert list(reader.definitions(at)) == payloads, "another look, other frames"
    assert all(count > 0 for count in reader.drops().values()), "a drop counter of nothing"
    return payloads


def _decode(payload: bytes) -> None:
    """Any payload is a record, or none."""
    record = decode(payload)
    if record is None:
        return
    assert record.type == records.record_type(payload), "a record of another type"
    assert type(record) is records.TYPES[record.type], "a record of another shape"
