"""The doorbell: one byte through a FIFO wakes an idle background process without polling.

Both ends open it for reading and writing: then a write never meets a missing reader, which would
be SIGPIPE and kill an app that has restored that signal's default.
"""

from __future__ import annotations

import _thread
import os
import select
import stat
from pathlib import Path

from . import syscalls
from .status import inode_of


class Doorbell:
    """One end of the FIFO. `ring` and `wait` are safe from any thread, and after fork.

    When the app has closed its descriptor, it is opened again; what has its number now is let be.
    """

    def __init__(self, path: Path) -> None:
        """Open the FIFO at `path`, making it when missing.

        Raises:
            OSError: It cannot be made, or something else stands there.
        """
        self._path = path
        self._closing = _thread.RLock()  # writer.py says why not threading's
        self._closed = False
        self._fd = _open_fifo(path)
        self._inode = inode_of(self._fd)

    def ring(self) -> None:
        """Wake the sleeper. Never blocks: a full FIFO has waked it already."""
        try:
            if self._is_open():
                syscalls.write(self._fd, b"!")
        except (BlockingIOError, OSError):
            pass

    def wait(self, timeout_s: float) -> bool:
        """Sleep until rung, at most `timeout_s`. Swallows all pending rings."""
        # poll, not select: a thread of an app may get a descriptor above 1023.
        poll = select.poll()
        if self._is_open():
            poll.register(self._fd, select.POLLIN)
        if not poll.poll(max(timeout_s, 0.0) * 1000):
            return False
        try:
            os.read(self._fd, 65536)
        except BlockingIOError:
            pass  # another reader of the same end was faster
        return True

    def close(self) -> None:
        """Idempotent."""
        with self._closing:
            if not self._closed:
                self._closed = True
                if inode_of(self._fd) == self._inode:
                    os.close(self._fd)

    def _is_open(self) -> bool:
        """Whether the number is the FIFO's, if need be after opening it again."""
        if self._closed:
            return False
        if inode_of(self._fd) == self._inode:
            return True
        # Never waiting: a signal handler may come in between. Whoever has the lock rings as well.
        if not self._closing.acquire(blocking=False):
            return False
        try:
            self._fd = _open_fifo(self._path)
            self._inode = inode_of(self._fd)
        except OSError:
            return False
        finally:
            self._closing.release()
        return True


def _open_fifo(path: Path) -> int:
    try:
        syscalls.make_fifo(path)
    except FileExistsError:
        pass
    fd = syscalls.open_file(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileExistsError(f"{path} is no FIFO")
    return fd
