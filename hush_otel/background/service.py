"""The background process: startup → main loop → shutdown, around drain and relay.

One a database, elected by a record lock. The same service runs as a detached process, in the
foreground (`hush-otel run`), as a thread of the app, and once (`hush-otel drain`).
"""

from __future__ import annotations

import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from hush_otel.config import Settings
from hush_otel.diagnostics import guard, swallow
from hush_otel.errors import StoreBusy, StoreError, StoreFenced
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.doorbell import Doorbell
from hush_otel.spool.locks import LockFile, is_locked_elsewhere, lock_file
from hush_otel.store.database import Database, StoreDamaged, StoreLost, cannot_open, is_without_room
from hush_otel.store.integrity import is_corrupt, move_aside
from hush_otel.version import __version__

from .client import version_key
from .drain import Drain, DrainProgress
from .indexing import Indexing
from .intake import Intake
from .metrics import DeliveryMetrics
from .relay import Relay
from .retention import Retention
from .upkeep import UPKEEP_S, Upkeep

log = logging.getLogger(__name__)

LINGER_S: Final = 0.02
"""How long to look again by itself after the last record, before asking writers to ring."""
LOOK_S: Final = 0.004
"""Pause between two looks while lingering: bounds transactions to 250 a second, and freshness."""
FIRST_SLEEP_S: Final = 0.05
"""The first sleep after asking writers to ring is short: a machine that reorders stores could let a
writer miss the request once."""
FAILED_S: Final = 0.5
"""Pause after a failed step (database locked, disk full): the spool keeps what comes."""
COMPLETE_WAIT_S: Final = 2.0
"""How long a completion waits at most for the other segments to be read up to its moment."""


class DrainReport(msgspec.Struct):
    """What `hush-otel drain` did."""

    records: int = 0
    spans: int = 0
    owned_elsewhere: bool = False


