"""Which spans of a request its duration hangs on: a pure function of its tree.

The path is walked back in time. At any moment it lies in the deepest span that was then the last to end:
shorten a span on it, and the request ends earlier. Jaeger's and Uber's (CRISP) definition; Eaton, Bonsall
et al., "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures", USENIX ATC 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

from .placing import ROOT, Children
from .standing_in import Columns
from .text import number, numbers

Times = Sequence[float | None]


def critical_path(children: Children, columns: Columns) -> set[int]:
    """The spans on the path, by index.

    It begins at the root that ended last. Running spans have not ended: they are left out, and so is all of a
    request whose roots run.

    Args:
        children: As `place` has found them.
        columns: Of the spans, and of passes of loops behind them.
    """
    starts, ends = numbers(columns["start_ns"]), _ends(columns)
    ended = [(end, root) for root in children.get(ROOT, ()) if (end := ends[root]) is not None]
    if not ended:
        return set()
    end, last = max(ended, key=lambda pair: pair[0])
    found: set[int] = set()
    waiting = [(last, end)]
    while waiting:  # no recursion: a chain may be thousands deep
        index, end = waiting.pop()
        found.add(index)
        if index in children:
            waiting += _below(children[index], end, starts, ends)
    return found


def _below(children: list[int], own_end: float, starts: Times, ends: Times) -> list[tuple[int, float]]:
    """The children on the path, each with the moment at which the path leaves it.

    A child that outlives its parent counts up to its end. One that still ran when the next on the path began
    was not what that one waited for.
    """
    ended = [(min(end, own_end), child) for child in children if (end := ends[child]) is not None]
    ended.sort(key=lambda pair: pair[0], reverse=True)
    found, until = [], own_end
    for end, child in ended:
        start = starts[child] or 0
        if end <= until and start < own_end:
            found.append((child, end))
            until = start
    return found


def _ends(columns: Columns) -> Times:
    """When each ended; None while it runs. A pass of a loop has a duration, and no end of its own."""
    said = numbers(columns["end_ns"])
    if None not in said:
        return said
    rows = zip(said, columns["start_ns"], columns["duration_ms"], columns["status"], strict=True)
    return [_end(start, took, status) if end is None else end for end, start, took, status in rows]


def _end(start_ns: object, duration_ms: object, status: object) -> float | None:
    start, took = number(start_ns), number(duration_ms)
    if status == "running" or start is None or took is None:
        return None
    return start + took * 1e6
