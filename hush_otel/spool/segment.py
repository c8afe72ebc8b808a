"""One segment file in the hands of its writer: created, appended to, sealed.

Two ways in (FORMAT.md): mapped memory after a real preallocation, or pwrite. Both keep the GIL, so
that a CPU-bound thread cannot delay an append by a switch interval. Not thread-safe: the writer's
lock covers it.
"""

from __future__ import annotations

import errno
import mmap
import os
import time
from pathlib import Path
from typing import Final, Protocol
from zlib import crc32

from . import format as layout
from . import syscalls
from .directory import SpoolDirectory, inode_of
from .filesystem import Append
from .locks import LockFile


class Segment(Protocol):
    """What a writer needs of its segment. Offsets and sizes in bytes."""

    id: bytes
    path: Path
    offset: int
    capacity: int
    last_start: int
    """The largest offset at which a frame without payload may begin: less its length, a record fits."""
    emitted: set[int | None]
    """Definitions that it holds, and None: a record that uses none needs none."""

    def append(self, payload: bytes) -> bool:
        """Publish one record; True when the background process wants attention.

        Raises:
            SegmentLost: It cannot be written to any more: the record belongs into another one.
            OSError: It could not be written; the segment is unchanged.
        """

    def attend(self) -> tuple[bool, bool]:
        """Clear and return (sleeping, fenced)."""

    def drained_upto(self) -> int:
        """What the background process has committed of it."""

    def seal(self) -> None:
        """No more records will come."""

    def count_drop(self, reason: str, count: int) -> None:
        """Add to a drop counter in the header."""

    def close(self) -> None:
        """Let go of the file. Idempotent."""


class SegmentLost(OSError):  # noqa: N818 - a state of a segment, never seen outside
    """The app has closed the segment's descriptor, and its file cannot be opened again."""


class Identity:
    """A process as the owner of segments: its random id and the lock that says it lives.

    Raises:
        OSError: The owner file cannot be made.
    """

    def __init__(self, directory: SpoolDirectory, process_start: int) -> None:
        self.writer_id: Final = os.urandom(16)
        self.pid: Final = os.getpid()
        self.process_start: Final = process_start
        self._lock = LockFile(directory.owner(self.writer_id))
        self._lock.try_lock()
        self._inode = inode_of(self._lock.fd)
        own_ids.add(self.writer_id)

    def release(self) -> None:
        """Own nothing any more. What was written stays."""
        own_ids.discard(self.writer_id)
        # An app that closed the descriptor has freed the lock with it, and may use the number itself.
        if inode_of(self._lock.fd) == self._inode:
            self._lock.unlock()
            os.close(self._lock.fd)


own_ids: Final[set[bytes]] = set()
"""Writer ids of this process: alive by definition, and their owner files must not be opened again."""


def create(
    directory: SpoolDirectory, identity: Identity, ordinal: int, capacity: int, mode: Append
) -> MappedSegment | WrittenSegment:
    """Make a segment and rename it into view.

    Raises:
        OSError: No space, no permission, no descriptors. Nothing is left behind.
    """
    segment_id = os.urandom(16)
    temporary = directory.temporary(segment_id, identity.writer_id)
    fd = syscalls.open_new(temporary)
    segment: MappedSegment | WrittenSegment | None = None
    try:
        os.fchmod(fd, 0o600)  # whatever the umask has made of it
        if mode is Append.MAP:
            syscalls.allocate(fd, capacity)
            _touch(fd, capacity)
        else:
            os.ftruncate(fd, capacity)
        header = layout.Header(
            ordinal,
            segment_id,
            identity.writer_id,
            identity.pid,
            identity.process_start,
            time.time_ns(),
            time.monotonic_ns(),
            capacity,
        )
        syscalls.pwrite(fd, layout.pack_header(header), 0)
        segment = (MappedSegment if mode is Append.MAP else WrittenSegment)(fd, header)
        segment.path = directory.segment(segment_id)
        syscalls.rename(temporary, segment.path)
    except BaseException:
        # A failed posix_fallocate keeps what it got: unlink at once, the disk is full already.
        temporary.unlink()
        if segment is None:
            os.close(fd)
        else:
            segment.close()
        raise
    return segment


def _touch(fd: int, capacity: int) -> None:
    """Have the kernel make the file's pages now, many at once.

    Made one by one, as stores into the mapping meet them, each costs the app 1.5 to 2 µs (ext4); so they
    cost a third. The blocks are allocated already: these writes cannot meet a full disk.
    """
    for offset in range(0, capacity, len(_ZEROS)):
        syscalls.pwrite(fd, _ZEROS[: capacity - offset], offset)


_ZEROS: Final = bytes(256 * 1024)
"""Larger pieces save little more; the memory is the kernel's page of zeros until somebody writes to it."""


