"""System calls made with the GIL held.

Python's own wrappers give the GIL up around each call. Beside a CPU-bound thread it then takes up to a
switch interval (5 ms, `sys.getswitchinterval`) to get it back, for each of the dozen calls that making
a segment takes. Held, they take what they take: a millisecond for a large segment on a local disk.

Only for calls that do not wait: local files, non-blocking descriptors. Errors are OSError, as from `os`.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path
from typing import Any, Final

_libc: Final = ctypes.PyDLL(None, use_errno=True)


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_libc, name, None)
    if function is not None:
        function.restype = result
        function.argtypes = arguments
    return function


# off_t is a long wherever the plain symbols are used (64-bit systems; 32-bit ones without large files).
_open: Final = _function("open", ctypes.c_int, ctypes.c_char_p, ctypes.c_int)
_close: Final = _function("close", ctypes.c_int, ctypes.c_int)
_rename: Final = _function("rename", ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p)
_write: Final = _function("write", ctypes.c_ssize_t, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
_pwrite: Final = _function(
    "pwrite", ctypes.c_ssize_t, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_long
)
_allocate: Final = _function("posix_fallocate", ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)
_mmap: Final = _function(
    "mmap",
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
)
_munmap: Final = _function("munmap", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
_MAP_FAILED: Final = ctypes.c_void_p(-1).value


def _failed(number: int, path: Path | None = None) -> OSError:
    return OSError(number, os.strerror(number), None if path is None else str(path))


def open_new(path: Path) -> int:
    """Create a file for reading and writing, private, never through a link; returns its descriptor."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd: int = _open(os.fsencode(path), flags, ctypes.c_uint(0o600))
    if fd < 0:
        raise _failed(ctypes.get_errno(), path)
    return fd


def close(fd: int) -> None:
    """Close a descriptor."""
    _close(fd)


def rename(path: Path, target: Path) -> None:
    """Give a file another name."""
    if _rename(os.fsencode(path), os.fsencode(target)):
        raise _failed(ctypes.get_errno(), path)


def write(fd: int, data: bytes) -> int:
    """Write to a descriptor; returns how many bytes were taken."""
    count: int = _write(fd, data, len(data))
    if count < 0:
        raise _failed(ctypes.get_errno())
    return count


def pwrite(fd: int, data: bytes, offset: int) -> int:
    """Write at an offset; returns how many bytes were taken."""
    count: int = _pwrite(fd, data, len(data), offset)
    if count < 0:
        raise _failed(ctypes.get_errno())
    return count


def allocate(fd: int, size: int) -> None:
    """Reserve blocks for the first `size` bytes, which become the file's size if it is smaller."""
    number: int = _allocate(fd, 0, size)
    if number:
        raise _failed(number)


class Mapping:
    """The first `size` bytes of a file, shared with everybody who maps or reads it.

    Unlike `mmap.mmap` it keeps no descriptor: an app that closes descriptors it does not know would
    close that one, too, and `mmap` would later close whatever has its number by then.

    Attributes:
        bytes: The memory. Views of it must be released before `close`.
    """

    def __init__(self, fd: int, size: int, *, writable: bool) -> None:
        prot = mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ
        address = _mmap(None, size, prot, mmap.MAP_SHARED, fd, 0)
        if address in (None, _MAP_FAILED):
            raise _failed(ctypes.get_errno())
        self._address: int = address
        self._size = size
        self.bytes = memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")

    def close(self) -> None:
        """Unmap. Idempotent.

        Raises:
            BufferError: A view is left; the memory stays mapped.
        """
        self.bytes.release()
        size, self._size = self._size, 0  # first: what is unmapped twice may be somebody else's by then
        if size:
            _munmap(self._address, size)
