"""Any record decoded, those too whose values msgpack can carry and Python cannot: with placeholders.

An app may hand over extension types, dataclasses as keys, and lists in lists in lists. To look for them there
costs as much as to encode the record; here it is done once the decoder has refused one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from hush_otel import records
from hush_otel.codec import ENCODER
from hush_otel.walk import MAX_DEPTH

RECORD_DEPTH: Final = 2
"""A record is an array, the values of a node trace another one in it."""

_TIMESTAMP: Final = 0xFF
"""Type -1, which the decoder knows (msgpack specification, Timestamp extension type)."""

_SCALARS: Final = {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}
"""Sizes of floats and integers, with their first byte."""
_LENGTH_BYTES: Final = {
    **dict.fromkeys((0xC4, 0xC7, 0xD9), 1),
    **dict.fromkeys((0xC5, 0xC8, 0xDA, 0xDC, 0xDE), 2),
    **dict.fromkeys((0xC6, 0xC9, 0xDB, 0xDD, 0xDF), 4),
}
_EXTENSIONS: Final = range(0xC7, 0xCA)
_FIXED_EXTENSIONS: Final = range(0xD4, 0xD9)
_ARRAYS: Final = (0xDC, 0xDD)
_MAPS: Final = (0xDE, 0xDF)


class _Token(NamedTuple):
    """A scalar, or the head of a container: where it ends, and the items that follow (a map: two a pair)."""

    end: int
    items: int = 0
    is_container: bool = False
    is_map: bool = False
    is_extension: bool = False


def decode(payload: bytes) -> records.Record | None:
    """The record of a payload; None when it is of no known type or shape."""
    try:
        return records.decode_record(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    try:
        return records.decode_record(mend(payload))
    except (msgspec.MsgspecError, ValueError, RecursionError, IndexError):
        return None


def mend(data: bytes) -> bytes:
    """The same msgpack with text for what no decoder takes; keys that are containers stay distinct.

    Raises:
        IndexError: It is no msgpack, or cut short.
    """
    return b"".join(_pieces(data))


def _pieces(data: bytes) -> Iterator[bytes]:
    at, keys = 0, 0
    open_: list[list[int]] = []  # containers around `at`: items left, whether a map
    while True:
        token = _token(data, at)
        if token.is_container and open_ and open_[-1][1] and open_[-1][0] % 2 == 0:
            keys += 1
            token = _Token(_after(data, at))
            yield ENCODER.encode(f"<key {keys}>")
        elif token.is_container and len(open_) > MAX_DEPTH + RECORD_DEPTH:
            token = _Token(_after(data, at))
            yield ENCODER.encode("<depth>")
        else:
            yield ENCODER.encode("<extension>") if token.is_extension else data[at : token.end]
        at = token.end
        if open_:
            open_[-1][0] -= 1
        if token.items:
            open_.append([token.items, token.is_map])
        while open_ and not open_[-1][0]:
            open_.pop()
        if not open_:
            return


def _after(data: bytes, at: int) -> int:
    """Where the value ends that begins at `at`, with all that is in it."""
    left = 1
    while left:
        token = _token(data, at)
        at, left = token.end, left - 1 + token.items
    return at


def _token(data: bytes, at: int) -> _Token:
    """The next token (msgpack specification, Formats)."""
    head = data[at]
    if 0x80 <= head < 0xC0:  # noqa: PLR2004 - the specification's numbers, as below
        return _short(head, at)
    length_bytes = _LENGTH_BYTES.get(head)
    if length_bytes is None:
        return _fixed(data, head, at)
    start = at + 1 + length_bytes
    if start > len(data):
        raise IndexError(at)
    count = int.from_bytes(data[at + 1 : start], "big")
    if head in _ARRAYS:
        return _Token(start, count, is_container=True)
    if head in _MAPS:
        return _Token(start, 2 * count, is_container=True, is_map=True)
    if head in _EXTENSIONS:
        return _Token(start + 1 + count, is_extension=data[start] != _TIMESTAMP)
    return _Token(start + count)


def _short(head: int, at: int) -> _Token:
    if head >= 0xA0:  # noqa: PLR2004
        return _Token(at + 1 + (head & 0x1F))
    count, is_map = head & 0x0F, head < 0x90  # noqa: PLR2004
    return _Token(at + 1, count << is_map, is_container=True, is_map=is_map)


def _fixed(data: bytes, head: int, at: int) -> _Token:
    if head in _FIXED_EXTENSIONS:
        return _Token(at + 2 + (1 << head - 0xD4), is_extension=data[at + 1] != _TIMESTAMP)
    return _Token(at + _SCALARS.get(head, 1))
