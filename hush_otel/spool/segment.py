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

from hush_otel.failpoints import reach
from hush_otel.monotonic import monotonic

from . import format as layout
from . import syscalls
from .directory import SpoolDirectory
from .filesystem import Append
from .locks import LockFile
from .status import inode_of


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
        """No more records will come. Idempotent, and nothing once it is closed."""

    def count_drop(self, reason: str, count: int) -> bool:
        """Add to a drop counter in the header; False when that is closed."""

    def close(self) -> None:
        """Let go of the file. Idempotent."""


class SegmentLost(OSError):  # noqa: N818 - a state of a segment, never seen outside
    """It is closed; or the app has closed its descriptor, and its file cannot be opened again."""


class Inherited(OSError):  # noqa: N818 - a state as well
    """A signal handler has forked while it was made, and this is the child: the parent goes on making it."""


class Identity:
    """A process as the owner of segments: its random id and the lock that says it lives.

    Its file is locked before it has its name: whoever finds it unlocked takes the process for dead.

    Raises:
        OSError: The owner file cannot be made.
        Inherited: By a child. The parent's file is as it was.
    """

    def __init__(self, directory: SpoolDirectory, process_start: int) -> None:
        self.writer_id: Final = syscalls.random_id()
        self.pid: Final = os.getpid()
        self.process_start: Final = process_start
        claim = directory.claim(self.writer_id)
        self._lock = LockFile(claim)
        try:
            self._inode = inode_of(self._lock.fd)
            self.check_process()
            self._lock.try_lock()
            own_ids.add(self.writer_id)
            reach("owner.claimed")
            self.check_process()
            syscalls.rename(claim, directory.owner(self.writer_id))
        except BaseException:
            if self.is_here():
                claim.unlink(missing_ok=True)
            own_ids.discard(self.writer_id)
            os.close(self._lock.fd)
            raise

    def is_here(self) -> bool:
        """False in a child that a signal handler has forked, and that goes on in what its parent did."""
        return os.getpid() == self.pid

    def check_process(self) -> None:
        """Before a file of the parent's would be changed.

        Raises:
            Inherited: This is the child.
        """
        if not self.is_here():
            raise Inherited(errno.ECHILD, "it is the parent's")

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
    directory: SpoolDirectory,
    identity: Identity,
    ordinal: int,
    capacity: int,
    mode: Append,
    prelude: bytes = b"",
) -> MappedSegment | WrittenSegment:
    """Make a segment and rename it into view, with the record that it must begin with, if any.

    Raises:
        OSError: No space, no permission, no descriptors. Nothing is left behind, nor is it when a signal
            handler raises: of a segment that nobody has, nobody would say that it ends.
        Inherited: By a child. What that wrote, renamed or unlinked, its parent would lose.
    """
    segment_id = syscalls.random_id()
    temporary, path = directory.temporary(segment_id, identity.writer_id), directory.segment(segment_id)
    segment: MappedSegment | WrittenSegment | None = None
    fd = -1
    try:
        syscalls.check_size(capacity)
        fd = syscalls.open_new(temporary)
        reach("segment.made")
        syscalls.make_private(fd)
        if mode is Append.MAP:
            syscalls.allocate(fd, capacity)
            _touch(fd, capacity, identity)
        else:
            os.ftruncate(fd, capacity)
        reach("segment.allocated")
        header = _header(identity, ordinal, segment_id, capacity)
        packed = layout.pack_header(header, ruled=bool(prelude))
        identity.check_process()
        syscalls.pwrite(fd, packed, 0)
        reach("segment.written")
        segment = (MappedSegment if mode is Append.MAP else WrittenSegment)(fd, path, header)
        # No call in between: a signal handler may raise, and the number must be closed once.
        number, fd = fd, -1
        if mode is Append.MAP:
            syscalls.close(number)  # the mapping does without it
        if prelude:
            segment.append(prelude)
        identity.check_process()
        syscalls.rename(temporary, path)
        reach("segment.renamed")
    except BaseException:
        if identity.is_here():
            # A failed posix_fallocate keeps what it got: unlink at once, the disk is full already.
            temporary.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        if segment is not None:
            segment.close()
        if fd >= 0:
            os.close(fd)
        raise
    return segment


def _header(identity: Identity, ordinal: int, segment_id: bytes, capacity: int) -> layout.Header:
    return layout.Header(
        ordinal,
        segment_id,
        identity.writer_id,
        identity.pid,
        identity.process_start,
        max(time.time_ns(), 0),  # an application's tests may have set it before 1970
        int(monotonic() * 1e9),
        capacity,
    )


def _touch(fd: int, capacity: int, identity: Identity) -> None:
    """Have the kernel make the file's pages now, many at once.

    Made one by one, as stores into the mapping meet them, each costs the app 1.5 to 2 µs (ext4); so they
    cost a third. The blocks are allocated already: these writes cannot meet a full disk.
    """
    for offset in range(0, capacity, len(_ZEROS)):
        identity.check_process()
        syscalls.pwrite(fd, _ZEROS[: capacity - offset], offset)


