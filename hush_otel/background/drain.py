"""The drain: spool → store. Rows and positions are committed together: exactly once.

`step()` reads what is published, writes it in one transaction, and tells the writers. It alone
joins spool and store.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from hush_otel import records
from hush_otel.diagnostics import guard, swallow
from hush_otel.errors import SpoolError
from hush_otel.failpoints import reach
from hush_otel.mend import decode
from hush_otel.rules import RedactionRules
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.format import HEADER_BYTES
from hush_otel.spool.reader import Frames, SegmentReader, Stop
from hush_otel.store import commands, ledger
from hush_otel.store.arrivals import Arrival, Place
from hush_otel.store.database import Database, is_of_the_database
from hush_otel.store.ingest import Ingest
from hush_otel.store.statements import load_statements

from .redacting import REASON, Redaction
from .salvage import keep
from .sources import DEFINITIONS, Source

log = logging.getLogger(__name__)
SQL: Final = load_statements("ingest")

BATCH_BYTES: Final = 4 * 1024 * 1024
"""One transaction's records: about 2,500 LLM spans, 50 ms."""
SOURCE_BYTES: Final = 1024 * 1024
"""What one segment gets of it, so that a backlog does not starve the others."""
GIVE_UP_AT_MOST: Final = 8
"""Records of one type in a row that cannot be stored. More of them are no bad records but a bug that
concerns all: what is left stays in the spool, where a mended version finds it."""
STUCK_S: Final = 5.0
"""How long a segment with such records rests before the next try. The others go on."""
DAMAGE_WAIT_S: Final = 1.0
"""A frame that stays invalid for this long in a sealed segment is damage, not a race."""


class DrainProgress(NamedTuple):
    """One step: records read, spans that ended in them, and whether everything published was read."""

    records: int
    spans: int
    caught_up: bool


