"""Where database and spool lie: the filesystem, who may read it, what room there is.

What stands at the database's path and is somebody else's is left alone: `storage` says that it is none.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from hush_otel.config import Settings
from hush_otel.errors import ConfigError
from hush_otel.presentation import text
from hush_otel.presentation.waiting import is_foreign
from hush_otel.spool.filesystem import Append, append_mode, filesystem_type

from .finding import Finding, note, ok, wrong

LITTLE_ROOM: Final = 256 * 1024 * 1024
"""Free bytes below which a burst or a vacuum may meet a full disk."""
NO_ROOM: Final = 1024 * 1024
"""Below that neither a segment of the spool nor a write of the store may find any."""
OTHERS: Final = 0o077
Files: TypeAlias = dict[Path, os.stat_result]


def look(settings: Settings) -> Iterator[Finding]:
    """Filesystem, permissions, room."""
    files = dict(_looked_at([Path(f"{settings.db_path}{end}") for end in ("", "-wal", "-shm")]))
    directories = [settings.db_path.parent, settings.spool_dir]
    if is_foreign(settings.db_path):
        files, directories = {}, [settings.spool_dir]
    yield from _closed(directories)
    yield from _shut(files)
    yield _filesystem(settings)
    yield from _permissions(files, settings.spool_dir)
    yield _room(settings)


def _closed(directories: list[Path]) -> Iterator[Finding]:
    """Directories in which this user can make nothing: spans would be dropped, or not be stored."""
    for wanted in dict.fromkeys(directories):
        path = _nearest(wanted)
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            words = f"this user can make no files in {path}"
            fix = (
                partial(_open, path, stat.S_IRWXU)
                if path == wanted and path.stat().st_uid == os.geteuid()
                else None
            )
            mend = "--fix gives its owner the right" if fix else "set HUSH_TRACES_DB, or HUSH_SPOOL_DIR"
            yield wrong("permissions", words, f"{mend}; a read-only filesystem stays one", fix)


def _shut(files: Files) -> Iterator[Finding]:
    """Files of the database that this user cannot read and write: nothing is stored, nothing shown."""
    for path, status in files.items():
        if not os.access(path, os.R_OK | os.W_OK):
            yield unusable(path, status)


def unusable(path: Path, status: os.stat_result) -> Finding:
    """A file that this user cannot read and write, though it should be this user's."""
    fix = partial(_open, path, stat.S_IRUSR | stat.S_IWUSR) if status.st_uid == os.geteuid() else None
    mend = "--fix gives its owner the right" if fix else "give it to this user, or set HUSH_TRACES_DB"
    return wrong("permissions", f"this user cannot read and write {path}", mend, fix)


def _nearest(path: Path) -> Path:
    """The directory, or where it would be made."""
    return next(place for place in (path, *path.parents) if place.exists())


def _open(path: Path, rights: int) -> str:
    with suppress(OSError):
        path.chmod(stat.S_IMODE(path.stat().st_mode) | rights)
    return f"{path} opened for its owner" if os.access(path, os.R_OK | os.W_OK) else ""


def _filesystem(settings: Settings) -> Finding:
    try:
        mode = append_mode(settings.spool_dir, key="HUSH_SPOOL_DIR", force=settings.force_filesystem)
    except ConfigError as exc:
        return wrong("filesystem", exc.message, exc.hint)
    kind = filesystem_type(settings.spool_dir) or "of an unknown kind"
    how = "mapped memory" if mode is Append.MAP else "writes: it cannot be relied on to reserve room"
    return ok("filesystem", f"{settings.spool_dir} is {kind}; records are appended by {how}")


def _permissions(files: Files, spool: Path) -> Iterator[Finding]:
    found = files | dict(_looked_at([spool, *(sorted(spool.rglob("*")) if spool.is_dir() else [])]))
    foreign = [path for path, status in found.items() if status.st_uid != os.geteuid()]
    for path in foreign:
        yield wrong(
            "permissions", f"{path} belongs to another user", "give it back, or set HUSH_TRACES_DB elsewhere"
        )
    open_ones = [path for path in found if path not in foreign and found[path].st_mode & OTHERS]
    if open_ones:
        shown = ", ".join(str(path) for path in open_ones[:3]) + (" …" if len(open_ones) > 3 else "")  # noqa: PLR2004
        words = f"{text.plural(len(open_ones), 'path')} open to other users: {shown}"
        yield wrong("permissions", words, "--fix takes their rights away", lambda: _close(open_ones))
    elif not foreign:
        yield ok("permissions", "private to this user")


def _looked_at(candidates: list[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    """Each with its state, looked at once: segments come and go meanwhile. Links have no rights."""
    for path in candidates:
        with suppress(FileNotFoundError, NotADirectoryError):
            status = path.lstat()
            if not stat.S_ISLNK(status.st_mode):
                yield path, status


def _close(paths: list[Path]) -> str:
    for path in paths:
        # What SQLite has made beside a database since it was looked at, has the rights of it.
        for one in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            with suppress(FileNotFoundError):
                one.chmod(stat.S_IMODE(one.stat().st_mode) & ~OTHERS)
    return f"{text.plural(len(paths), 'path')} made private"


def _room(settings: Settings) -> Finding:
    disk = os.statvfs(_nearest(settings.spool_dir))
    free = disk.f_bavail * disk.f_frsize
    mend = "make room, or bound the database: HUSH_MAX_DB_BYTES"
    if free < NO_ROOM:
        return wrong("room", f"{text.size(free)} are free: spans are dropped, or will be", mend)
    if disk.f_files and not disk.f_favail:
        return wrong("room", "no file can be made: the filesystem has no inode left", "delete some files")
    if free < LITTLE_ROOM:
        return note("room", f"{text.size(free)} are free", mend)
    return ok("room", f"{text.size(free)} are free")
