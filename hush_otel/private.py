"""Directories that nobody else may enter, and files that nobody is waited for."""

from __future__ import annotations

import os
from pathlib import Path


def make_private_directory(path: Path) -> None:
    """Make a directory and its missing parents, all of them 0700. What exists already is left as it is.

    `Path.mkdir(parents=True)` leaves the parents' mode to the umask.

    Raises:
        OSError: It cannot be made.
    """
    try:
        _make(path)
    except FileNotFoundError:
        if path.parent == path:
            raise
        make_private_directory(path.parent)
        # Once more only: below a dangling link, or in /proc, the parent is there and nothing can be made.
        _make(path)


def _make(path: Path) -> None:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return
    if path.stat().st_mode & 0o700 != 0o700:  # noqa: PLR2004 - as above
        path.chmod(0o700)  # a umask of 0177 and the like takes rights from the owner, too


def open_at_once(path: str, flags: int) -> int:
    """An `opener` for `open`: a pipe in the place of a file is not waited for until somebody writes to it."""
    return os.open(path, flags | os.O_NONBLOCK)
