"""Whether ages may be believed: nothing is deleted because somebody has set the clock."""

from __future__ import annotations

import sqlite3
from typing import Final

from hush_otel.store import notes

LEAP_S: Final = 24 * 3600.0
"""More than this between two looks is a clock that was set forward, or nobody was there: no difference."""
ABSENT_S: Final = 30 * 24 * 3600.0
"""The same while a leap is not confirmed: who comes once a week must not begin anew each time."""
CONFIRMED_S: Final = 24 * 3600.0
"""How long a time must be seen after such a leap until it counts. Whoever sets a wrong clock right does it
before; where nobody was there, what is too old stays a day longer."""
REMEMBER_S: Final = 60.0
"""How exactly the last look is remembered: no write a second for it."""

SEEN: Final = "retention_seen"
LEAPT: Final = "retention_leapt"


def is_believed(db: sqlite3.Connection, now: float, newest: float | None, *, watched: bool = False) -> bool:
    """Whether `now`, in unix seconds, is a time by which requests may be too old.

    Args:
        db: In a transaction.
        now: What the clock on the wall says.
        newest: When the newest request was begun that was stored before this process came, if any: it stands
            for the last look where there was none. Later ones have the time that is in question.
        watched: Whether this process has made the last look: then nobody was absent since.
    """
    noted = notes.number(db, SEEN)
    seen = noted or newest or now
    leapt = notes.number(db, LEAPT)
    if now > seen + (LEAP_S if leapt is None or watched else ABSENT_S):
        leapt = now
        notes.write(db, LEAPT, leapt)
    elif leapt is not None and not leapt <= now < leapt + CONFIRMED_S:
        # Confirmed, or set back again: what was young before is young now.
        notes.forget(db, LEAPT)
        leapt, noted = None, None
    if noted is None or not noted <= now < noted + REMEMBER_S:
        notes.write(db, SEEN, now)
    return leapt is None
