"""Lists of requests, page by page, the newest first.

A page is found in steps. In each step the way with the fewest candidates (ways.py) names the next ones, and
those are looked at, with all the other filters. So a filter that matches little is fast, whatever stands
beside it, and one that matches much fills the page soon. What is in between, two common filters that rarely
meet, costs time in proportion to what lies between: `budget_s` bounds it, and the page then says where to go
on.
"""

from __future__ import annotations

import json
import math
import time
from typing import Any, Final, NamedTuple

from hush_otel.store.reading import Reader, Row
from hush_otel.store.search import Search

from .filters import Filters
from .ways import ByNumber, ByTime, Place

FIRST_STEP: Final = 250
LARGEST_STEP: Final = 4_000
"""Candidates. A step of this size takes about 10 ms."""
SEARCHED_STEP: Final = 500
"""The same where candidates are asked for words: some 20 µs each."""

LISTED_CHARS: Final = 1_000
"""Of one name, id or error in a list."""
LISTED_WORDS: Final = 100
"""Models and tags of one request there."""


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
    reader: Reader,
    filters: Filters,
    *,
    limit: int,
    before: Place | None = None,
    budget_s: float = math.inf,
) -> Page:
    """The next `limit` requests that match, older than `before`: by time, or by number where there is a text.

    Args:
        reader: Opened. Steps see the database at moments of their own: what comes meanwhile is younger.
        filters: Which.
        limit: At least 1.
        before: Where the page before this one, by the same filters, ended; None: from the newest on.
        budget_s: After so long no further step is made.

    Raises:
        StoreError: The database cannot be read, or there is no full-text index.
        ConfigError: The text has no word, or `before` is a place in a list of the other order.
    """
    deadline = time.monotonic() + budget_s
    search = None if filters.text is None else Search(reader, filters.text)
    way = ByTime(reader, filters) if search is None else ByNumber(reader, filters, search)
    at, found = way.start(before), list[Row]()
    largest = LARGEST_STEP if search is None else SEARCHED_STEP
    step = limit + 1 if search is not None or not filters.chooses else max(limit + 1, FIRST_STEP)
    while True:
        places, ends, term = way.next(at, step)
        held = places if search is None else _held(search, places, term)
        found += _matching(reader, filters, held, limit + 1 - len(found))
        if len(found) > limit:
            return Page([shown(row) for row in found[:limit]], way.place(found[limit - 1]))
        if ends:
            return Page([shown(row) for row in found], None)
        at, step = places[-1], max(step, min(step * 2, largest))
        if time.monotonic() > deadline:
            return Page([shown(row) for row in found], at)


def _held(search: Search, candidates: list[Place], known: str | None) -> list[Place]:
    held = search.holding([place.id for place in candidates], known)
    return [place for place in candidates if place.id in held]


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
        min_ns=filters.min_ns if filters.min_ms > 0 else None,
        since=filters.since or 0.0,
        until=math.inf if filters.until is None else filters.until,
        limit=limit,
    )


def shown(row: Row) -> dict[str, Any]:
    """A row of `list_requests` or `request`, its models as a list, without its number."""
    columns = dict(row)
    columns.pop("id", None)
    return columns | {"models": json.loads(row["models"])}


def listed(request: dict[str, Any]) -> dict[str, Any]:
    """One of a `Page` as a list shows it: nobody reads a text of megabytes there, and each costs all of it.

    What is cut ends in ``…``, with which a request's id still finds it (`find_request`).
    """
    tags = request["tags"]
    if tags is not None and len(tags) > LISTED_CHARS:
        tags = json.dumps(_some(json.loads(tags)), ensure_ascii=False)
    texts = {name: cut(value) for name, value in request.items() if isinstance(value, str)}
    return request | texts | {"tags": tags, "models": _some(request["models"])}


def cut(text: str) -> str:
    """A name or an id in a list."""
    return text if len(text) <= LISTED_CHARS else text[: LISTED_CHARS - 1] + "…"


def _some(words: list[str]) -> list[str]:
    shown = [cut(word) for word in words[:LISTED_WORDS]]
    return [*shown, "…"] if len(words) > LISTED_WORDS else shown
