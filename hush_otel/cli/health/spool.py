"""The spool: what lies beside its segments, who drains it, what waits, what nobody can read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from hush_otel.background.client import owner_of_another_spool, owner_pid
from hush_otel.config import Settings
from hush_otel.errors import SpoolError
from hush_otel.presentation import text, waiting
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.locks import LockFile
from hush_otel.spool.reader import SegmentReader
from hush_otel.version import __version__

from .finding import Finding, note, ok, wrong
from .place import unusable

KINDS: Final = {
    stat.S_IFREG: "a plain file",
    stat.S_IFIFO: "a pipe",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFSOCK: "a socket",
}
PATIENCE_S: Final = 3.0
"""Records are stored in milliseconds; on a machine full of other work, in a second."""


def look(settings: Settings) -> Iterator[Finding]:
    """Owner, backlog, salvage, files that are no segments."""
    if not settings.spool_dir.is_dir():
        yield note("spool", f"there is none at {settings.spool_dir} yet")
        return
    directory = SpoolDirectory(settings.spool_dir)
    yield from _beside(directory)
    yield from _owner(settings, directory)
    yield from _salvage(directory)
    yield from _strange(directory)


def _beside(directory: SpoolDirectory) -> Iterator[Finding]:
    """What lies beside the segments, is what it should be, and can be used by this user."""
    logs = [directory.background_log, directory.launch_log]
    logs += [directory.path / name for name in ("background.log.1", "output.log")]
    files = dict.fromkeys((directory.lock, directory.leave, directory.handover, *logs), stat.S_IFREG)
    for path, wanted in ({directory.doorbell: stat.S_IFIFO} | files).items():
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        kind = stat.S_IFMT(status.st_mode)
        if kind != wanted:
            words = f"{path} is {KINDS.get(kind, 'a device')}, no {KINDS[wanted].removeprefix('a ')}"
            move = partial(_quarantine, directory, [path])
            yield wrong(
                "spool", words, "--fix moves it to salvage/; another one is made when it is needed", move
            )
        elif not os.access(path, os.R_OK | os.W_OK):
            yield unusable(path, status)


def _owner(settings: Settings, directory: SpoolDirectory) -> Iterator[Finding]:
    pid, found = owner_pid(settings), waiting.look(settings.spool_dir)
    other = owner_of_another_spool(settings)
    if other is not None:
        yield wrong(
            "spool",
            f"process {other[1]} drains {other[0]} into the same database",
            "let all applications have one HUSH_SPOOL_DIR",
        )
    waits = f"{text.size(found.size_bytes)} wait" if found.size_bytes else "nothing waits"
    if pid is not None and found.size_bytes and not waiting.is_drained(settings.spool_dir, PATIENCE_S):
        yield wrong(
            "background process",
            f"{pid} has stored nothing for {PATIENCE_S:g} s; {waits} in the spool",
            f"kill -CONT {pid} if it was stopped; else kill -KILL {pid}, and the next record starts another",
        )
    elif pid is not None:
        version = LockFile(directory.lock).read_text()
        yield ok("background process", f"{pid} is at work (version {version}); {waits} in the spool")
        if version.partition(" ")[0] != __version__:
            yield note("background process", f"it is of another version than this command, {__version__}")
    elif found.size_bytes:
        yield wrong(
            "background process", f"none, and {waits} in the spool", "hush-otel run, or hush-otel drain"
        )
    else:
        yield note("background process", f"none; {waits} in the spool")
    if found.error is not None:
        yield note("background process", f"background.log ends with: {found.error}")


def _salvage(directory: SpoolDirectory) -> Iterator[Finding]:
    kept = [path for path in directory.salvage.glob("*") if path.is_file()]
    if kept:
        size = text.size(sum(path.stat().st_size for path in kept))
        words = f"{text.plural(len(kept), 'file')} of {size} that gave no row lie in {directory.salvage}"
        yield note("salvage", words, "look at them, then delete them; `hush-otel status` counts the losses")
    else:
        yield ok("salvage", "nothing had to be put aside")


def _strange(directory: SpoolDirectory) -> Iterator[Finding]:
    """Files with a segment's name that are none. Those of a newer version are left to it."""
    strange = [path for path in directory.segments() if _is_strange(path)]
    if strange:
        words = f"{text.plural(len(strange), 'file')} in the spool that are no segments: {strange[0].name} …"
        yield wrong("spool", words, "--fix moves them to salvage/", lambda: _quarantine(directory, strange))


def _is_strange(path: Path) -> bool:
    try:
        SegmentReader(path).close()
    except SpoolError as exc:
        return "version" not in exc.message
    except OSError:
        return path.is_symlink() or path.is_dir()
    return False


def _quarantine(directory: SpoolDirectory, paths: list[Path]) -> str:
    directory.salvage.mkdir(mode=0o700, exist_ok=True)
    for path in paths:
        path.rename(directory.salvage / f"{path.name}.strange")
    return f"{text.plural(len(paths), 'file')} moved to {directory.salvage}"
