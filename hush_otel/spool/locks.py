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

from . import syscalls
from .status import inode_at, inode_of

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
        self.fd = open_private(path)

    def try_lock(self, byte: int = OWNER_BYTE) -> bool:
        """Take the lock if it is free. Taking it again in the same process succeeds."""
        try:
            syscalls.record_lock(self.fd, fcntl.F_SETLK, _flock(fcntl.F_WRLCK, byte))
        except OSError:
            return False
        return True

    def unlock(self, byte: int = OWNER_BYTE) -> None:
        """Give the lock up."""
        syscalls.record_lock(self.fd, fcntl.F_SETLK, _flock(fcntl.F_UNLCK, byte))

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


def open_private(path: Path) -> int:
    """Open for reading and writing a file that is made when missing, 0600 under any umask.

    Raises:
        OSError: It cannot be opened or created.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW
    try:
        return syscalls.open_file(path, flags)
    except FileNotFoundError:
        fd = syscalls.open_file(path, flags | os.O_CREAT)
    syscalls.make_private(fd)
    return fd


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
    there = inode_at(lock.path)
    return there is not None and there == inode_of(lock.fd)


def is_locked_elsewhere(path: Path) -> bool:
    """Whether another process holds an owner file. Opens and closes it: never for one's own files."""
    try:
        fd = syscalls.open_file(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return _holder(fd, OWNER_BYTE) != 0
    finally:
        os.close(fd)


def _holder(fd: int, byte: int) -> int:
    """Ask by F_GETLK, never by acquiring: a probe that wins would look like an owner to others."""
    answer = _FLOCK.unpack(syscalls.record_lock(fd, fcntl.F_GETLK, _flock(fcntl.F_WRLCK, byte)))
    kind, pid = (answer[0], answer[4]) if _LINUX else (answer[3], answer[2])
    return 0 if kind == fcntl.F_UNLCK else (pid or -1)


def _flock(kind: int, byte: int) -> bytes:
    """One byte of a file, as the call wants it."""
    if _LINUX:
        return _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0)
    return _FLOCK.pack(byte, 1, 0, kind, os.SEEK_SET)
