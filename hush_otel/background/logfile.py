"""The detached process's words: a small file beside the segments, for it has no terminal."""

from __future__ import annotations

import logging
import logging.handlers
import os
from io import TextIOWrapper
from typing import cast

from hush_otel.spool.directory import SpoolDirectory

LOG_BYTES = 256 * 1024


def log_to_file(directory: SpoolDirectory) -> logging.Logger:
    """Send what this package logs to `background.log`, 0600, two files of at most LOG_BYTES."""
    os.umask(0o077)
    handler = _PrivateFile(directory.background_log, maxBytes=LOG_BYTES, backupCount=1, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    root = logging.getLogger("hush_otel")
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    _redirect_output(directory)
    return root


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """Follows no link."""

    def _open(self) -> TextIOWrapper:
        def private(path: str, flags: int) -> int:
            return os.open(path, flags | os.O_NOFOLLOW, 0o600)

        return cast(
            "TextIOWrapper",
            open(self.baseFilename, self.mode, encoding="utf-8", opener=private),
        )


def _redirect_output(directory: SpoolDirectory) -> None:
    """What is printed, as by a `console` destination or a crash, goes to `output.log`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    fd = os.open(directory.path / "output.log", flags, 0o600)
    for standard in (1, 2):
        os.dup2(fd, standard)
    os.close(fd)
