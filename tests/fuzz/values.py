"""Arbitrary Python values out of bytes: what applications hand over, and what nobody should."""

from __future__ import annotations

import datetime as dt
import enum
import math
import uuid
from collections import ChainMap, OrderedDict, UserDict, UserList, deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple, NoReturn

import msgspec
import numpy as np
from source import Source

MOST_VALUES = 400
"""Of one input: its size is bounded, whatever its bytes say."""
DEEPEST = 90
"""Above the codec's 64 levels."""

TEXTS = ("", "a", "request", "flow.step", "flow.loop[0].step", "[0].[1]", "llm", "2026-01-31T09:00:00Z", "\ud800",
         "\0", "\u202e<script>", "${HOME}", "__media__", "__proto__", "NaN", "-1", "9" * 30, "é" * 300,
         "x" * 70_000, "bytes", "base64", "path", "data", "content_type", "attach_to", "name", "input", "output",
         "metadata", "user", "session", "data:image/png;base64,QUJD", "QUJD", "/dev/zero", "\x1b[2J", "a\nb")  # fmt: skip
NUMBERS = (0, 1, -1, 127, 128, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1,
           10**30, 10**5000, -(10**5000))  # fmt: skip
FLOATS = (0.0, -0.0, 1.5, -1.5, 1e308, 5e-324, math.nan, math.inf, -math.inf, 1e18, 253402300800.0)


class HostileError(Exception):
    """What hostile objects raise."""

    def __str__(self) -> str:
        raise HostileError


def _refuse(*_: object, **__: object) -> NoReturn:
    raise HostileError


class Hostile:
    """Whatever is asked of it, it refuses."""

    __repr__ = __str__ = __iter__ = __len__ = __bool__ = __getattr__ = __hash__ = __eq__ = __bytes__ = _refuse  # type: ignore[assignment]
    __index__ = __int__ = __float__ = __array__ = __fspath__ = __reduce__ = _refuse


class Impostor:
    """Says that it is a dict."""

    @property
    def __class__(self) -> type:  # type: ignore[override]
        return dict


class Text(str):
    """A text that denies it."""

    __slots__ = ()
    __str__ = __repr__ = encode = __len__ = __iter__ = __eq__ = _refuse  # type: ignore[assignment]
    __hash__ = str.__hash__


class Number(int):
    """A number that denies it."""

    __str__ = __repr__ = __int__ = __index__ = __float__ = bit_length = _refuse  # type: ignore[assignment]


class Real(float):
    """Another."""

    __str__ = __repr__ = __int__ = __float__ = _refuse  # type: ignore[assignment]


class Blob(bytes):
    """Bytes that deny it."""

    __bytes__ = __repr__ = __len__ = __iter__ = _refuse  # type: ignore[assignment]


class Items(list):  # type: ignore[type-arg]
    """A list that never ends."""

    def __iter__(self) -> Any:
        while True:
            yield 1

    __len__ = __repr__ = _refuse  # type: ignore[assignment]


class Elements(tuple):  # type: ignore[type-arg]
    """A tuple that never ends."""

    __slots__ = ()

    def __iter__(self) -> Any:
        while True:
            yield 1

    __len__ = __repr__ = _refuse  # type: ignore[assignment]


class Members(set):  # type: ignore[type-arg]
    """A set that denies it. Its iterator is the one that msgspec asks: codec.py."""

    __iter__ = __len__ = __repr__ = _refuse  # type: ignore[assignment]


class Table(dict):  # type: ignore[type-arg]
    """A dict that denies it."""

    items = keys = values = get = __iter__ = __len__ = __repr__ = __getitem__ = __contains__ = _refuse  # type: ignore[assignment]


class LazyDict(UserDict):  # type: ignore[type-arg]
    """One whose content is a user's code."""

    @property
    def data(self) -> Any:  # type: ignore[override]
        """Raises."""
        raise HostileError

    @data.setter
    def data(self, _value: Any) -> None:
        """Forgets."""


class Colour(enum.Enum):
    """An enumeration with a strange value."""

    RED = "red"
    HOSTILE = Hostile
    BIG = 2**70


class Flags(enum.IntFlag):
    """Another."""

    ONE = 1
    TWO = 2


@dataclass
class Data:
    """A dataclass of anything."""

    first: Any
    second: Any


@dataclass(frozen=True)
class Key:
    """One that may be a key."""

    first: Any


class Fields(msgspec.Struct):
    """A struct of anything."""

    first: Any
    second: Any = None


class Pair(NamedTuple):
    """A named tuple of anything."""

    first: Any
    second: Any


class Model:
    """What the codec takes for a pydantic model."""

    __pydantic_fields__ = ()

    def __init__(self, value: Any) -> None:
        self.value = value