class MappedSegment:
    """Appends by storing into mapped memory: no system call, microseconds."""

    path: Path

    def __init__(self, fd: int, header: layout.Header) -> None:
        self.id = header.segment_id
        self.capacity = header.capacity
        self.last_start = header.capacity - layout.FRAME_MARGIN_BYTES
        self.offset = layout.HEADER_BYTES
        self.emitted: set[int | None] = {None}
        self._seed = layout.place_seed(header.segment_id)
        self._mapping = syscalls.Mapping(fd, header.capacity, writable=True)
        self._bytes = self._mapping.bytes
        # Typed views: an item assignment is one aligned store, which publishes a frame at once.
        self._words = self._bytes.cast("Q")
        self._halves = self._bytes.cast("I")
        syscalls.close(fd)  # the mapping does without it
        self._closed = False

    def append(self, payload: bytes) -> bool:
        """See Segment."""
        offset = self.offset
        length = len(payload)
        check = crc32(payload) if length <= _CRC_PIECE_BYTES else layout.checksum(payload)
        # layout.place_mask, without the call.
        mask = (self._seed + offset * 0x9E3779B1) & 0xFFFFFFFF
        end = offset + 8 + length
        self._bytes[offset + 8 : end] = payload
        words = self._words
        words[offset >> 3] = length | (check ^ mask) << 32
        self.offset = (end + 7) & ~7
        return words[_ATTENTION] != 0

    def attend(self) -> tuple[bool, bool]:
        """See Segment."""
        sleeping = self._halves[layout.SLEEPING_AT >> 2] != 0
        if sleeping:
            self._halves[layout.SLEEPING_AT >> 2] = 0
        return sleeping, self._halves[layout.FENCED_AT >> 2] != 0

    def drained_upto(self) -> int:
        """See Segment."""
        return self._words[layout.DRAINED_AT >> 3]

    def seal(self) -> None:
        """See Segment."""
        self._words[layout.SEALED_AT >> 3] = self.offset

    def count_drop(self, reason: str, count: int) -> None:
        """See Segment."""
        self._words[(layout.DROPS_AT >> 3) + layout.DROP_REASONS.index(reason)] += count

    def close(self) -> None:
        """See Segment."""
        if not self._closed:
            self._closed = True
            self._halves.release()
            self._words.release()
            self._mapping.close()


_CRC_PIECE_BYTES: Final = layout.CRC_PIECE_BYTES
_ATTENTION: Final = layout.SLEEPING_AT >> 3
"""Sleeping and fenced lie in one word, so that one load asks for both."""


class WrittenSegment:
    """Appends by pwrite, for filesystems where a mapping could meet a full disk."""

    path: Path

    def __init__(self, fd: int, header: layout.Header) -> None:
        self.id = header.segment_id
        self.capacity = header.capacity
        self.last_start = header.capacity - layout.FRAME_MARGIN_BYTES
        self.offset = layout.HEADER_BYTES
        self.emitted: set[int | None] = {None}
        self._seed = layout.place_seed(header.segment_id)
        self._fd = fd
        self._inode = inode_of(fd)
        self._closed = False
        self._drops: dict[str, int] = {}
        # The header page exists, so reading it through a mapping is safe, and no system call.
        self._mapping = syscalls.Mapping(fd, mmap.PAGESIZE, writable=False)

    def append(self, payload: bytes) -> bool:
        """See Segment. One write: the CRC, not the order of stores, tells a torn frame."""
        offset = self.offset
        word = len(payload) | (layout.checksum(payload) ^ layout.place_mask(self._seed, offset)) << 32
        self._store(offset, word.to_bytes(8, "little") + payload)
        self.offset = layout.frame_end(offset, len(payload))
        return self._read(layout.SLEEPING_AT, 8) != _NO_ATTENTION

    def attend(self) -> tuple[bool, bool]:
        """See Segment."""
        flags = self._read(layout.SLEEPING_AT, 8)
        sleeping = any(flags[:4])
        if sleeping:
            self._note(layout.SLEEPING_AT, b"\0\0\0\0")
        return sleeping, any(flags[4:])

    def drained_upto(self) -> int:
        """See Segment."""
        return int.from_bytes(self._read(layout.DRAINED_AT, 8), "little")

    def seal(self) -> None:
        """See Segment."""
        self._note(layout.SEALED_AT, self.offset.to_bytes(8, "little"))

    def count_drop(self, reason: str, count: int) -> None:
        """See Segment."""
        self._drops[reason] = self._drops.get(reason, 0) + count
        at = layout.DROPS_AT + 8 * layout.DROP_REASONS.index(reason)
        self._note(at, self._drops[reason].to_bytes(8, "little"))

    def close(self) -> None:
        """See Segment."""
        if not self._closed:
            self._closed = True
            self._mapping.close()
            if inode_of(self._fd) == self._inode:
                os.close(self._fd)

    def _read(self, offset: int, size: int) -> bytes:
        return bytes(self._mapping.bytes[offset : offset + size])

    def _store(self, offset: int, data: bytes) -> None:
        if inode_of(self._fd) != self._inode:
            self._reopen()
        if syscalls.pwrite(self._fd, data, offset) != len(data):
            # A short write has met the end of the space; its bytes stay unpublished by their CRC.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def _reopen(self) -> None:
        """After the app has closed the descriptor. Whatever has its number now is let be."""
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as exc:
            raise SegmentLost(exc.errno, exc.strerror, str(self.path)) from exc
        if inode_of(fd) != self._inode:
            os.close(fd)
            raise SegmentLost(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))
        self._fd = fd

    def _note(self, offset: int, data: bytes) -> None:
        """Write a header field. Its page exists: only a copy-on-write filesystem that is full refuses."""
        try:
            self._store(offset, data)
        except OSError:
            pass  # no record depends on it, and whoever counts a drop for want of space must not fail so


_NO_ATTENTION: Final = bytes(8)
