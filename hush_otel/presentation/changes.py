"""What has changed in a database since one looked last, in bounded work: for what is watched live."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hush_otel.background.client import owner_pid
from hush_otel.config import Settings
from hush_otel.errors import StoreError
from hush_otel.store.reading import Reader

from .listing import cut
from .status import destinations
from .waiting import look

CANDIDATES: Final = 200
"""Of each kind of request that may have changed, at one look."""

NAMED: Final = 100
"""Changed requests by name; of more it is said that there are more."""

QUERY_S: Final = 2.0

DUPLICATE: Final = "duplicate"
"""Reasons of losses that begin with this are none."""


@dataclass(frozen=True, kw_only=True)
class Changed:
    """What has changed.

    Attributes:
        requests: Ids, as lists have them.
        more: And others, which are not named.
    """

    requests: list[str]
    more: bool = False


class Changes:
    """Looks at one database again and again. One thread, as its reader is.

    Args:
        settings: Whose database. It may come later, and be replaced.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reader: Reader | None = None
        self._file: tuple[int, int] | None = None
        self._version: int | None = None
        self._span = 0
        self._seen: dict[str, tuple[Any, ...]] = {}

    def look(self) -> Changed | None:
        """What has changed since the last look; None: nothing. At first everything may have."""
        try:
            return self._look()
        except StoreError:  # it is said where somebody asks for something; here one looks again
            self.close()
            return None

    def close(self) -> None:
        """Let go of the database. The next look opens it."""
        if self._reader is not None:
            self._reader.close()
        self._reader = self._version = self._file = None

    def _look(self) -> Changed | None:
        file = _identity(self._settings.db_path)
        if file != self._file:  # it has come, or another is in its place
            self.close()
        if file is None:
            return None
        if self._reader is None:
            self._reader, self._file = Reader(self._settings.db_path, time_limit_s=QUERY_S), file
        version = self._reader.rows("data_version")[0]["data_version"]
        if version == self._version:
            return None
        first, self._version = self._version is None, version
        changed = self._changed(self._reader)
        return Changed(requests=[], more=True) if first else changed

    def _changed(self, reader: Reader) -> Changed | None:
        with reader.snapshot():
            rows = reader.rows("changed_requests", limit=CANDIDATES, span=self._span)
            (newest,) = reader.rows("newest_span")
        before, self._seen = self._seen, {row["request_id"]: tuple(row) for row in rows}
        many, self._span = newest["id"] - self._span > CANDIDATES * 10, newest["id"]
        found = [name for name, state in self._seen.items() if before.get(name) != state]
        if not found and not many:
            return None
        return Changed(requests=list(map(cut, found[:NAMED])), more=many or len(found) > NAMED)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - where there is none, that is no error here
    except OSError:
        return None
    return status.st_dev, status.st_ino


def summary(settings: Settings) -> dict[str, Any]:
    """How everything is, in a few figures that are cheap to look at every few seconds.

    Returns:
        ``background_pid``; ``backlog_bytes``, records that are not stored yet; ``lost``, records by reason;
        ``destinations``: name, state, reason, pending, dead, last_error of each; ``missing``: there is no
        database. ``error``: why it cannot be read.
    """
    found: dict[str, Any] = {
        "background_pid": owner_pid(settings),
        "backlog_bytes": look(settings.spool_dir).size_bytes,
        "missing": not settings.db_path.exists(),
        "error": None,
        "lost": {},
        "destinations": [],
    }
    if found["missing"]:
        return found
    try:
        with Reader(settings.db_path, time_limit_s=QUERY_S) as reader:
            return found | _from(reader)
    except StoreError as exc:
        return found | {"error": str(exc)}


def _from(reader: Reader) -> dict[str, Any]:
    losses = {row["reason"]: row["count"] for row in reader.each("status_losses")}
    return {
        "lost": {reason: count for reason, count in losses.items() if not reason.startswith(DUPLICATE)},
        "destinations": [
            {name: getattr(each, name) for name in _OF_DESTINATION}
            for each in destinations(reader, time.time())
        ],
    }


_OF_DESTINATION: Final = ("name", "state", "pending", "dead", "last_error")
