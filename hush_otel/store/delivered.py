"""Whether what a process asked for has been delivered: the look behind `wait_delivered`."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from .statements import load_statements

SQL: Final = load_statements("delivered")


class DeliveryWatch:
    """A read-only look at the deliveries of one process, or of one request. A context manager.

    Args:
        path: The database; it may not exist yet.
        writer_ids: Of the process whose requests count.
        request_id: Only this request, whoever asked.
        patience_s: How long after a mark the first span of its request may still be on its way.
    """

    def __init__(
        self, path: Path, writer_ids: Sequence[bytes], request_id: str | None, patience_s: float
    ) -> None:
        self._path = path
        self._writer_ids = writer_ids
        self._request_id = request_id
        self._patience_s = patience_s
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def look(self) -> bool | None:
        """True: all accepted. False: one is dead or paused, or a mark is without spans. None: not yet."""
        try:
            verdict = self._ask()
        except sqlite3.DatabaseError:
            return None  # no database yet, busy, or damaged: nothing can be said
        if verdict is None:
            return None if self._request_id is not None else True
        refused, unsettled, incomplete = verdict
        if refused:
            return False
        return None if unsettled or incomplete else True

    def _ask(self) -> tuple[int, ...] | None:
        """Refused, unsettled, incomplete; None when there is nothing to look at."""
        if self._connection is None:
            uri = f"file:{quote(os.fsencode(self._path))}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=1.0)
        long_ago = {"long_ago": time.time() - self._patience_s}
        if self._request_id is not None:
            names = {"request_id": self._request_id, "trace_id": _trace_id(self._request_id)}
            rows = self._connection.execute(SQL["of_request"], names | long_ago).fetchall()
        else:
            each = ({"writer_id": writer_id} | long_ago for writer_id in self._writer_ids)
            rows = [self._connection.execute(SQL["of_writer"], names).fetchone() for names in each]
        found = [[value or 0 for value in row] for row in rows if row[0] is not None]
        return tuple(map(sum, zip(*found, strict=True))) if found else None


def _trace_id(request_id: str) -> bytes | None:
    try:
        return bytes.fromhex(request_id)
    except ValueError:
        return None
