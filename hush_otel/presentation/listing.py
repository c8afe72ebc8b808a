"""Lists of requests, page by page, the newest first.

A page is found in steps. In each step every filter that has an index names the next candidates on its own way
back through time, and the way that gets furthest with them has the fewest: those are looked at, with all the
other filters. So a filter that matches little is fast, whatever stands beside it, and one that matches much
fills the page soon. What is in between, two common filters that rarely meet, costs time in proportion to what
lies between: `budget_s` bounds it, and the page then says where to go on.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Self, TypeAlias

from hush_otel.errors import ConfigError
from hush_otel.store.reading import Reader, Row, Value
from hush_otel.store.search import Search

from .filters import Filters

FIRST_STEP: Final = 250
LARGEST_STEP: Final = 4_000
"""Candidates. A step of this size takes about 10 ms."""
SEARCHED_STEP: Final = 500
"""The same where candidates are asked for words: some 20 µs each."""

SMALL_SET: Final = 1_000
"""Of an unordered set more is not sorted: whoever asks for what is common finds it on any way."""

MODEL: Final = 0
TAG: Final = 1
"""Kinds of labels (store/schema.sql)."""

LAST: Final = 1 << 42
"""Above every request's number that the full-text index can hold."""

Params: TypeAlias = dict[str, Value]


_PLACE: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?(e[+-]?[0-9]{1,3})?,[0-9]{1,18}", re.ASCII)


