"""The detached process once it holds the lock: its signals, its work."""

from __future__ import annotations

import logging

from hush_otel.config import Settings
from hush_otel.errors import HushError, StoreBusy

from .garbage import collect_seldom
from .running import StandBy, run_process
from .service import elect
from .signals import stopped_by_signals

log = logging.getLogger(__name__)


def run(settings: Settings) -> int:
    """Work until there is nothing left to do. Returns the exit code."""
    told = StandBy()
    collect_seldom()
    try:
        with stopped_by_signals(told.stop):
            service = told.service = elect(settings, lambda: told.stopped)
            if service is not None:
                log.info("works on %s", settings.db_path)  # from here on, what others have said is past
                if told.stopped:
                    service.stop()  # told so before anybody knew which one
                run_process(settings, service)
    except StoreBusy:
        return 0  # told to stop while it waited
    except HushError as exc:
        log.error("cannot work on %s: %s", settings.db_path, exc)  # noqa: TRY400 - its message is for people
        return 1
    return 0
