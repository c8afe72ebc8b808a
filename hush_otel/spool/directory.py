"""The spool directory: its paths, its permissions, its size.

Every function may be called by any process at any time; files come and go meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from hush_otel.errors import SpoolError
from hush_otel.private import make_private_directory

from . import format as layout
from .status import total_size

SEGMENT_SUFFIX = ".seg"
OWNER_SUFFIX = ".owner"
CLAIM_SUFFIX = ".claim"
TEMPORARY_SUFFIX = ".tmp"

_FULL: Final = "make room there, or set HUSH_SPOOL_DIR to a place on another filesystem"
_MENDS: Final[Mapping[int, str]] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "raise the process's limit of file sizes: ulimit -f",
    errno.EMFILE: "raise the process's limit of open files: ulimit -n",
    errno.ENFILE: "raise the system's limit of open files: fs.file-max",
}


class SpoolDirectory(NamedTuple):
    """Where one database's spool lies."""

    path: Path

    @property
    def lock(self) -> Path:
        """Byte 0 belongs to the background process; never unlinked."""
        return self.path / "lock"

    @property
    def doorbell(self) -> Path:
        """The FIFO that wakes it."""
        return self.path / "doorbell"

    @property
    def handover(self) -> Path:
        """Exists while a newer version asks an older background process to leave."""
        return self.path / "handover"

    @property
    def leave(self) -> Path:
        """Exists while an app that has shut down asks the background process to end, if nobody needs it."""
        return self.path / "leave"

    @property
    def salvage(self) -> Path:
        """Damaged byte ranges."""
        return self.path / "salvage"

    @property
    def background_log(self) -> Path:
        """What the background process logs."""
        return self.path / "background.log"

    @property
    def launch_log(self) -> Path:
        """What the last one that was started has said before it had its log."""
        return self.path / "launch.log"

    def segment(self, segment_id: bytes) -> Path:
        """A segment in view."""
        return self.path / (segment_id.hex() + SEGMENT_SUFFIX)

    def temporary(self, segment_id: bytes, writer_id: bytes) -> Path:
        """A segment being made."""
        return self.path / f"{segment_id.hex()}.{writer_id.hex()}{TEMPORARY_SUFFIX}"

    def owner(self, writer_id: bytes) -> Path:
        """A writer's life line."""
        return self.path / (writer_id.hex() + OWNER_SUFFIX)

    def claim(self, writer_id: bytes) -> Path:
        """The same before it is locked."""
        return self.path / (writer_id.hex() + CLAIM_SUFFIX)

    def create(self) -> None:
        """Make the directory, private to this user.

        Raises:
            SpoolError: It cannot be made, or belongs to somebody else, or is open to others.
        """
        try:
            make_private_directory(self.path)
            status = self.path.lstat()
        except OSError as exc:
            raise SpoolError(
                f"cannot make the spool directory {self.path}: {exc.strerror or exc}",
                hint="set HUSH_SPOOL_DIR or HUSH_TRACES_DB to a place that can be written",
            ) from exc
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise SpoolError(f"{self.path} is no directory of this user", hint="set HUSH_SPOOL_DIR")
        if status.st_mode & 0o077:
            self.path.chmod(0o700)

    def refusal(self, exc: OSError) -> SpoolError:
        """Why nothing could be written here, for people: most of the system's errors name no path."""
        return SpoolError(
            f"cannot write to the spool {self.path}: {exc.strerror or exc}",
            hint=_MENDS.get(exc.errno or 0, "set HUSH_SPOOL_DIR to a place that can be written"),
        )

    def segments(self) -> list[Path]:
        """All segments in view, in no order."""
        return [Path(entry.path) for entry in self._entries(SEGMENT_SUFFIX)]

    def owners(self) -> list[Path]:
        """All owner files, of live and dead writers."""
        return [Path(entry.path) for entry in self._entries(OWNER_SUFFIX)]

    def temporaries(self) -> list[Path]:
        """Segments whose making has not finished, or never will."""
        return [Path(entry.path) for entry in self._entries(TEMPORARY_SUFFIX)]

    def old_claims(self, age_s: float) -> list[Path]:
        """Owner files that nobody has finished making for so long."""
        before, found = time.time() - age_s, []
        for entry in self._entries(CLAIM_SUFFIX):
            with suppress(FileNotFoundError):  # it has its name now
                if entry.stat().st_mtime < before:
                    found.append(Path(entry.path))
        return found

    def size_bytes(self) -> int:
        """Sum of all segment files."""
        return total_size(self.path, SEGMENT_SUFFIX)

    def undrained_bytes(self) -> int:
        """The same without what is drained of them; slower, because it looks into each."""
        return sum(_undrained_bytes(path) for path in self.segments())

    def _entries(self, suffix: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(self.path) as entries:
                yield from (entry for entry in entries if entry.name.endswith(suffix))
        except FileNotFoundError:
            return


def _undrained_bytes(path: Path) -> int:
    """Nothing, once the word behind what is drained is empty; all of it, when it is of another version."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0  # unlinked meanwhile
    try:
        size = os.fstat(fd).st_size
        header = os.pread(fd, layout.HEADER_BYTES, 0)
        if not header.startswith(layout.START):
            return size
        drained = int.from_bytes(header[layout.DRAINED_AT : layout.DRAINED_AT + 8], "little")
        position = max(drained, layout.HEADER_BYTES)
        return max(size - position, 0) if any(os.pread(fd, 8, position)) else 0
    except (OSError, OverflowError):
        return 0
    finally:
        os.close(fd)


def id_of(path: Path) -> bytes:
    """The id in a file's name: the segment's, or the writer's for an owner file. b"" if it has none."""
    try:
        return bytes.fromhex(path.name.partition(".")[0])
    except ValueError:
        return b""
