"""Segments in view, read in turns, and what the end and the damage of each one mean.

Nothing is written here but into their headers; what was read is stored, and committed, by the drain.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Final

from hush_otel import records
from hush_otel.diagnostics import guard, swallow
from hush_otel.errors import SpoolError
from hush_otel.rules import RedactionRules
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.reader import Frames, SegmentReader, Stop
from hush_otel.store import positions
from hush_otel.store.database import Database

from .redacting import Redaction
from .salvage import Salvage
from .sources import BEGINNING, Source

log = logging.getLogger(__name__)

BATCH_BYTES: Final = 4 * 1024 * 1024
"""One transaction's records: about 2,500 LLM spans, 50 ms."""
SOURCE_BYTES: Final = 1024 * 1024
"""What one segment gets of it, so that a backlog does not starve the others."""
DAMAGE_WAIT_S: Final = 1.0
"""A frame that stays invalid for this long in a sealed segment is damage, not a race."""


class Intake:
    """Used by the owner's main thread only.

    Attributes:
        sources: Segments that are open here, by path. Who unlinks one takes it out.
        redaction: The rules that their records go through.
        salvage: Where damaged bytes go.
        behind: Segments of which the last read has left something.
        unopened: Those that could not be opened, for want of descriptors or the like: they are tried again.
    """

    def __init__(
        self, directory: SpoolDirectory, database: Database, rules: RedactionRules | None = None
    ) -> None:
        self.sources: dict[Path, Source] = {}
        self.redaction = Redaction(rules)
        self.salvage = Salvage(directory.salvage)
        self._directory = directory
        self._database = database
        self._strange: set[Path] = set()
        self.unopened: list[Path] = []
        self._turn = 0
        self.behind: list[Source] = []

    # ------------------------------------------------------------------ what is in view

    def discover(self) -> None:
        """Look for segments that have come into view."""
        self.unopened = []
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
            self.unopened.append(path)
            swallow("opening a segment, which is tried again", exc)
            return
        try:
            stored = self._database.read(lambda db: positions.find(db, reader.header.segment_id))
            with guard(f"reading what {path} defines, which is tried again"):  # the others go on
                self.sources[path] = Source(reader, stored or BEGINNING, self.redaction)
        finally:
            if path not in self.sources:
                reader.close()
        source = self.sources.get(path)
        if source is None:
            self.unopened.append(path)
            return
        source.has_lost_header = reader.is_damaged and stored is None
        with guard("telling a writer how far its records are stored"):
            reader.set_drained(source.position)  # the owner before may have died between commit and header

    def recall(self) -> None:
        """After a failure nobody knows whether the commit came before it: the database does."""
        for source in self.sources.values():
            stored = self._database.read(lambda db, one=source: positions.find(db, one.id))  # type: ignore[misc]
            if stored is not None:
                source.recall(stored)

    def is_open(self, segment_id: bytes) -> bool:
        """Whether a segment may still give records; so may one that could not be opened for now."""
        path = self._directory.segment(segment_id)
        source = self.sources.get(path)
        return not source.ended if source is not None else path not in self._strange and path.exists()

    def seen(self) -> set[Path]:
        """Every segment found so far and not unlinked, those left alone too."""
        return {*self.sources, *self._strange}

    def is_empty(self) -> bool:
        """Whether no segment is left that is not ended."""
        self.discover()
        return not self.unopened and all(source.ended for source in self.sources.values())

    def stuck(self) -> list[Path]:
        """Segments whose next records cannot be read or stored, whenever that was tried."""
        return [path for path, source in self.sources.items() if source.wait_until]

    def is_waiting_for_the_dead(self) -> bool:
        """Whether some segment was given up and its tail is to be read once more; not one that is stuck."""
        left = (source for source in self.sources.values() if not source.ended and not source.wait_until)
        return any(source.reader.fenced_at is not None and not self._is_held(source) for source in left)

    def _is_held(self, source: Source) -> bool:
        """Whether its next record waits for a segment that is stuck or not opened, be it by way of others."""
        seen = {source.id}
        while (waited_for := source.waits_for()) is not None and waited_for not in seen:
            seen.add(waited_for)
            other = self.sources.get(self._directory.segment(waited_for))
            if other is None or other.ended or other.wait_until:
                return self.is_open(waited_for)
            source = other
        return False

    def sleep(self) -> None:
        """Ask every writer to ring after its next record."""
        for source in self.sources.values():
            if not source.ended:
                with guard("asking a writer to ring"):  # the others ring, and upkeep wakes as well
                    source.reader.set_sleeping()

    def close(self) -> None:
        """Let go of the segments."""
        for source in self.sources.values():
            source.reader.close()
        self.sources.clear()

    # ------------------------------------------------------------------ reading in turns

    def read(self, *, only_commands: bool) -> tuple[list[tuple[Source, Frames]], bool]:
        """Take turns over the segments until the batch is full; True when something was left."""
        now = time.monotonic()
        sources = [
            source
            for source in self.sources.values()
            if not source.ended and source.wait_until <= now and not (source.held and self._is_held(source))
        ]
        self._turn = (self._turn + 1) % max(len(sources), 1)
        room = BATCH_BYTES
        reads: list[tuple[Source, Frames]] = []
        self.behind = []
        for source in sources[self._turn :] + sources[: self._turn]:
            if room <= 0:
                self.behind.append(source)
                continue
            try:
                found = self._read(source, min(room, SOURCE_BYTES), only_commands=only_commands)
            except OSError as exc:
                swallow(f"reading {source.reader.path}, which is tried again", exc)
                source.rest(unreadable=True)
                continue
            if found.stop is Stop.LIMIT:
                self.behind.append(source)
            room -= found.position - source.position
            reads.append((source, found))
        return reads, bool(self.behind)

    def _read(self, source: Source, max_bytes: int, *, only_commands: bool) -> Frames:
        source.skipped = None
        found = source.reader.read(source.position, max_bytes)
        cut = _up_to_spans(found) if only_commands else None
        # What was left alone is still there: nothing is known of the end.
        found = self._settle_end(source, found) if cut is None else cut
        # After the frames: where they say that it has ended, nothing more is dropped in it.
        source.read_drops = source.reader.drops()
        if source.is_unreadable:
            source.go_on()
        return found

    def has_left_older(self, source: Source) -> bool:
        """Whether a segment that was made before this one has more than the last read took."""
        made_ns = source.reader.header.wall_ns
        return any(other.reader.header.wall_ns < made_ns for other in self.behind)

    def _settle_end(self, source: Source, found: Frames) -> Frames:
        """Decide what "nothing more" and "damaged" mean for this writer."""
        if found.stop is Stop.OPEN and source.is_given_up():
            torn = source.reader.is_torn(found.position)
            found = found._replace(stop=Stop.DAMAGED if torn else Stop.END)
        # Not sealed, and not given up: its writer may be in the midst of it.
        if found.stop is not Stop.DAMAGED or not (
            source.is_given_up() or source.reader.sealed() >= found.position
        ):
            source.damaged_since = None
            return found
        now = time.monotonic()
        if source.damaged_since is None:
            # It may have been finished and sealed since it was read: another read tells that from damage.
            source.damaged_since = now
        elif now >= source.damaged_since + DAMAGE_WAIT_S:
            if source.is_given_up() or source.reader.is_broken(found.position):
                return self._skip_damage(source, found)
            # Nothing is there up to the seal, or behind it: of a writer that lives, a flipped bit.
            source.damaged_since = now
        return found

    def _skip_damage(self, source: Source, found: Frames) -> Frames:
        """Copy the damaged bytes away and go on at the next valid frame."""
        source.damaged_since = None
        end = source.reader.resync(found.position)
        data = source.reader.raw(found.position, end).rstrip(b"\0")
        self.salvage.keep(source, found.position, data, "damaged")
        source.skipped = end, len(data)  # counted when the position is moved past it
        stop = Stop.END if end >= source.reader.header.capacity else Stop.LIMIT
        return found._replace(position=end, stop=stop)


def _up_to_spans(found: Frames) -> Frames | None:
    """The commands at the beginning; None where there is nothing else, as in a command line's segment."""
    for index, (offset, payload) in enumerate(found.frames):
        if records.record_type(payload) != records.COMMAND:
            return Frames(found.frames[:index], offset, Stop.OPEN)
    return None
