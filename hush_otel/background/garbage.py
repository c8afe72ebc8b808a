"""Python's cyclic garbage collector in a process of ours: seldom, for there are no cycles to find.

A batch makes thousands of dictionaries and tuples and lets go of them by counting. At the usual threshold of
700 each batch is searched several times, a twentieth of the work (docs/performance.md).
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = 50_000, 20, 50


def collect_seldom() -> None:
    """For processes that are ours alone; never in an app."""
    gc.collect()
    gc.freeze()  # what is imported stays for good
    gc.set_threshold(*THRESHOLDS)