class Service:
    """Drain and relay of one database, by whoever holds its lock. Use `elect` to get one."""

    def __init__(self, settings: Settings, directory: SpoolDirectory, lock: LockFile) -> None:
        self._settings = settings
        self._directory = directory
        self._lock = lock
        self._stop = threading.Event()
        self._database = Database(
            settings.db_path,
            settings.durability,
            spool=directory.path,
            is_drained=lambda spool: is_locked_elsewhere(SpoolDirectory(spool).lock),
        )
        try:
            self._intake = Intake(directory, self._database, settings.redaction)
            self._drain = Drain(self._intake, self._database)
            self._upkeep = Upkeep(directory, self._database, self._intake, self._drain, settings)
            self._retention = Retention(self._database, self._drain.ingest, settings)
            self._indexing = Indexing(self._database, self._drain.ingest, wanted=settings.search)
            self._relay = Relay(self._database, self._ring, settings.delivery_max_age_s)
            self._metrics = DeliveryMetrics(settings.db_path)
            # Last: where one of the others fails, no descriptor is left open. Thread mode tries for ever.
            self._bell = Doorbell(directory.doorbell)
        except sqlite3.Error as exc:
            self._database.close()
            raise cannot_open(settings.db_path, exc) from exc
        except BaseException:
            self._database.close()
            raise
        self._busy_at = time.monotonic()
        self._asleep = False
        self._commands = 0
        self._relay_rests_until = 0.0
        self.handed_over = False
        """Whether `run` returned because a newer version asked for it."""
        self.lost = False
        """Whether `run` returned because the database was removed: another Service begins a new one."""

    def stop(self) -> None:
        """Have `run` return after its batch. Callable from a signal handler."""
        self._stop.set()
        self._ring()

    def _ring(self) -> None:
        self._bell.ring()

    def obey(self, before: Service) -> None:
        """Stop when the one before it is told to: a signal knows only the first."""
        self._stop = before._stop

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop, or fenced."""
        return self._stop.is_set()

    # ------------------------------------------------------------------ the loop

    def run(self, *, leave_when_idle: bool) -> None:
        """Work until stopped, fenced, asked to hand over, or idle for long enough."""
        self._metrics.start()
        while not self._stop.is_set():
            pause_s = FAILED_S
            with guard("working on the spool"):
                pause_s = self.step()
            if self.lost:
                return
            with guard("looking whether to leave"):  # who cannot tell stays
                self.handed_over = self._asked_to_hand_over()
                if self.handed_over or (leave_when_idle and self._must_leave()):
                    return
            if pause_s > 0:
                self._bell.wait(pause_s)

    def step(self) -> float:
        """One round; returns how long to wait for the doorbell, in seconds."""
        try:
            began = time.time()
            full = self._retention.is_full()
            progress = self._drain.step(only_commands=full)
            self._queue_completed(began, progress)
            relayed = self._relay_some()
            # While something is unread nobody knows which request is idle.
            self._upkeep.step(caught_up=progress.caught_up and not full and not self._intake.stuck())
            self._prune(progress)
            self._indexing.step(drained=progress.spans, behind=full or not progress.caught_up)
        except StoreFenced as exc:
            log.info("leaving: %s", exc)
            self._stop.set()
            return 0.0
        except StoreLost as exc:
            log.warning("beginning again with what the spool still has: %s", exc)
            self.lost = True
            return 0.0
        except sqlite3.DatabaseError as exc:
            with guard("giving the full-text index up"):  # on a full disk that may find no room, either
                if self._indexing.is_blamed(exc):
                    self._indexing.begin_anew(exc)
                    return 0.0
            if is_corrupt(exc):
                self._begin_anew(exc)
                return 0.0
            # Locked by somebody, full, corrupt: nothing is lost, the spool waits.
            swallow(f"writing the database {self._settings.db_path}, which is tried again", exc)
            if is_without_room(exc):
                with guard("giving back the room of segments that are stored"):
                    self._upkeep.unlink_ended()
                with guard("deleting what may go while the disk is full"):
                    self._retention.step_on_full_disk()
            return FAILED_S
        # Without room nothing is read, and nobody is asked to ring.
        pause_s = FAILED_S if full and not relayed else self._pause(progress, relayed=relayed)
        return min(pause_s, self._retention.wait_s(), FAILED_S if full else self._indexing.wait_s())

    def _relay_some(self) -> bool:
        """True when anything was done. What fails but the database stops neither upkeep nor retention."""
        now = time.monotonic()
        if now < self._relay_rests_until:
            return False
        try:
            return self._relay.step()
        except (sqlite3.Error, StoreError):
            raise
        except Exception as exc:  # noqa: BLE001 - no thread to be had, or a bug of ours
            swallow("delivering, which is tried again", exc)
            self._relay_rests_until = now + FAILED_S
            return False

    def _prune(self, progress: DrainProgress) -> None:
        asked, self._commands = self._drain.commands != self._commands, self._drain.commands
        if asked:
            self._indexing.look_again()  # before anything that can fail: it is told once
        self._retention.step(drained=progress.spans, behind=not progress.caught_up, asked=asked)

    def _begin_anew(self, exc: sqlite3.DatabaseError) -> None:
        """The database is damaged: out of the way with it, kept for people. The spool has what comes next."""
        self.lost = True
        self._database.close()
        aside = move_aside(self._settings.db_path)
        log.error(
            "%s is damaged (%s); it lies at %s now, and a new one is begun",
            self._settings.db_path,
            exc,
            aside,
        )

    def _queue_completed(self, began: float, progress: DrainProgress) -> None:
        """Requests that were complete before this round began are queued once it has read all segments."""
        before = began if progress.caught_up else began - COMPLETE_WAIT_S
        self._relay.queue_due(before)

    def _pause(self, progress: DrainProgress, *, relayed: bool) -> float:
        now = time.monotonic()
        if progress.records or relayed:
            self._busy_at, self._asleep = now, False
        if not progress.caught_up or relayed:
            return 0.0
        if now < self._busy_at + LINGER_S:
            return LOOK_S
        if self._indexing.wait_s() == 0:
            return 0.0  # it looks again after each step: nobody needs to ring
        if not self._asleep:
            # Ask first, then look once more: whoever published before it saw the request is read now.
            self._asleep = True
            self._intake.sleep()
            return 0.0
        return self._sleep_s(now)

    def _sleep_s(self, now: float) -> float:
        sleep = FIRST_SLEEP_S if now < self._busy_at + LINGER_S + FIRST_SLEEP_S else UPKEEP_S
        wake = self._relay.next_wake()
        if wake is not None:
            sleep = min(sleep, max(wake - time.time(), self._relay_rests_until - now))
        self._asleep = False  # whoever rings clears only its own request: ask all again
        return max(sleep, LOOK_S)

    # ------------------------------------------------------------------ leaving

    def _must_leave(self) -> bool:
        asked = self._directory.leave.exists()
        if not asked and time.monotonic() < self._busy_at + self._settings.idle_exit_s:
            return False
        if not self._intake.is_empty() or not self._relay.is_idle() or self._upkeep.has_open_requests():
            return False
        if self._retention.is_busy() or self._indexing.is_busy():
            return False
        needed = self._upkeep.has_live_writers()
        if asked and needed:
            self._directory.leave.unlink(missing_ok=True)  # the answer: others are at work
        return not (needed or self._upkeep.has_owner_files())

    def segments_seen(self) -> set[Path]:
        """Every segment in view when it last looked."""
        return self._intake.seen()

    def _asked_to_hand_over(self) -> bool:
        """A newer version wants to take over (background/client.py)."""
        path = self._directory.handover
        try:
            version = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        path.unlink(missing_ok=True)
        return version_key(version) > version_key(__version__)

    def drain_all(self) -> DrainReport:
        """Store everything in the spool; deliver nothing, but queue what is complete.

        Where the database turns out to be damaged it is moved aside, and `lost` is set: another Service
        begins a new one.

        Raises:
            StoreError: Some segment cannot be stored; what was stored of the others stays stored.
        """
        report = DrainReport()
        try:
            self._drain_into(report)
        except sqlite3.DatabaseError as exc:
            if self._indexing.is_blamed(exc):
                self._indexing.begin_anew(exc)
                self._drain_into(report)
            elif is_corrupt(exc):
                self._begin_anew(exc)
            else:
                raise
        return report

    def _drain_into(self, report: DrainReport) -> None:
        while True:
            if self._retention.is_full() and not self._make_room():
                raise StoreError(
                    f"{self._settings.db_path} is above HUSH_MAX_DB_BYTES, and nothing in it may be deleted",
                    hint="the spool keeps the rest until more is delivered, `hush-otel prune` makes room, or "
                    "HUSH_MAX_DB_BYTES is raised",
                )
            progress = self._drain.step()
            report.records += progress.records
            report.spans += progress.spans
            self._queue_completed(time.time() if not progress.records else 0.0, progress)
            if progress.records == 0 and progress.caught_up:
                self._upkeep.run()
                if not self._intake.is_waiting_for_the_dead():
                    break
                self._bell.wait(0.1)
        now = time.time()
        while self._relay.queue_due(now):
            pass  # a stretch at a time
        self._retention.finish()
        self._indexing.finish()
        if self._intake.unopened:
            raise StoreError(
                f"{self._intake.unopened[0]} could not be opened, and stays there",
                hint="its log says why; where it is the number of open files, raise that (`ulimit -n`)",
            )
        if stuck := self._intake.stuck():
            raise _stuck(stuck[0], unreadable=self._intake.sources[stuck[0]].is_unreadable)

    def _make_room(self) -> bool:
        self._drain.step(only_commands=True)  # somebody may have asked for it
        self._indexing.step(behind=True)  # the index may be one that is to go
        self._retention.finish()
        return self._retention.make_room()

    def has_live_writers(self) -> bool:
        """Whether a process lives that may write more."""
        return self._upkeep.has_live_writers()

    def close(self) -> None:
        """Settle what is in flight, give the lock up. Idempotent."""
        self._metrics.stop()
        with guard("closing the relay"):
            self._relay.close()
            self._upkeep.unlink_ended()
        self._intake.close()
        self._database.close()
        self._bell.close()
        self._lock.unlock()


def _stuck(path: Path, *, unreadable: bool) -> StoreError:
    if unreadable:
        return StoreError(
            f"the records in {path} cannot be read; they stay there",
            hint="the system's log says what is wrong with the disk; put a copy of what can be read "
            "in its place, or move it away, then drain again",
        )
    return StoreError(
        f"the records in {path} cannot be stored; they stay there",
        hint="upgrade hush-otel, then drain again; its log says what failed",
    )


def elect(settings: Settings, given_up: Callable[[], bool] | None = None) -> Service | None:
    """Become the owner of the database; None when another process is.

    Args:
        settings: Which database.
        given_up: With it, a database that is locked or full is waited for, as long as this says False; the
            lock is held meanwhile, so that apps launch nobody else.

    Raises:
        StoreBusy: The database cannot be used now.
        HushError: The spool or the database cannot be used.
    """
    directory = SpoolDirectory(settings.spool_dir)
    directory.create()
    try:
        lock = lock_file(directory.lock)
    except OSError as exc:
        raise StoreError(
            f"cannot open the lock {directory.lock}: {exc.strerror or exc}", hint="set HUSH_SPOOL_DIR"
        ) from exc
    if not lock.try_lock():
        return None
    try:
        # A spool that is full must be drained all the same.
        with guard("writing its version into the lock file"):
            lock.write_text(f"{__version__} {sys.executable}")
        while True:
            try:
                return Service(settings, directory, lock)
            except StoreBusy as exc:
                if given_up is None or given_up():
                    raise
                swallow("opening the database, which is tried again", exc)
                time.sleep(FAILED_S)
            except StoreDamaged as exc:
                log.error("%s; it lies at %s now", exc.message, move_aside(settings.db_path))  # noqa: TRY400
    except (sqlite3.Error, OSError) as exc:
        lock.unlock()
        raise StoreError(f"cannot begin to work on {settings.db_path}: {exc}") from exc
    except BaseException:
        lock.unlock()
        raise
