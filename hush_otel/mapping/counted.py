"""Which tokens and costs are added up, and how large a sum can be.

A node trace keeps what it was given, whatever that is. Added up is what can be a count or an amount: nothing
below zero. Sums stay at the largest that a column and JSON can hold.
"""

from __future__ import annotations

from typing import NamedTuple

from .semconv import MAX_INT, MAX_USD


class Counted(NamedTuple):
    """What a row adds to a sum; None: nothing. Tokens and US dollars."""

    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cost_usd: float | None


def counted(prompt: int | None, completion: int | None, total: int | None, usd: float | None) -> Counted:
    """The counts that are none left out. The total as given, else the sum of the two.

    A node keeps the total that it was given: its request is summed up.
    """
    prompt, completion, total = _from_zero(prompt), _from_zero(completion), _from_zero(total)
    if total is None and prompt is not None and completion is not None:
        total = prompt + completion
    return Counted(prompt, completion, total, None if usd is None or usd < 0 else usd)


def _from_zero(tokens: int | None) -> int | None:
    return None if tokens is None or tokens < 0 else tokens


def held_tokens(tokens: int | None) -> int | None:
    """A sum as a column holds it: absurd counts add up to more than 64 bit."""
    return tokens if tokens is None else max(-MAX_INT, min(tokens, MAX_INT))


def held_usd(usd: float | None) -> float | None:
    """Likewise: absurd amounts add up to infinity, which JSON cannot say."""
    return usd if usd is None else max(-MAX_USD, min(usd, MAX_USD))
