"""What the filesystem says about files, with the GIL held (syscalls.py says why).

stat(2) and readdir(3) fill structures whose layout stands in C headers. It is known here for 64-bit Linux on
the two usual machines; another one, and a glibc before 2.33, which exports no such symbols, gets Python's own
calls.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from pathlib import Path
from typing import Final

from . import syscalls

_KNOWN: Final = (
    sys.platform == "linux" and sys.maxsize > 2**32 and os.uname().machine in ("x86_64", "aarch64")
)
_STAT_BYTES: Final = 256
"""More than either machine's struct stat has: 144 and 128."""
_DEVICE_AND_INODE: Final = struct.Struct("=QQ")
_SIZE: Final = struct.Struct("=q")
_SIZE_AT: Final = 48
_NAME_AT: Final = 19
"""struct dirent: inode 8, offset 8, length 2, type 1, then the name, ended by a zero."""

_access: Final = syscalls.function("access", ctypes.c_int, ctypes.c_char_p, ctypes.c_int)
_fstat: Final = _KNOWN and syscalls.function("fstat", ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
_stat: Final = _KNOWN and syscalls.function("stat", ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_opendir: Final = syscalls.function("opendir", ctypes.c_void_p, ctypes.c_char_p)
_readdir: Final = syscalls.function("readdir", ctypes.c_void_p, ctypes.c_void_p)
_closedir: Final = syscalls.function("closedir", ctypes.c_int, ctypes.c_void_p)


def exists(path: Path) -> bool:
    """Whether there is such a file; of one that may not be looked for, too."""
    if _access(os.fsencode(path), os.F_OK) == 0:
        return True
    return ctypes.get_errno() not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


def inode_of(fd: int) -> tuple[int, int] | None:
    """Which file a descriptor number stands for: (device, inode); None when it is closed.

    An app that becomes a daemon closes descriptors it does not know, ours among them, and may get the
    same numbers for its own files. So a number is compared before it is written to or closed.
    """
    if _fstat:
        status = ctypes.create_string_buffer(_STAT_BYTES)
        return None if _fstat(fd, status) else _DEVICE_AND_INODE.unpack_from(status)
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def inode_at(path: Path) -> tuple[int, int] | None:
    """Which file stands at a path: (device, inode); None when there is none, or it cannot be told."""
    if _stat:
        status = ctypes.create_string_buffer(_STAT_BYTES)
        return None if _stat(os.fsencode(path), status) else _DEVICE_AND_INODE.unpack_from(status)
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def total_size(directory: Path, suffix: str) -> int:
    """The bytes of all files there whose names end so. Files that go meanwhile do not count."""
    if not _stat:
        return _total_size(directory, suffix)
    stream = _opendir(os.fsencode(directory))
    if not stream:
        return 0
    ending, total = suffix.encode(), 0
    start = os.fsencode(directory) + b"/"
    status = ctypes.create_string_buffer(_STAT_BYTES)
    try:
        while entry := _readdir(stream):
            name = ctypes.string_at(entry + _NAME_AT)
            if name.endswith(ending) and not _stat(start + name, status):
                total += _SIZE.unpack_from(status, _SIZE_AT)[0]
    finally:
        _closedir(stream)
    return total


def _total_size(directory: Path, suffix: str) -> int:
    total = 0
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith(suffix):
                    total += _size_of(entry)
    except FileNotFoundError:
        pass
    return total


def _size_of(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        return 0  # unlinked meanwhile
