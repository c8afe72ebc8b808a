"""With this file here, pytest puts the directory on the import path: `from support import eventually`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from processes import processes_naming, stop_background
from support import eventually

# How long an example takes is the machine's affair. CI tries the same examples each time, others new ones.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("patient"), derandomize=True, print_blob=True)
settings.load_profile("repeatable" if os.environ.get("CI") else "patient")

LEAVING_S: Final = 30.0
"""How long a background process that was asked to leave may take on a busy machine; it takes some 10 ms."""

# What a shell starts in its background ignores SIGINT, and so would all that tests start, and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_background_process_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that has started one stops it, or keeps its applications from starting one."""
    place: Path | None = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if place is None:
        return
    if not place.exists() or not any(place.rglob("*.spool")):
        return
    if not _all_leave(place):
        for database in place.rglob("*.spool"):
            stop_background(database.with_suffix(""))
        pytest.fail("a background process was left; HUSH_BACKGROUND=external keeps it from being started")


def _all_leave(place: Path) -> bool:
    """One that was asked to leave gives its lock up first, and is a process for a moment longer.

    One that was not asked stays for a minute (`idle_exit_s`), so it is told from those.
    """
    with suppress(AssertionError):
        eventually(lambda: not processes_naming(f"--db {place}"), LEAVING_S)
        return True
    return False
