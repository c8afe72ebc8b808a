"""POSIX record locks: who is alive, and who may drain.

A record lock belongs to the process, is not inherited by fork, and vanishes with the process
however it dies. It also vanishes when the process closes *any* descriptor of that file, so each
lock file is opened once in a process, here, and never closed while it matters.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from pathlib import Path
from typing import Final

_LINUX: Final = sys.platform == "linux"
# struct flock: Linux {type, whence, start, len, pid}; macOS and the BSDs {start, len, pid, type, whence}.
_FLOCK: Final = struct.Struct("hhqqi4x" if _LINUX else "qqihh")

OWNER_BYTE: Final = 0
"""Locked by the background process in `lock`, and by the writer in its owner file."""


class LockFile:
    """One lock file of this process. Not closed on garbage collection: that would free the lock.

    Thread-safe. After fork the child holds none of the locks, and may use the object to ask.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def try_lock(self, byte: int = OWNER_BYTE) -> bool:
        """Take the lock if it is free. Taking it again in the same process succeeds."""
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError:
            return False
        return True

    def unlock(self, byte: int = OWNER_BYTE) -> None:
        """Give the lock up."""
        fcntl.lockf(self.fd, fcntl.LOCK_UN, 1, byte)

    def holder(self, byte: int = OWNER_BYTE) -> int:
        """The pid of the *other* process that holds the lock; 0 when none does.

        -1 stands for a holder whose pid is not visible here (another pid namespace).
        """
        return _holder(self.fd, byte)

    def read_text(self) -> str:
        """What the holder wrote about itself."""
        return os.pread(self.fd, 4096, 0).decode("utf-8", "replace").rstrip("\0\n")

    def write_text(self, text: str) -> None:
        """Say who holds it. Never truncates to nothing first: a reader sees old or new."""
        data = text.encode() + b"\n"
        os.pwrite(self.fd, data, 0)
        os.ftruncate(self.fd, len(data))


_open: dict[Path, LockFile] = {}


def lock_file(path: Path) -> LockFile:
    """This process's one LockFile of a path.

    Without a lock of its own, which a fork or a signal handler could meet taken: two threads at once
    may each open the file, and what they leave open costs a descriptor but frees no lock.

    Raises:
        OSError: It cannot be opened or created.
    """
    found = _open.get(path)
    if found is None or not _still_there(found):
        found = _open[path] = LockFile(path)
    return found


def _still_there(lock: LockFile) -> bool:
    """False when the path was deleted or replaced: a lock on the old inode protects nothing."""
    try:
        here, there = os.fstat(lock.fd), lock.path.stat()
    except OSError:
        return False
    return (here.st_ino, here.st_dev) == (there.st_ino, there.st_dev)


def is_locked_elsewhere(path: Path) -> bool:
    """Whether another process holds an owner file. Opens and closes it: never for one's own files."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return _holder(fd, OWNER_BYTE) != 0
    finally:
        os.close(fd)


def _holder(fd: int, byte: int) -> int:
    """Ask by F_GETLK, never by acquiring: a probe that wins would look like an owner to others."""
    if _LINUX:
        query = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, query))
    else:
        query = _FLOCK.pack(byte, 1, 0, fcntl.F_WRLCK, os.SEEK_SET)
        _, _, pid, kind, _ = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, query))
    return 0 if kind == fcntl.F_UNLCK else (pid or -1)
