"""What the drain hands to the store: decoded records, who wrote them, and where they belong."""

from __future__ import annotations

from typing import Any, NamedTuple


class Place(NamedTuple):
    """Rows that a record's interned origin stands for."""

    origin: int
    route: int | None


class Arrival(NamedTuple):
    """A decoded record, who wrote it, and its origin when it has one."""

    record: Any
    writer_id: bytes
    origin: Place | None


class Running(NamedTuple):
    """A stored span that has not ended."""

    row: int
    request: int
    large: bool
