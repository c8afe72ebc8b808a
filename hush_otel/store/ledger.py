"""The receiving side of the ledger: what the drain has read, counted apart from the rows that came of it.

`hush-otel audit` compares the two. For every record that stands for a span that ended (`end`, `node`):

    read = ended rows - (interrupted - mended) + duplicate + provisional + (kept - used) + unreadable + pruned

`duplicate` and `provisional` stand in hush_losses, all others in hush_ledger. Everything is counted in the
transaction that moves the position of the record's segment: exactly once.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from hush_otel import records

from .statements import load_statements

SQL: Final = load_statements("ledger")

INTERRUPTED: Final = "interrupted"
"""Rows that ended because their process died, without a record."""
MENDED: Final = "mended"
"""Interrupted rows that the real end has replaced."""
KEPT: Final = "kept"
"""Ends that a forked child saw of its parent's spans, put aside."""
USED: Final = "used"
"""Those of them that became the end of a row, because the parent died."""
UNREADABLE: Final = "unreadable"
"""Ends and node traces that no version of a row could be made of; they lie in salvage/."""
PRUNED: Final = "pruned"
"""Ended rows that were deleted by retention."""

KINDS: Final = {
    records.END: "end",
    records.START: "start",
    records.COMPLETE: "complete",
    records.ORIGIN: "origin",
    records.RULES: "rules",
    records.NODE: "node",
    records.MARK: "mark",
    records.AGAIN: "again",
    records.COMMAND: "command",
}
SPANS: Final = frozenset({"end", "node"})
"""Kinds that stand for a span that ended."""


def tally(payloads: Iterable[bytes]) -> Counter[str]:
    """Encoded records by kind. One that repeats another is `again`; count what it wraps when it is used."""
    found = Counter[str]()
    # By their first two bytes, which hold the type: few are different, and only those are looked into.
    for head, number in Counter([payload[:2] for payload in payloads]).items():
        found[KINDS.get(records.record_type(head), "other")] += number
    return found


def count(db: sqlite3.Connection, counts: Mapping[str, int]) -> None:
    """Add to the ledger."""
    db.executemany(SQL["count"], list(counts.items()))


def give_up(db: sqlite3.Connection, payload: bytes, *, read: bool) -> None:
    """A record gives no row. With `read` it is counted as read, too: its batch has not counted it."""
    found = tally([payload])
    if read:
        count(db, found)
    if SPANS & found.keys():
        count(db, {UNREADABLE: 1})
