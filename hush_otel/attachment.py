"""This process attached to a database: its settings, its one writer, its way to the background process.

Importing this starts nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from . import failpoints
from .background.client import BackgroundClient, owner_of_another_spool
from .config import Settings
from .diagnostics import swallow
from .errors import ConfigError
from .model import Destination
from .monotonic import LONG_AGO, monotonic
from .records import encode_rules
from .spool.directory import SpoolDirectory
from .spool.filesystem import Append, append_mode, filesystem_type
from .spool.process import on_fork
from .spool.writer import SpoolWriter
from .sqlite_file import why_no_database

FIRST_POLL_S: Final = 0.0005
LONGEST_POLL_S: Final = 0.01


class Attachment:
    """This process attached to one database: settings, writer, background client.

    Raises:
        ConfigError: A setting cannot work, the database's path is taken by something else, or the filesystem
            cannot keep the promises.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        force = settings.force_filesystem
        _check_places(settings)
        _check_database(settings.db_path)
        append_mode(settings.db_path.parent, key="HUSH_TRACES_DB", force=force)
        mode = append_mode(settings.spool_dir, key="HUSH_SPOOL_DIR", force=force)
        _check_spool(settings)
        self.client = BackgroundClient(settings)
        self.writer = _writer(settings, mode, self.client)
        self._dropped_before = 0
        self._named: dict[str, Destination] = {}
        on_fork(self)

    def take_over(self, settings: Settings) -> None:
        """What settings say by now: a store made at import must not decide for what comes after it.

        Raises:
            ConfigError: One of them cannot change any more.
        """
        before = self.settings
        if settings == before:
            return
        if settings.spool_dir != before.spool_dir:
            raise _decided("HUSH_SPOOL_DIR", f"the spool {before.spool_dir}", settings)
        if settings.redaction != before.redaction:
            raise _decided("[redaction]", "other rules" if before.redaction else "no rules", settings)
        self.settings = self.client.settings = settings
        self.writer.max_bytes = settings.spool_max_bytes

    def choose(self, destinations: Sequence[Destination | str]) -> tuple[Destination, ...]:
        """What a processor or exporter sends to.

        Raises:
            ConfigError: A name is unknown, or stands for two receivers in this process: the store knows
                a destination by its name.
        """
        chosen = self.settings.choose(destinations)
        for destination in chosen:
            if self._named.get(destination.name, destination) != destination:
                raise ConfigError(
                    f"two destinations are named {destination.name!r} and have different options",
                    hint="give each a name of its own, or none",
                )
        # Only now: of a processor that is not made no name is taken.
        self._named.update((destination.name, destination) for destination in chosen)
        return chosen

    def destination_named(self, name: object) -> Destination | None:
        """What a mark means by a name: of the configuration file, else given in code."""
        if type(name) is not str:
            return None
        return self.settings.known_destinations.get(name) or self._named.get(name)

    def after_fork(self) -> None:
        """The child has dropped nothing, and launched nothing."""
        self._dropped_before = 0
        self.client.after_fork()

    def flush(self, timeout_millis: int) -> bool:
        """Wait until all records of this process are in SQLite; see `force_flush`."""
        dropped, self._dropped_before = self.writer.dropped - self._dropped_before, self.writer.dropped
        return self.wait_drained(monotonic() + timeout_millis / 1000) and not dropped

    def wait_drained(self, deadline: float) -> bool:
        """Wait until SQLite has what this process published, at most until the monotonic deadline."""
        return wait_until(self._is_drained, deadline, self.writer.ring)

    def _is_drained(self) -> bool:
        if self.writer.is_drained():
            return True
        if monotonic() >= self._next_ensure:
            self._next_ensure = monotonic() + 0.1
            self.client.ensure()
        return False

    _next_ensure = LONG_AGO


def _decided(key: str, what: str, settings: Settings) -> ConfigError:
    return ConfigError(
        f"{key} has changed: this process records to {settings.db_path} with {what} already",
        hint="set it before the first store, processor or exporter is made; restart the application",
    )


def _writer(settings: Settings, mode: Append, client: BackgroundClient) -> SpoolWriter:
    """This process's way into the spool. Rules go with the records: whoever drains has them, too."""
    rules = settings.redaction
    directory, quota = SpoolDirectory(settings.spool_dir), settings.spool_max_bytes
    prelude = encode_rules(rules.as_text(), applied=rules.in_app) if rules else b""
    if rules is None or not rules.in_app:
        return SpoolWriter(directory, mode, quota, client.ensure, prelude)
    # Imported here: nobody else pays for it.
    from .capture.redacting import RedactingWriter  # noqa: PLC0415

    return RedactingWriter(directory, mode, quota, client.ensure, prelude, rules)


