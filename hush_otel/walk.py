"""Any value as one that msgpack can encode, a step at a time: what codec.py falls back to.

Nothing of a user's code runs, or can: what cannot be read without it is named by its type. How much of a
value is left is said by `Limits`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import itertools
import uuid
from collections import UserDict, UserList, deque
from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from opentelemetry.attributes import BoundedAttributes

from .signalled import let_through

MAX_DEPTH: Final = 64
MAX_ARRAY_ELEMENTS: Final = 100_000
_MAX_INT_BITS: Final = 13_000
"""About 4,000 digits: converting more to text takes quadratic time, and Python refuses it."""

_OPENING_PARTS: Final = 4
"""What an object takes in room, for its fields are found slowly."""

_CYCLE: Final = "<cycle>"
_DEPTH: Final = "<depth>"
_CUT: Final = "<cut>"

T = TypeVar("T")
R = TypeVar("R")


class Limits(NamedTuple):
    """How much a walk leaves of a value."""

    text_bytes: int | None
    items: int | None
    """Of each container."""
    part_bytes: int
    """The room that each item takes, whatever it is: a bound on how long a walk takes."""
    room_bytes: int
    """Of the whole record, reckoned low for what is no ASCII."""
    last: bool = False
    """Whether what has no room is cut where it stands, and not left to narrower limits."""


class Walked:
    """A value that only the walk may encode: natively it could take any amount of memory."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


def placeholder(value: object) -> str:
    """What stands for a value that is not looked into."""
    kind = type(value)
    try:
        return f"<{kind.__module__}.{kind.__qualname__}>"
    except Exception as exc:  # noqa: BLE001 - a class may put anything under these names
        let_through(exc)
        return "<object>"


def convert(value: object) -> object:
    """One step towards an encodable value, without running a user's code. Never raises."""
    kind = type(value)  # isinstance would ask the object for its __class__
    for base, plain in _PLAIN:
        if issubclass(kind, base):
            return plain(value)
    fields = _fields_of(value)
    if fields is not None:
        return fields
    return _from_numpy(value)


def _fields_of(value: object) -> object | None:
    """A pydantic model's fields as they lie in it, those that its class does not know too.

    model_dump would run validators' code.
    """
    if not hasattr(type(value), "__pydantic_fields__"):
        return None
    extra = getattr(value, "__pydantic_extra__", None)
    return {**getattr(value, "__dict__", {}), **(extra if type(extra) is dict else {})}


def _from_numpy(value: object) -> object:
    if type(value).__module__ != "numpy":
        return placeholder(value)
    size = getattr(value, "size", 1)
    if size > MAX_ARRAY_ELEMENTS or not hasattr(value, "tolist"):
        return f"{placeholder(value)} of {size} elements"
    plain = value.tolist()
    return placeholder(value) if type(plain) is type(value) else plain


def holds_objects(value: Any) -> bool:
    """Whether it is an array of numpy whose elements are objects."""
    return type(value).__module__ == "numpy" and getattr(getattr(value, "dtype", None), "hasobject", False)


_PLAIN: Final[tuple[tuple[Any, Callable[[Any], object]], ...]] = (
    # Subclasses, by the base's own method: theirs may be overridden.
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, bytes.__bytes__),
    (bytearray, lambda v: bytearray.__getitem__(v, slice(None))),
    ((MappingProxyType, BoundedAttributes), dict),
    (UserDict, lambda v: v.data),
    (UserList, lambda v: v.data),
    (deque, list),
)


class NoRoomError(Exception):
    """The record becomes too large."""


