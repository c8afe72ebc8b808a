"""One segment file in the hands of its writer: created, appended to, sealed.

Two ways in (FORMAT.md): mapped memory after a real preallocation, or pwrite. Both keep the GIL, so
that a CPU-bound thread cannot delay an append by a switch interval. Not thread-safe: the writer's
lock covers it.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
import time
from pathlib import Path
from typing import Final, Protocol
from zlib import crc32

from . import format as layout
from .directory import SpoolDirectory, inode_of
from .filesystem import Append
from .locks import LockFile


class Segment(Protocol):
    """What a writer needs of its segment. Offsets and sizes in bytes."""

    id: bytes
    path: Path
    offset: int
    capacity: int
    emitted: set[int]

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
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o600)
    segment: MappedSegment | WrittenSegment | None = None
    try:
        os.fchmod(fd, 0o600)
        if mode is Append.MAP:
            os.posix_fallocate(fd, 0, capacity)
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
        os.pwrite(fd, layout.pack_header(header), 0)
        segment = (MappedSegment if mode is Append.MAP else WrittenSegment)(fd, header)
        segment.path = directory.segment(segment_id)
        temporary.rename(segment.path)
    except BaseException:
        # A failed posix_fallocate keeps what it got: unlink at once, the disk is full already.
        temporary.unlink()
        if segment is None:
            os.close(fd)
        else:
            segment.close()
        raise
    return segment


class _Mapping:
    """A segment's memory, and the descriptor that Python keeps with it.

    Before 3.13 a mmap object duplicates its descriptor and closes that number with itself, whatever
    the number stands for by then. So it is learnt here, and compared before it is closed.
    """

    def __init__(self, fd: int, size: int, prot: int = mmap.PROT_READ | mmap.PROT_WRITE) -> None:
        self._inode = inode_of(fd)
        self._kept: int | None = None
        if sys.version_info >= (3, 13):
            self.map = mmap.mmap(fd, size, prot=prot, trackfd=False)
        else:
            # The lowest free number, unless another thread is faster.
            guess = os.dup(fd)
            os.close(guess)
            self.map = mmap.mmap(fd, size, prot=prot)
            self._kept = guess if inode_of(guess) == self._inode else self._find(fd)

    def _find(self, fd: int) -> int:
        """The file is new and nobody else's: another descriptor of it is the mapping's. -1 if unknown."""
        try:
            numbers = [int(entry.name) for entry in Path("/dev/fd").iterdir()]
        except OSError:
            return -1
        return next((n for n in numbers if n != fd and inode_of(n) == self._inode), -1)

    def close(self) -> None:
        """Unmap, when no view is left. When the app has closed the descriptor, keep the memory for ever."""
        if self._kept is None or inode_of(self._kept) == self._inode:
            self.map.close()
            return
        import ctypes  # noqa: PLC0415 - rarely needed

        # Not even the end of the interpreter may free it: the app's files are still to be flushed then.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.map))


class MappedSegment:
    """Appends by storing into mapped memory: no system call, microseconds."""

    path: Path

    def __init__(self, fd: int, header: layout.Header) -> None:
        self.id = header.segment_id
        self.capacity = header.capacity
        self.offset = layout.HEADER_BYTES
        self.emitted: set[int] = set()
        self._seed = layout.place_seed(header.segment_id)
        self._mapping = _Mapping(fd, header.capacity)
        self._bytes = memoryview(self._mapping.map)
        # Typed views: an item assignment is one aligned store, which publishes a frame at once.
        self._words = self._bytes.cast("Q")
        self._halves = self._bytes.cast("I")
        os.close(fd)  # the mapping does without it
        self._closed = False

    def append(self, payload: bytes) -> bool:
        """See Segment."""
        offset = self.offset
        length = len(payload)
        check = crc32(payload) if length <= layout.CRC_PIECE_BYTES else layout.checksum(payload)
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
            for view in (self._halves, self._words, self._bytes):
                view.release()
            self._mapping.close()


_ATTENTION: Final = layout.SLEEPING_AT >> 3
"""Sleeping and fenced lie in one word, so that one load asks for both."""


class WrittenSegment:
    """Appends by pwrite, for filesystems where a mapping could meet a full disk."""

    path: Path

    def __init__(self, fd: int, header: layout.Header) -> None:
        self.id = header.segment_id
        self.capacity = header.capacity
        self.offset = layout.HEADER_BYTES
        self.emitted: set[int] = set()
        self._seed = layout.place_seed(header.segment_id)
        self._fd = fd
        self._inode = inode_of(fd)
        self._closed = False
        self._drops: dict[str, int] = {}
        self._pwrite = _pwrite_holding_gil()
        # The header page exists, so reading it through a mapping is safe, and no system call.
        self._mapping = _Mapping(fd, mmap.PAGESIZE, mmap.PROT_READ)
        self._page = memoryview(self._mapping.map)

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
            self._page.release()
            self._mapping.close()
            if inode_of(self._fd) == self._inode:
                os.close(self._fd)

    def _read(self, offset: int, size: int) -> bytes:
        return bytes(self._page[offset : offset + size])

    def _store(self, offset: int, data: bytes) -> None:
        if inode_of(self._fd) != self._inode:
            self._reopen()
        written = self._pwrite(self._fd, data, len(data), offset)
        if written != len(data):
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


class _Pwrite(Protocol):
    def __call__(self, fd: int, data: bytes, count: int, offset: int, /) -> int: ...


def _pwrite_holding_gil() -> _Pwrite:
    """pwrite(2) called with the GIL held: os.pwrite gives it up, a 5 ms p99 beside a busy thread."""
    import ctypes  # noqa: PLC0415 - 5 ms that only this mode needs

    function = ctypes.PyDLL(None).pwrite
    function.restype = ctypes.c_ssize_t
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int64)
    return function
