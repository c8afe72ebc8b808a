"""Any value as JSON text, and whether the text alone gives the value back.

Input is what the spool's msgpack decodes to: a tree of None, bool, int, float, str, bytes, list, dict. Other
objects are accepted and never raise, but their own code (``__repr__``, properties) is not relied upon.

What JSON cannot carry becomes text:

    NaN, inf, -inf           "NaN", "Infinity", "-Infinity"
    bytes                    base64
    keys that are no text    their JSON as text: ``1``, ``true``, ``[1,2]``; bytes as base64
    set, tuple               a list
    more than 64 levels      "<depth>" in place of the 65th
    a container in itself    "<cycle>"
    lone surrogates          U+FFFD
    datetime, UUID, Decimal  as msgspec writes them
    anything else            "<type name>"; also an int of more than 4300 digits

Integers of any size stay JSON numbers. Where two keys become the same text, readers take the later one.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Final

import msgspec

MAX_DEPTH: Final = 64
"""Containers inside containers that are written; more is cut. Stack and readers' own limits stay far away."""

_MIN_DEEP_BYTES: Final = 2 * (MAX_DEPTH + 1)
"""Text that is shorter cannot hold 65 opening and 65 closing brackets."""

_MAX_INT_BITS: Final = 14_000
"""Python refuses to write integers of more than 4300 decimal digits (CVE-2020-10735)."""

_JSON_SCALARS: Final = frozenset({str, int, bool, type(None)})
_FLOATS: Final = {float}
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_UNENCODABLE: Final = (ValueError, TypeError, OverflowError, RecursionError, AttributeError)
"""What msgspec raises for surrogates, huge integers, cycles, and objects that are broken inside."""


def json_text(value: object) -> str:
    """`value` as JSON text, by the rules above. Never raises.

    The tree is walked in Python only when msgspec refuses it, when ``null`` occurs in its text (it writes
    non-finite floats so) or when there are brackets enough for 65 levels.
    """
    try:
        text = _encode(value)
    except _UNENCODABLE:
        return _rewritten(value)
    if _is_flat(value) or not (b"null" in text or _may_be_deep(text)):
        return text.decode()
    return _rewritten(value)


def encode_json(value: object) -> tuple[str, bool]:
    """`value` as JSON text, and whether decoding the text gives equal values of the same types.

    Lists and tuples count as one type, OTLP's array. The flag is False as soon as anything had to be
    converted; the text is then the same as that of `json_text`.
    """
    if _is_exact(value, MAX_DEPTH):
        try:
            return _encode(value).decode(), True
        except _UNENCODABLE:
            pass
    return json_text(value), False


def _is_exact(value: object, room: int) -> bool:
    """Whether JSON carries `value` and its types; `room` is how many levels may still open."""
    kind = type(value)
    if kind in _JSON_SCALARS:
        return True
    if not room or kind is float:
        return kind is float and isfinite(value)  # type: ignore[arg-type]
    if kind is dict:
        return _is_exact_dict(value, room - 1)  # type: ignore[arg-type]
    return kind in (list, tuple) and _is_exact_list(value, room - 1)  # type: ignore[arg-type]


def _is_exact_dict(value: dict[object, object], room: int) -> bool:
    # One flat loop: a span's attributes are eight or so short scalars, and this runs for every span.
    for key, item in value.items():
        if type(key) is not str:
            return False
        kind = type(item)
        if kind is str or kind is int or kind is bool:
            continue
        if not _is_exact(item, room):
            return False
    return True


def _is_exact_list(value: list[object], room: int) -> bool:
    # Embeddings are lists of a thousand floats: types first, at C speed.
    kinds = set(map(type, value))
    if kinds <= _JSON_SCALARS:
        return True
    if kinds == _FLOATS:
        return all(map(isfinite, value))  # type: ignore[arg-type]
    return all(_is_exact(item, room) for item in value)


def _is_flat(value: object) -> bool:
    # Spares the search of a long text with few values, the usual input and output of a model.
    return type(value) is dict and _JSON_SCALARS.issuperset(map(type, value.values()))


def _may_be_deep(text: bytes) -> bool:
    return len(text) >= _MIN_DEEP_BYTES and text.count(b"[") + text.count(b"{") > MAX_DEPTH


def _rewritten(value: object) -> str:
    try:
        return _encode(_plain(value, MAX_DEPTH, set())).decode()
    except _UNENCODABLE:
        return f'"{_placeholder(value)}"'


def _plain(value: object, room: int, above: set[int]) -> object:
    """`value` with everything replaced that msgspec refuses or writes as null.

    `above` holds the identities of the containers around `value`.
    """
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, float):
        return float(value) if isfinite(value) else _non_finite(value)
    if isinstance(value, int):
        return value if value.bit_length() < _MAX_INT_BITS else _placeholder(value)
    if isinstance(value, dict | list | tuple | set | frozenset):
        return _plain_container(value, room, above)
    return value


def _plain_container(
    value: dict[object, object] | list[object] | tuple[object, ...] | set[object] | frozenset[object],
    room: int,
    above: set[int],
) -> object:
    if id(value) in above:
        return "<cycle>"
    if not room:
        return "<depth>"
    above.add(id(value))
    try:
        if isinstance(value, dict):
            return {_plain_key(key): _plain(item, room - 1, above) for key, item in value.items()}
        return [_plain(item, room - 1, above) for item in value]
    finally:
        above.discard(id(value))


def _plain_key(key: object) -> object:
    # Other keys are left to msgspec and its hook, so that both ways write them alike.
    return _clean_text(key) if isinstance(key, str) else key


def _clean_text(text: str) -> str:
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _non_finite(value: float) -> str:
    if value > 0:
        return "Infinity"
    return "-Infinity" if value < 0 else "NaN"


def _placeholder(value: object) -> str:
    return f"<{type(value).__name__}>"


def _foreign(value: object) -> object:
    """What msgspec writes for an object that it does not know; a bool, None or tuple can only be a key."""
    if isinstance(value, bool | tuple) or value is None:
        try:
            return _encode(value).decode()
        except _UNENCODABLE:
            return _placeholder(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return int.__index__(value) if isinstance(value, int) else _placeholder(value)


_encode: Final = msgspec.json.Encoder(enc_hook=_foreign).encode
