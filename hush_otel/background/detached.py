"""The detached process once it holds the lock: its signals, its work."""

from __future__ import annotations

import logging

from hush_otel.config import Settings
from hush_otel.errors import HushError

from .service import elect, run_process
from .signals import stopped_by_signals

log = logging.getLogger(__name__)


def run(settings: Settings) -> int:
    """Work until there is nothing left to do. Returns the exit code."""
    try:
        service = elect(settings)
        if service is None:
            return 0
        with stopped_by_signals(service.stop):
            run_process(settings, service)
    except HushError as exc:
        log.error("cannot work on %s: %s", settings.db_path, exc)  # noqa: TRY400 - its message is for people
        return 1
    return 0
