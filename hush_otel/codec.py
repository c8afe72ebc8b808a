"""User values to msgpack and back: fast for what is usual, safe for whatever comes.

`encode` tries the value as it is. Only when that fails, or the result is too large, does it walk
the value and make it encodable:

| value | becomes |
|---|---|
| str, int, float, list, tuple, dict, set, bytes and their subclasses | themselves (a set: a list) |
| datetime, date, time, timedelta, UUID, Decimal | ISO or canonical text |
| dataclass, attrs, msgspec.Struct, pydantic model, namedtuple | a mapping of its fields, or a list |
| Enum | its value |
| numpy scalars and arrays, up to 100,000 elements | numbers, nested lists |
| lone surrogates | U+FFFD |
| integers outside 64 bit | text; above 4,000 digits a marker |
| a container inside itself | "<cycle>" |
| depth over 64 | "<depth>" |
| msgspec's Raw and Ext | a placeholder like the next |
| anything else | "<module.Type>": a user's __repr__, __str__, items() are never called |

One method of users is called: the iterator of a subclass of set, which msgspec asks. It has to end.

A record over 16 MiB is cut: texts to 1 MiB and 10,000 items a container first, then less.
"""

from __future__ import annotations

from collections import UserDict, UserList, deque
from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Any, Final

import msgspec
from opentelemetry.attributes import BoundedAttributes

MAX_DEPTH: Final = 64
MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
MAX_ARRAY_ELEMENTS: Final = 100_000
_MAX_INT_BITS: Final = 13_000
"""About 4,000 digits: converting more to text takes quadratic time, and Python refuses it."""
_CUTS: Final = ((1 << 20, 10_000), (1 << 16, 1_000), (1 << 10, 50))
"""(text bytes, items a container), each tried when the one before left the record too large."""

_CYCLE: Final = "<cycle>"
_DEPTH: Final = "<depth>"


def placeholder(value: object) -> str:
    """What stands for a value that is not looked into."""
    kind = type(value)
    try:
        return f"<{kind.__module__}.{kind.__qualname__}>"
    except Exception:  # noqa: BLE001 - a class may put anything under these names
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
    """A pydantic model's fields as they lie in its __dict__: model_dump would run validators' code."""
    if hasattr(type(value), "__pydantic_fields__"):
        return dict(getattr(value, "__dict__", {}))
    return None


def _from_numpy(value: object) -> object:
    if type(value).__module__ != "numpy":
        return placeholder(value)
    size = getattr(value, "size", 1)
    if size > MAX_ARRAY_ELEMENTS or not hasattr(value, "tolist"):
        return f"{placeholder(value)} of {size} elements"
    plain = value.tolist()
    return placeholder(value) if type(plain) is type(value) else plain


_PLAIN: Final[tuple[tuple[Any, Callable[[Any], object]], ...]] = (
    # Subclasses, by the base's own method: theirs may be overridden.
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    ((MappingProxyType, BoundedAttributes), dict),
    (UserDict, lambda v: v.data),
    (UserList, lambda v: v.data),
    (deque, list),
)

_check_structure: Final = msgspec.msgpack.Decoder(msgspec.Raw).decode
"""Skips over a record without making its values: a third of what encoding costs."""

ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=convert)


def encode(record: object) -> tuple[bytes, bool]:
    """Encode a record.

    Returns:
        The msgpack bytes, at most MAX_RECORD_BYTES, and whether something was cut away for size.

    Raises:
        Nothing that a value can cause; KeyboardInterrupt and SystemExit go through.
    """
    try:
        data = ENCODER.encode(record)
        # Raw values may be anything. What else the decoder refuses is for mend.py.
        _check_structure(data)
        if len(data) <= MAX_RECORD_BYTES:
            return data, False
    except Exception:  # noqa: BLE001 - whatever a strange object raises, the walk handles it
        data = ENCODER.encode(_Walk(None, None).walk(record, 0))
        if len(data) <= MAX_RECORD_BYTES:
            return data, False
    for text_bytes, items in _CUTS:
        data = ENCODER.encode(_Walk(text_bytes, items).walk(record, 0))
        if len(data) <= MAX_RECORD_BYTES:
            return data, True
    raise ValueError("a record of a fixed shape does not fit after cutting")


