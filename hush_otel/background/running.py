"""How long a process is the owner: as a process of its own, in the foreground, as a thread, for one pass."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hush_otel.config import Settings
from hush_otel.diagnostics import guard
from hush_otel.errors import HushError, StoreBusy
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.locks import lock_file

from .client import HANDOVER_S, BackgroundClient
from .service import FAILED_S, DrainReport, Service, elect

LOOK_S: Final = 0.05
"""Between two looks at a lock that another process is to take."""


def run_process(settings: Settings, service: Service) -> None:
    """The detached process: work, leave when idle, come back if something appeared meanwhile."""
    while True:
        service.run(leave_when_idle=True)
        leaves = service.stopped or service.handed_over
        # What it has seen, not what is there now: a segment may have come since it looked.
        seen = service.segments_seen()
        service.close()
        # A writer publishes its segment first, then asks for an owner: look once more after unlocking.
        if leaves or not (service.lost or _segments(settings) - seen):
            return
        again = elect(settings, lambda: service.stopped)  # noqa: B023 - called before the next round only
        if again is None:
            return
        again.obey(service)
        service = again


def _segments(settings: Settings) -> set[Path]:
    return set(SpoolDirectory(settings.spool_dir).segments())


def run_foreground(settings: Settings) -> int:
    """`hush-otel run`: work whenever nobody else does, until a signal. Returns the exit code."""
    from .signals import stopped_by_signals  # noqa: PLC0415 - only processes of our own touch signals

    stand_by = StandBy()
    with stopped_by_signals(stand_by.stop):
        while not stand_by.stopped:
            try:
                service = stand_by.service = elect(settings, lambda: stand_by.stopped)
            except StoreBusy:
                break  # told to stop while it waited
            if service is not None:
                stand_by.work(service)
                if service.handed_over:
                    _stand_back(settings, lambda: stand_by.stopped)
            if not stand_by.stopped:
                time.sleep(FAILED_S)  # which a signal ends only then
    return 0


def _stand_back(settings: Settings, stopped: Callable[[], bool] = lambda: False) -> None:
    """A newer version has asked for the lock: it finds it free, until it has it or has not come."""
    end, lock = time.monotonic() + HANDOVER_S, lock_file(SpoolDirectory(settings.spool_dir).lock)
    while time.monotonic() < end and not stopped() and not lock.holder():
        time.sleep(LOOK_S)


class StandBy:
    """What a signal stops: the service that works now, and the turn after it."""

    def __init__(self) -> None:
        self.service: Service | None = None
        self.stopped = False

    def stop(self) -> None:
        """Called by a signal handler, so without a lock."""
        self.stopped = True
        if self.service is not None:
            self.service.stop()

    def work(self, service: Service) -> None:
        """Until a signal, a fence, or a newer version asks for the lock."""
        if not self.stopped:
            service.run(leave_when_idle=False)
        self.stopped = self.stopped or service.stopped
        service.close()


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
                if service.handed_over:
                    _stand_back(settings)
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
        report = service.drain_all()
        in_use, seen = service.has_live_writers(), service.segments_seen()
    except sqlite3.Error as exc:
        raise HushError(
            f"cannot write {settings.db_path}: {exc}", hint="the spool keeps every record"
        ) from exc
    finally:
        service.close()
    if service.lost:
        return drain_once(settings)
    if in_use or _segments(settings) - seen:
        # An app that saw this pass at work has launched nobody, and may have nothing more to say.
        BackgroundClient(settings).ensure()
    return report
