"""Wall-clock time that knows when somebody has set the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

JUMP_S: Final = 5.0
"""Less between two looks is a clock that is being slewed, or a scheduler's pause."""


class Clock:
    """Unix seconds. One thread at a time.

    Args:
        wall: The time that is stored.
        monotonic: The time that passes.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self.monotonic = monotonic
        self._offset = wall() - monotonic()
        self._jumped = False
        self._set_s = self._least_s = 0.0
        self.ahead_s = 0.0
        """How far the clock is ahead of where it was at its farthest back, since this object was made: it was
        set forward, or right again, or the machine slept."""

    def now(self) -> float:
        """Look at both clocks."""
        now = self._wall()
        offset = now - self.monotonic()
        jump = offset - self._offset
        self._offset = offset
        if abs(jump) > JUMP_S:
            self._jumped = True
            self._set_s += jump
            self._least_s = min(self._least_s, self._set_s)
            self.ahead_s = self._set_s - self._least_s
        return now

    def has_jumped(self) -> bool:
        """Whether that was seen since this was asked last."""
        jumped, self._jumped = self._jumped, False
        return jumped
