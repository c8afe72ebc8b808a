"""The ways back through the requests of a database, for lists of them.

Every filter that has an index names the next candidates on its own way, and the way that gets furthest with
them has the fewest. A list goes back by time. One of requests that hold some words goes back by number,
because the full-text index has them in that order. Numbers are given as requests begin: both orders are the
same except where a clock was set back, and no list mixes them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Self, TypeAlias

from hush_otel.errors import ConfigError
from hush_otel.store.reading import Reader, Row, Value
from hush_otel.store.search import Search

from .filters import Filters

SMALL_SET: Final = 1_000
"""Of an unordered set more is not sorted: whoever asks for what is common finds it on any way."""

MOST_BOUNDED: Final = 100_000
"""Requests of a time whose numbers are looked through for the lowest and the highest: some 10 ms."""

MODEL: Final = 0
TAG: Final = 1
"""Kinds of labels (store/schema.sql)."""

LAST: Final = 1 << 42
"""Above every request's number that the full-text index can hold."""

Params: TypeAlias = dict[str, Value]

_PLACE: Final = re.compile(
    r"(?:(?P<at>-?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:e[+-]?[0-9]{1,3})?),)?(?P<id>[0-9]{1,18})", re.ASCII
)


class Place(NamedTuple):
    """A request's place in a list: what comes before it is younger.

    Attributes:
        created_at: Unix seconds; None in a list by number.
        id: Its number. In a list by time it decides where several began at once.
    """

    created_at: float | None
    id: int

    def __str__(self) -> str:
        return str(self.id) if self.created_at is None else f"{self.created_at!r},{self.id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` has written.

        Raises:
            ConfigError: It is something else.
        """
        found = _PLACE.fullmatch(text)
        if found is None:
            raise ConfigError(f"before: {text[:40]!r} is no place in a list", hint="take `next` of a page")
        return cls(None if found["at"] is None else float(found["at"]), int(found["id"]))


class Candidates(NamedTuple):
    """The next requests of one way.

    Attributes:
        places: In the order of the list.
        ends: Whether these are all; otherwise there is at least one.
        term: Of a search, the one that all of them hold.
    """

    places: list[Place]
    ends: bool
    term: str | None = None


class _Way(NamedTuple):
    """A query for candidates."""

    query: str
    params: Params


class ByTime:
    """Candidates in the order of time.

    Args:
        reader: Opened. Every look is at a moment of its own.
        filters: Those that have an index, and since and until, decide the candidates.
    """

    def __init__(self, reader: Reader, filters: Filters) -> None:
        self._reader = reader
        self._top = Place(math.inf if filters.until is None else filters.until, 0)
        self._since = filters.since or 0.0
        self._ordered = list(_ordered(filters)) or [_ALL]
        self._sets = list(_sets(filters))

    def start(self, before: Place | None) -> Place:
        """Where to begin; after `before`, when that is given.

        Raises:
            ConfigError: It is a place in a list by number.
        """
        if before is None:
            return self._top
        if before.created_at is None:
            raise _of_another_list(before)
        return min(before, self._top)

    def place(self, row: Row) -> Place:
        """Of a row with id and created_at."""
        return Place(row["created_at"], row["id"])

    def next(self, before: Place, limit: int) -> Candidates:
        """Of the way that gets furthest; unless it ends, `limit` of them. Raises as `Reader.rows`."""
        asked = [self._walk(way, before, limit) for way in self._ordered]
        return _furthest(
            asked + [found for way in self._sets if (found := self._whole(way, before)) is not None]
        )

    def _walk(self, way: _Way, before: Place, limit: int) -> Candidates:
        places = [self.place(row) for row in self._rows(way, before, limit)]
        return Candidates(places, len(places) < limit)

    def _whole(self, way: _Way, before: Place) -> Candidates | None:
        """All of it that lies there; None when it is no small set."""
        rows = self._rows(way, before, SMALL_SET)
        if len(rows) == SMALL_SET:
            return None
        found = {self.place(row) for row in rows if row["created_at"] >= self._since}
        return Candidates(sorted((place for place in found if place < before), reverse=True), ends=True)

    def _rows(self, way: _Way, before: Place, limit: int) -> list[Row]:
        at: Params = {"before_at": before.created_at, "before_id": before.id, "since": self._since}
        return self._reader.rows(way.query, limit=limit, **at, **way.params)


class ByNumber:
    """Candidates in the order of their numbers, for a search.

    Args:
        reader: Opened. Every look is at a moment of its own.
        filters: As of `ByTime`; since and until may let others through.
        search: By each of its terms.
    """

    def __init__(self, reader: Reader, filters: Filters, search: Search) -> None:
        self._reader = reader
        self._search = search
        self._window: Params = {
            "before_at": math.inf if filters.until is None else filters.until,
            "before_id": 0,
            "since": filters.since or 0.0,
        }
        bounded = filters.since is not None or filters.until is not None
        self._first, self._last = self._bounds() if bounded else (0, LAST)
        self._sets = [*_ordered(filters), *_sets(filters), *([_ALL] if bounded else [])]

    def start(self, before: Place | None) -> Place:
        """Where to begin; after `before`, when that is given.

        Raises:
            ConfigError: It is a place in a list by time.
        """
        if before is None:
            return Place(None, self._last)
        if before.created_at is not None:
            raise _of_another_list(before)
        return Place(None, min(before.id, self._last))

    def place(self, row: Row) -> Place:
        """Of a row with id."""
        return Place(None, row["id"])

    def next(self, before: Place, limit: int) -> Candidates:
        """Of the way that gets furthest; unless it ends, `limit` of them. Raises as `Reader.rows`."""
        asked = [self._walk(term, before, limit) for term in self._search.terms]
        return _furthest(
            asked + [found for way in self._sets if (found := self._whole(way, before)) is not None]
        )

    def _walk(self, term: str, before: Place, limit: int) -> Candidates:
        numbers = self._search.walk(term, before.id, limit, first=self._first)
        return Candidates(_numbered(numbers), len(numbers) < limit, term)

    def _whole(self, way: _Way, before: Place) -> Candidates | None:
        """As that of `ByTime`. What has an order by time is a set here, small where it matches little."""
        rows = self._reader.rows(way.query, limit=SMALL_SET, **self._window, **way.params)
        if len(rows) == SMALL_SET:
            return None
        numbers = sorted({row["id"] for row in rows if row["id"] < before.id}, reverse=True)
        return Candidates(_numbered(numbers), ends=True)

    def _bounds(self) -> tuple[int, int]:
        """Within which numbers the requests of a time lie, as far as that is found soon."""
        (row,) = self._reader.rows("search_bounds", limit=MOST_BOUNDED, **self._window)
        if row["requests"] == MOST_BOUNDED:
            return 0, LAST
        return row["first"] or 0, (row["last"] or 0) + 1


def _ordered(filters: Filters) -> Iterator[_Way]:
    """Those whose index is by time."""
    for name in ("session", "user", "workflow"):
        if (value := getattr(filters, name)) is not None:
            yield _Way(f"walk_{name}", {name: value})
    for kind, label in ((MODEL, filters.model), (TAG, filters.tag)):
        if label is not None:
            yield _Way("walk_label", {"kind": kind, "label": label})
    if filters.errors:
        yield _Way("walk_errors", {})


def _sets(filters: Filters) -> Iterator[_Way]:
    """Those that have no order."""
    if filters.min_ms > 0:
        yield _Way("set_slow", {"min_ns": filters.min_ns})
    if filters.status in _OF_STATUS:
        yield _Way(_OF_STATUS[filters.status], {})


_ALL: Final = _Way("walk_all", {})

_OF_STATUS: Final = {
    "writing": "set_writing",
    "failed": "set_failed",
    "flushing": "set_waiting",
    "pending": "set_waiting",
    "flushed": "set_flushed",
}
"""By status. What is stored alone has no index: it is what stands in no other table."""


def _furthest(asked: Sequence[Candidates]) -> Candidates:
    """Of those that end, the one with the fewest."""
    if whole := [candidates for candidates in asked if candidates.ends]:
        return min(whole, key=lambda candidates: len(candidates.places))
    return min(asked, key=lambda candidates: candidates.places[-1])


def _numbered(numbers: list[int]) -> list[Place]:
    return [Place(None, number) for number in numbers]


def _of_another_list(before: Place) -> ConfigError:
    return ConfigError(
        f"before: {str(before)!r} is a place in another list",
        hint="lists of a search go by number, others by time: begin at the first page of this one",
    )
