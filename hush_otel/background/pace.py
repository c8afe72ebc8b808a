"""How much of its work a step of retention does, by how long the last ones took.

The drain waits for a step. What the same rows cost differs by a hundred times: pages in a cache or on a disk,
a machine that has nothing else to do or ten processes for each core, a checkpoint within the commit or none.
So nothing here is a count that was right once: units become smaller after slow ones and larger after quick
ones, and a step ends early enough for the commit that is to be expected.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hush_otel.store.pruning import ROWS_AT_ONCE

BUDGET_S: Final = 0.02
"""Of a step with its commit, so that the one that misjudges stays below the 50 ms that a drain may wait."""
STEP_S: Final = 0.01
"""One step's work, where nothing has to keep up."""
UNIT_S: Final = 0.0125
"""A unit that took longer, a step by itself, was too large; the next one has half as many rows."""
CHECKPOINT_PAGES: Final = 1_000
"""Of the WAL, while there is something to do: 16 MiB at once take a commit twice as long as it may."""
LEAST_PAGES: Final = 250
"""Below this it is the sync that takes the time, and more of them take more."""
MORE_PAGES: Final = 10
"""After each quick commit: a hundred of them for what one slow one takes away."""
FORGET: Final = 0.9
"""How much of the slowest commit is still expected of the next one."""
UNLIMITED_S: Final = float("inf")


class Turn(NamedTuple):
    """When a step begins and ends, in seconds of the monotonic clock.

    Attributes:
        began: Its beginning.
        until: The end of its work, once it has kept up.
        latest: The end whatever it has reached.
    """

    began: float
    until: float
    latest: float

    def is_over(self, now: float, *, kept_up: bool = True) -> bool:
        """Whether no other unit follows."""
        return now >= self.until and (kept_up or now >= self.latest)


UNLIMITED: Final = Turn(UNLIMITED_S, UNLIMITED_S, UNLIMITED_S)
"""Nobody waits, or somebody waits for the end."""


class Pace:
    """What the last steps say of the next one.

    Attributes:
        pages: Of the WAL, after which a commit brings it into the file.
    """

    def __init__(self) -> None:
        self._rows = ROWS_AT_ONCE
        self.pages = CHECKPOINT_PAGES
        self._commit_s = 0.0

    def turn(self, began: float) -> Turn:
        """A step that begins now. It is one unit at least."""
        room = max(BUDGET_S - self._commit_s, 0.0)
        return Turn(began, began + min(STEP_S, room), began + room)

    def rows(self, quota: int = 0) -> int:
        """How many rows a unit deletes at most: one at least, and `ROWS_AT_ONCE` at most.

        Args:
            quota: Spans that were stored since the last step. Where a step is slow whatever it does, one of
                fewer rows would only let the database grow: it is twice as many, up to what was measured.
        """
        return max(self._rows, min(2 * quota, ROWS_AT_ONCE))

    def unit_took(self, seconds: float) -> None:
        """A unit has ended."""
        if seconds > UNIT_S:
            self._rows = max(self._rows // 2, 1)
        elif seconds < UNIT_S / 2:
            self._rows = min(self._rows * 2, ROWS_AT_ONCE)

    def commit_took(self, seconds: float) -> None:
        """A step's commit has ended, with or without a checkpoint."""
        self._commit_s = max(seconds, self._commit_s * FORGET)
        slow = seconds > BUDGET_S / 2
        pages = self.pages // 2 if slow else self.pages + MORE_PAGES
        self.pages = min(max(pages, LEAST_PAGES), CHECKPOINT_PAGES)
