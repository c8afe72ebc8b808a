"""The prices of one model: US dollars of a call's tokens at its time.

A part that has a price of its own (cached, cache write, reasoning, audio) is taken out of the whole that it
is counted in. A tier holds for all tokens once the whole input exceeds it. The last price whose date has come
or whose hours it is counts, else the first.
"""

from __future__ import annotations

import itertools
from datetime import date
from typing import Final, NamedTuple

import msgspec

NS_PER_MINUTE: Final = 60 * 10**9
NS_PER_DAY: Final = 24 * 60 * NS_PER_MINUTE
MINUTES_PER_DAY: Final = 24 * 60
EPOCH: Final = date(1970, 1, 1).toordinal()


class Unit(msgspec.Struct):
    """What is counted. Prices are for `per` of it; a unit with more dimensions is part of one with fewer."""

    per: int
    dimensions: dict[str, str]


class Tiers(msgspec.Struct):
    """A price, and others above so many input tokens."""

    base: float
    tiers: list[tuple[int, float]]


class Price(msgspec.Struct):
    """US dollars by unit, and when they hold: from a date on, or at some hours, else always."""

    usd: dict[str, float | Tiers]
    from_date: date | None = None
    hours: tuple[int, int] | None = None  # minutes of the day, UTC; may go over midnight


class Part(NamedTuple):
    """The price of one unit. `within`: the priced units that are part of it, and are not paid twice."""

    unit: str
    usd_per_one: float
    tiers: tuple[tuple[int, float], ...]  # (input tokens, usd_per_one), the highest first
    within: tuple[str, ...]


class Tariff:
    """A model's prices.

    Attributes:
        source: The table, its date, and the model in it.
    """

    def __init__(self, source: str, prices: list[Price], units: dict[str, Unit]) -> None:
        self.source = source
        self._prices = [Period(one, units) for one in prices]
        self._usual = _usual(self._prices)

    def usd(self, prompt: int, completion: int, details: dict[str, int], start_ns: int) -> float | None:
        """US dollars of a call; None where the model is not paid by tokens, or the counts contradict.

        Args:
            prompt: Tokens, with cached ones.
            completion: Tokens, with reasoning.
            details: Counts of their parts, none of them 0.
            start_ns: When it began, unix nanoseconds.
        """
        if self._usual is not None and not details:
            fee, input_usd, output_usd = self._usual
            return fee + prompt * input_usd + completion * output_usd
        period = self._prices[0] if len(self._prices) == 1 else self._at(start_ns)
        if details:
            return period.usd_of_parts({"input_tokens": prompt, "output_tokens": completion, **details})
        if not period.parts:
            return None
        usd = period.fee
        if period.input is not None:
            usd += prompt * (_rate(period.input, prompt) if period.input.tiers else period.input.usd_per_one)
        if period.output is not None:
            usd += completion * _rate(period.output, prompt)
        return usd

    def _at(self, start_ns: int) -> Period:
        return next((one for one in reversed(self._prices) if one.is_at(start_ns)), self._prices[0])


def _usual(prices: list[Period]) -> tuple[float, float, float] | None:
    """Fee, input and output of a model whose prices are the same always and for any size, as most are."""
    if len(prices) != 1 or not prices[0].parts:
        return None
    parts = prices[0].input, prices[0].output
    if any(part is not None and part.tiers for part in parts):
        return None
    input_usd, output_usd = (0.0 if part is None else part.usd_per_one for part in parts)
    return prices[0].fee, input_usd, output_usd


class Period:
    """The prices of a model from a date on, or at some hours.

    Attributes:
        parts: What is priced, the most special first.
    """

    __slots__ = ("_joins", "_price", "fee", "input", "output", "parts")

    def __init__(self, price: Price, units: dict[str, Unit]) -> None:
        special = sorted(price.usd, key=lambda unit: -len(units[unit].dimensions))
        self._price = price
        self.parts = [_part(unit, price.usd[unit], special, units) for unit in special]
        by_unit = {part.unit: part for part in self.parts}
        self.input, self.output = by_unit.get("input_tokens"), by_unit.get("output_tokens")
        self.fee = by_unit["requests"].usd_per_one if "requests" in by_unit else 0.0
        self._joins = [(unit, found) for unit in special if (found := _joined(unit, units))]

    def is_at(self, start_ns: int) -> bool:
        """Whether it has begun, or it is one of its hours."""
        if self._price.from_date is not None:
            return start_ns // NS_PER_DAY >= self._price.from_date.toordinal() - EPOCH
        hours = self._price.hours
        return hours is None or _is_within(start_ns // NS_PER_MINUTE % MINUTES_PER_DAY, hours)

    def usd_of_parts(self, counts: dict[str, int]) -> float | None:
        """What is part of a whole is paid by its own price, and the rest by the whole's.

        None where two parts are counted and what they have in common is not, but has a price.
        """
        if not self.parts or any(
            unit not in counts and one in counts and other in counts
            for unit, pairs in self._joins
            for one, other in pairs
        ):
            return None
        usd = self.fee
        left: dict[str, int] = {}
        for part in self.parts:
            number = counts.get(part.unit, 0) - sum(left[inner] for inner in part.within)
            if number < 0:
                return None
            left[part.unit] = number
            usd += number * _rate(part, counts["input_tokens"])
        return usd


def _joined(unit: str, units: dict[str, Unit]) -> list[tuple[str, str]]:
    """Pairs whose common part a unit is: cached tokens and audio, for cached audio."""
    ours = units[unit].dimensions.items()
    inside = [one for one in units if units[one].dimensions.items() < ours]
    return [
        (one, other)
        for one, other in itertools.combinations(inside, 2)
        if units[one].dimensions | units[other].dimensions == dict(ours)
    ]


def _part(unit: str, usd: float | Tiers, priced: list[str], units: dict[str, Unit]) -> Part:
    per, ours = units[unit].per, units[unit].dimensions.items()
    within = tuple(one for one in priced if ours < units[one].dimensions.items())
    if isinstance(usd, Tiers):
        tiers = tuple((start, amount / per) for start, amount in sorted(usd.tiers, reverse=True))
        return Part(unit, usd.base / per, tiers, within)
    return Part(unit, usd / per, (), within)


def _rate(part: Part, prompt: int) -> float:
    for start, usd_per_one in part.tiers:
        if prompt > start:
            return usd_per_one
    return part.usd_per_one


def _is_within(minute: int, hours: tuple[int, int]) -> bool:
    start, end = hours
    return start <= minute < end if start <= end else minute >= start or minute < end
