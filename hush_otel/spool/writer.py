"""A process's way into the spool: append records, roll segments, know what is drained.

`append` returns when the record is safe from any process death. It takes microseconds, makes no
system call (mapped mode), and never waits for another process. What cannot be written is counted.

Threads share one lock. A signal handler that interrupts an append on its own thread writes to a
segment of its own (`_nested`), because waiting would deadlock and interleaving would lose records.
After fork the child starts from nothing: its own identity, lock and segments.
"""

from __future__ import annotations

import _thread
import errno
import itertools
import logging
import os
from collections.abc import Callable
from sys import is_finalizing
from typing import Final

from hush_otel.diagnostics import say
from hush_otel.errors import SpoolError
from hush_otel.monotonic import LONG_AGO, monotonic
from hush_otel.records import encode_again

from . import format as layout
from .directory import SpoolDirectory
from .doorbell import Doorbell
from .filesystem import Append
from .past import PastSegments
from .process import ForkMark, on_fork, process_start, run_fork_hooks
from .segment import Identity, Inherited, MappedSegment, SegmentLost, WrittenSegment, create, own_ids
from .status import exists

CHECK_INTERVAL_S: Final = 0.5
"""How often an app that goes on writing asks whether somebody drains: a dead one is back in a second."""
RETRY_S: Final = 0.25
"""After a segment could not be made, how long appends fail without asking the disk again."""
TOO_LARGE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM})
"""The disk, a quota, the process's limit of file sizes or of memory: a smaller segment may have room."""
TALLY_BYTES: Final = 4096
"""One page: the least that is allocated for a file."""


class Definitions:
    """Interned payloads: each distinct one has an index for the life of the process. Thread-safe."""

    def __init__(self) -> None:
        self._counter = itertools.count()
        self._indexes: dict[bytes, int] = {}
        self.payloads: dict[int, bytes] = {}

    def intern(self, make: Callable[[int], bytes]) -> int:
        """The index of the definition that `make(index)` encodes; equal ones share it."""
        key = make(0)
        found = self._indexes.get(key)
        if found is None:
            index = next(self._counter)
            self.payloads[index] = make(index)
            # Two threads may both get here; the later one's index stays valid, just unshared.
            found = self._indexes.setdefault(key, index)
        return found


