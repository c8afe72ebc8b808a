"""The doorbell: one byte through a FIFO wakes an idle background process without polling.

Both ends open it for reading and writing: then a write never meets a missing reader, which would
be SIGPIPE and kill an app that has restored that signal's default.
"""

from __future__ import annotations

import os
import select
import stat
import threading
from pathlib import Path


class Doorbell:
    """One end of the FIFO. `ring` and `wait` are safe from any thread, and after fork."""

    def __init__(self, path: Path) -> None:
        """Open the FIFO at `path`, making it when missing.

        Raises:
            OSError: It cannot be made, or something else stands there.
        """
        try:
            os.mkfifo(path, 0o600)
        except FileExistsError:
            pass
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._closing = threading.Lock()
        if not stat.S_ISFIFO(os.fstat(self._fd).st_mode):
            self.close()
            raise FileExistsError(f"{path} is no FIFO")

    def ring(self) -> None:
        """Wake the sleeper. Never blocks: a full FIFO has waked it already."""
        try:
            os.write(self._fd, b"!")
        except (BlockingIOError, OSError):
            pass

    def wait(self, timeout_s: float) -> bool:
        """Sleep until rung, at most `timeout_s`. Swallows all pending rings."""
        # poll, not select: a thread of an app may get a descriptor above 1023.
        poll = select.poll()
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
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
