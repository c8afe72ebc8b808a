"""What a spool holds that no database has yet: for the commands that read one."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hush_otel.config import Settings
from hush_otel.errors import SpoolError, StoreError
from hush_otel.private import open_at_once
from hush_otel.records import END, NODE, record_type
from hush_otel.spool import format as layout
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.reader import Frames, SegmentReader, Stop
from hush_otel.sqlite_file import why_no_database
from hush_otel.store.reading import Reader

from . import text

READ_BYTES: Final = 1024 * 1024
"""Of a segment at once."""

LOOK_S: Final = 0.05
"""Between two looks at a spool that should be drained."""

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
        StoreError: There is no spool, and no database either, or somebody else's.
    """
    if not settings.spool_dir.exists() and (not settings.db_path.exists() or is_foreign(settings.db_path)):
        open_reader(settings).close()


def is_foreign(path: Path) -> bool:
    """Whether something stands at a path, not empty, that is no database of ours.

    One that is damaged, or cannot be read now, may be ours.
    """
    try:
        if why_no_database(path):
            return True
        if not path.stat().st_size:
            return False
        Reader(path).close()
    except FileNotFoundError:
        return False
    except StoreError as exc:
        return "is not a hush-otel database" in exc.message
    return False


def look(spool_dir: Path) -> Waiting:
    """Look at a spool without touching it."""
    segments = SpoolDirectory(spool_dir).segments()
    return Waiting(size_bytes=sum(map(_unread_bytes, segments)), error=last_error(spool_dir))


def is_drained(spool_dir: Path, within_s: float) -> bool:
    """Whether something of what waits is stored within so long, or nothing waits."""
    deadline = time.monotonic() + within_s
    before = {path: at for path in SpoolDirectory(spool_dir).segments() if (at := _begins_to_wait(path))}
    while before and all(_begins_to_wait(path) == at for path, at in before.items()):
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_S)
    return True


def _begins_to_wait(path: Path) -> int | None:
    """From where on a segment holds what is not stored; None where all of it is."""
    begin, found = next(_unread(path, _drained_upto), (0, None))
    return begin if found is not None and found.position > begin else None


def count_spans(spool_dir: Path, positions: Mapping[bytes, int]) -> int:
    """How many records of spans that ended, and of node traces, lie behind what is drained.

    Args:
        spool_dir: The spool.
        positions: How far each segment is drained, by its id. One that is not there is not drained at all.
    """
    kinds = Counter[int]()
    for path in SpoolDirectory(spool_dir).segments():
        for _, found in _unread(path, lambda reader: positions.get(reader.header.segment_id, 0)):
            kinds.update(record_type(payload) for _, payload in found.frames)
    return kinds[END] + kinds[NODE]


def _unread_bytes(path: Path) -> int:
    return sum(found.position - begin for begin, found in _unread(path, _drained_upto))


def _drained_upto(reader: SegmentReader) -> int:
    return int.from_bytes(reader.raw(layout.DRAINED_AT, layout.DRAINED_AT + 8), "little")


def _unread(path: Path, begin: Callable[[SegmentReader], int]) -> Iterator[tuple[int, Frames]]:
    """What a segment holds from a position on, read by read, each with where it begins."""
    try:
        reader = SegmentReader(path)
    except (OSError, SpoolError):
        return
    try:
        position = max(begin(reader), layout.HEADER_BYTES)
        while True:
            found = reader.read(position, READ_BYTES)
            yield position, found
            position = found.position
            if found.stop is not Stop.LIMIT:
                return
    finally:
        reader.close()


def last_error(spool_dir: Path) -> str | None:
    """The last thing that the last background process has said, with its time, when it was an error.

    Each says when it begins to work, so that nothing of those before it is repeated.
    """
    try:
        with open(SpoolDirectory(spool_dir).background_log, "rb", opener=open_at_once) as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - LOG_TAIL_BYTES))
            tail = log.read().decode("utf-8", "replace")
    except OSError:
        return None
    *_, last = [None, *_SAID.finditer(tail)]
    return last[0] if last is not None and last[1] in {"ERROR", "CRITICAL"} else None