class Values:
    """Makes values out of a source. The same bytes make equal ones."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = MOST_VALUES
        self._above: list[Any] = []

    def value(self) -> Any:
        """Any."""
        self._left -= 1
        if self._left < 0 or len(self._above) > DEEPEST:
            return None
        kind = self._source.byte() % len(_MAKERS)
        return _MAKERS[kind](self)

    def text(self) -> str:
        """Of a few known ones, or of its own."""
        choice = self._source.byte()
        if choice < len(TEXTS):
            return TEXTS[choice]
        return self._source.take(choice & 31).decode("utf-8", "surrogateescape")

    def number(self) -> int:
        """Of a few known ones, or of its own."""
        choice = self._source.byte()
        return NUMBERS[choice] if choice < len(NUMBERS) else self._source.number(choice & 15) - 1000

    def real(self) -> float:
        """Of a few known ones."""
        return FLOATS[self._source.byte() % len(FLOATS)]

    def blob(self) -> bytes:
        """Short."""
        return self._source.take(self._source.byte() & 63)

    def some(self) -> list[Any]:
        """A list, which what is in it may contain."""
        made: list[Any] = []
        self._above.append(made)
        for _ in range(self._source.byte() & 7):
            made.append(self.value())  # noqa: PERF401 - what is made may contain the list as it is by then
        self._above.pop()
        return made

    def table(self) -> dict[Any, Any]:
        """A dict with any keys, which what is in it may contain."""
        made: dict[Any, Any] = {}
        self._above.append(made)
        for _ in range(self._source.byte() & 7):
            key = self.key()
            made[key] = self.value()
        self._above.pop()
        return made

    def key(self) -> Any:
        """What can be one."""
        choice = self._source.byte()
        if choice < 200:
            return TEXTS[choice % len(TEXTS)]
        value = self.value()
        try:
            hash(value)
        except Exception:
            return "unhashable"
        return value

    def members(self) -> set[Any]:
        """A set of what can be in one."""
        return {self.key() for _ in range(self._source.byte() & 3)}

    def above(self) -> Any:
        """A container around this value: a cycle."""
        return self._above[self._source.byte() % len(self._above)] if self._above else None

    def deep(self) -> Any:
        """Lists in lists, up to a thousand."""
        value: Any = None
        for _ in range(4 * self._source.byte()):
            value = [value]
        return value

    def array(self) -> Any:
        """One of numpy's."""
        kinds = ("i8", "u8", "f4", "f8", "c16", "?", "S3", "U3", "O", "M8[ns]", "m8[s]")
        shape = tuple(self._source.byte() & 3 for _ in range(self._source.byte() & 3))
        return np.zeros(shape, kinds[self._source.byte() % len(kinds)])

    def moment(self) -> Any:
        """A time of some kind."""
        choice, number = self._source.byte() % 4, self._source.number(3)
        return (
            dt.datetime(1 + number % 9999, 1, 31, tzinfo=(None, dt.UTC)[number & 1]),
            dt.date(1 + number % 9999, 12, 31),
            dt.timedelta(days=number, microseconds=number),
            dt.time(number % 24, fold=number & 1),
        )[choice]


def _released(values: Values) -> memoryview:
    view = memoryview(values.blob())
    view.release()
    return view


_MAKERS: tuple[Callable[[Values], Any], ...] = (
    lambda v: None,
    lambda v: True,
    lambda v: False,
    Values.number,
    Values.real,
    Values.text,
    Values.blob,
    Values.some,
    Values.table,
    lambda v: tuple(v.some()),
    Values.members,
    lambda v: frozenset(v.members()),
    Values.above,
    Values.deep,
    Values.array,
    lambda v: np.float32(v.real()),
    lambda v: np.int64(7),
    Values.moment,
    lambda v: uuid.UUID(int=v._source.number(16)),
    lambda v: Decimal(v.text() if v.text().isdecimal() else "NaN"),
    lambda v: Hostile(),
    lambda v: Hostile,
    lambda v: Impostor(),
    lambda v: Text(v.text()),
    lambda v: Number(v.number()),
    lambda v: Real(v.real()),
    lambda v: Blob(v.blob()),
    lambda v: Items(v.some()),
    lambda v: Elements(v.some()),
    lambda v: Members(v.members()),
    lambda v: Table(v.table()),
    lambda v: LazyDict(),
    lambda v: UserDict({"k": v.value()}),
    lambda v: UserList(v.some()),
    lambda v: MappingProxyType(v.table()),
    lambda v: MappingProxyType(Table(v.table())),
    lambda v: OrderedDict(v.table()),
    lambda v: ChainMap(v.table()),
    lambda v: deque(v.some()),
    lambda v: tuple(Colour)[v._source.byte() % 3],
    lambda v: Flags(v._source.byte() & 3),
    lambda v: Data(v.value(), v.value()),
    lambda v: Key(v.value()),
    lambda v: Fields(v.value(), v.value()),
    lambda v: Pair(v.value(), v.value()),
    lambda v: Model(v.value()),
    lambda v: SimpleNamespace(bytes=v.blob(), content_type=v.text()),
    lambda v: msgspec.Raw(v.blob()),
    lambda v: msgspec.msgpack.Ext(v._source.byte() & 127, v.blob()),
    lambda v: bytearray(v.blob()),
    lambda v: memoryview(v.blob()),
    lambda v: memoryview(v.blob() * 2)[::2],
    _released,
    lambda v: (one for one in v.some()),
    lambda v: HostileError("x"),
    lambda v: ValueError(v.text()),
    lambda v: PurePosixPath(v.text()),
    lambda v: {"__media__": v.value()},
    lambda v: {"__media__": {v.text(): {v.text(): v.value(), "bytes": v.blob()}}},
    lambda v: complex(v.real(), v.real()),
    lambda v: range(v._source.byte()),
    lambda v: v.text,
    lambda v: object(),
    lambda v: 1 << (v._source.number(2)),
)
