"""Reading segments: frames from a position on, damage told from "not yet". FORMAT.md, "Reading".

By pread, never by mapping: whoever truncates a file must not kill the reader. One reader per
segment, in the background process only; not thread-safe.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from . import format as layout
from .directory import id_of

CHUNK_BYTES: Final = 1024 * 1024
RESYNC_BUDGET: Final = 32
"""While resyncing, check at most this many times the segment's size in CRCs: damage that looks like
endless frames costs bounded time."""

_WORD: Final = struct.Struct("<II")


class Stop(Enum):
    """Why a read ended."""

    LIMIT = "limit"  # enough for one batch: there may be more
    OPEN = "open"  # nothing more published yet
    END = "end"  # sealed, and all of it read
    DAMAGED = "damaged"  # a frame that is not (yet) valid


class Frames(NamedTuple):
    """One read: `(offset, payload)` pairs, the offset after the last, and why it stopped."""

    frames: list[tuple[int, bytes]]
    position: int
    stop: Stop


class SegmentReader:
    """An open segment.

    A damaged header does not hide the frames: the id that their CRCs need stands in the file's name.

    Attributes:
        is_damaged: The CRC does not confirm the header; pid, times and writer are what it still says.
        is_ruled: The header says that its first record are redaction rules. No CRC covers that.

    Raises:
        SpoolError: It is no segment, or of a newer version.
        FileNotFoundError: It is gone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # For writing, too: drained_upto, sleeping and fenced are ours.
        self._fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        self.is_damaged = False
        self.fenced_at: float | None = None
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def _read_header(self) -> None:
        data = os.pread(self._fd, layout.HEADER_BYTES, 0)
        self.is_ruled = any(data[layout.RULED_AT : layout.DRAINED_AT])
        try:
            self.header = layout.unpack_header(data, str(self.path))
            self._seed = layout.place_seed(self.header.segment_id)
        except layout.DamagedHeaderError:
            if not self._is_known_by_its_frames(data):
                raise

    def _is_known_by_its_frames(self, data: bytes) -> bool:
        """Whether it is a segment all the same: one frame that the id in its name confirms will do."""
        self.is_damaged = True
        self.header = layout.guess_header(data, id_of(self.path), os.fstat(self._fd).st_size)
        self._seed = layout.place_seed(self.header.segment_id)
        return self.resync(layout.HEADER_BYTES - 8) < self.header.capacity

    def read(self, position: int, max_bytes: int) -> Frames:
        """Valid frames from `position` on, up to about `max_bytes` of them.

        Raises:
            OSError: What lies at `position` cannot be read. What lies before such a place can.
        """
        frames: list[tuple[int, bytes]] = []
        limit = position + max_bytes
        while position < limit:
            try:
                data = os.pread(self._fd, CHUNK_BYTES, position)
                before = position
                position, stop = self._take(data, position, frames)
                if stop is None and position == before:  # a frame larger than that
                    position, stop = self._take(self._whole_frame(position, data), position, frames)
            except OSError:
                if frames:
                    break
                raise
            if stop is not None:
                return Frames(frames, position, self._at_end(position, stop))
        return Frames(frames, position, Stop.LIMIT)

    def first(self) -> bytes | None:
        """The payload of its first frame; None where there is none, or damage has taken it."""
        return self._payload_at(layout.HEADER_BYTES)

    def _payload_at(self, position: int) -> bytes | None:
        frames: list[tuple[int, bytes]] = []
        head = os.pread(self._fd, _WORD.size, position)
        self._take(self._whole_frame(position, head), position, frames)
        return frames[0][1] if frames else None

    def _take(self, data: bytes, position: int, frames: list[tuple[int, bytes]]) -> tuple[int, Stop | None]:
        """Append the frames in `data`, which starts at `position`. None: more data is needed."""
        at, size, capacity = 0, len(data), self.header.capacity
        unpack, add = _WORD.unpack_from, frames.append
        # layout.place_mask without the call for every frame, crc32 at once: nobody needs the GIL here.
        seed = self._seed + position * layout.PLACE_FACTOR
        while True:
            if at + 8 > size:
                full = position + at + 8 <= capacity
                return position + at, None if full and size else Stop.OPEN
            length, check = unpack(data, at)
            if length == 0:
                return position + at, Stop.OPEN if check == 0 else Stop.DAMAGED
            end = at + 8 + length
            if position + end > capacity or length > MAX_FRAME_BYTES:
                return position + at, Stop.DAMAGED
            if end > size:
                return position + at, None
            payload = data[at + 8 : end]
            if crc32(payload) ^ (seed + at * layout.PLACE_FACTOR & 0xFFFFFFFF) != check:
                return position + at, Stop.DAMAGED
            add((position + at, payload))
            at = (end + 7) & ~7

    def _whole_frame(self, position: int, data: bytes) -> bytes:
        length, _ = _WORD.unpack_from(data, 0) if len(data) >= _WORD.size else (0, 0)
        whole = self._all_of(min(8 + length, self.header.capacity), position)
        # Shorter than its own length: the file was truncated under us.
        return whole if len(whole) == 8 + length else bytes(8)

    def _at_end(self, position: int, stop: Stop) -> Stop:
        sealed = self.sealed()
        # With frames behind it, it is a flipped bit and no seal.
        if not sealed or sealed < position < self.header.capacity:
            return stop
        # Behind the seal lies at most what a full disk left of a refused record. An empty word below
        # it: a page that never reached the disk, or a race that the next read settles.
        return Stop.END if position >= sealed else Stop.DAMAGED

    def definitions(self, position: int) -> Iterator[bytes]:
        """The payloads below `position`, read again for the entries that they define."""
        at = layout.HEADER_BYTES
        while at < position:
            found = self.read(at, min(CHUNK_BYTES, position - at))
            yield from (payload for offset, payload in found.frames if offset < position)
            if found.stop is Stop.LIMIT or found.position >= position:
                at = found.position
            else:
                at = self.resync(found.position)

    def resync(self, position: int) -> int:
        """The offset of the next valid frame after damage at `position`; the capacity if there is none."""
        # Behind it lies nothing: the file was truncated, and its header damaged, after that much was read.
        data = self._all_of(max(self.header.capacity - position, 0), position)
        budget = RESYNC_BUDGET * max(len(data), 1)
        for at in range(8, min(len(data) - 8, len(data.rstrip(b"\0"))), 8):
            length, check = _WORD.unpack_from(data, at)
            if not 0 < length <= min(len(data) - at - 8, MAX_FRAME_BYTES):
                continue
            budget -= length
            if budget < 0:
                break
            payload = data[at + 8 : at + 8 + length]
            if layout.checksum(payload) ^ layout.place_mask(self._seed, position + at) == check:
                return position + at
        # Also when the file was truncated: there is nothing to wait for.
        return max(self.header.capacity, position)

    def is_torn(self, position: int) -> bool:
        """Whether an empty word is not the end: a frame lies behind it (a page is lost), or the file was cut.

        What a cut has taken nobody can say: there may have been nothing.
        """
        cut = os.fstat(self._fd).st_size < self.header.capacity
        return cut or self.resync(position) < self.header.capacity

    def is_broken(self, position: int) -> bool:
        """Whether what lies at `position` is no frame, though there is something, or behind it, or a cut."""
        torn = self.is_torn(position) or any(self.raw(position, position + _WORD.size))
        # Last: a writer that lives may have published one in the meantime, and more behind it.
        return torn and self._payload_at(position) is None

    def raw(self, start: int, end: int) -> bytes:
        """Bytes as they lie in the file, for salvage."""
        return self._all_of(end - start, start)

    def _all_of(self, size: int, position: int) -> bytes:
        """So many bytes, or up to the file's end. The kernel gives fewer where a sector cannot be read."""
        data = os.pread(self._fd, size, position)
        while len(data) < size and (more := os.pread(self._fd, size - len(data), position + len(data))):
            data += more
        return data

    def drops(self) -> dict[str, int]:
        """The writer's drop counters; none from a header that is damaged."""
        return {} if self.is_damaged else layout.unpack_drops(os.pread(self._fd, layout.HEADER_BYTES, 0))

    def sealed(self) -> int:
        """The offset after the last frame; 0 while the writer may go on, or when the field is damaged."""
        offset = int.from_bytes(os.pread(self._fd, 8, layout.SEALED_AT), "little")
        return offset if layout.HEADER_BYTES <= offset <= self.header.capacity else 0

    def set_drained(self, position: int) -> None:
        """Tell the writer how far its records are committed."""
        os.pwrite(self._fd, position.to_bytes(8, "little"), layout.DRAINED_AT)

    def set_sleeping(self) -> None:
        """Ask the writer to ring after its next record."""
        os.pwrite(self._fd, b"\1\0\0\0", layout.SLEEPING_AT)

    def fence(self) -> None:
        """Give the segment up: its writer is dead, or appends elsewhere once it sees this."""
        if self.fenced_at is None:
            os.pwrite(self._fd, b"\1\0\0\0", layout.FENCED_AT)
            self.fenced_at = time.monotonic()

    def sync(self) -> None:
        """Push what was written to the disk (HUSH_DURABILITY=interval)."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


MAX_FRAME_BYTES: Final = layout.MAX_RECORD_BYTES + 64 * 1024
"""A record that its writer repeats is wrapped once more."""
