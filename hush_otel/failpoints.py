"""Moments at which a test has this process die, fail or stop: ``HUSH_FAILPOINT=name:action[:n]``.

``kill`` is SIGKILL, ``error`` an OSError, ``pause`` SIGSTOP until somebody sends SIGCONT; at the n-th time
that the process gets there (1), and only then. Unset, as it is wherever people work, `reach` returns at once;
none is on the path of a single record.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import Final, NamedTuple

from .config import environment_value
from .errors import ConfigError

VARIABLE: Final = "HUSH_FAILPOINT"

APP: Final = ("segment.made", "segment.allocated", "segment.written", "segment.renamed", "owner.claimed")
"""Reached by whoever records: a segment, or the file that says that its writer lives, is being made."""
BACKGROUND: Final = (
    "drain.read",
    "drain.saved",
    "drain.committed",
    "drain.told",
    "store.opened",
    "store.migrated",
    "store.begun",
    "store.committing",
    "store.committed",
    "upkeep.interrupted",
    "upkeep.synced",
    "upkeep.unlinked",
    "relay.queued",
    "relay.claimed",
    "relay.sent",
    "relay.settled",
)
"""Reached by the background process, in the order of the data."""
RETENTION: Final = (
    "retention.deleted",
    "retention.committed",
    "retention.cut",
    "retention.truncating",
    "retention.truncated",
    "retention.ended",
)
"""Reached by the background process where something may be deleted, in this order."""
SEARCH: Final = ("search.indexed", "search.committed", "search.merged", "search.emptied")
"""Reached by the background process while it builds the full-text index, or empties one."""
MOMENTS: Final = (*APP, *BACKGROUND, *RETENTION, *SEARCH)
ACTIONS: Final = ("kill", "error", "pause")


class Failpoint(NamedTuple):
    """What is set."""

    name: str
    action: str
    turn: int


def parse(text: str) -> Failpoint:
    """What a setting says.

    Raises:
        ConfigError: No such moment, no such action, no number.
    """
    name, _, rest = text.partition(":")
    action, _, turn = rest.partition(":")
    if name not in MOMENTS:
        raise ConfigError(f"HUSH_FAILPOINT: {name!r} is no moment", hint=", ".join(MOMENTS))
    if action not in ACTIONS or not (turn or "1").isdigit():
        raise ConfigError(f"HUSH_FAILPOINT: {text!r}", hint="name:kill, name:error or name:pause, and :n")
    return Failpoint(name, action, int(turn or "1"))


def check() -> None:
    """Fail for a setting that cannot work.

    Raises:
        ConfigError: See `parse`.
    """
    text = environment_value(VARIABLE)
    if text:
        parse(text)


def reach(name: str) -> None:
    """Here is that moment.

    Raises:
        OSError: Somebody has asked for it.
    """
    if _set is not None and _set.name == name:
        _times.append(name)
        if len(_times) == _set.turn:
            _act(_set)


def _act(what: Failpoint) -> None:
    if what.action == "error":
        raise OSError(errno.EIO, f"{os.strerror(errno.EIO)}, as HUSH_FAILPOINT says", what.name)
    os.kill(os.getpid(), signal.SIGKILL if what.action == "kill" else signal.SIGSTOP)


def _load() -> Failpoint | None:
    text = environment_value(VARIABLE)
    try:
        return parse(text) if text else None
    except ConfigError:
        return None  # `check` says so where somebody hears it


_set: Final = _load()
_times: Final[list[str]] = []
