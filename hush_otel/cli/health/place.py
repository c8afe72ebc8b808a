"""Where database and spool lie: the filesystem, who may read it, what room there is."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hush_otel.config import Settings
from hush_otel.errors import ConfigError
from hush_otel.presentation import text
from hush_otel.spool.filesystem import Append, append_mode, filesystem_type

from .finding import Finding, note, ok, wrong

LITTLE_ROOM: Final = 256 * 1024 * 1024
"""Free bytes below which a burst or a vacuum may meet a full disk."""
OTHERS: Final = 0o077


def look(settings: Settings) -> Iterator[Finding]:
    """Filesystem, permissions, room."""
    yield _filesystem(settings)
    yield from _permissions(settings)
    yield _room(settings)


def _filesystem(settings: Settings) -> Finding:
    try:
        mode = append_mode(settings.spool_dir, key="HUSH_SPOOL_DIR", force=settings.force_filesystem)
    except ConfigError as exc:
        return wrong("filesystem", exc.message, exc.hint)
    kind = filesystem_type(settings.spool_dir) or "of an unknown kind"
    how = "mapped memory" if mode is Append.MAP else "writes: it cannot be relied on to reserve room"
    return ok("filesystem", f"{settings.spool_dir} is {kind}; records are appended by {how}")


def _permissions(settings: Settings) -> Iterator[Finding]:
    paths = [path for path in _ours(settings) if not path.is_symlink()]
    foreign = [path for path in paths if path.stat().st_uid != os.geteuid()]
    for path in foreign:
        yield wrong(
            "permissions", f"{path} belongs to another user", "give it back, or set HUSH_TRACES_DB elsewhere"
        )
    open_ones = [path for path in paths if path not in foreign and stat.S_IMODE(path.stat().st_mode) & OTHERS]
    if open_ones:
        shown = ", ".join(str(path) for path in open_ones[:3]) + (" …" if len(open_ones) > 3 else "")  # noqa: PLR2004
        words = f"{text.plural(len(open_ones), 'path')} open to other users: {shown}"
        yield wrong("permissions", words, "--fix takes their rights away", lambda: _close(open_ones))
    elif not foreign:
        yield ok("permissions", "private to this user")


def _ours(settings: Settings) -> Iterator[Path]:
    database, spool = settings.db_path, settings.spool_dir
    candidates = [database, Path(f"{database}-wal"), Path(f"{database}-shm"), spool]
    candidates += sorted(spool.rglob("*")) if spool.is_dir() else []
    yield from (path for path in candidates if path.exists())


def _close(paths: list[Path]) -> str:
    for path in paths:
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~OTHERS)
    return f"{text.plural(len(paths), 'path')} made private"


def _room(settings: Settings) -> Finding:
    place = next(path for path in (settings.spool_dir, *settings.spool_dir.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free < LITTLE_ROOM:
        return note(
            "room", f"{text.size(free)} are free", "make room, or bound the database: HUSH_MAX_DB_BYTES"
        )
    return ok("room", f"{text.size(free)} are free")
