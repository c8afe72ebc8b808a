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

One method of users is called: the iterator of a subclass of set. It has to end.

A record over 16 MiB is cut: texts to 1 MiB and 10,000 items a container first, then less. What has no room
even then is "<cut>". A part that is referred to from many places is written out at each: forty lists, each of
which holds the next one twice, are 10¹² items. So parts are counted first, what has more than a few is
encoded into a buffer whose size is fixed, and a walk ends when its room is taken, of which every part takes
some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from .frozen import Freezer, count_plain
from .signalled import let_through
from .walk import Limits, NoRoomError, Walk, Walked, convert, holds_objects

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024

_LIMITS: Final[tuple[Limits, ...]] = (
    Limits(None, None, part_bytes=64, room_bytes=MAX_RECORD_BYTES),
    Limits(1 << 20, 10_000, part_bytes=128, room_bytes=MAX_RECORD_BYTES),
    Limits(1 << 16, 1_000, part_bytes=1024, room_bytes=MAX_RECORD_BYTES),
    Limits(1 << 10, 50, part_bytes=256, room_bytes=MAX_RECORD_BYTES // 8, last=True),
)
"""Each tried when the one before left the record too large."""


def _convert_bounded(value: Any) -> object:
    """A step of the native encoder; what may be of any size is left to the walk."""
    if type(value) is Walked or holds_objects(value):
        raise TypeError
    return convert(value)


_check_structure: Final = msgspec.msgpack.Decoder(msgspec.Raw).decode
"""Skips over a record without making its values: a third of what encoding costs."""

ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=_convert_bounded)
"""For records without values of users, or those that the SDK has copied: of any size."""
_NATIVE: Final = msgspec.msgpack.Encoder()

_FEW_PARTS: Final = 200


def encode(record: Sequence[Any], given: Sequence[object] | None = None) -> tuple[bytes, bool]:
    """Encode a record.

    Args:
        record: A list or tuple.
        given: What in it comes from users, where that is not all of it.

    Returns:
        The msgpack bytes, at most MAX_RECORD_BYTES, and whether something was cut away for size.

    Raises:
        Nothing that a value can cause; KeyboardInterrupt and SystemExit go through.
    """
    limits = _LIMITS
    try:
        parts = count_plain(given or record)
        if parts is None:
            data = _encode_large(Freezer().freeze(record))
        else:
            data = _NATIVE.encode(record) if parts <= _FEW_PARTS else _encode_large(record)
        # Raw values may be anything. What else the decoder refuses is for mend.py.
        _check_structure(data)
        if len(data) <= MAX_RECORD_BYTES:
            return data, False
        limits = _LIMITS[1:]
    except BufferError:
        limits = _LIMITS[1:]
    except Exception as exc:  # noqa: BLE001 - whatever a strange object raises, the walk handles it
        let_through(exc)
    return _encode_walked(record, limits)


def is_small(value: object) -> bool:
    """Whether a value has a few parts, and no object among them."""
    try:
        parts = count_plain((value,))
    except BufferError:
        return False
    return parts is not None and parts <= _FEW_PARTS


def _encode_walked(record: object, limits: Iterable[Limits]) -> tuple[bytes, bool]:
    for one in limits:
        walk = Walk(one)
        try:
            data = ENCODER.encode(walk.walk(record, 0))
        except NoRoomError:
            continue
        if len(data) <= MAX_RECORD_BYTES:
            return data, walk.has_cut
    raise ValueError("a record of a fixed shape does not fit after cutting")


_SIZES: Final = (1 << 14, 1 << 17, 1 << 20, MAX_RECORD_BYTES)


def _encode_large(record: object) -> bytes:
    """Encode natively what may be of any size.

    Raises:
        BufferError: It is larger than MAX_RECORD_BYTES.
    """
    for size in _SIZES:
        buffer = bytearray(size)
        with suppress(BufferError), memoryview(buffer):  # which keeps the buffer from growing
            _NATIVE.encode_into(record, buffer)
            return bytes(buffer)
    raise BufferError


def _refuse(code: int, _data: memoryview) -> object:
    raise msgspec.DecodeError(f"msgpack extension type {code} is not accepted")


def decode(kind: Any) -> Callable[[bytes], Any]:
    """A decoder for a type. Extension types other than msgpack's timestamp are refused (S11)."""
    return msgspec.msgpack.Decoder(kind, ext_hook=_refuse).decode
