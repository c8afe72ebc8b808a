"""What many requests have in common: how many, how slow, how dear; by workflow, model or day, and over time.

Everything is exact over the requests that were looked at: the newest of the window, so many at most, and each
answer says whether those were all. Memory is bounded by them: some bytes for each duration.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

import msgspec

from hush_otel.store.reading import Reader, Row

By: TypeAlias = Literal["workflow", "model", "day"]

MOST_REQUESTS: Final = 200_000
"""About half a second's work."""
MOST_CALLING: Final = 20_000
"""Requests whose model calls are read, from their spans."""
MOST_POINTS: Final = 2_000
BUCKETS: Final = 120
"""Of a timeline, at most."""
BUCKETS_S: Final = (1, 10, 60, 300, 900, 3600, 3 * 3600, 6 * 3600, 86400, 7 * 86400, 30 * 86400)
"""Widths that people can read off an axis."""
PERCENTILES: Final = (50, 95, 99)


@dataclass(frozen=True, kw_only=True)
class Window:
    """Which requests are looked at: those that began to be stored in [since, until), unix seconds."""

    since: float = 0.0
    until: float = math.inf
    workflow: str | None = None


def grouped(reader: Reader, by: By, window: Window) -> dict[str, Any]:
    """Figures by workflow, model or day (local time).

    Returns:
        ``rows``, the most frequent first, days in order, each with ``key`` (None: it has none), ``count``,
        ``error_count``, ``p50_ms``, ``p95_ms``, ``p99_ms``, tokens and dollars; by model they are those of
        its calls. ``looked_at``: how many requests; ``complete``: whether those were all.

    Raises:
        StoreError: The database cannot be read.
    """
    most = MOST_CALLING if by == "model" else MOST_REQUESTS
    rows = [_figures(row) for row in reader.each(f"stats_by_{by}", limit=most, **asdict(window))]
    looked_at = _extent(reader, window, most)["requests"]
    return {"rows": rows, "looked_at": looked_at, "complete": looked_at < most}


def _figures(row: Row) -> dict[str, Any]:
    columns = dict(row)
    durations_ms = sorted(msgspec.json.decode(columns.pop("durations_ms"), type=list[float]))
    key, count, errors = (columns.pop(name) for name in ("key", "count", "error_count"))
    percentiles = {f"p{percent}_ms": percentile(durations_ms, percent) for percent in PERCENTILES}
    return {"key": key, "count": count, "error_count": errors} | percentiles | columns


def percentile(ordered: list[float], percent: int) -> float | None:
    """The smallest value that at least so many percent do not exceed (nearest rank); None of nothing."""
    return ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else None


def latency(reader: Reader, window: Window) -> dict[str, Any]:
    """Points of a scatter, the newest first: ``[start_at, duration_ms, failed, request_id, workflow]``.

    ``sampled`` says how many are ``shown`` ``of`` how many requests: one of every so many, always the same.

    Raises:
        StoreError: The database cannot be read.
    """
    of = _extent(reader, window, MOST_REQUESTS)["requests"]
    every = max(1, math.ceil(of / MOST_POINTS))
    points = [
        [row["start_at"], row["duration_ms"], row["failed"], row["request_id"], row["workflow_name"]]
        for row in reader.each("stats_points", every=every, limit=MOST_REQUESTS, **asdict(window))
    ]
    return {"points": points[:MOST_POINTS], "sampled": {"shown": min(len(points), MOST_POINTS), "of": of}}


def timeline(reader: Reader, window: Window) -> dict[str, Any]:
    """How many requests, tokens and dollars over time, by when they began to be stored.

    Returns:
        ``bucket_s``, and ``buckets`` in order, empty ones left out, each with ``at`` (unix seconds of its
        beginning), ``count``, ``error_count``, ``total_tokens``, ``cost_usd``, ``computed_usd`` (what of it a
        price table says). ``looked_at`` and ``complete`` as in `grouped`.

    Raises:
        StoreError: The database cannot be read.
    """
    extent = _extent(reader, window, MOST_REQUESTS)
    lasts_s = (extent["last_at"] or 0.0) - (extent["first_at"] or 0.0)
    bucket_s = next((width for width in BUCKETS_S if lasts_s < width * BUCKETS), BUCKETS_S[-1])
    buckets = reader.each("stats_timeline", bucket_s=bucket_s, limit=MOST_REQUESTS, **asdict(window))
    return {
        "bucket_s": bucket_s,
        "buckets": [dict(row) for row in buckets],
        "looked_at": extent["requests"],
        "complete": extent["requests"] < MOST_REQUESTS,
    }


def _extent(reader: Reader, window: Window, most: int) -> Row:
    (found,) = reader.rows("stats_extent", limit=most, **asdict(window))
    return found