class _Walk:
    """One pass over a value that could not be encoded as it is."""

    def __init__(self, text_bytes: int | None, items: int | None) -> None:
        self._text_bytes = text_bytes
        self._items = items
        self._path: set[int] = set()

    def walk(self, value: Any, depth: int) -> Any:
        """The value as it can be encoded; where that fails, its placeholder, and only there."""
        try:
            return self._walk(value, depth)
        except Exception:  # noqa: BLE001 - a released memoryview, too deep a nest of keys, a user's code
            return placeholder(value)

    def _walk(self, value: Any, depth: int) -> Any:  # noqa: PLR0911 - one line a type
        kind = type(value)  # isinstance would ask the object for its __class__
        if value is None or kind is bool:
            return value
        if issubclass(kind, str):
            return self._text(value)
        if issubclass(kind, int):
            return _integer(int.__int__(value))
        if issubclass(kind, float):
            return float.__float__(value)
        if issubclass(kind, (bytes, bytearray, memoryview)):
            return self._bytes(memoryview(value).tobytes())
        if issubclass(kind, (dict, list, tuple, set, frozenset)):
            return self._container(value, depth)
        if issubclass(kind, (msgspec.Raw, msgspec.msgpack.Ext)):
            return placeholder(value)
        return self._other(value, depth)

    def _text(self, value: str) -> str:
        text = _without_surrogates(value)
        if self._text_bytes is None or len(text) <= self._text_bytes // 4:
            return text
        data = text.encode()
        if len(data) <= self._text_bytes:
            return text
        kept = data[: self._text_bytes].decode("utf-8", "ignore")
        return f"{kept}… [cut {len(data) - self._text_bytes} bytes]"

    def _bytes(self, value: bytes) -> bytes:
        return value if self._text_bytes is None else value[: self._text_bytes]

    def _container(self, value: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            return _DEPTH
        if id(value) in self._path:
            return _CYCLE
        self._path.add(id(value))
        try:
            if issubclass(type(value), dict):
                # dict.items: a subclass may have overridden its own. A copy: others may write to it.
                pairs = list(dict.items(value))[: self._items]
                return self._distinct((self._key(k), self.walk(v, depth + 1)) for k, v in pairs)
            return [self.walk(v, depth + 1) for v in _items(value)[: self._items]]
        finally:
            self._path.discard(id(value))

    def _distinct(self, pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
        """Keys that became the same text keep their values."""
        found: dict[Any, Any] = {}
        for key, value in pairs:
            found[key if key not in found else f"{key} ({len(found)})"] = value
        return found

    def _key(self, key: Any) -> Any:
        kind = type(key)
        if issubclass(kind, str):
            return self._text(key)
        if kind is bool or key is None:
            return str(key)
        if issubclass(kind, (int, float)):
            return str(self.walk(key, 0))
        if issubclass(kind, tuple):
            return str(self.walk(_items(key), 0))
        plain = self._other(key, 0)  # text for an enumeration, a date, a UUID
        return plain if type(plain) is str else placeholder(key)

    def _other(self, value: Any, depth: int) -> Any:
        try:
            plain = msgspec.to_builtins(value, enc_hook=convert)
        except Exception:  # noqa: BLE001 - a field that raises, a cycle through objects
            return placeholder(value)
        return self.walk(plain, depth) if type(plain) is not type(value) else placeholder(value)


def _items(value: Any) -> list[Any]:
    """A copy of a sequence or a set, by its base's own iterator: a subclass's need not end."""
    kind = type(value)
    return [*next(base for base in _SEQUENCES if issubclass(kind, base)).__iter__(value)]


_SEQUENCES: Final[tuple[Any, ...]] = (list, tuple, set, frozenset)


def _without_surrogates(value: str) -> str:
    return str.encode(value, "utf-16", "surrogatepass").decode("utf-16", "replace")


def _integer(value: int) -> int | str:
    if -(1 << 63) <= value < (1 << 63):
        return value
    if value.bit_length() > _MAX_INT_BITS:
        return f"<integer of {value.bit_length()} bits>"
    return str(value)


def _refuse(code: int, _data: memoryview) -> object:
    raise msgspec.DecodeError(f"msgpack extension type {code} is not accepted")


def decode(kind: Any) -> Callable[[bytes], Any]:
    """A decoder for a type. Extension types other than msgpack's timestamp are refused (S11)."""
    return msgspec.msgpack.Decoder(kind, ext_hook=_refuse).decode
