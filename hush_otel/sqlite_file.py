"""Whether what stands at a path can be the database, told without SQLite: the app asks, too."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

MAGIC: Final = b"SQLite format 3\0"
"""The first 16 bytes of every database that is not empty (sqlite.org/fileformat.html, section 1.3)."""


def why_no_database(path: Path) -> str:
    """What is wrong with a path, as the end of "PATH is …"; empty when nothing is, or nothing stands there.

    A file is opened only where it has no ``-shm`` beside it: with one it is SQLite's, and some connection of
    this very process may have it open, whose locks the closing would free
    (sqlite.org/howtocorrupt.html, section 2.2).
    """
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            return _KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")
        if not status.st_size or Path(f"{path}-shm").exists():
            return ""
        return "" if _head(path) == MAGIC else "no SQLite database"
    except OSError:
        return ""  # not there, or not ours to read: opening it says more


_KINDS: Final = {stat.S_IFDIR: "a directory", stat.S_IFLNK: "a symbolic link"}


def _head(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(fd, len(MAGIC))
    finally:
        os.close(fd)
