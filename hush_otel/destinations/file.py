"""Type ``file``: OTLP JSON lines, one ExportTraceServiceRequest for each batch.

Guarantee: a returned `send` has handed the whole line to the kernel, which survives the death of any
process; it is not synced, so a power failure may take the last lines. A crash inside the write may leave
a torn line at the end: the next batch starts on a line of its own, and a reader skips the torn one.

Source: OpenTelemetry specification, protocol/file-exporter.md (JSON lines, UTF-8, LF).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from hush_otel import secrets
from hush_otel.destinations.otlp_json import encode_json
from hush_otel.errors import PausedError, RetryableError
from hush_otel.model import DestinationConfig, Outcome, SpanData
from hush_otel.options import check_keys, file_path

FILE_MODE: Final = 0o600
"""Spans carry prompts and user data: the owner alone reads them."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE})
_TRANSIENT: Final = _FULL | {errno.EIO, errno.EAGAIN}
"""What passes without anyone changing the configuration; a missing directory or permission does not."""


def open_file(config: DestinationConfig) -> FileSender:
    """Check the configuration: ``path`` is required and absolute; ``~`` is expanded.

    Raises:
        PermanentError: A key or value cannot work.
        PausedError: A secret that the path refers to is missing.
    """
    check_keys("file", config.config)
    options = secrets.resolve(config.config)
    return FileSender(file_path(("path", options.get("path") if isinstance(options, Mapping) else None)))


class FileSender:
    """A `base.Sender` that appends. Opens the file for each batch, so it may be moved away at any time."""

    max_in_flight: Final = 1
    wants_facts: Final = False
    """In order."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, spans: Sequence[SpanData]) -> Outcome:
        """Append `spans` as one line.

        Raises:
            RetryableError: The disk is full or failed, what was written being taken back, or another process
            is writing.
            PausedError: The path is a link, no regular file, or not ours to write.
        """
        line = encode_json(spans) + b"\n"
        try:
            descriptor = self._open()
            try:
                _append(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as exc:
            kind = RetryableError if exc.errno in _TRANSIENT else PausedError
            raise kind(f"cannot append to {self._path}: {exc.strerror}", hint="check path") from exc
        return Outcome()

    def close(self) -> None:
        """Nothing is kept open."""

    def _open(self) -> int:
        # O_NONBLOCK: a FIFO without a reader would block the open; it is refused below.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, FILE_MODE)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is no regular file")
        return descriptor


def _append(descriptor: int, line: bytes) -> None:
    # Two databases may share the file: without the lock one could take back the other's line.
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        line = b"\n" + line
    view = memoryview(line)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        os.ftruncate(descriptor, size)
        raise
