"""The settings: every mistake in them, whichever stops applications first."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from hush_otel.config import Survey, config_path
from hush_otel.errors import ConfigError

from .finding import Finding, ok, wrong

WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
ENTER: Final = {stat.S_IWGRP: stat.S_IXGRP, stat.S_IWOTH: stat.S_IXOTH}
"""Who may write something, must be able to get there."""
MEND: Final = "correct it: applications, run and drain do not start with it"


def look(found: Survey) -> Iterator[Finding]:
    """One finding for each, and for each place where others may write some."""
    yield from map(mistake, found.mistakes.values())
    with suppress(ConfigError, OSError):  # that it cannot be found is a mistake, and so said already
        yield from _writable(config_path().resolve())
    if not found.mistakes:
        yield ok("configuration", f"nothing is wrong with the variables HUSH_* and {_file()}")


def mistake(error: ConfigError) -> Finding:
    """What is wrong, and what it can be instead."""
    return wrong("configuration", error.message, f"{error.hint}; {MEND}" if error.hint else MEND)


def _writable(path: Path) -> Iterator[Finding]:
    """The file and its directory, where others may write: who can decides what is redacted."""
    directory = path.parent.stat() if path.parent.is_dir() else None
    if directory is None:
        return
    file = path.stat() if path.is_file() else None
    entered = {write for write, enter in ENTER.items() if directory.st_mode & enter}
    for place, status in ((path.parent, directory), (path, file)):
        if status is None:
            continue
        if status.st_uid not in {os.geteuid(), 0}:
            yield wrong("configuration", f"{place} belongs to another user", "let it be this user's")
        elif any(status.st_mode & write for write in entered) and not _keeps(status, file):
            words = f"other users may write {place}: they decide what is redacted, and where spans go"
            fix = partial(_forbid, place) if status.st_uid == os.geteuid() else None
            yield wrong("configuration", words, "--fix takes the right away" if fix else "chmod go-w", fix)


def _keeps(directory: os.stat_result, file: os.stat_result | None) -> bool:
    """Whether nobody can put another file in the place of one in it: as in /tmp."""
    return stat.S_ISDIR(directory.st_mode) and bool(directory.st_mode & stat.S_ISVTX) and file is not None


def _forbid(path: Path) -> str:
    path.chmod(stat.S_IMODE(path.stat().st_mode) & ~WRITE)
    return f"only its owner may write {path}"


def _file() -> str:
    try:
        path = config_path()
    except ConfigError:
        return "no configuration file"
    return str(path) if path.exists() else f"no {path} is there"