class Drain:
    """Used by the owner's main thread only. Where a method raises, nothing has changed."""

    def __init__(
        self, directory: SpoolDirectory, database: Database, rules: RedactionRules | None = None
    ) -> None:
        self._directory = directory
        self._database = database
        self._redaction = Redaction(rules)
        self.ingest = Ingest()
        self.sources: dict[Path, Source] = {}
        self._strange: set[Path] = set()
        self._unopened = False
        """Whether a segment could not be opened for want of descriptors or the like: it is tried again."""
        self._turn = 0
        self._given_up: Counter[int] = Counter()
        """Records given up since one of the same type could be stored."""
        self._unsure = False
        """Whether a commit may have succeeded of which the sources do not know."""
        self.commands = 0
        """How many were applied."""
        self._only_commands = False
        self._behind: list[Source] = []
        """Segments of which the last read has left something."""

    # ------------------------------------------------------------------ one step

    def step(self, *, only_commands: bool = False) -> DrainProgress:
        """Ingest a batch of what is published; settle segments that have ended.

        Args:
            only_commands: There is no room for more. What people ask for is done all the same.
        """
        self._only_commands = only_commands
        if self._unsure:
            self._recall()
        self.discover()
        reads, limited = self._read()
        changed = [
            (source, found) for source, found in reads if found.frames or self._must_save(source, found)
        ]
        if changed:
            reach("drain.read")
        spans = self._commit_or_isolate(changed) if changed else 0
        count = sum(len(found.frames) for _, found in changed)  # without what has to wait
        return DrainProgress(count, spans, caught_up=not limited)

    def _commit_or_isolate(self, changed: list[tuple[Source, Frames]]) -> int:
        """One transaction for all; if a record breaks it, one for each, so that it harms no neighbour."""
        try:
            return self._commit(changed)
        except Exception as exc:
            if is_of_the_database(exc) or self._is_committed(changed):
                raise  # nothing that a smaller batch would mend
            # A bug of ours, met by one record, must not stop the drain for good.
            swallow("storing a batch of records; each is tried by itself", exc)
        return sum(self._commit_each(source, found) for source, found in changed)

    def _commit_each(self, source: Source, found: Frames) -> int:
        spans = 0
        for index, frame in enumerate(found.frames):
            last = index + 1 == len(found.frames)
            end = found.position if last else found.frames[index + 1][0]
            one = Frames([frame], end, found.stop if last else Stop.OPEN)
            try:
                spans += self._commit([(source, one)])
            except Exception as exc:
                if is_of_the_database(exc) or self._is_committed([(source, one)]):
                    raise
                if self._given_up[records.record_type(frame[1])] >= GIVE_UP_AT_MOST:
                    swallow("storing a segment, which is tried again", exc)
                    source.wait_until = time.monotonic() + STUCK_S
                    break
                swallow("storing a record, which is kept in salvage/", exc)
                self._give_up(source, one)
            else:
                self._given_up[records.record_type(frame[1])] = 0
            if source.position < end:
                break  # this record must wait, and so must what comes after it
        return spans

    def _give_up(self, source: Source, one: Frames) -> None:
        """A record that cannot be stored: kept for people, counted, passed by."""
        ((offset, payload),) = one.frames
        self._salvage(source, offset, payload, "unstorable")
        self._commit([(source, one._replace(frames=[]))])
        self._given_up[records.record_type(payload)] += 1

    def _commit(self, changed: list[tuple[Source, Frames]]) -> int:
        self._unsure = True
        try:
            spans = self._database.write(lambda db: self._write(db, changed))
            reach("drain.committed")
        except BaseException:
            self.forget()
            raise
        for source, found in changed:
            with guard("telling a writer how far its records are stored"):
                self._committed(source, found)
        self._unsure = False
        reach("drain.told")
        return spans

    def _is_committed(self, changed: list[tuple[Source, Frames]]) -> bool:
        """Whether what has failed came after the commit. All of them were committed, or none."""
        self._recall()
        return any(found.frames and source.position == found.position for source, found in changed)

    def _recall(self) -> None:
        """After a failure nobody knows whether the commit came before it: the database does."""
        for source in self.sources.values():
            row = self._database.read(lambda db, one=source: _segment_row(db, one.id))  # type: ignore[misc]
            if row is not None:
                source.recall(row[0], msgspec.json.decode(row[2]), ended=bool(row[1]))
        self._unsure = False

    def discover(self) -> None:
        """Look for segments that have come into view."""
        self._unopened = False
        for path in self._directory.segments():
            if path not in self.sources and path not in self._strange:
                self._open(path)

    def _open(self, path: Path) -> None:
        try:
            reader = SegmentReader(path)
        except FileNotFoundError:
            return
        except SpoolError as exc:
            # Untouched: perhaps a newer version's, perhaps none at all.
            self._strange.add(path)
            log.warning("leaving %s alone: %s", path, exc)
            return
        except OSError as exc:
            self._unopened = True
            swallow("opening a segment, which is tried again", exc)
            return
        row = self._database.read(lambda db: _segment_row(db, reader.header.segment_id))
        position, ended, drops = row or (HEADER_BYTES, 0, "{}")
        with guard(f"reading what {path} defines, which is tried again"):  # the others go on
            self.sources[path] = Source(
                reader, position, msgspec.json.decode(drops), self._redaction, ended=bool(ended)
            )
        source = self.sources.get(path)
        if source is None:
            reader.close()
            self._unopened = True
            return
        if reader.is_damaged and row is None:
            self._salvage(source, 0, reader.raw(0, HEADER_BYTES), "damaged")
        reader.set_drained(position)  # the owner before may have died between commit and header

    def _read(self) -> tuple[list[tuple[Source, Frames]], bool]:
        """Take turns over the segments until the batch is full; True when something was left."""
        now = time.monotonic()
        sources = [
            source for source in self.sources.values() if not source.ended and source.wait_until <= now
        ]
        self._turn = (self._turn + 1) % max(len(sources), 1)
        room = BATCH_BYTES
        reads: list[tuple[Source, Frames]] = []
        self._behind = []
        for source in sources[self._turn :] + sources[: self._turn]:
            if room <= 0:
                self._behind.append(source)
                continue
            source.skipped = None
            found = source.reader.read(source.position, min(room, SOURCE_BYTES))
            cut = _up_to_spans(found) if self._only_commands else None
            # What was left alone is still there: nothing is known of the end.
            found = self._settle_end(source, found) if cut is None else cut
            if found.stop is Stop.LIMIT:
                self._behind.append(source)
            room -= found.position - source.position
            reads.append((source, found))
        return reads, bool(self._behind)

    def _settle_end(self, source: Source, found: Frames) -> Frames:
        """Decide what "nothing more" and "damaged" mean for this writer."""
        if found.stop is Stop.OPEN and source.is_given_up():
            torn = source.reader.is_torn(found.position)
            found = found._replace(stop=Stop.DAMAGED if torn else Stop.END)
        # Not sealed, and not given up: its writer may be in the midst of it.
        if found.stop is not Stop.DAMAGED or not (source.is_given_up() or source.reader.sealed()):
            source.damaged_since = None
            return found
        now = time.monotonic()
        if source.damaged_since is None:
            # It may have been finished and sealed since it was read: another read tells that from damage.
            source.damaged_since = now
        elif now >= source.damaged_since + DAMAGE_WAIT_S:
            return self._skip_damage(source, found)
        return found

    def _skip_damage(self, source: Source, found: Frames) -> Frames:
        """Copy the damaged bytes away and go on at the next valid frame."""
        source.damaged_since = None
        end = source.reader.resync(found.position)
        data = source.reader.raw(found.position, end).rstrip(b"\0")
        self._keep(source, found.position, data, "damaged")
        source.skipped = end, len(data)  # counted when the position is moved past it
        stop = Stop.END if end >= source.reader.header.capacity else Stop.LIMIT
        return found._replace(position=end, stop=stop)

    def _salvage(self, source: Source, offset: int, data: bytes, reason: str) -> None:
        """Keep bytes that give no row, and count them."""
        self._keep(source, offset, data, reason)
        self._database.write(lambda db: self._count_salvaged(db, data, reason))

    def _count_salvaged(self, db: sqlite3.Connection, data: bytes, reason: str) -> None:
        self.ingest.count_loss(db, reason, 1, len(data))
        if reason == "unstorable":
            ledger.give_up(db, data, read=True)

    def _keep(self, source: Source, offset: int, data: bytes, reason: str) -> None:
        """For people to look at; not where there are rules, which cannot be applied to such bytes."""
        if source.redacted is not None:
            log.warning(
                "%d %s bytes of %s are not kept: redaction is on", len(data), reason, source.reader.path
            )
            return
        path = keep(self._directory.salvage, f"{source.id.hex()}-{offset}.{reason}", data)
        log.warning("%d %s bytes of %s are kept as %s", len(data), reason, source.reader.path, path)

    def _must_save(self, source: Source, found: Frames) -> bool:
        return (
            found.stop is Stop.END
            or found.position != source.position
            or source.reader.drops() != source.drops
        )

    # ------------------------------------------------------------------ within the transaction

    def _write(self, db: sqlite3.Connection, changed: list[tuple[Source, Frames]]) -> int:
        now = time.time()
        self._redaction.failed = 0
        arrivals: list[Arrival] = []
        read = Counter[str]()
        for index, (source, found) in enumerate(changed):
            held = self._arrivals(db, source, found, arrivals, now)
            if held is not None:
                before = [frame for frame in found.frames if frame[0] < held]
                found = Frames(before, held, Stop.OPEN)  # noqa: PLW2901 - the rest is read again
                changed[index] = (source, found)
            read += ledger.tally(payload for _, payload in found.frames)
        ledger.count(db, read)
        if self._redaction.failed:
            self.ingest.count_loss(db, REASON, self._redaction.failed)
        spans = self.ingest.ingest(db, arrivals, now)
        asked = [arrival.record for arrival in arrivals if arrival.record.type == records.COMMAND]
        commands.apply(db, self.ingest.routes, asked, now)
        self.commands += len(asked)
        for source, found in changed:
            self._save(db, source, found, now)
        reach("drain.saved")
        return spans

    def _arrivals(
        self, db: sqlite3.Connection, source: Source, found: Frames, into: list[Arrival], now: float
    ) -> int | None:
        """Decode frames; returns the offset at which the rest must wait, if any."""
        places, writer_id = source.places, source.writer_id
        ended = _ended(found)
        for offset, payload in found.frames:
            if payload[1] == records.START and payload[records.WHOSE] in ended:
                continue  # its end, which says it all, is in the same batch
            record, inner = decode(payload), payload
            was_read = False
            # Repeated more than once where the segment of a repetition was given up, too.
            while record is not None and record.type == records.AGAIN and not was_read:
                if self._is_open(record.segment_id):
                    return offset
                was_read = self._was_read(db, record)
                inner = record.record
                record = decode(inner)
            if was_read:
                continue
            if record is None:
                self._keep(source, offset, inner, "undecodable")
                self.ingest.count_loss(db, "undecodable", 1, len(inner))
                ledger.give_up(db, inner, read=inner is not payload)
                continue
            if self._behind and _is_provisional(record) and self._is_early(source):
                return offset
            if inner is not payload:
                ledger.count(db, ledger.tally([inner]))
            if record.type in DEFINITIONS:
                source.define(record)
            else:
                record = source.redacted(record) if source.redacted else record
                place = places.get(record.origin) if record.type in _SPANS else None
                into.append(Arrival(record, writer_id, place or self._place(db, source, record, now)))
        return None

    def _place(
        self, db: sqlite3.Connection, source: Source, record: records.Record, now: float
    ) -> Place | None:
        if record.type not in _WITH_ORIGIN or record.origin is None:
            return None
        found = source.places.get(record.origin)
        if found is None:
            definition = source.definition(record.origin)
            if definition is None:
                self.ingest.count_loss(db, "origin_lost", 1)
                return self.ingest.nowhere(db)
            definition = source.redacted(definition) if source.redacted else definition
            found = source.places[record.origin] = self.ingest.place(db, definition, now)
        return found

    def _is_early(self, source: Source) -> bool:
        """Whether the start of a span that a forked child ended may still wait in an older segment."""
        made_ns = source.reader.header.wall_ns
        return any(other.reader.header.wall_ns < made_ns for other in self._behind)

    def _is_open(self, segment_id: bytes) -> bool:
        """Whether a fenced segment may still give the record that its writer repeats."""
        source = self.sources.get(self._directory.segment(segment_id))
        return source is not None and not source.ended

    def _was_read(self, db: sqlite3.Connection, again: records.Again) -> bool:
        row = _segment_row(db, again.segment_id)
        return row is not None and row[0] > again.offset

    def _save(self, db: sqlite3.Connection, source: Source, found: Frames, now: float) -> None:
        drops = source.read_drops = source.reader.drops()
        for reason, count in drops.items():
            self.ingest.count_loss(db, reason, count - source.drops.get(reason, 0))
        if source.skipped and source.skipped[0] == found.position:
            self.ingest.count_loss(db, "damaged", 1, source.skipped[1])
        ended = found.stop is Stop.END
        values = (found.position, ended, msgspec.json.encode(drops).decode(), now)
        db.execute(SQL["save_segment"], (source.id, source.writer_id, *values))

    # ------------------------------------------------------------------ after the commit

    def _committed(self, source: Source, found: Frames) -> None:
        source.position = found.position
        source.wait_until = 0.0
        source.drops = source.read_drops
        source.ended = found.stop is Stop.END
        source.reader.set_drained(found.position)

    def forget(self) -> None:
        """After a rollback: what was cached may not exist."""
        self.ingest.forget()
        for source in self.sources.values():
            source.places.clear()

    # ------------------------------------------------------------------ for the service

    def sleep(self) -> None:
        """Ask every writer to ring after its next record."""
        for source in self.sources.values():
            if not source.ended:
                source.reader.set_sleeping()

    def stuck(self) -> list[Path]:
        """Segments whose next records cannot be stored, one after the other, whenever that was tried."""
        return [path for path, source in self.sources.items() if source.wait_until]

    def is_waiting_for_the_dead(self) -> bool:
        """Whether some segment was given up and its tail is to be read once more; not one that is stuck."""
        left = (source for source in self.sources.values() if not source.ended and not source.wait_until)
        return any(source.reader.fenced_at is not None for source in left)

    def seen(self) -> set[Path]:
        """Every segment found so far and not unlinked, those left alone too."""
        return {*self.sources, *self._strange}

    def is_empty(self) -> bool:
        """Whether no segment is left that is not ended."""
        self.discover()
        return not self._unopened and all(source.ended for source in self.sources.values())

    def close(self) -> None:
        """Let go of the segments."""
        for source in self.sources.values():
            source.reader.close()
        self.sources.clear()


_SPANS: Final = frozenset({records.END, records.START})
_WITH_ORIGIN: Final = _SPANS | {records.NODE}


def _segment_row(db: sqlite3.Connection, segment_id: bytes) -> tuple[int, int, str] | None:
    """How far a segment is stored: position, whether it has ended, its writer's drops as JSON."""
    row: tuple[int, int, str] | None = db.execute(SQL["find_segment"], (segment_id,)).fetchone()
    return row


def _up_to_spans(found: Frames) -> Frames | None:
    """The commands at the beginning; None where there is nothing else, as in a command line's segment."""
    for index, (offset, payload) in enumerate(found.frames):
        if records.record_type(payload) != records.COMMAND:
            return Frames(found.frames[:index], offset, Stop.OPEN)
    return None


def _ended(found: Frames) -> set[bytes]:
    """Spans whose own end is among the frames: their starts say nothing more."""
    return {
        payload[records.WHOSE]
        for _, payload in found.frames
        if payload[1] == records.END and records.named_by_place(payload)
    }


def _is_provisional(record: records.Record) -> bool:
    return record.type == records.END and bool(record.flags & records.FLAG_PROVISIONAL)