class Walk:
    """One pass over a value that could not be encoded as it is.

    Raises:
        NoRoomError: Unless these are the last limits.
    """

    def __init__(self, limits: Limits) -> None:
        self._text_bytes, self._items, self._part_bytes, self._room, self._last = limits
        self._path: set[int] = set()
        self.has_cut = False
        """Whether something was left out for size."""

    def walk(self, value: Any, depth: int) -> Any:
        """The value as it can be encoded; where that fails, its placeholder, and only there."""
        try:
            return self._whatever(value, depth)
        except NoRoomError:
            if not self._last:
                raise
        self.has_cut = True
        return _CUT

    def _whatever(self, value: Any, depth: int) -> Any:
        try:
            return self._walk(value, depth)
        except NoRoomError:
            raise
        except Exception as exc:  # noqa: BLE001 - a released memoryview, too deep a nest of keys, a user's code
            let_through(exc)
            return self._text(placeholder(value))

    def _walk(self, value: Any, depth: int) -> Any:  # noqa: PLR0911 - one line a type
        kind = type(value)  # isinstance would ask the object for its __class__
        if value is None or kind is bool:
            return value
        if issubclass(kind, str):
            return self._text(value)
        if issubclass(kind, int):
            return self._integer(int.__int__(value))
        if issubclass(kind, float):
            return float.__float__(value)
        if issubclass(kind, (bytes, bytearray, memoryview)):
            return self._bytes(memoryview(value))
        if issubclass(kind, (dict, list, tuple, set, frozenset)):
            return self._within(value, depth, self._container)
        if issubclass(kind, (msgspec.Raw, msgspec.msgpack.Ext)):
            return self._text(placeholder(value))
        return self._within(value, depth, self._other)

    def _take(self, size_bytes: int) -> None:
        if size_bytes > self._room:
            raise NoRoomError
        self._room -= size_bytes

    def _text(self, value: str) -> str:
        length, most = str.__len__(value), self._text_bytes
        if most is None or length <= most // 4:
            self._take(length)
            return _without_surrogates(value)
        head = _without_surrogates(str.__getitem__(value, slice(most)))
        kept = head.encode()[:most].decode("utf-8", "ignore")
        self._take(len(kept))
        if length <= most and len(kept) == len(head):
            return kept
        self.has_cut = True
        unit = "bytes" if str.isascii(value) else "characters"
        return f"{kept}… [cut {length - len(kept)} {unit}]"

    def _integer(self, value: int) -> int | str:
        if -(1 << 63) <= value < (1 << 63):
            return value
        if value.bit_length() > _MAX_INT_BITS:
            return f"<integer of {value.bit_length()} bits>"
        return self._text(str(value))

    def _bytes(self, value: memoryview) -> bytes:
        most = value.nbytes if self._text_bytes is None else self._text_bytes
        self.has_cut |= value.nbytes > most
        self._take(min(value.nbytes, most))
        return (value[:most] if value.ndim == 1 else value).tobytes()[:most]

    def _within(self, value: Any, depth: int, walk: Callable[[Any, int], Any]) -> Any:
        """What holds others, unless it is on the way to itself."""
        if depth > MAX_DEPTH:
            return _DEPTH
        if id(value) in self._path:
            return _CYCLE
        self._path.add(id(value))
        try:
            return walk(value, depth)
        finally:
            self._path.discard(id(value))

    def _container(self, value: Any, depth: int) -> Any:
        if issubclass(type(value), dict):
            # dict.items: a subclass may have overridden its own.
            pairs = self._some(dict.items(value), dict.__len__(value))
            return self._distinct(self._each(pairs, lambda p: (self._key(p[0]), self.walk(p[1], depth + 1))))
        base = next(base for base in _SEQUENCES if issubclass(type(value), base))
        # By the base's own iterator: a subclass's need not end.
        members = self._some(base.__iter__(value), base.__len__(value))
        return self._each(members, lambda member: self.walk(member, depth + 1))

    def _some(self, members: Iterable[T], length: int) -> list[T]:
        """A copy, for others may write to what is walked; as many as may be."""
        most = length if self._items is None else min(length, self._items)
        self.has_cut |= most < length
        self._take(most * self._part_bytes)
        return [*itertools.islice(members, most)]

    def _each(self, members: list[T], walk: Callable[[T], R]) -> list[R]:
        """Every member; by the last limits none takes the room of those that come after it."""
        if not self._last:
            return [walk(member) for member in members]
        room, walked = self._room, list[R]()
        for left, member in zip(range(len(members), 0, -1), members, strict=True):
            self._room = share = room // left
            walked.append(walk(member))
            room -= share - self._room
        self._room = room
        return walked

    def _distinct(self, pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
        """Keys that became the same text keep their values."""
        found: dict[Any, Any] = {}
        for key, value in pairs:
            free, number = key, len(found)
            while free in found:  # a key may look like what another one becomes
                free, number = f"{key} ({number})", number + 1
            found[free] = value
        return found

    def _key(self, key: Any) -> Any:
        kind = type(key)
        if issubclass(kind, str):
            return self._text(key)
        if kind is bool or key is None:
            return str(key)
        if issubclass(kind, (int, float, tuple)):
            return self._text(str(self.walk(key, 0)))
        plain = self.walk(key, 0)  # text for an enumeration, a date, a UUID
        return plain if type(plain) is str else self._text(placeholder(key))

    def _other(self, value: Any, depth: int) -> Any:
        if type(value) not in _TEXTS:
            self._take(_OPENING_PARTS * self._part_bytes)
        plain = opened(value)
        return self.walk(plain, depth) if type(plain) is not type(value) else self._text(placeholder(value))


_SHORT: Final = Limits(1 << 10, 50, part_bytes=64, room_bytes=1 << 14, last=True)
"""Of what should have been a name or a time: whatever it is, a page of it is enough."""


def shortened(value: Any) -> Any:
    """What should have been a name or a time, as the native encoder may have it."""
    return Walk(_SHORT).walk(value, 0)


def as_text(value: Any) -> str:
    """A name as text, whatever was given for one: None and empty bytes are empty, 1.2 is "1.2"."""
    kind = type(value)
    if value is None or kind is str:
        return value or ""
    if issubclass(kind, bytes):
        return bytes.decode(value, "utf-8", "replace")
    plain = shortened(value)
    return plain if type(plain) is str else str(plain)


def opened(value: Any) -> object:
    """One level of what the native encoder opens whole."""
    kind = type(value)
    if kind in _TEXTS:
        return msgspec.to_builtins(value)
    if kind is Walked:
        return value.value
    if issubclass(kind, enum.Enum):
        return value._value_
    if issubclass(kind, msgspec.Struct):
        return _opened_struct(value)
    names = _field_names(kind)
    return convert(value) if names is None else _present(value, zip(names, names, strict=True))


def _opened_struct(value: msgspec.Struct) -> dict[str, Any] | list[Any]:
    kind, config = type(value), value.__struct_config__
    fields = _present(value, zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))
    if config.tag is not None:
        fields = {config.tag_field or "type": config.tag, **fields}
    return list(fields.values()) if config.array_like else fields


def _present(value: object, names: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The fields that are set, by the names under which they are written."""
    found = ((written, getattr(value, name, msgspec.UNSET)) for written, name in names)
    return {name: field for name, field in found if field is not msgspec.UNSET}


def _field_names(kind: type) -> list[str] | None:
    """Of a dataclass, or of attrs the public ones, as msgspec does it."""
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    attributes = getattr(kind, "__attrs_attrs__", None)
    return attributes and [one.name for one in attributes if not one.name.startswith("_")]


_TEXTS: Final = (dt.datetime, dt.date, dt.time, dt.timedelta, uuid.UUID, decimal.Decimal)
_SEQUENCES: Final[tuple[Any, ...]] = (list, tuple, set, frozenset)


def _without_surrogates(value: str) -> str:
    return str.encode(value, "utf-16", "surrogatepass").decode("utf-16", "replace")
