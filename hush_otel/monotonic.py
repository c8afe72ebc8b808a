"""The clock by which an application's process waits and remembers when to look again."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

# Not time.monotonic: an application's tests stop that (freezegun), or set it below zero, and what waits
# by a clock that stands still waits for ever. It costs the same.
monotonic: Final = partial(time.clock_gettime, time.CLOCK_MONOTONIC)
"""Seconds since some moment, as `time.monotonic` counts them."""

LONG_AGO: Final = float("-inf")
"""Before whatever it says."""
