"""Retention stepped by hand: a clock where the test puts it, and how much is left."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inprocess import Owner, rows

from hush_otel.background.retention import Clocks, Retention
from hush_otel.cli import audit
from hush_otel.config import Settings

DAY_S = 24 * 3600.0

TABLES = (
    "hush_requests",
    "hush_spans",
    "hush_traces",
    "hush_payloads",
    "hush_span_payloads",
    "hush_media",
    "hush_span_media",
    "hush_running",
    "hush_request_destinations",
    "hush_askers",
    "hush_request_labels",
    "hush_deliveries",
)
"""What belongs to requests."""


class Day:
    """Clocks that stand still: a step has all the time, unless each look at them costs some."""

    def __init__(self, wall_s: float, look_s: float = 0.0) -> None:
        self.wall_s = wall_s
        self.look_s = look_s
        self.monotonic_s = 1000.0

    def clocks(self) -> Clocks:
        """As retention looks at them."""
        return Clocks(lambda: self.wall_s, self._monotonic)

    def _monotonic(self) -> float:
        self.monotonic_s += self.look_s
        return self.monotonic_s


def retention_of(owner: Owner, day: Day, **rules: Any) -> Retention:
    """In place of the owner's own."""
    settings = Settings(**{name: getattr(owner.settings, name) for name in FIELDS} | rules)
    found = Retention(owner.service._database, owner.service._drain.ingest, settings, day.clocks())
    owner.service._retention = found
    return found


FIELDS = ("db_path", "spool_dir", "known_destinations", "background")


def a_round(retention: Retention, after: Callable[[], object] = lambda: None) -> int:
    """A round to its end; how many steps it took."""
    retention._next = retention._next_round = 0.0
    steps = 0
    while True:
        retention._next = 0.0
        retention.step()
        steps += 1
        after()
        if not retention.is_busy():
            return steps


def amounts(db_path: Path) -> dict[str, int]:
    """Rows of each table that requests have rows in."""
    return {table: rows(db_path, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}  # noqa: S608


def request_ids(db_path: Path) -> list[str]:
    """What is left, the oldest first."""
    return [
        row[0] for row in rows(db_path, "SELECT request_id FROM requests ORDER BY created_at, request_id")
    ]


def balanced(settings: Settings) -> audit.Audit:
    """The ledger, which must balance."""
    found = audit.collect(settings)
    assert found.balanced, json.dumps(audit.asdict(found), indent=1)
    return found


def names(db_path: Path) -> Counter[str]:
    """Spans by name."""
    return Counter(row[0] for row in rows(db_path, "SELECT name FROM spans"))
