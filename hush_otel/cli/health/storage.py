"""The database: whether it is one, whole, and of this version; the clock that its rows speak of."""

from __future__ import annotations

import time
from collections.abc import Iterator

from hush_otel.config import Settings
from hush_otel.errors import StoreError
from hush_otel.presentation import text
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.locks import lock_file
from hush_otel.sqlite_file import why_no_database
from hush_otel.store.integrity import move_aside, moved_aside, problems
from hush_otel.store.reading import SCHEMA_VERSION, Reader

from .finding import Finding, note, ok, wrong

AHEAD_S = 60.0
"""Rows so much later than now: the clock was set back since."""


def look(settings: Settings) -> Iterator[Finding]:
    """Nothing of it where there is no database yet."""
    path = settings.db_path
    for aside in moved_aside(path):
        words = f"a damaged one was moved to {aside}; a new one was begun"
        yield wrong("database", words, f"`sqlite3 {aside} .recover` may save rows; then delete it")
    if what := why_no_database(path):
        yield wrong("database", f"{path} is {what}", "set HUSH_TRACES_DB to another path")
        return
    if not path.exists():
        yield note("database", f"there is none at {path} yet; the first record makes it")
        return
    found = problems(path)
    if found:
        words = f"{path} is damaged: {found[0]}"
        if settings.spool_dir.is_dir():
            mend = "end the background process, then --fix moves it aside; the spool keeps what comes"
            yield wrong("database", words, mend, lambda: _move_aside(settings))
        else:
            yield wrong(
                "database", words, "if it is one of hush-otel at all, move it aside: no spool is beside it"
            )
        return
    try:
        with Reader(path) as reader:
            yield ok("database", f"{path}: integrity_check passed, schema {SCHEMA_VERSION}")
            yield _clock(reader)
    except StoreError as exc:
        yield wrong("database", exc.message, exc.hint or "see background.log")


def _clock(reader: Reader) -> Finding:
    row = reader.row("doctor_newest")
    ahead_s = (row["newest"] if row is not None and row["newest"] is not None else 0.0) - time.time()
    if ahead_s > AHEAD_S:
        words = f"the newest row is {text.duration(ahead_s * 1000)} ahead of now: the clock was set back"
        return note("clock", words, "deadlines are clamped; requests wait for their idle timeout until then")
    return ok("clock", "no row is ahead of it")


def _move_aside(settings: Settings) -> str:
    """Never under a process that has it open: its next write would go to a file that nobody reads."""
    directory = SpoolDirectory(settings.spool_dir)
    directory.create()
    lock = lock_file(directory.lock)
    if not lock.try_lock():
        return ""
    try:
        aside = move_aside(settings.db_path)
    finally:
        lock.unlock()
    return f"moved to {aside}; `sqlite3 {aside} .recover` may save rows"
