"""A process's segments that take no more records: sealed, let go of, and remembered until they are drained.

Not thread-safe: the writer's lock covers it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from . import format as layout
from . import syscalls
from .segment import MappedSegment, WrittenSegment
from .status import exists


class PastSegments:
    """What a writer has left behind.

    A signal handler may raise between any two calls. So a segment is left by plain assignments, which it
    cannot come between (`leaving`, and the writer's own next segment); `settle` may be cut short and goes on
    at its next call.

    Args:
        is_spool_there: False when somebody removed the spool, be it that it was made again.
    """

    def __init__(self, is_spool_there: Callable[[], bool]) -> None:
        self.leaving: list[MappedSegment | WrittenSegment] = []
        """Not appended to any more, not yet sealed and closed."""
        self.sealed: list[MappedSegment | WrittenSegment] = []
        """Sealed and closed; those known to be drained are taken out."""
        self._is_spool_there = is_spool_there

    def settle(self) -> None:
        """Seal and close what was left, and keep it until it is drained: its file, but not its memory."""
        while self.leaving:
            segment = self.leaving[0]
            segment.seal()
            segment.close()
            # The oldest only: with a backlog of hundreds, a look at each of them would make rolling slow.
            while self.sealed and self._is_drained(self.sealed[0]):
                del self.sealed[0]
            self.sealed, self.leaving = [*self.sealed, segment], self.leaving[1:]

    def forget_unlinked(self) -> None:
        """Unlinked from a spool that is there, so drained: should it be removed later, these are not lost."""
        self.sealed = [segment for segment in self.sealed if exists(segment.path)]

    def take_removed(self) -> int:
        """Forget all, because the spool was removed; how many segments went with it."""
        sealed, self.sealed = self.sealed, []
        return sum(not exists(segment.path) for segment in sealed)

    def are_drained(self) -> bool:
        """Whether every record in them is committed in SQLite."""
        self.settle()
        self.sealed = [segment for segment in self.sealed if not self._is_drained(segment)]
        return not self.sealed

    def pending_bytes(self) -> int:
        """What in them is not committed in SQLite."""
        return sum(max(segment.offset - self._drained_upto(segment), 0) for segment in self.sealed)

    def close(self) -> None:
        """Let go of the files, in a forked child, and touch them no more."""
        for segment in (*self.leaving, *self.sealed):
            segment.close()

    def _is_drained(self, segment: MappedSegment | WrittenSegment) -> bool:
        return self._drained_upto(segment) >= segment.offset

    def _drained_upto(self, segment: MappedSegment | WrittenSegment) -> int:
        """A sealed segment's header tells; one unlinked from a spool that is there was drained and synced."""
        try:
            fd = syscalls.open_file(segment.path, os.O_RDONLY)
        except FileNotFoundError:
            return segment.offset if self._is_spool_there() else 0
        except OSError:
            return 0
        try:
            return int.from_bytes(syscalls.pread(fd, 8, layout.DRAINED_AT), "little")
        finally:
            syscalls.close(fd)
