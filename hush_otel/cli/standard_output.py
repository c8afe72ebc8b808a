"""Standard output where it takes nothing: closed before the command began, or on a full disk."""

from __future__ import annotations

import os
import sys
from typing import Final

DESCRIPTOR: Final = 1


def make_sure_of() -> None:
    """Where it is closed, have every write to it fail, instead of going to a file that is opened later."""
    if sys.stdout is not None:  # Python's for a closed one
        return
    refusing = os.open(os.devnull, os.O_RDONLY)
    if refusing != DESCRIPTOR:
        os.dup2(refusing, DESCRIPTOR)
    sys.stdout = open(DESCRIPTOR, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for all that follows


def why(error: OSError) -> str:
    """What failed, when a write has. Where it was here, what was not taken is refused once more."""
    try:
        sys.stdout.flush()
    except OSError:
        silence()
        return f"cannot write to standard output: {error.strerror}"
    return f"cannot write: {error.strerror}"


def silence() -> None:
    """Python flushes it once more at exit; without this it complains about what was not taken."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
