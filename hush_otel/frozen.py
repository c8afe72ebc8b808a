"""What the native encoder may be given: nothing that others can change while it works.

It keeps no references of its own. Where it runs Python code (a hook, a property, `utcoffset` of a tzinfo),
another thread gets its turn, and a list that becomes shorter there is read behind its end: the application
dies. So it gets either what makes it run none, plain values only, or a copy of which all containers are ours.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import gc
import uuid
from collections.abc import Sequence
from typing import Any, Final

from .walk import Walked, holds_objects, opened

MAX_PARTS: Final = 1 << 22
"""Of one value: what has more is looked at in smaller pieces. Forty lists, each of which holds the next one
twice, have 10¹²."""
_OPENING_PARTS: Final = 16
"""What an object counts, for its fields are found slowly."""

_referents: Final = gc.get_referents
_are_plain: Final = frozenset(
    (dict, list, tuple, str, int, float, bool, type(None), bytes, bytearray, dt.date, dt.timedelta)
).issuperset
_FIXED_OFFSETS: Final = frozenset((type(None), dt.timezone))
_LEAVES: Final = frozenset(
    (
        *(str, int, float, bool, type(None), bytes, bytearray, memoryview),
        *(dt.date, dt.datetime, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID),
    )
)
"""Of these exactly, not of subclasses."""


def count_plain(values: Sequence[object]) -> int | None:
    """How many parts a list or tuple has, each counted where it is referred to; None: one is not plain.

    Level by level, in C and without a user's code: what it refers to, and what that refers to.

    Raises:
        BufferError: It has more than MAX_PARTS.
    """
    found = _referents(values)
    parts = 0
    while found:
        parts += len(found)
        if not _are_plain(map(type, found)) and not _are_as_good(found):
            return None
        if parts > MAX_PARTS:
            raise BufferError
        found = _referents(*found)
    return parts


def _are_as_good(found: list[Any]) -> bool:
    """Whether only times are not plain among them, and those have no offset or a fixed one."""
    times = [one for one in found if type(one) is dt.datetime]
    others = {*map(type, found)} - {dt.datetime}
    return _are_plain(others) and all(type(time.tzinfo) in _FIXED_OFFSETS for time in times)


class Freezer:
    """Copies one value."""

    def __init__(self) -> None:
        self._left = MAX_PARTS

    def freeze(self, value: Any) -> Any:
        """The same for the native encoder: objects opened, every container a new one.

        Raises:
            BufferError: It has too many parts.
            Exception: Only the walk can encode it.
        """
        kind = type(value)
        if kind in _LEAVES:
            return value
        if kind is dict:
            return self._mapping(value.copy())
        if kind is list or kind is tuple:
            return self._members([*value])
        return self._strange(value, kind)

    def _members(self, members: list[Any]) -> list[Any]:
        self._take(len(members))
        freeze = self.freeze
        return [one if type(one) is str else freeze(one) for one in members]

    def _mapping(self, pairs: dict[Any, Any]) -> dict[Any, Any]:
        self._take(len(pairs))
        if not _LEAVES.issuperset(map(type, pairs)):
            pairs = {_key(key): one for key, one in pairs.items()}
        freeze = self.freeze
        return {key: one if type(one) is str else freeze(one) for key, one in pairs.items()}

    def _strange(self, value: Any, kind: type) -> Any:
        if issubclass(kind, dict):
            return self._mapping(dict(dict.items(value)))  # by dict's: a subclass may have overridden its own
        for base in (list, tuple, set, frozenset):
            if issubclass(kind, base):
                return self._members([*base.__iter__(value)])
        if kind is Walked or holds_objects(value):
            raise TypeError
        self._take(_OPENING_PARTS)
        plain = opened(value)
        if type(plain) is kind:
            raise TypeError
        return self.freeze(plain)

    def _take(self, parts: int) -> None:
        self._left -= parts
        if self._left < 0:
            raise BufferError


def _key(key: Any) -> Any:
    kind = type(key)
    if kind in _LEAVES:
        return key
    if kind is tuple:
        return tuple(map(_key, key))
    if issubclass(kind, enum.Enum):
        return _key(key._value_)
    raise TypeError  # only the walk knows it
