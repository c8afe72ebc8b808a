"""System calls made with the GIL held.

Python's own wrappers give the GIL up around each call. Beside a CPU-bound thread it then takes up to a
switch interval (5 ms, `sys.getswitchinterval`) to get it back, for each of the dozen calls that making
a segment takes. Held, they take what they take: a millisecond for a large segment on a local disk.

Only for calls that do not wait: local files, non-blocking descriptors. Errors are OSError, as from `os`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import resource
from pathlib import Path
from typing import Any, Final

_libc: Final = ctypes.PyDLL(None, use_errno=True)


def function(name: str, result: Any, *arguments: Any) -> Any:
    """A function of the C library; None where it has none of that name."""
    found = getattr(_libc, name, None)
    if found is not None:
        found.restype = result
        found.argtypes = arguments
    return found


# off_t is a long wherever the plain symbols are used (64-bit systems; 32-bit ones without large files).
_open: Final = function("open", ctypes.c_int, ctypes.c_char_p, ctypes.c_int)
_close: Final = function("close", ctypes.c_int, ctypes.c_int)
_rename: Final = function("rename", ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p)
_write: Final = function("write", ctypes.c_ssize_t, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
_pwrite: Final = function(
    "pwrite", ctypes.c_ssize_t, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_long
)
_allocate: Final = function("posix_fallocate", ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)
_mmap: Final = function(
    "mmap",
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
)
_chmod: Final = function("chmod", ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_fchmod: Final = function("fchmod", ctypes.c_int, ctypes.c_int, ctypes.c_uint)
_read: Final = function("read", ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
_pread: Final = function(
    "pread", ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long
)
_fcntl: Final = function("fcntl", ctypes.c_int, ctypes.c_int, ctypes.c_int)
_mkfifo: Final = function("mkfifo", ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_waitpid: Final = function("waitpid", ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_getrandom: Final = function("getrandom", ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint)
_munmap: Final = function("munmap", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
_MAP_FAILED: Final = ctypes.c_void_p(-1).value


def _failed(number: int, path: Path | None = None) -> OSError:
    return OSError(number, os.strerror(number), None if path is None else str(path))


def open_new(path: Path) -> int:
    """Create a file for reading and writing, private, never through a link; returns its descriptor."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd: int = _open(os.fsencode(path), flags, ctypes.c_uint(0o600))
    if fd < 0:
        raise _failed(ctypes.get_errno(), path)
    return _above_standard(fd)


def open_file(path: Path, flags: int) -> int:
    """Open a file, private where `flags` have it made; returns its descriptor, which no child inherits."""
    fd: int = _open(os.fsencode(path), flags | os.O_CLOEXEC, ctypes.c_uint(0o600))
    if fd < 0:
        raise _failed(ctypes.get_errno(), path)
    return _above_standard(fd)


def _above_standard(fd: int) -> int:
    """The same file by a number above 2.

    A daemon that has closed 0 to 2 would get them for ours, and what C code writes to stderr would go there.
    """
    if fd >= _LEAST_FD:
        return fd
    higher: int = _fcntl(fd, fcntl.F_DUPFD_CLOEXEC, ctypes.c_long(_LEAST_FD))
    number = ctypes.get_errno()
    _close(fd)
    if higher < 0:
        raise _failed(number)
    return higher


_LEAST_FD: Final = 3


def make_private(fd: int) -> None:
    """Mode 0600, whatever the umask has made of it."""
    if _fchmod(fd, 0o600):
        raise _failed(ctypes.get_errno())


def make_fifo(path: Path) -> None:
    """Mode 0600, whatever the umask makes of it."""
    if _mkfifo(os.fsencode(path), 0o600) or _chmod(os.fsencode(path), 0o600):
        raise _failed(ctypes.get_errno(), path)


def read_file(path: Path, most: int) -> bytes:
    """The first `most` bytes of a file."""
    fd = open_file(path, os.O_RDONLY)
    try:
        buffer = ctypes.create_string_buffer(most)
        count: int = _read(fd, buffer, most)
        if count < 0:
            raise _failed(ctypes.get_errno(), path)
        return buffer.raw[:count]
    finally:
        _close(fd)


def pread(fd: int, size: int, offset: int) -> bytes:
    """Bytes of a file; fewer at its end."""
    buffer = ctypes.create_string_buffer(size)
    count: int = _pread(fd, buffer, size, offset)
    if count < 0:
        raise _failed(ctypes.get_errno())
    return buffer.raw[:count]


def record_lock(fd: int, command: int, query: bytes) -> bytes:
    """fcntl(2) with a struct flock; returns what the call made of it."""
    buffer = ctypes.create_string_buffer(query, len(query))
    if _fcntl(fd, command, buffer) < 0:
        raise _failed(ctypes.get_errno())
    return buffer.raw


def random_id() -> bytes:
    """16 bytes from the kernel."""
    if _getrandom is not None:
        buffer = ctypes.create_string_buffer(ID_BYTES)
        if _getrandom(buffer, ID_BYTES, 0) == ID_BYTES:
            return buffer.raw
    return os.urandom(ID_BYTES)


ID_BYTES: Final = 16


def ended_with(pid: int) -> int | None:
    """Reap a child if it has ended; its exit code, negative for a signal. 0 when it is no child any more."""
    status = ctypes.c_int()
    found: int = _waitpid(pid, ctypes.byref(status), os.WNOHANG)
    if found == pid:
        return os.waitstatus_to_exitcode(status.value)
    return 0 if found < 0 and ctypes.get_errno() == errno.ECHILD else None


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


def check_size(size: int) -> None:
    """Before a file is made so large: beyond the process's limit the kernel may send SIGXFSZ, which kills.

    Raises:
        OSError: EFBIG, as the kernel says where that signal is ignored.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY and size > limit:
        raise _failed(errno.EFBIG)


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
