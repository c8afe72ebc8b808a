"""Single values of a node trace, read leniently: text, numbers, times.

A caller may have passed anything for an optional field. Each reader gives the value to use and whether the
original was of the documented type; nothing here raises.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from math import isfinite
from typing import Final

import msgspec

from .jsontext import json_text

MIN_INT: Final = -(2**63)
MAX_INT: Final = 2**63 - 1
"""OTLP's and SQLite's integers are signed 64 bit."""

MAX_FLOAT: Final = 1e308
"""Numbers beyond it (and so inf and NaN) are taken as invalid."""

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NAIVE: Final = _EPOCH.replace(tzinfo=None)
_BEYOND_MICROSECONDS: Final = re.compile(r"[.,][0-9]{6}([0-9]{1,3})")
_MICROSECONDS_LENGTH: Final = len("2026-01-01T00:00:00.000000")


def required_text(value: object) -> tuple[str, bool]:
    """Text as it is, None as the empty text, anything else written as text."""
    if type(value) is str:
        return value, True
    return ("" if value is None else _as_text(value)), False


def optional_text(value: object) -> tuple[str | None, bool]:
    """Text or None as they are, anything else written as text."""
    if value is None or type(value) is str:
        return value, True
    return _as_text(value), False


def integer(value: object) -> tuple[int | None, bool]:
    """A signed 64-bit integer; a float without a fraction is one (numpy's averages), a bool is not."""
    if value is None:
        return None, True
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_INT:
        value = int(value)
    return (value, True) if type(value) is int and _is_int64(value) else (None, False)


def number(value: object) -> tuple[int | float | None, bool]:
    """A finite number, its type kept."""
    if value is None or _is_finite_float(value) or _is_int64(value):
        return value, True  # type: ignore[return-value]
    return None, False


def moment(value: object) -> tuple[str | int | float | None, bool]:
    """A time as it was given: text, or seconds since 1970. A datetime becomes its ISO 8601 text."""
    if type(value) is str:
        return value, True
    return (value.isoformat(), True) if isinstance(value, datetime) else number(value)


def truth(value: object) -> tuple[bool, bool]:
    """A bool; 0, 1 and None stand for one."""
    if value is None or isinstance(value, bool):
        return bool(value), True
    return (value == 1, True) if isinstance(value, int) and value in (0, 1) else (False, False)


def error_text(error: object) -> str | None:
    """The message of a node's error; None for None, False and the empty text: there was none."""
    if isinstance(error, str):
        return error or None
    return None if error is None or error is False else _as_text(error)


def original(value: object) -> str | bool | int | float:
    """A refused value as an attribute: scalars that OTLP carries as they are, the rest written as text."""
    if type(value) in (str, bool) or _is_finite_float(value) or _is_int64(value):
        return value  # type: ignore[return-value]
    return _as_text(value)


def epoch_ns(value: str | float | None) -> int | None:
    """A time as unix nanoseconds; None when it cannot be read or lies before 1970 or after 2262.

    Beyond these years neither OTLP nor SQLite carries nanoseconds.

    Args:
        value: ISO 8601 text (``Z``, an offset, or none for UTC; up to nine digits of a second, more are cut)
            or a number of seconds since 1970.
    """
    if value is None:
        return None
    ns = _iso_ns(value) if isinstance(value, str) else _seconds_ns(value)
    return ns if ns is not None and 0 <= ns <= MAX_INT else None


def derived_times(
    start_ns: int | None, end_ns: int | None, duration_ms: float | None, record_ns: int
) -> tuple[int, int]:
    """Start and end of a node that lacks one of them or both, by its duration and the time of its record.

    Hush inserts a node when it ends, so the record's time stands for the end where no duration says better.
    """
    length_ns = _length_ns(duration_ms)
    if end_ns is None and start_ns is not None:
        end_ns = start_ns + length_ns if duration_ms is not None else max(start_ns, record_ns)
    elif end_ns is None:
        end_ns = record_ns
    if start_ns is None:
        start_ns = end_ns - length_ns
    return _clamp_ns(start_ns), _clamp_ns(end_ns)


def _length_ns(duration_ms: float | None) -> int:
    # Bounded before it is multiplied: a float near its limit becomes inf, which is no integer.
    return round(min(max(duration_ms or 0, 0), MAX_INT // NS_PER_MS) * NS_PER_MS)


def _clamp_ns(ns: int) -> int:
    return min(max(ns, 0), MAX_INT)


def _iso_ns(text: str) -> int | None:
    try:
        time = datetime.fromisoformat(text.strip())
        since = time - (_EPOCH_NAIVE if time.tzinfo is None else _EPOCH)
    except (ValueError, OverflowError):
        return None
    whole_s = since.days * 86_400 + since.seconds
    return whole_s * NS_PER_S + since.microseconds * 1_000 + _nanosecond_digits(text)


def _nanosecond_digits(text: str) -> int:
    """What follows the sixth digit of a second, which datetime cuts off."""
    if len(text) <= _MICROSECONDS_LENGTH or (digits := _BEYOND_MICROSECONDS.search(text)) is None:
        return 0
    return int(digits[1].ljust(3, "0"))


def _seconds_ns(seconds: float) -> int | None:
    if not isfinite(seconds):
        return None
    # Split first: seconds * 1e9 has more digits than a float holds.
    whole = int(seconds)
    return whole * NS_PER_S + round((seconds - whole) * NS_PER_S)


def _as_text(value: object) -> str:
    """The JSON text, without the quotes where it is a single string: ``NaN``, ``<object>``, base64."""
    text = json_text(value)
    return str(msgspec.json.decode(text)) if text.startswith('"') else text


def _is_int64(value: object) -> bool:
    return type(value) is int and MIN_INT <= value <= MAX_INT


def _is_finite_float(value: object) -> bool:
    return type(value) is float and -MAX_FLOAT <= value <= MAX_FLOAT
