"""Which spans of a request its duration hangs on: a pure function of the arranged tree.

The path is walked back in time. At any moment it lies in the deepest span that was then the last to end:
shorten a span on it, and the request ends earlier. Jaeger's and Uber's (CRISP) definition; Eaton, Bonsall
et al., "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures", USENIX ATC 2022.
"""

from __future__ import annotations

from collections.abc import Iterable

from .text import number
from .tree import Node


def critical_path(roots: Iterable[Node]) -> set[int]:
    """The nodes on the path, by ``id(node)``.

    It begins at the root that ended last. Running spans have not ended: they are left out, and so is all of a
    request whose roots run.
    """
    ended = [(end, root) for root in roots if (end := _end(root)) is not None]
    if not ended:
        return set()
    end, last = max(ended, key=lambda pair: pair[0])
    found: set[int] = set()
    waiting = [(last, end)]
    while waiting:  # no recursion: a chain may be thousands deep
        node, end = waiting.pop()
        found.add(id(node))
        waiting.extend(_below(node, end))
    return found


def _below(node: Node, until: float) -> list[tuple[Node, float]]:
    """The children on the path, each with the moment at which the path leaves it.

    A child that outlives `node` counts up to its end. One that still ran when the next on the path began was
    not what that one waited for.
    """
    own_end = until
    ended = [(min(end, own_end), child) for child in node.children if (end := _end(child)) is not None]
    ended.sort(key=lambda pair: pair[0], reverse=True)
    found = []
    for end, child in ended:
        start = number(child.row["start_ns"]) or 0
        if end <= until and start < own_end:
            found.append((child, end))
            until = start
    return found


def _end(node: Node) -> float | None:
    end = number(node.row["end_ns"])
    if end is not None:
        return end
    start, took = number(node.row["start_ns"]), number(node.row["duration_ms"])
    if node.row["status"] == "running" or start is None or took is None:
        return None
    return start + took * 1e6  # a pass of a loop, which has no row of its own