BESIDE: Final = "-journal"
"""The longest of what SQLite adds to a database's name for files beside it (sqlite.org/atomiccommit.html)."""
_MADE_BY_THE_KERNEL: Final = frozenset({"proc", "sysfs", "cgroup", "cgroup2"})
"""Filesystems that take no files of anybody, whatever the mode of their directories says to root."""


def _check_places(settings: Settings) -> None:
    """What can never be made is said now: later each record would be dropped, far from whoever reads it."""
    db, spool = settings.db_path, settings.spool_dir
    _check_name(db, BESIDE, "HUSH_TRACES_DB")
    _check_name(spool, "", "HUSH_SPOOL_DIR")
    # Whoever drains elsewhere may be another user, who alone needs to write to the database.
    _check_place(db, db.parent, "HUSH_TRACES_DB", writes=settings.background != "external")
    _check_place(spool, spool if spool.is_dir() else spool.parent, "HUSH_SPOOL_DIR", writes=True)


def _check_place(path: Path, directory: Path, key: str, *, writes: bool) -> None:
    """Asked of what is there now: nothing is made where nothing is recorded."""
    there = _nearest(directory)
    if not there.is_dir():
        wrong = f"{there} is no directory"
    elif writes and not os.access(there, os.W_OK | os.X_OK):
        wrong = f"this user can make no files in {there}"
    elif filesystem_type(there) in _MADE_BY_THE_KERNEL:
        wrong = f"nobody can make files in {there}"
    else:
        return
    raise ConfigError(f"{key}: {path} cannot be used: {wrong}", hint=f"set {key} to another path")


def _nearest(directory: Path) -> Path:
    """The directory, else the nearest of its parents that is there."""
    for candidate in (directory, *directory.parents):
        with suppress(OSError):
            candidate.stat()
            return candidate
    return directory


def _check_name(path: Path, suffix: str, key: str) -> None:
    try:
        most = os.pathconf(_nearest(path.parent), "PC_NAME_MAX")
    except (OSError, ValueError):
        return  # a system that does not say
    for name in (*path.parent.parts, path.name + suffix):
        if len(os.fsencode(name)) > most:
            raise ConfigError(
                f"{key}: {path} cannot be used: a name in it is too long",
                hint=f"{most} bytes are possible there, {len(suffix)} of them for files beside it",
            )


def _check_database(path: Path) -> None:
    """The background process will not touch what is no database: say so where somebody reads it."""
    wrong = why_no_database(path)
    if wrong:
        raise ConfigError(f"the database {path} is {wrong}", hint="set HUSH_TRACES_DB to another path")


def _check_spool(settings: Settings) -> None:
    other = owner_of_another_spool(settings)
    if other is not None:
        raise ConfigError(
            f"HUSH_SPOOL_DIR: {settings.db_path} has a spool already: process {other[1]} stores what lies in"
            f" {other[0]}",
            hint="unset HUSH_SPOOL_DIR, or set it for all applications and end that process",
        )


def wait_until(done: Callable[[], bool], deadline: float, nudge: Callable[[], object]) -> bool:
    """Poll `done()` until it is true or the monotonic deadline has passed; `nudge()` once at first."""
    if done():
        return True
    nudge()
    pause = FIRST_POLL_S
    while (left := deadline - monotonic()) > 0:
        time.sleep(min(pause, left))
        if done():
            return True
        pause = min(pause * 1.5, LONGEST_POLL_S)
    return False


_attachments: dict[Path, Attachment] = {}


def attach(db_path: str | os.PathLike[str] | None, *, begins: bool = True) -> Attachment:
    """This process's one attachment to a database, with the settings of now.

    Args:
        db_path: Of the database; None: of the settings.
        begins: Whether something begins that records from now on by what the settings say. What may be asked
            for again in each request keeps to what was decided, and only says so.

    Raises:
        ConfigError: As Attachment; or a setting has changed that cannot change any more.

    No lock, which a forked child could find taken for ever: of two made at once, neither of which has
    written yet, setdefault keeps one.
    """
    failpoints.check()
    settings = Settings.load(db_path)
    found = _attachments.get(settings.db_path)
    if found is None:
        return _attachments.setdefault(settings.db_path, Attachment(settings))
    try:
        found.take_over(settings)
    except ConfigError as exc:
        if begins:
            raise
        swallow("taking over what settings say by now", exc)
    return found