class SpoolWriter:
    """Appends to one spool on behalf of this process. Thread-safe, signal-safe, fork-safe.

    Args:
        directory: The spool; made at the first append.
        mode: How its filesystem is written.
        max_bytes: Quota of the whole spool; above it records are dropped and counted.
        on_check: Called about twice a second by an appending thread: see that somebody drains.
        prelude: A record that every segment begins with; empty: none.
    """

    def __init__(
        self,
        directory: SpoolDirectory,
        mode: Append,
        max_bytes: int,
        on_check: Callable[[], None],
        prelude: bytes = b"",
    ) -> None:
        self.directory = directory
        self.definitions = Definitions()
        self.dropped = 0
        """Records lost by this process so far, for any reason."""
        self.drop_reason = ""
        """Why the last one was."""
        self._alone = False  # whether only one thread uses it
        self._mode = mode
        self.max_bytes = max_bytes
        self._on_check = on_check
        self._prelude = prelude
        self._begin()
        on_fork(self)

    def _begin(self) -> None:
        """The state of a process that has not written yet."""
        self._mark = ForkMark()
        self.fork_page = self._mark.page
        """Its first byte is 0 after a fork at C level, where nobody called the interpreter's hooks."""
        # Not threading's: gevent and eventlet put one in its place that is Python code. A signal handler that
        # ended a span between its being taken and its owner's being noted would wait for itself.
        self._lock = _thread.RLock()
        self._busy = False
        self._identity: Identity | None = None
        self._given_up: list[bytes] = []
        self._segment: MappedSegment | WrittenSegment | None = None
        self._past = PastSegments(self._spool_is_there)
        self._ordinal = 0
        self._capacity_bytes = layout.MIN_SEGMENT_BYTES  # of the next segment
        self._bell: Doorbell | None = None
        self._next_check = LONG_AGO
        self._retry_at = LONG_AGO
        self._retry_reason = ""
        self._warn_at = LONG_AGO
        self._warning = ""  # to be logged once no lock is held
        self._told_of_bell = False
        self._uncounted: dict[str, int] = {}
        self._counted: dict[str, int] = {}
        self._nested: SpoolWriter | None = None

    def after_fork(self) -> None:
        """Forget the parent's segments without touching them."""
        inherited = [self._segment, self._past, self._bell]
        if self._bell is not None:
            self._bell.after_fork()
        own_ids.clear()
        self.dropped = 0
        self._begin()
        for one in inherited:
            try:
                if one is not None:
                    one.close()
            except BufferError:
                pass  # another thread of the parent was in the midst of using it

    def _notice_fork(self) -> None:
        """A fork at C level has run no hooks of the interpreter; this object's is among them."""
        if not self.fork_page[0]:
            run_fork_hooks()

    @property
    def writer_id(self) -> bytes:
        """This process's identity in the spool, the last one if given up; b"" before its first record."""
        self._notice_fork()
        return next(iter(self.writer_ids[-1:]), b"")

    @property
    def writer_ids(self) -> list[bytes]:
        """All identities that this process has had in the spool."""
        self._notice_fork()
        return [*self._given_up, self._identity.writer_id] if self._identity else [*self._given_up]

    def append(self, payload: bytes, definition: int | None = None) -> bool:
        """Publish one record.

        What a signal handler raises in the midst of it goes through; the next record is taken as ever.

        Args:
            payload: An encoded record.
            definition: Index of the interned definition that it uses.

        Returns:
            True when it is safe; False when it was dropped, which is then counted.
        """
        if not self.fork_page[0]:
            run_fork_hooks()  # `_notice_fork` without the call: this is the hot path
        if is_finalizing() and not self._alone:
            # A daemon thread may have been ended while it held the lock: nobody would release it.
            return self._append_nested(payload, definition)
        with self._lock:
            if self._busy:
                return self._append_nested(payload, definition)
            self._busy = True
            try:
                # `_append` once more, without the call.
                segment = self._segment
                if (
                    segment is None
                    or definition not in segment.emitted
                    or (offset := segment.offset) + len(payload) > segment.last_start
                ):
                    safe = self._append_first(payload, definition)
                else:
                    try:
                        if segment.append(payload):
                            self._attend(segment, offset, payload, definition)
                        if monotonic() < self._next_check:
                            return True
                        safe = True
                    except OSError as exc:
                        safe = self._append_elsewhere(segment, payload, definition, exc)
            finally:
                self._busy = False
        self._look_after()
        return safe

    def _append(self, payload: bytes, definition: int | None) -> bool:
        """Under the lock. The first of a segment and of a definition are prepared for here."""
        segment = self._segment
        if segment is None or definition not in segment.emitted or not _fits(segment, payload, None):
            return self._append_first(payload, definition)
        offset = segment.offset
        try:
            if segment.append(payload):
                self._attend(segment, offset, payload, definition)
        except OSError as exc:
            return self._append_elsewhere(segment, payload, definition, exc)
        return True

    def _append_elsewhere(
        self, segment: MappedSegment | WrittenSegment, payload: bytes, definition: int | None, exc: OSError
    ) -> bool:
        """The segment did not take the record: lost, or the disk is full."""
        if isinstance(exc, SegmentLost):
            self._lose(segment)
            return self._append(payload, definition)
        self._drop("no_space", exc)
        return False

    def _append_first(self, payload: bytes, definition: int | None) -> bool:
        """Append the first record of a segment, or the first there that uses a definition."""
        meaning = None if definition is None else self.definitions.payloads[definition]
        segment = self._segment
        new_to_it = segment is None or definition not in segment.emitted
        if segment is None or not _fits(segment, payload, meaning if new_to_it else None):
            segment = self._roll(_room(payload, meaning))
            if segment is None:
                return False
        if meaning is not None and definition not in segment.emitted:
            if not self._append(meaning, None):
                return False
            if self._segment is segment:  # else it was fenced meanwhile: the next one gets it again
                segment.emitted.add(definition)
        return self._append(payload, definition)

    def _append_nested(self, payload: bytes, definition: int | None) -> bool:
        """By a segment of its own, for a signal handler in the midst of an append of the same thread."""
        if self._nested is None:
            nested = SpoolWriter(self.directory, self._mode, self.max_bytes, lambda: None, self._prelude)
            nested._alone = True
            nested.definitions = self.definitions
            nested._identity = self._identity
            self._nested = nested
        safe = self._nested.append(payload, definition)
        if not safe:
            self.dropped += 1
            self.drop_reason = self._nested.drop_reason
        warning, self._nested._warning = self._nested._warning, ""
        self._warning = self._warning or warning
        return safe

    def _attend(
        self, segment: MappedSegment | WrittenSegment, offset: int, payload: bytes, definition: int | None
    ) -> None:
        sleeping, fenced = segment.attend()
        if fenced:
            # The background process took us for dead, so what we published may never be read.
            self._leave()
            self._append(encode_again(segment.id, offset, payload), definition)
        elif sleeping and self._bell is not None:
            self._bell.ring()

    def _look_after(self) -> None:
        """What a record gives occasion for: with no lock held, because the code of others runs in it."""
        if self._alone:
            return  # its thread is in the midst of an append by the process's own writer, which sees to it
        if monotonic() >= self._next_check and self._check_files():
            self._on_check()
        warning, self._warning = self._warning, ""
        if warning:
            say(logging.WARNING, "%s", warning)

    def _check_files(self) -> bool:
        """See whether the spool is still there; False when another thread has just done so."""
        with self._lock:
            if self._busy or monotonic() < self._next_check:
                return False
            self._next_check = monotonic() + CHECK_INTERVAL_S
            self._busy = True
            try:
                self._past.settle()
                segment = self._segment
                if segment is not None and not exists(segment.path):
                    self._start_over(segment)
                elif self._past.sealed and self._spool_is_there():
                    self._past.forget_unlinked()
            finally:
                self._busy = False
        return True

    def _spool_is_there(self) -> bool:
        """False when somebody removed the spool under us, be it that another process made it again."""
        if self._identity is None:
            return exists(self.directory.path)
        return exists(self.directory.owner(self._identity.writer_id))

    def _lose(self, segment: MappedSegment | WrittenSegment) -> None:
        """It cannot be written to any more. What it holds is drained, when its file is still there."""
        if exists(segment.path):
            self._leave()
        else:
            self._start_over(segment)

    def _leave(self) -> None:
        """Append no more to the current segment, if there is one."""
        if self._segment is not None:
            # No call between these two: what a signal handler raises finds the segment here or there.
            self._past.leaving = [*self._past.leaving, self._segment]
            self._segment = None
        self._past.settle()

    def _start_over(self, segment: MappedSegment | WrittenSegment) -> None:
        """Somebody removed the spool under us: what we wrote there is read by nobody."""
        self._segment = None
        if segment.drained_upto() < segment.offset:
            self.count_error()
        segment.close()
        if not self._spool_is_there():
            self._lose_spool()
        if self._bell is not None:
            self._bell.close()
            self._bell = None

    def _lose_spool(self) -> None:
        """Count what was lost with it, one error a segment: how many records, nobody knows any more."""
        for _ in range(self._past.take_removed()):
            self.count_error()
        self._give_up_identity()
        if self._bell is not None:
            self._bell.close()
            self._bell = None

    def _roll(self, needed: int) -> MappedSegment | WrittenSegment | None:
        """Make the next segment, then seal the one before. None when there is no room anywhere."""
        if monotonic() < self._retry_at:
            self._drop(self._retry_reason, None)
            return None
        try:
            segment = self._create(needed)
        except Inherited:
            self._notice_fork()  # this is the child, and has made none of its own yet
            return self._roll(needed)
        except (OSError, SpoolError) as exc:
            self._fail_to_roll(exc)
            return None
        # As in `_leave`: no call before the new segment has its place.
        if self._segment is not None:
            self._past.leaving = [*self._past.leaving, self._segment]
        self._segment = segment
        self._ordinal += 1
        self._capacity_bytes = min(self._capacity_bytes * 2, layout.MAX_SEGMENT_BYTES)
        self._past.settle()
        self._count_uncounted(segment)
        # Published first, then asked: whoever drains may have left since the last check.
        self._next_check = LONG_AGO
        if self._bell is not None:
            self._bell.ring()
        return segment

    def _fail_to_roll(self, exc: OSError | SpoolError) -> None:
        self._retry_reason = "quota" if isinstance(exc, _QuotaReached) else "no_space"
        segment = self._segment
        if self._retry_reason == "no_space" and segment and segment.drained_upto() >= segment.offset:
            self._leave()  # full and drained, it would keep its room for ever: sealed, it can be unlinked
        self._drop(self._retry_reason, exc)
        self._retry_at = monotonic() + RETRY_S

    def _create(self, needed: int) -> MappedSegment | WrittenSegment:
        identity = self._prepare()
        if self._ordinal and self._is_full():
            raise _QuotaReached(
                f"the spool {self.directory.path} holds {self.max_bytes} bytes that nobody has drained",
                hint="see `hush-otel status`; HUSH_SPOOL_MAX_BYTES raises the limit",
            )
        return self._create_sized(identity, _page_multiple(needed + self._least_bytes()))

    def _prepare(self) -> Identity:
        """Directory, identity and doorbell: made once, and once more when somebody removed the spool."""
        if self._identity is not None and not self._identity.is_here():
            self._identity = None  # the parent's: a signal handler forked while it was made
        if self._identity is not None and not self._spool_is_there():
            if self._segment is None:
                self._lose_spool()
            else:
                self._start_over(self._segment)
        if self._identity is None:
            self.directory.create()
            self._identity = Identity(self.directory, process_start(os.getpid()))
        if self._bell is None:
            self._bell = Doorbell(self.directory.doorbell)
            if self._bell.refused and not self._told_of_bell:
                self._told_of_bell = True
                self._warning = (
                    f"hush-otel stores up to a second later without a doorbell: {self._bell.refused}"
                )
        return self._identity

    def _is_full(self) -> bool:
        """Whether the quota is reached. Files that are drained count only as long as there is room."""
        limit = self.max_bytes
        return self.directory.size_bytes() >= limit and self.directory.undrained_bytes() >= limit

    def _create_sized(self, identity: Identity, needed: int) -> MappedSegment | WrittenSegment:
        """As large as is its turn; when there is no room for that, as small as will do."""
        least = max(layout.MIN_SEGMENT_BYTES, needed)
        capacity = max(self._capacity_bytes, needed)
        try:
            return self._make(identity, capacity)
        except OSError as exc:
            if exc.errno not in TOO_LARGE or capacity == least:
                raise
        self._capacity_bytes = layout.MIN_SEGMENT_BYTES
        return self._make(identity, least)

    def _make(self, identity: Identity, capacity: int) -> MappedSegment | WrittenSegment:
        page = self.fork_page
        segment = create(self.directory, identity, self._ordinal, capacity, self._mode, self._prelude)
        # No call from here to where it has its place: a signal handler that forks comes before or after both.
        if page is not self.fork_page or not page[0]:
            segment.close()
            raise Inherited(errno.ECHILD, "it is the parent's")
        return segment

    def _least_bytes(self) -> int:
        """What a segment holds before its first record."""
        return layout.HEADER_BYTES + len(self._prelude) + layout.FRAME_MARGIN_BYTES

    def is_drained(self) -> bool:
        """Whether every record of this process so far is committed in SQLite."""
        self._notice_fork()
        if self._nested is not None and not self._nested.is_drained():
            return False
        if self._is_locked_for_ever():
            return False
        with self._lock:
            segment = self._segment
            if segment is not None and segment.drained_upto() < segment.offset:
                return False
            return self._past.are_drained()

    def ring(self) -> None:
        """Wake the background process, if this process has written anything."""
        self._notice_fork()
        if self._bell is not None:
            self._bell.ring()

    def seal(self) -> None:
        """End the current segment, as at exit. The next record, if any, makes another."""
        self._notice_fork()
        if self._is_locked_for_ever():
            return  # it is drained as that of a dead process
        with self._lock:
            if self._busy:
                return  # by a signal handler in the midst of an append, which needs the segment still
            if self._uncounted and self._segment is None:
                self._make_tally()
            if self._segment is not None:
                self._leave()
                self.ring()
        if self._nested is not None:
            self._nested.seal()

    def release(self) -> None:
        """Seal, and give up this process's identity: it owns nothing until its next record."""
        self._notice_fork()
        if self._is_locked_for_ever():
            return
        with self._lock:
            if self._busy:
                return
            self.seal()
            self._give_up_identity()

    def _give_up_identity(self) -> None:
        identity, self._identity = self._identity, None
        if identity is not None:
            self._given_up.append(identity.writer_id)
            identity.release()
        if self._nested is not None:
            self._nested._identity = None

    def losses(self) -> dict[str, int]:
        """What was dropped or cut in this process so far, by reason."""
        self._notice_fork()
        nested = self._nested._counted if self._nested is not None else {}
        return {
            reason: self._counted.get(reason, 0) + nested.get(reason, 0)
            for reason in layout.DROP_REASONS
            if reason in self._counted or reason in nested
        }

    def pending_bytes(self) -> int:
        """What this process has published and SQLite has not yet."""
        self._notice_fork()
        if self._is_locked_for_ever():
            return 0
        with self._lock:
            if self._busy:  # a signal handler in the midst of an append
                return 0
            segment = self._segment
            here = 0 if segment is None else max(segment.offset - segment.drained_upto(), 0)
            return here + self._past.pending_bytes()

    def count_cut(self) -> None:
        """A record was stored with a part cut away."""
        self._count("cut")

    def count_error(self) -> None:
        """A record could not be encoded."""
        self.dropped += 1
        self._count("error")

    def _is_locked_for_ever(self) -> bool:
        """Whether it is held by a daemon thread, all of which the end of the interpreter has stopped."""
        if not is_finalizing():
            return False
        free = self._lock.acquire(blocking=False)
        if free:
            self._lock.release()
        return not free

    def _drop(self, reason: str, exc: Exception | None) -> None:
        """Under the lock: the warning waits until it is released. A logging handler may end spans itself."""
        self.dropped += 1
        self.drop_reason = reason
        if exc is not None and self._segment is None:
            self._make_tally()
        self._count(reason)
        if exc is not None and monotonic() >= self._warn_at:
            self._warn_at = monotonic() + 60
            why = self.directory.refusal(exc) if isinstance(exc, OSError) else exc
            self._warning = f"hush-otel drops spans: {why}"

    def _count(self, reason: str) -> None:
        """In the segment's header, where it outlives the process; in memory while there is none."""
        self._notice_fork()
        if self._is_locked_for_ever():
            self._counted[reason] = self._counted.get(reason, 0) + 1
            return
        with self._lock:
            self._counted[reason] = self._counted.get(reason, 0) + 1
            if self._segment is None or not self._segment.count_drop(reason, 1):
                self._uncounted[reason] = self._uncounted.get(reason, 0) + 1

    def _count_uncounted(self, segment: MappedSegment | WrittenSegment) -> None:
        while self._uncounted:
            segment.count_drop(*self._uncounted.popitem())

    def _make_tally(self) -> None:
        """A segment of one page to count in, whatever the quota: a header is all that it is for."""
        try:
            capacity = max(TALLY_BYTES, _page_multiple(self._least_bytes()))
            segment = self._make(self._prepare(), capacity)
        except (OSError, SpoolError):
            return  # counted in memory, until a segment can be made
        self._segment = segment
        self._ordinal += 1
        self._count_uncounted(segment)


class _QuotaReached(SpoolError):  # noqa: N818 - a state of the spool, never seen outside
    pass


def _room(payload: bytes, meaning: bytes | None) -> int:
    """What a record needs of a segment, with the definition that it uses."""
    room = len(payload) + layout.FRAME_MARGIN_BYTES
    return room if meaning is None else room + len(meaning) + layout.FRAME_MARGIN_BYTES


def _fits(segment: MappedSegment | WrittenSegment, payload: bytes, meaning: bytes | None) -> bool:
    return segment.offset + _room(payload, meaning) <= segment.capacity


def _page_multiple(size: int) -> int:
    return (size + 4095) & ~4095
