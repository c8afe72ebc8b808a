"""Walks over requests that may be pruned: a look at a few, then the next few. No look is long.

What a request is kept for (schema.sql, `hush_prunable`): 0 nothing, 1 some destination has not accepted all
of it, 2 it is not complete, runs, waits to be queued or is being sent. The last ones are never given.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, deque
from typing import Final, NamedTuple, Protocol

import msgspec

from .pruning import SQL

LOOK_AT_ONCE: Final = 200
"""Requests in one look: well under a millisecond."""
WORKFLOWS_AT_MOST: Final = 100_000
"""Names that are counted at once; what has a rarer one is kept."""

NEVER: Final = 2
"""`kept` of what no order deletes."""
_LAST: Final = 1 << 62


class Candidate(NamedTuple):
    """A request that may go, and about how many rows that is."""

    id: int
    rows: int


class Walk(Protocol):
    """One way through all requests. In memory only: whoever begins anew finds what is left.

    Attributes:
        kept_at_most: 0 for what nobody waits for, 1 for what was not delivered, too.
        skipped: How many requests it has looked at and left.
    """

    kept_at_most: int
    skipped: int

    def look(self, db: sqlite3.Connection) -> list[Candidate] | None:
        """Candidates among the next few requests; None at the end."""


class Oldest:
    """From the oldest on, up to those of which something has arrived since `before` (unix seconds)."""

    def __init__(self, before: float, kept_at_most: int) -> None:
        self.kept_at_most = kept_at_most
        self.skipped = 0
        self._before = before
        self._at: tuple[float, int] = (float("-inf"), 0)

    def look(self, db: sqlite3.Connection) -> list[Candidate] | None:
        """As `Walk`."""
        values = {"at": self._at[0], "id": self._at[1], "before": self._before, "limit": LOOK_AT_ONCE}
        rows = db.execute(SQL["oldest"], values).fetchall()
        if not rows:
            return None
        self._at = (rows[-1][1], rows[-1][0])
        found = [Candidate(number, count) for number, _, count, kept in rows if kept <= self.kept_at_most]
        self.skipped += len(rows) - len(found)
        return found


class Surplus:
    """All but the newest of each workflow."""

    def __init__(self, newest: int, kept_at_most: int) -> None:
        self.kept_at_most = kept_at_most
        self.skipped = 0
        self._newest = newest
        self._seen = Counter[int]()
        self._at: tuple[float, int] = (float("inf"), _LAST)

    def look(self, db: sqlite3.Connection) -> list[Candidate] | None:
        """As `Walk`."""
        values = {"at": self._at[0], "id": self._at[1], "limit": LOOK_AT_ONCE}
        rows = db.execute(SQL["newest"], values).fetchall()
        if not rows:
            return None
        self._at = (rows[-1][1], rows[-1][0])
        found = [
            Candidate(number, count)
            for number, _, count, kept, workflow in rows
            if self._is_surplus(workflow) and kept <= self.kept_at_most
        ]
        self.skipped += len(rows) - len(found)
        return found

    def _is_surplus(self, workflow: str | None) -> bool:
        name = hash(workflow)  # in place of names of any length
        if name not in self._seen and len(self._seen) >= WORKFLOWS_AT_MOST:
            return False
        self._seen[name] += 1
        return self._seen[name] > self._newest


class Queue:
    """Candidates of a walk, in the order in which they are to go."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self._waiting: deque[Candidate] = deque()

    def look_again(self, db: sqlite3.Connection) -> None:
        """At the beginning of a transaction: something may have arrived for those that wait."""
        if self._waiting:
            values = {"requests": msgspec.json.encode([one.id for one in self._waiting]).decode()}
            still = db.execute(SQL["look_again"], values | {"kept": self.walk.kept_at_most}).fetchall()
            may_go = {number for (number,) in still}
            self._waiting = deque(one for one in self._waiting if one.id in may_go)

    def next(self, db: sqlite3.Connection, rows_at_most: int) -> list[int] | None:
        """A few requests of so many rows together, or one that has more; none when a look has found none.

        None at the end. Until `drop` they are the next ones again.
        """
        if not self._waiting:
            found = self.walk.look(db)
            if found is None:
                return None
            self._waiting.extend(found)
        taken, rows = list[int](), 0
        for one in self._waiting:
            rows += max(one.rows, 1)
            if taken and rows > rows_at_most:
                break
            taken.append(one.id)
        return taken

    def drop(self, count: int) -> None:
        """The first so many are gone."""
        for _ in range(count):
            self._waiting.popleft()