_ZEROS: Final = bytes(256 * 1024)
"""Larger pieces save little more; the memory is the kernel's page of zeros until somebody writes to it."""


class MappedSegment:
    """Appends by storing into mapped memory: no system call, microseconds."""

    def __init__(self, fd: int, path: Path, header: layout.Header) -> None:
        self.id = header.segment_id
        self.path = path
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

    def append(self, payload: bytes) -> bool:
        """See Segment."""
        offset = self.offset
        length = len(payload)
        check = crc32(payload) if length <= _CRC_PIECE_BYTES else layout.checksum(payload)
        # layout.place_mask, without the call.
        mask = (self._seed + offset * 0x9E3779B1) & 0xFFFFFFFF
        end = offset + 8 + length
        words = self._words
        try:
            self._bytes[offset + 8 : end] = payload
            # No call from here on: what a signal handler raises comes before both or after both.
            words[offset >> 3] = length | (check ^ mask) << 32
        except ValueError as exc:  # its memory was released
            raise SegmentLost(errno.EBADF, os.strerror(errno.EBADF), str(self.path)) from exc
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
        try:
            self._words[layout.SEALED_AT >> 3] = self.offset
        except ValueError:
            pass  # closed: by whoever has sealed it before

    def count_drop(self, reason: str, count: int) -> bool:
        """See Segment."""
        at = (layout.DROPS_AT >> 3) + layout.DROP_REASONS.index(reason)
        try:
            self._words[at] += count
        except ValueError:
            return False
        return True

    def close(self) -> None:
        """See Segment. Each step may be made again, in case a signal handler has raised before the last."""
        self._halves.release()
        self._words.release()
        self._mapping.close()


_CRC_PIECE_BYTES: Final = layout.CRC_PIECE_BYTES
_ATTENTION: Final = layout.SLEEPING_AT >> 3
"""Sleeping and fenced lie in one word, so that one load asks for both."""


class WrittenSegment:
    """Appends by pwrite, for filesystems where a mapping could meet a full disk."""

    def __init__(self, fd: int, path: Path, header: layout.Header) -> None:
        self.id = header.segment_id
        self.path = path
        self.capacity = header.capacity
        self.last_start = header.capacity - layout.FRAME_MARGIN_BYTES
        self.offset = layout.HEADER_BYTES
        self.emitted: set[int | None] = {None}
        self._seed = layout.place_seed(header.segment_id)
        self._fd = fd
        self._inode = inode_of(fd)
        self._drops: dict[str, int] = {}
        # The header page exists, so reading it through a mapping is safe, and no system call.
        self._mapping = syscalls.Mapping(fd, mmap.PAGESIZE, writable=False)

    def append(self, payload: bytes) -> bool:
        """See Segment. One write: the CRC, not the order of stores, tells a torn frame."""
        offset = self.offset
        end = layout.frame_end(offset, len(payload))
        word = len(payload) | (layout.checksum(payload) ^ layout.place_mask(self._seed, offset)) << 32
        data = word.to_bytes(8, "little") + payload
        try:
            self._store(offset, data)
        except OSError:
            raise
        except BaseException:
            # A signal handler raised, before the write or after it. What is published may have been read
            # already, so the next frame must not take its place.
            if self._holds(offset, data):
                self.offset = end
            raise
        self.offset = end
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

    def count_drop(self, reason: str, count: int) -> bool:
        """See Segment."""
        if self._fd < 0:
            return False
        self._drops[reason] = self._drops.get(reason, 0) + count
        at = layout.DROPS_AT + 8 * layout.DROP_REASONS.index(reason)
        self._note(at, self._drops[reason].to_bytes(8, "little"))
        return True

    def close(self) -> None:
        """See Segment."""
        self._mapping.close()
        fd, self._fd = self._fd, -1
        if fd >= 0 and inode_of(fd) == self._inode:
            os.close(fd)

    def _read(self, offset: int, size: int) -> bytes:
        return bytes(self._mapping.bytes[offset : offset + size])

    def _holds(self, offset: int, data: bytes) -> bool:
        return inode_of(self._fd) == self._inode and os.pread(self._fd, len(data), offset) == data

    def _store(self, offset: int, data: bytes) -> None:
        if self._fd < 0:
            raise SegmentLost(errno.EBADF, os.strerror(errno.EBADF), str(self.path))
        if inode_of(self._fd) != self._inode:
            self._reopen()
        if syscalls.pwrite(self._fd, data, offset) != len(data):
            # A short write has met the end of the space; its bytes stay unpublished by their CRC.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def _reopen(self) -> None:
        """After the app has closed the descriptor. Whatever has its number now is let be."""
        try:
            fd = syscalls.open_file(self.path, os.O_RDWR | os.O_NOFOLLOW)
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
