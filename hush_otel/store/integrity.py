"""Whether a database file is whole, and how one that is not gets out of the way."""

from __future__ import annotations

import glob
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

AT_MOST = 10
"""Problems that are looked for."""


def problems(path: Path) -> list[str]:
    """What `PRAGMA integrity_check` finds (sqlite.org/pragma.html); nothing when all is well.

    Reads the whole file, beside a process that writes to it. A lock that cannot be had is no damage.
    """
    uri = f"file:{quote(os.fsencode(path))}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=30)) as connection:
            rows = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({AT_MOST})")]
    except sqlite3.OperationalError:
        return []
    except sqlite3.DatabaseError as exc:
        return [str(exc)]
    # Newer versions of SQLite look into the full-text index, too, which is made anew by itself.
    return [row for row in rows if row != "ok" and "hush_search" not in row]


def is_corrupt(exc: sqlite3.Error) -> bool:
    """SQLITE_CORRUPT: the file is a database, and broken inside (sqlite.org/rescode.html).

    What FTS5 calls so is only its index (search_index.py).
    """
    code = getattr(exc, "sqlite_errorcode", 0)
    return code & 0xFF == sqlite3.SQLITE_CORRUPT and code != sqlite3.SQLITE_CORRUPT_VTAB


def move_aside(path: Path) -> Path:
    """Rename a database, its WAL and its index, so that a new one is made. Nobody may have it open.

    Returns:
        Where it lies now. `sqlite3 FILE .recover` may save what it holds.
    """
    aside = path.with_name(
        f"{path.name}{DAMAGED}{time.strftime('%Y%m%dT%H%M%S')}-{time.time_ns() % 1_000_000:06}"
    )
    for suffix in ("-wal", "-shm", ""):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{aside}{suffix}")
    return aside


DAMAGED = ".damaged-"


def moved_aside(path: Path) -> list[Path]:
    """Damaged databases that once stood at a path."""
    found = path.parent.glob(f"{glob.escape(path.name)}{DAMAGED}*")
    return sorted(one for one in found if not one.name.endswith(("-wal", "-shm")))