class Place(NamedTuple):
    """A request's place in the list: what comes before it is younger.

    Attributes:
        created_at: Unix seconds.
        id: Its number, where several began at once.
    """

    created_at: float
    id: int

    def __str__(self) -> str:
        return f"{self.created_at!r},{self.id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` has written.

        Raises:
            ConfigError: It is something else.
        """
        created_at, _, number = text.partition(",")
        if not _PLACE.fullmatch(text):
            raise ConfigError(f"before: {text[:40]!r} is no place in a list", hint="take `next` of a page")
        return cls(float(created_at), int(number))


TOP: Final = Place(math.inf, 0)
"""Before the newest."""


class Page(NamedTuple):
    """Some requests.

    Attributes:
        requests: The columns of the view `requests`, and computed_usd, running_count, and models (a list).
        next: Where the next page begins; None when this was the last. A page may be short, or empty, and have
            a next one: then the time was up.
    """

    requests: list[dict[str, Any]]
    next: Place | None


def page(
    reader: Reader, filters: Filters, *, limit: int, before: Place = TOP, budget_s: float = math.inf
) -> Page:
    """The next `limit` requests that match, older than `before`.

    Args:
        reader: Opened. Steps see the database at moments of their own: what comes meanwhile is younger.
        filters: Which.
        limit: At least 1.
        before: Where the page before this one ended.
        budget_s: After so long no further step is made.

    Raises:
        StoreError: The database cannot be read, or there is no full-text index.
        ConfigError: The text has no word.
    """
    deadline = time.monotonic() + budget_s
    search = None if filters.text is None else Search(reader, filters.text)
    ways, found = _ways(filters, search), list[Row]()
    largest = LARGEST_STEP if search is None else SEARCHED_STEP
    if filters.until is not None:
        before = min(before, Place(filters.until, 0))
    step = limit + 1 if search is not None or not filters.chooses else max(limit + 1, FIRST_STEP)
    while True:
        candidates, more, term = _candidates(reader, ways, before, filters.since or 0.0, step)
        held = candidates if search is None else _held(search, candidates, term)
        found += _matching(reader, filters, held, limit + 1 - len(found))
        if len(found) > limit:
            return Page([shown(row) for row in found[:limit]], _place(found[limit - 1]))
        if not more:
            return Page([shown(row) for row in found], None)
        before, step = candidates[-1], max(step, min(step * 2, largest))
        if time.monotonic() > deadline:
            return Page([shown(row) for row in found], before)


class _Way(NamedTuple):
    """A query for candidates: in order and page by page, or a whole set without order."""

    query: str
    params: Params
    ordered: bool = True


class _Words(NamedTuple):
    """Candidates by one term of a search, in order."""

    search: Search
    term: str
    ordered: bool = True


def _ways(filters: Filters, search: Search | None) -> list[_Way | _Words]:
    found: list[_Way | _Words] = list(_indexed(filters))
    if search is not None:
        found += [_Words(search, term) for term in search.terms]
    if not any(way.ordered for way in found):
        found.append(_Way("walk_all", {}))
    return found


def _indexed(filters: Filters) -> Iterator[_Way]:
    for name in ("session", "user", "workflow"):
        if (value := getattr(filters, name)) is not None:
            yield _Way(f"walk_{name}", {name: value})
    for kind, label in ((MODEL, filters.model), (TAG, filters.tag)):
        if label is not None:
            yield _Way("walk_label", {"kind": kind, "label": label})
    if filters.errors:
        yield _Way("walk_errors", {})
    if filters.min_ms > 0:
        yield _Way("set_slow", {"min_ns": _min_ns(filters)}, ordered=False)
    if filters.status in _SETS:
        yield _Way(_SETS[filters.status], {}, ordered=False)


_SETS: Final = {
    "writing": "set_writing",
    "failed": "set_failed",
    "flushing": "set_waiting",
    "pending": "set_waiting",
}
"""By status. What is flushed or stored is common."""


def _candidates(
    reader: Reader, ways: list[_Way | _Words], before: Place, since: float, step: int
) -> tuple[list[Place], bool, str | None]:
    """Of the way that gets furthest back: its next candidates, whether there are more, the term they hold."""
    best, furthest, more, term = list[Place](), TOP, False, None
    for way in ways:
        if isinstance(way, _Words):
            found, ends = _walk_words(reader, way, before, since, step)
        elif way.ordered:
            found = _walk(reader, way, before, since, step)
            ends = len(found) < step
        else:
            whole = _set(reader, way, before, since)
            if whole is None:
                continue
            found, ends = whole, True
        # Of those that end, the one with the fewest.
        reach = Place(-math.inf, len(found)) if ends else found[-1]
        if reach < furthest:
            best, furthest, more = found, reach, not ends
            term = way.term if isinstance(way, _Words) else None
    return best, more, term


def _walk(reader: Reader, way: _Way, before: Place, since: float, step: int) -> list[Place]:
    at: Params = {"before_at": before.created_at, "before_id": before.id, "since": since, "limit": step}
    return [_place(row) for row in reader.each(way.query, **at, **way.params)]


def _walk_words(
    reader: Reader, way: _Words, before: Place, since: float, step: int
) -> tuple[list[Place], bool]:
    """The next requests that hold a term, and whether these are all.

    The index has them in the order of their numbers, which are given as requests begin. Where a clock was set
    back, those that began after it are the first all the same.
    """
    below = LAST
    if before != TOP:
        below = max((place.id + 1 for place in places(reader, before, 1)), default=0)
    while True:
        numbers = way.search.walk(way.term, below, step)
        at: Params = {"before_at": before.created_at, "before_id": before.id}
        rows = reader.rows("search_places", ids=json.dumps(numbers), **at)
        found = sorted(map(_place, rows), reverse=True)
        ends = len(numbers) < step or (bool(found) and found[-1].created_at < since)
        if found or ends:
            return [place for place in found if place.created_at >= since], ends
        below = numbers[-1]


def _held(search: Search, candidates: list[Place], known: str | None) -> list[Place]:
    held = search.holding([place.id for place in candidates], known)
    return [place for place in candidates if place.id in held]


def places(reader: Reader, before: Place, limit: int) -> list[Place]:
    """The next requests of all, whatever they are."""
    return _walk(reader, _Way("walk_all", {}), before, 0.0, limit)


def _set(reader: Reader, way: _Way, before: Place, since: float) -> list[Place] | None:
    """All of it that lies there, in order; None when it is no small set."""
    rows = reader.rows(way.query, limit=SMALL_SET, **way.params)
    if len(rows) == SMALL_SET:
        return None
    found = {_place(row) for row in rows}
    return sorted((place for place in found if place < before and place.created_at >= since), reverse=True)


def _matching(reader: Reader, filters: Filters, candidates: list[Place], limit: int) -> list[Row]:
    if not candidates:
        return []
    return reader.rows(
        "list_requests",
        ids=json.dumps([place.id for place in candidates]),
        status=filters.status,
        workflow=filters.workflow,
        user=filters.user,
        session=filters.session,
        model=filters.model,
        tag=filters.tag,
        errors=int(filters.errors),
        min_ns=_min_ns(filters) if filters.min_ms > 0 else None,
        limit=limit,
    )


def _min_ns(filters: Filters) -> int:
    return round(filters.min_ms * 1_000_000)


def _place(row: Row) -> Place:
    return Place(row["created_at"], row["id"])


def shown(row: Row) -> dict[str, Any]:
    """A row of `list_requests` or `request`, its models as a list, without its number."""
    columns = dict(row)
    columns.pop("id", None)
    return columns | {"models": json.loads(row["models"])}
