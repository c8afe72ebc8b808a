"""Lists of deliveries, the newest first, page by page."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Final

from hush_otel.store.reading import Reader

from .listing import cut

STATES: Final = ("pending", "sending", "delivered", "paused", "dead")

UNSETTLED: Final = frozenset({"pending", "sending", "paused", "dead"})
"""They have indexes: few among many that are delivered."""

_LONG: Final = frozenset({"request_id"})
NEWEST: Final = 1 << 62
"""Above every number of a delivery."""


def newest(
    reader: Reader,
    *,
    states: Collection[str] = (),
    destination: str | None = None,
    since: float | None = None,
    until: float | None = None,
    limit: int,
    before: int = NEWEST,
) -> list[dict[str, Any]]:
    """The columns of the view `deliveries`, long ids cut as in a list of requests.

    Args:
        reader: Opened.
        states: Only these; empty: all.
        destination: Only to this one.
        since: Unix seconds of when it was queued; `until` is not part of it.
        until: The same.
        limit: How many.
        before: The number that the page before this one ended with.

    Raises:
        StoreError: The database cannot be read.
    """
    query = "list_unsettled" if states and UNSETTLED.issuperset(states) else "list_deliveries"
    rows = reader.mappings(
        query,
        states=json.dumps(list(states)) if states else None,
        destination=destination,
        since=since,
        until=until,
        limit=limit,
        before=before,
    )
    return [
        {name: cut(value) if name in _LONG and value is not None else value for name, value in row.items()}
        for row in rows
    ]
