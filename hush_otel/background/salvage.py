"""Bytes of the spool that give no row, kept for people to look at."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from .sources import Source

log = logging.getLogger(__name__)


class Salvage:
    """The directory of them, made when the first ones come."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def keep(self, source: Source, offset: int, data: bytes, reason: str) -> None:
        """Not where there are rules, which cannot be applied to such bytes.

        Args:
            source: The segment.
            offset: Where they stood in it. Kept again after a rollback, they are the same file.
            data: What gives no row.
            reason: Why: `damaged`, `undecodable`, `unstorable`.
        """
        if source.redacted is not None:
            log.warning(
                "%d %s bytes of %s are not kept: redaction is on", len(data), reason, source.reader.path
            )
            return
        path = self._directory / f"{source.id.hex()}-{offset}.{reason}"
        write_privately(path, data)
        log.warning("%d %s bytes of %s are kept as %s", len(data), reason, source.reader.path, path)


def write_privately(path: Path, data: bytes) -> None:
    """A file that its user alone may read."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
