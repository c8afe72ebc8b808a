"""Sessions, the one that was last active first; and what there is to filter by."""

from __future__ import annotations

import json
import math
import time
from typing import Any, Final

from hush_otel.store.reading import Reader

from .filters import Filters
from .listing import Page, listed, page
from .ways import ByTime, Place

MOST_REQUESTS: Final = 10_000
"""Of a session so many are added up."""
STEP: Final = 2_000
"""Requests that are looked at for sessions at once."""

MOST_FACETS: Final = 50
LOOKED_AT: Final = 2_000
"""Requests that are asked what there is to filter by."""


def sessions(reader: Reader, *, limit: int, before: Place | None = None, budget_s: float = math.inf) -> Page:
    """The next `limit` sessions, by their newest requests; a page may be short, as that of `listing.page`.

    Each has session_id, user_id, request_count, error_count (requests in which a span failed), first_at,
    last_at, total_tokens, cost_usd, computed_usd; ``complete`` is False when it has more than
    `MOST_REQUESTS`, of which the newest are added up.

    Raises:
        StoreError: The database cannot be read.
        ConfigError: `before` is a place in a list of a search.
    """
    deadline, found = time.monotonic() + budget_s, list[tuple[Place, str]]()
    way = ByTime(reader, Filters())
    at = way.start(before)
    while True:
        places, ends, _ = way.next(at, STEP)
        numbers = json.dumps([place.id for place in places])
        found += [
            (way.place(row), row["session_id"])
            for row in reader.each("newest_of_sessions", ids=numbers, limit=limit + 1 - len(found))
        ]
        if len(found) > limit:
            return Page([_added_up(reader, session) for _, session in found[:limit]], found[limit - 1][0])
        if ends or time.monotonic() > deadline:
            rest = None if ends else places[-1]
            return Page([_added_up(reader, session) for _, session in found], rest)
        at = places[-1]


def _added_up(reader: Reader, session: str) -> dict[str, Any]:
    (sums,) = reader.rows("session", session=session, limit=MOST_REQUESTS)
    complete = sums["request_count"] < MOST_REQUESTS
    return {"session_id": session} | dict(sums) | {"complete": complete}


def requests_of(reader: Reader, session: str, *, limit: int) -> list[dict[str, Any]]:
    """The newest `limit` requests of a session, the oldest of them first."""
    return list(map(listed, page(reader, Filters(session=session), limit=limit).requests[::-1]))


def facets(reader: Reader) -> dict[str, list[str]]:
    """``workflows``, ``models``, ``users``, ``sessions`` and ``tags`` of the newest requests, to filter by.

    The most recent first, `MOST_FACETS` of each.
    """
    found: dict[str, dict[str, None]] = {
        name: {} for name in ("workflows", "models", "users", "sessions", "tags")
    }
    for row in reader.each("facets", limit=LOOKED_AT):
        of_row = {
            "workflows": [row["workflow_name"]],
            "models": json.loads(row["models"]),
            "users": [row["user_id"]],
            "sessions": [row["session_id"]],
            "tags": json.loads(row["tags"]),
        }
        for name, values in of_row.items():
            found[name].update(dict.fromkeys(value for value in values if value is not None))
    return {name: list(values)[:MOST_FACETS] for name, values in found.items()}
