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
from pathlib import Path
from typing import Final

import msgspec

from hush_otel.config import Settings
from hush_otel.diagnostics import guard
from hush_otel.errors import HushError, StoreFenced
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.doorbell import Doorbell
from hush_otel.spool.locks import LockFile, lock_file
from hush_otel.store.database import Database
from hush_otel.version import __version__

from .client import version_key
from .drain import Drain, DrainProgress
from .relay import Relay
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
        self._bell = Doorbell(directory.doorbell)
        self._database = Database(settings.db_path, settings.durability)
        self._drain = Drain(directory, self._database)
        self._upkeep = Upkeep(directory, self._database, self._drain, settings)
        self._relay = Relay(self._database, self._bell.ring)
        self._busy_at = time.monotonic()
        self._asleep = False

    def stop(self) -> None:
        """Have `run` return after its batch. Callable from a signal handler."""
        self._stop.set()
        self._bell.ring()

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop, or fenced."""
        return self._stop.is_set()

    # ------------------------------------------------------------------ the loop

    def run(self, *, leave_when_idle: bool) -> None:
        """Work until stopped, fenced, asked to hand over, or idle for long enough."""
        try:
            while not self._stop.is_set():
                pause_s = FAILED_S
                with guard("working on the spool"):
                    pause_s = self.step()
                if self._must_leave(leave_when_idle=leave_when_idle):
                    return
                if pause_s > 0:
                    self._bell.wait(pause_s)
        except StoreFenced as exc:
            log.info("leaving: %s", exc)

    def step(self) -> float:
        """One round; returns how long to wait for the doorbell, in seconds."""
        try:
            began = time.time()
            progress = self._drain.step()
            self._queue_completed(began, progress)
            relayed = self._relay.step()
            self._upkeep.step()
        except StoreFenced:
            self._stop.set()
            raise
        except sqlite3.OperationalError as exc:
            # Locked by somebody, or the disk is full: nothing is lost, the spool waits.
            log.warning("the database %s cannot be written now: %s", self._settings.db_path, exc)
            return FAILED_S
        return self._pause(progress, relayed=relayed)

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
        if not self._asleep:
            # Ask first, then look once more: whoever published before it saw the request is read now.
            self._asleep = True
            self._drain.sleep()
            return 0.0
        return self._sleep_s(now)

    def _sleep_s(self, now: float) -> float:
        sleep = FIRST_SLEEP_S if now < self._busy_at + LINGER_S + FIRST_SLEEP_S else UPKEEP_S
        wake = self._relay.next_wake()
        if wake is not None:
            sleep = min(sleep, wake - time.time())
        self._asleep = False  # whoever rings clears only its own request: ask all again
        return max(sleep, LOOK_S)

    # ------------------------------------------------------------------ leaving

    def _must_leave(self, *, leave_when_idle: bool) -> bool:
        if self._asked_to_hand_over():
            return True
        if not leave_when_idle:
            return False
        if time.monotonic() < self._busy_at + self._settings.idle_exit_s:
            return False
        return self._drain.is_empty() and self._relay.is_idle() and not self._upkeep.has_live_writers()

    def _asked_to_hand_over(self) -> bool:
        """A newer version wants to take over (background/client.py)."""
        path = self._directory.handover
        try:
            version = path.read_text(encoding="utf-8")
        except OSError:
            return False
        path.unlink(missing_ok=True)
        return version_key(version) > version_key(__version__)

    def drain_all(self) -> DrainReport:
        """Store everything in the spool; deliver nothing, but queue what is complete."""
        report = DrainReport()
        while True:
            progress = self._drain.step()
            report.records += progress.records
            report.spans += progress.spans
            self._queue_completed(time.time() if not progress.records else 0.0, progress)
            if progress.records == 0 and progress.caught_up:
                self._upkeep.run()
                if not self._drain.is_waiting_for_the_dead():
                    break
                self._bell.wait(0.1)
        self._relay.queue_due(time.time())
        return report

    def close(self) -> None:
        """Settle what is in flight, give the lock up. Idempotent."""
        with guard("closing the relay"):
            self._relay.close()
            self._upkeep.unlink_ended()
        self._drain.close()
        self._database.close()
        self._bell.close()
        self._lock.unlock()


def elect(settings: Settings) -> Service | None:
    """Become the owner of the database; None when another process is.

    Raises:
        HushError: The spool or the database cannot be used.
    """
    directory = SpoolDirectory(settings.spool_dir)
    directory.create()
    lock = lock_file(directory.lock)
    if not lock.try_lock():
        return None
    try:
        lock.write_text(f"{__version__} {sys.executable}")
        return Service(settings, directory, lock)
    except BaseException:
        lock.unlock()
        raise


def run_process(settings: Settings, service: Service) -> None:
    """The detached process: work, leave when idle, come back if something appeared meanwhile."""
    while True:
        service.run(leave_when_idle=True)
        stopped = service.stopped
        before = _segments(settings)
        service.close()
        # A writer publishes its segment first, then asks for an owner: look once more after unlocking.
        if stopped or not _segments(settings) - before:
            return
        again = elect(settings)
        if again is None:
            return
        service = again


def _segments(settings: Settings) -> set[Path]:
    return set(SpoolDirectory(settings.spool_dir).segments())


def run_foreground(settings: Settings) -> int:
    """`hush-otel run`: wait for the lock, then work until a signal. Returns the exit code."""
    from .signals import stopped_by_signals  # noqa: PLC0415 - only processes of our own touch signals

    while True:
        service = elect(settings)
        if service is None:
            if not _wait_for_lock(settings):
                return 0
            continue
        with stopped_by_signals(service.stop):
            service.run(leave_when_idle=False)
        stopped = service.stopped
        service.close()
        if stopped:
            return 0


def _wait_for_lock(settings: Settings) -> bool:
    """Wait while another process owns the database; False when interrupted by a signal."""
    directory = SpoolDirectory(settings.spool_dir)
    try:
        while lock_file(directory.lock).holder():
            time.sleep(0.5)
    except KeyboardInterrupt:
        return False
    return True


def run_thread(settings: Settings) -> None:
    """HUSH_BACKGROUND=thread: try to own the database for as long as the process lives."""
    while True:
        with guard("draining in a thread"):
            service = elect(settings)
            if service is not None:
                try:
                    service.run(leave_when_idle=False)
                finally:
                    service.close()
        time.sleep(FAILED_S)


def drain_once(settings: Settings) -> DrainReport:
    """`hush-otel drain`: store everything in the spool, or leave it to the process that does.

    Raises:
        HushError: The spool or the database cannot be used.
    """
    service = elect(settings)
    if service is None:
        return DrainReport(owned_elsewhere=True)
    try:
        return service.drain_all()
    except sqlite3.Error as exc:
        raise HushError(
            f"cannot write {settings.db_path}: {exc}", hint="the spool keeps every record"
        ) from exc
    finally:
        service.close()
