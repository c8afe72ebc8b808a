"""The drain: spool → store. Rows and positions are committed together: exactly once.

`step()` reads what is published, writes it in one transaction, and tells the writers. It alone
joins spool and store.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from typing import Final, NamedTuple

from hush_otel import records
from hush_otel.diagnostics import guard, swallow
from hush_otel.failpoints import reach
from hush_otel.mend import decode
from hush_otel.spool.format import HEADER_BYTES
from hush_otel.spool.reader import Frames, Stop
from hush_otel.store import commands, ledger, positions
from hush_otel.store.arrivals import Arrival, Place
from hush_otel.store.database import Database, is_of_the_database
from hush_otel.store.ingest import Ingest
from hush_otel.store.positions import Stored

from .intake import Intake
from .redacting import REASON
from .sources import DEFINITIONS, Source

GIVE_UP_AT_MOST: Final = 8
"""Records of one type in a row that cannot be stored. More of them are no bad records but a bug that
concerns all: what is left stays in the spool, where a mended version finds it."""


class DrainProgress(NamedTuple):
    """One step: records read, spans that ended in them, and whether everything published was read."""

    records: int
    spans: int
    caught_up: bool


class Drain:
    """Used by the owner's main thread only. Where a method raises, nothing has changed."""

    def __init__(self, intake: Intake, database: Database) -> None:
        self._intake = intake
        self._redaction, self._salvage = intake.redaction, intake.salvage
        self._database = database
        self.ingest = Ingest()
        self._given_up: Counter[int] = Counter()
        """Records given up since one of the same type could be stored."""
        self._unsure = False
        """Whether a commit may have succeeded of which the sources do not know."""
        self.commands = 0
        """How many were applied."""

    # ------------------------------------------------------------------ one step

    def step(self, *, only_commands: bool = False) -> DrainProgress:
        """Ingest a batch of what is published; settle segments that have ended.

        Args:
            only_commands: There is no room for more. What people ask for is done all the same.
        """
        if self._unsure:
            self._recall()
        self._intake.discover()
        self._count_lost_headers()
        reads, limited = self._intake.read(only_commands=only_commands)
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
                    source.rest()
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
        self._salvage.keep(source, offset, payload, "unstorable")
        self._commit([(source, one._replace(frames=[]))], payload)
        self._given_up[records.record_type(payload)] += 1

    def _commit(self, changed: list[tuple[Source, Frames]], unstorable: bytes | None = None) -> int:
        """Store these, and count a record that is passed by with them."""
        self._unsure = True
        try:
            spans = self._database.write(lambda db: self._write(db, changed, unstorable))
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
        self._intake.recall()
        self._unsure = False

    def _count_lost_headers(self) -> None:
        for source in self._intake.sources.values():
            if source.has_lost_header:
                try:
                    header = source.reader.raw(0, HEADER_BYTES)
                    self._salvage.keep(source, 0, header, "damaged")
                except OSError as exc:
                    swallow(f"keeping the header of {source.reader.path}, which is tried again", exc)
                    continue
                self._database.write(lambda db: self.ingest.count_loss(db, "damaged", 1, HEADER_BYTES))
                source.has_lost_header = False

    def _must_save(self, source: Source, found: Frames) -> bool:
        return (
            found.stop is Stop.END or found.position != source.position or source.read_drops != source.drops
        )

    # ------------------------------------------------------------------ within the transaction

    def _write(
        self, db: sqlite3.Connection, changed: list[tuple[Source, Frames]], unstorable: bytes | None
    ) -> int:
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
        if unstorable is not None:
            self.ingest.count_loss(db, "unstorable", 1, len(unstorable))
            ledger.give_up(db, unstorable, read=True)
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
        ended, some_left = _ended(found), bool(self._intake.behind)
        for offset, payload in found.frames:
            if payload[1] == records.START and payload[records.WHOSE] in ended:
                continue  # its end, which says it all, is in the same batch
            record, inner = decode(payload), payload
            was_read = False
            # Repeated more than once where the segment of a repetition was given up, too.
            while record is not None and record.type == records.AGAIN and not was_read:
                if self._intake.is_open(record.segment_id):
                    source.held = offset, record.segment_id
                    return offset
                was_read = self._was_read(db, record)
                inner = record.record
                record = decode(inner)
            if was_read:
                continue
            if record is None:
                self._salvage.keep(source, offset, inner, "undecodable")
                self.ingest.count_loss(db, "undecodable", 1, len(inner))
                ledger.give_up(db, inner, read=inner is not payload)
                continue
            if some_left and _is_provisional(record) and self._intake.has_left_older(source):
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

    def _was_read(self, db: sqlite3.Connection, again: records.Again) -> bool:
        stored = positions.find(db, again.segment_id)
        return stored is not None and stored.position > again.offset

    def _save(self, db: sqlite3.Connection, source: Source, found: Frames, now: float) -> None:
        for reason, count in source.read_drops.items():
            self.ingest.count_loss(db, reason, count - source.drops.get(reason, 0))
        if source.skipped and source.skipped[0] == found.position:
            self.ingest.count_loss(db, "damaged", 1, source.skipped[1])
        stored = Stored(found.position, found.stop is Stop.END, source.read_drops)
        positions.save(db, source.id, source.writer_id, stored, now)

    # ------------------------------------------------------------------ after the commit

    def _committed(self, source: Source, found: Frames) -> None:
        source.position = found.position
        source.go_on()
        source.drops = source.read_drops
        source.ended = found.stop is Stop.END
        source.reader.set_drained(found.position)

    def forget(self) -> None:
        """After a rollback: what was cached may not exist."""
        self.ingest.forget()
        for source in self._intake.sources.values():
            source.places.clear()


_SPANS: Final = frozenset({records.END, records.START})
_WITH_ORIGIN: Final = _SPANS | {records.NODE}


def _ended(found: Frames) -> set[bytes]:
    """Spans whose own end is among the frames: their starts say nothing more."""
    return {
        payload[records.WHOSE]
        for _, payload in found.frames
        if payload[1] == records.END and records.named_by_place(payload)
    }


def _is_provisional(record: records.Record) -> bool:
    return record.type == records.END and bool(record.flags & records.FLAG_PROVISIONAL)
