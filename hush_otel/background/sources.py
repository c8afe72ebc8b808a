"""Segments as the drain sees them: how far each is ingested, and whether its writer lives."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from hush_otel import records
from hush_otel.mend import decode
from hush_otel.spool.directory import SpoolDirectory, id_of
from hush_otel.spool.format import HEADER_BYTES
from hush_otel.spool.locks import is_locked_elsewhere
from hush_otel.spool.process import is_running
from hush_otel.spool.reader import SegmentReader
from hush_otel.spool.segment import own_ids
from hush_otel.store.arrivals import Place
from hush_otel.store.positions import Stored

from .redacting import Redaction

BEGINNING: Final = Stored(HEADER_BYTES, ended=False, drops={})
"""Of a segment of which nothing is stored."""
DEFINITIONS: Final = frozenset({records.ORIGIN, records.RULES})
"""Records that say how others of their segment are to be read."""
FENCE_WAIT_S: Final = 1.0
"""Between giving a segment up and reading its tail for the last time (FORMAT.md)."""
STUCK_S: Final = 5.0
"""How long a segment rests whose next records cannot be read or stored. The others go on."""


class Source:
    """One segment being drained.

    Attributes:
        position: Offset of the first frame that is not committed yet.
        drops: The writer's drop counters as committed; `read_drops` as read in the batch under way.
        skipped: Of the batch under way: the offset after what was damaged, and how many bytes that was.
        ended: Committed as ended; the file may go once its rows are synced.
        has_lost_header: Whether its header was damaged when it came into view, which is to be counted.
        redacted: What its records go through before they are stored; None: nothing is to be hidden.
        wait_until: Monotonic; not read before, for its next records cannot be read or stored. 0: they can.
        held: Offset of a record that repeats one of another segment, and waits for it; and that one's id.
        is_unreadable: Whether that is because its file could not be read or written: the next read tells.
    """

    def __init__(self, reader: SegmentReader, stored: Stored, redaction: Redaction) -> None:
        self.reader = reader
        self.recall(stored)
        self.read_drops = stored.drops
        self.has_lost_header = False
        self.damaged_since: float | None = None
        self.skipped: tuple[int, int] | None = None
        self.wait_until = 0.0
        self.is_unreadable = False
        self.held: tuple[int, bytes] | None = None
        self._definitions: dict[int, records.OriginRecord] = {}
        self._places: dict[int, Place] = {}
        self._redaction = redaction
        self.redacted = redaction.unknown() if _may_be_ruled(reader) else redaction.of(None)
        for payload in () if self.ended else reader.definitions(self.position):
            # As the drain has read it: mended, or passed by.
            if records.record_type(payload) in DEFINITIONS and (record := decode(payload)) is not None:
                self.define(record)

    def recall(self, stored: Stored) -> None:
        """What the database knows of it."""
        self.position, self.ended, self.drops = stored

    def rest(self, *, unreadable: bool = False) -> None:
        """Nothing can be done with its next records for now."""
        self.wait_until = time.monotonic() + STUCK_S
        self.is_unreadable = unreadable

    def go_on(self) -> None:
        """It need not rest any more."""
        self.wait_until, self.is_unreadable = 0.0, False

    @property
    def id(self) -> bytes:
        """The segment's id."""
        return self.reader.header.segment_id

    @property
    def writer_id(self) -> bytes:
        """Its writer's."""
        return self.reader.header.writer_id

    def waits_for(self) -> bytes | None:
        """The id of the segment that its next record waits for."""
        # A record that was held in a batch that was rolled back may not be the next one.
        return self.held[1] if self.held is not None and self.held[0] == self.position else None

    def define(self, record: records.OriginRecord | records.Rules) -> None:
        """Learn an interned entry, or the writer's rules."""
        if isinstance(record, records.Rules):
            self.redacted = self._redaction.of(record)
            return
        self._definitions[record.index] = record
        self._places.pop(record.index, None)

    def definition(self, index: int) -> records.OriginRecord | None:
        """An interned entry; None when damage has taken it."""
        return self._definitions.get(index)

    @property
    def places(self) -> dict[int, Place]:
        """Entries whose rows are known; to be cleared after a rollback."""
        return self._places

    def is_given_up(self) -> bool:
        """Fenced for long enough: what is not published now never will be."""
        fenced_at = self.reader.fenced_at
        return fenced_at is not None and time.monotonic() >= fenced_at + FENCE_WAIT_S


def _may_be_ruled(reader: SegmentReader) -> bool:
    """Whether its records are to go through rules of its writer, or nobody knows that they are not."""
    first = reader.first()
    if first is not None:
        return records.record_type(first) == records.RULES
    # The sector that a power loss takes may hold the rules and what says that there are some.
    return reader.is_ruled or reader.is_damaged


class Writers:
    """Which writer processes live, asked at most once a second each."""

    def __init__(self, directory: SpoolDirectory) -> None:
        self._directory = directory

    def known(self) -> dict[bytes, Path]:
        """Owner files by writer id."""
        return {id_of(path): path for path in self._directory.owners() if id_of(path)}

    def is_alive(self, writer_id: bytes, source: Source | None) -> bool:
        """Dead is: the owner lock is free *and*, where a segment tells them, pid and start are gone.

        Either alone can be wrong: an app that closes all descriptors frees its lock, and a pid means
        nothing across containers.
        """
        if writer_id in own_ids or is_locked_elsewhere(self._directory.owner(writer_id)):
            return True
        return source is not None and is_running(source.reader.header.pid, source.reader.header.process_start)
