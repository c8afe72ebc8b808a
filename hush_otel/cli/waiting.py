"""What a spool holds that no database has yet: for the commands that read one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hush_otel.config import Settings
from hush_otel.errors import SpoolError, StoreError
from hush_otel.spool import format as layout
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.reader import SegmentReader, Stop
from hush_otel.store.reading import Reader

from . import text

READ_BYTES: Final = 1024 * 1024
"""Of a segment at once."""

LOG_TAIL_BYTES: Final = 16 * 1024
"""Of background.log: more than its longest traceback."""

_SAID: Final = re.compile(r"^\d{4}-\d\d-\d\d \S+ \d+ (\w+) .*$", re.MULTILINE)
"""A line of background.log (`background/logfile.py`); those of a traceback begin otherwise."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What lies in a spool.

    Attributes:
        size_bytes: Of the records that are not stored yet.
        error: The last line of background.log, when that is an error.
    """

    size_bytes: int
    error: str | None


def open_reader(settings: Settings) -> Reader:
    """Open the database to read it. Where there is none, the error says what waits for it.

    Raises:
        StoreError: There is no database, or it cannot be read.
    """
    try:
        return Reader(settings.db_path)
    except StoreError as exc:
        waiting = look(settings.spool_dir)
        if not waiting.size_bytes and waiting.error is None:
            raise
        missing = not settings.db_path.exists()
        hints = [] if missing else [exc.hint]
        if waiting.size_bytes:
            stored_by = "; `hush-otel drain` or `hush-otel run` stores them" if missing else ""
            hints.append(
                f"records of {text.size(waiting.size_bytes)} wait in {settings.spool_dir}{stored_by}"
            )
        if waiting.error is not None:
            hints.append(f"background.log ends with: {waiting.error}")
        raise StoreError(exc.message, hint="; ".join(filter(None, hints))) from exc


def require_something(settings: Settings) -> None:
    """Refuse a path where nothing was ever recorded.

    Raises:
        StoreError: There is neither a database nor a spool.
    """
    if not settings.db_path.exists() and not settings.spool_dir.exists():
        open_reader(settings).close()


def look(spool_dir: Path) -> Waiting:
    """Look at a spool without touching it."""
    segments = SpoolDirectory(spool_dir).segments()
    return Waiting(size_bytes=sum(map(_unread_bytes, segments)), error=last_error(spool_dir))


def _unread_bytes(path: Path) -> int:
    try:
        reader = SegmentReader(path)
    except (OSError, SpoolError):
        return 0
    try:
        drained = int.from_bytes(reader.raw(layout.DRAINED_AT, layout.DRAINED_AT + 8), "little")
        begin = position = max(drained, layout.HEADER_BYTES)
        while (found := reader.read(position, READ_BYTES)).stop is Stop.LIMIT:
            position = found.position
        return found.position - begin
    finally:
        reader.close()


def last_error(spool_dir: Path) -> str | None:
    """The last thing that the background process said, when it was an error."""
    try:
        with (spool_dir / "background.log").open("rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - LOG_TAIL_BYTES))
            tail = log.read().decode("utf-8", "replace")
    except OSError:
        return None
    *_, last = [None, *_SAID.finditer(tail)]
    return last[0] if last is not None and last[1] in {"ERROR", "CRITICAL"} else None
