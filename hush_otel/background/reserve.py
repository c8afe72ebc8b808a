"""Room that is kept for the day when the disk is full: deleting, too, has to write first.

SQLite writes the changes of a deletion into its WAL. That one can be begun anew once all of it is in the
database, for which the database may have to grow by as much: a disk without a byte left would allow neither.
So a file of that size lies beside the database while retention has rules, and is given up when they cannot be
applied otherwise.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from hush_otel.store.database import WAL_CHECKPOINT_PAGES

RESERVE_BYTES: Final = (WAL_CHECKPOINT_PAGES + 1000) * 4096
"""What a WAL holds when it is brought into the database, and the first steps of a deletion."""
PLENTY: Final = 4
"""The reserve is made where so many times its size is free."""


class Reserve:
    """One file, with pages that are really there. Used by the owner.

    Args:
        database: It lies beside that, on the same filesystem.
    """

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + "-reserve")

    def keep(self) -> None:
        """Make it, where it is missing and there is plenty of room."""
        with suppress(OSError):
            if self.path.exists() or shutil.disk_usage(self.path.parent).free < PLENTY * RESERVE_BYTES:
                return
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                _allocate(fd)
            except OSError:
                self.path.unlink(missing_ok=True)
            finally:
                os.close(fd)

    def give_up(self) -> bool:
        """Whether it was there."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True


def _allocate(fd: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, RESERVE_BYTES)
        return
    left = RESERVE_BYTES
    while left > 0:  # macOS
        left -= os.write(fd, bytes(min(left, 1 << 20)))
