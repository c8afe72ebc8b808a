"""Upkeep, once a second: dead writers, idle requests, files that are no longer needed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hush_otel.config import Settings
from hush_otel.diagnostics import swallow
from hush_otel.failpoints import reach
from hush_otel.spool.directory import SpoolDirectory, id_of
from hush_otel.store import positions
from hush_otel.store.database import Database
from hush_otel.store.statements import load_statements

from .drain import Drain
from .intake import Intake
from .sources import Source, Writers

SQL: Final = load_statements("ingest")

UPKEEP_S: Final = 1.0
"""How often: bounds how late a death is noticed."""
UNLINK_AT_ONCE: Final = 64
"""Ended segments for which it is worth to sync before the second is over."""
REMEMBER_SEGMENTS_S: Final = 24 * 3600.0
"""How long an ended segment's position is kept, for a writer that repeats a record of it."""
CLAIM_S: Final = 60.0
"""Making an owner file takes a millisecond: one this old was left by a death in between."""
HOUR_S: Final = 3600.0


class Upkeep:
    """Used by the owner's main thread, between the drain's steps."""

    def __init__(
        self,
        directory: SpoolDirectory,
        database: Database,
        intake: Intake,
        drain: Drain,
        settings: Settings,
    ) -> None:
        self._directory = directory
        self._database = database
        self._intake = intake
        self._drain = drain
        self._settings = settings
        self._writers = Writers(directory)
        self._next = 0.0
        self._next_hour = 0.0

    def step(self, *, caught_up: bool) -> None:
        """Do what is due. `caught_up`: everything that was published is read."""
        now = time.monotonic()
        ended = sum(source.ended for source in self._intake.sources.values())
        if now >= self._next or ended >= UNLINK_AT_ONCE:
            self._next = now + UPKEEP_S
            self.run(caught_up=caught_up)
        if now >= self._next_hour:
            self._next_hour = now + HOUR_S
            self._forget_segments()

    def run(self, *, caught_up: bool = True) -> None:
        """Notice dead writers, end idle requests, unlink what is drained and synced."""
        alive = self._look_after_writers()
        timeout = self._settings.complete_timeout_s
        if caught_up:
            self._write(lambda db: self._drain.ingest.complete_idle(db, time.time(), timeout))
        self.unlink_ended()
        self._remove_temporaries(alive)
        if self._settings.durability != "process":
            self._sync_live()

    def _forget_segments(self) -> None:
        """Positions that nobody asks for any more. One whose file could not be unlinked is still needed."""
        standing = {id_of(path) for path in self._directory.segments()}
        standing.update(source.id for source in self._intake.sources.values())
        before = time.time() - REMEMBER_SEGMENTS_S
        self._write(lambda db: positions.forget_ended(db, before, standing))

    def _look_after_writers(self) -> set[bytes]:
        """Returns those that live."""
        by_writer = self._sources_by_writer()
        alive = {
            writer_id
            for writer_id, sources in by_writer.items()
            if self._writers.is_alive(writer_id, sources[0] if sources else None)
        }
        if len(alive) < len(by_writer):
            # One that began and died since the drain's last look: its segments are there, and no more come.
            self._intake.discover()
            for writer_id, sources in self._sources_by_writer().items():
                if writer_id in by_writer and writer_id not in alive:
                    self._bury(writer_id, sources)
        return alive

    def _sources_by_writer(self) -> dict[bytes, list[Source]]:
        by_writer: dict[bytes, list[Source]] = {writer: [] for writer in self._writers.known()}
        for source in self._intake.sources.values():
            by_writer.setdefault(source.writer_id, []).append(source)
        return by_writer

    def _bury(self, writer_id: bytes, sources: list[Source]) -> None:
        """A writer is dead: give its segments up; when they are read to the end, close its spans."""
        left = [source for source in sources if not source.ended]
        for source in left:
            try:
                source.reader.fence()
            except OSError as exc:
                swallow(f"fencing {source.reader.path}, which is tried again", exc)
                source.rest(unreadable=True)
        if not left:
            self._write(lambda db: self._drain.ingest.interrupt(db, writer_id, time.time()))
            reach("upkeep.interrupted")
            self._directory.owner(writer_id).unlink(missing_ok=True)

    def _write(self, change: Callable[[sqlite3.Connection], object]) -> None:
        try:
            self._database.write(change)
        except BaseException:
            self._drain.forget()
            raise

    def unlink_ended(self) -> None:
        """Remove segments whose rows are on the disk: at every durability level only after a sync."""
        ended = [(path, source) for path, source in self._intake.sources.items() if source.ended]
        if not ended:
            return
        self._database.sync()
        reach("upkeep.synced")
        for path, source in ended:
            path.unlink(missing_ok=True)
            reach("upkeep.unlinked")
            source.reader.close()
            del self._intake.sources[path]

    def _remove_temporaries(self, alive: set[bytes]) -> None:
        """Segments and owner files whose writer died while making them."""
        for path in self._directory.temporaries():
            writer_id = id_of(Path(path.name.partition(".")[2]))
            if writer_id not in alive and not self._writers.is_alive(writer_id, None):
                path.unlink(missing_ok=True)
        for path in self._directory.old_claims(CLAIM_S):
            path.unlink(missing_ok=True)

    def _sync_live(self) -> None:
        """HUSH_DURABILITY=interval and full: bound what a power loss takes.

        A sync that fails may leave pages of a segment that pass for written, and the next one says nothing of
        them. They cannot be written anew beside an application that stores into them. Their records are in
        the database as soon as they are drained: whatever else has failed, it is the sync of that one which
        has them on the disk, and no segment goes before it.
        """
        for path, source in self._intake.sources.items():
            try:
                source.reader.sync()
            except OSError as exc:
                swallow(f"syncing {path}; what is drained of it is synced in the database", exc)
        self._database.sync()

    def has_open_requests(self) -> bool:
        """Whether a request waits for its idle timeout. One with spans that run waits for their process."""
        return self._database.read(lambda db: db.execute(SQL["has_open"]).fetchone()) is not None

    def has_owner_files(self) -> bool:
        """Whether one is left. Of a writer that is dead it goes once its open spans are closed."""
        return bool(self._writers.known())

    def has_live_writers(self) -> bool:
        """Whether any process owns this spool.

        A segment that has ended is no evidence: its writer may live and have given its ownership up.
        """
        return any(
            self._writers.is_alive(writer_id, next((s for s in sources if not s.ended), None))
            for writer_id, sources in self._sources_by_writer().items()
        )
