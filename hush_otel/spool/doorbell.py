"""The doorbell: one byte through a FIFO wakes an idle background process without polling.

Both ends open it for reading and writing: then a write never meets a missing reader, which would
be SIGPIPE and kill an app that has restored that signal's default.
"""

from __future__ import annotations

import _thread
import errno
import os
import select
import stat
from pathlib import Path

from . import syscalls
from .status import inode_of


class Doorbell:
    """One end of the FIFO. `ring` and `wait` are safe from any thread, and after fork.

    When the app has closed its descriptor, it is opened again; what has its number now is let be. Where there
    can be no FIFO it is silent, and tried again at each use: whoever sleeps looks once a second all the same.
    """

    def __init__(self, path: Path) -> None:
        """Open the FIFO at `path`, making it when missing."""
        self._path = path
        self._closing = _thread.RLock()  # writer.py says why not threading's
        self._closed = False
        self._fd = -1
        self._inode: tuple[int, int] | None = None
        self.refused: OSError | None = None
        """Why it is silent: it cannot be made, or something else stands there."""
        self._open()

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

    def after_fork(self) -> None:
        """In the child: a thread of the parent's may have the lock, and nobody would give it back."""
        self._closing = _thread.RLock()

    def close(self) -> None:
        """Idempotent."""
        with self._closing:
            if not self._closed:
                self._closed = True
                if self._has_number():
                    os.close(self._fd)

    def _is_open(self) -> bool:
        """Whether the number is the FIFO's, if need be after opening it again."""
        if self._closed:
            return False
        if self._has_number():
            return True
        # Never waiting: a signal handler may come in between. Whoever has the lock rings as well.
        if not self._closing.acquire(blocking=False):
            return False
        try:
            self._open()
        finally:
            self._closing.release()
        return self.refused is None

    def _has_number(self) -> bool:
        return self._fd >= 0 and inode_of(self._fd) == self._inode

    def _open(self) -> None:
        try:
            self._fd, self.refused = _open_fifo(self._path), None
            self._inode = inode_of(self._fd)
        except OSError as exc:
            self.refused = exc


def _open_fifo(path: Path) -> int:
    try:
        syscalls.make_fifo(path)
    except FileExistsError:
        pass
    fd = syscalls.open_file(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
    status = os.fstat(fd)
    if stat.S_ISFIFO(status.st_mode):
        return fd
    os.close(fd)
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
        path.unlink()  # a backup that was restored has made a file of it
        return _open_fifo(path)
    raise FileExistsError(errno.EEXIST, "it is no FIFO", str(path))
