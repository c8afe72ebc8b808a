"""The detached process's words: a small file beside the segments, for it has no terminal."""

from __future__ import annotations

import logging
import logging.handlers
import os

from hush_otel.spool.directory import SpoolDirectory

LOG_BYTES = 256 * 1024


def log_to_file(directory: SpoolDirectory) -> logging.Logger:
    """Send what this package logs to `background.log`, 0600, two files of at most LOG_BYTES."""
    os.umask(0o077)
    handler = logging.handlers.RotatingFileHandler(
        directory.path / "background.log", maxBytes=LOG_BYTES, backupCount=1, delay=True
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    root = logging.getLogger("hush_otel")
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    return root
