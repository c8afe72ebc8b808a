"""What differs between two texts, line by line: for `diff --io` and the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import islice, takewhile
from typing import Final, NamedTuple

CHARS: Final = 64 * 1024
"""Of each text that its callers compare."""

COMPARED: Final = 1_000
"""Lines of each text, where the texts are the same neither before nor behind them. Finding what belongs
together takes time that grows with their product: a second at worst."""

CONTEXT: Final = 1
"""Lines around a difference."""


class Differences(NamedTuple):
    """What a unified diff says of two texts, without its heads.

    Attributes:
        lines: Each behind ``-`` (in the first alone), ``+`` (in the second), a blank (in both) or ``@``
            (where the next ones are).
        more: How many further lines there are.
        cut: Whether not all lines were compared.
    """

    lines: list[str]
    more: int
    cut: bool


def differences(a: Sequence[str], b: Sequence[str], *, limit: int) -> Differences:
    """The lines in which two texts differ, `limit` of them at most; none where they are the same."""
    ahead = max(0, _alike(zip(a, b, strict=False)) - CONTEXT)
    behind = _alike(zip(reversed(a[ahead:]), reversed(b[ahead:]), strict=False))
    behind = max(0, behind - CONTEXT)
    parts = [lines[ahead : len(lines) - behind] for lines in (a, b)]
    some = [part[:COMPARED] for part in parts]
    found = list(_unified(some[0], some[1], ahead))
    return Differences(found[:limit], max(0, len(found) - limit), cut=some != parts)


def _alike(pairs: Iterator[tuple[str, str]]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _unified(a: Sequence[str], b: Sequence[str], ahead: int) -> Iterator[str]:
    for group in SequenceMatcher(None, a, b).get_grouped_opcodes(CONTEXT):
        (_, a_first, _, b_first, _), (_, _, a_end, _, b_end) = group[0], group[-1]
        ranges = (_range(ahead + a_first, a_end - a_first), _range(ahead + b_first, b_end - b_first))
        yield "@@ -{} +{} @@".format(*ranges)
        for kind, i, j, k, m in group:
            if kind == "equal":
                yield from (f" {line}" for line in islice(a, i, j))
                continue
            yield from (f"-{line}" for line in islice(a, i, j))
            yield from (f"+{line}" for line in islice(b, k, m))


def _range(before: int, amount: int) -> str:
    """As a unified diff counts: from 1; an empty one stands behind the line that it names."""
    if amount == 1:
        return str(before + 1)
    return f"{before + 1 if amount else before},{amount}"
