"""Bytes of the spool that give no row, kept for people to look at."""

from __future__ import annotations

import os
from pathlib import Path


def keep(directory: Path, name: str, data: bytes) -> Path:
    """Write a file that its user alone may read. Kept again after a rollback, it is the same one."""
    directory.mkdir(mode=0o700, exist_ok=True)
    path = directory / name
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
    return path
