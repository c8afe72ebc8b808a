"""How values from the database become text: made harmless first, then readable.

Everything in the database may have been written by anyone: names, errors and ids hold what an application
put into its spans. `clean` is the one way to a terminal; `output.to_json` the one way to `--json`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from types import NoneType
from typing import Any, Final

import msgspec

DASH: Final = "-"
"""Stands for a value that is not there."""

KIB: Final = 1024

HALF_A_MICROSECOND_MS: Final = 0.0005
"""Less is none."""
SECONDS_FROM_MS: Final = 999.5
MINUTES_FROM_MS: Final = 59_950
"""Where three digits would round up into the next unit."""

ABSURD_USD: Final = 1e12
ABSURD_DAYS: Final = 10**9
"""From here on nobody reads an amount, or a duration, digit by digit."""

_ANSI: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS and their kin
    r"|\x1b[ -/]*[0-~]"  # the short ones
)
_LINE_BREAKS: Final = re.compile("\r\n|[\n\r\v\f\x85\u2028\u2029]")
# Controls, bidi marks and overrides, and characters that are there without being seen. Zero-width joiners
# (200c, 200d) stay: Persian and emoji need them, and they move nothing.
_INVISIBLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)

_ESCAPE: Final = re.compile(
    r"\\\\|\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})"
)
"""Of JSON: an escaped backslash, which is none; a pair of surrogates; one unit."""

_GENERATED: Final = re.compile("#[0-9a-f]{8}$")


def clean(value: object, *, limit: int = 200) -> str:
    """Text that can do nothing to a terminal: no escapes, no controls, no bidi marks, on one line.

    Line breaks show as ``↵``, what exceeds `limit` characters as ``…``.
    """
    whole = str(value)
    text = whole[: limit * 4]  # a prefix bounds the work on a 100 MB value
    text = _LINE_BREAKS.sub("↵", _ANSI.sub("", text).strip()).replace("\t", " ")
    text = _INVISIBLE.sub("", text)
    if len(text) <= limit and len(whole) <= limit * 4:
        return text
    return text[: limit - 1] + "…"


def said(error: object, *, limit: int = 300) -> str:
    """What an error says, as `clean`; cut so that the hint stays that stands in brackets at its end."""
    whole = str(error)
    shown = clean(whole, limit=limit)
    start = _last_brackets(whole[-limit:]) if shown.endswith("…") else None
    if start is None:
        return shown
    hint = clean(whole[start:], limit=limit)
    return f"{clean(whole[:start], limit=limit - len(hint) - 1)} {hint}"


def _last_brackets(end: str) -> int | None:
    """Where the brackets begin with which a text ends, from behind; None for none, and for most of it."""
    depth = 0
    for distance, letter in enumerate(reversed(end) if end.endswith(")") else "", 1):
        depth += (letter == ")") - (letter == "(")
        if not depth:
            return -distance if distance <= len(end) * 2 // 3 else None
    return None


def plural(amount: int, noun: str) -> str:
    """``1 span``, ``1,024 spans``."""
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"


def passes(amount: int) -> str:
    """``1 pass``, ``2 passes`` of a loop."""
    return f"{amount:,} pass" if amount == 1 else f"{amount:,} passes"


def is_generated(destination: object) -> bool:
    """Whether a destination has the name that one without a name gets: its type and a hash."""
    return _GENERATED.search(str(destination)) is not None


def number(value: object) -> float | None:
    """A column as a finite number; None for anything else (SQLite's columns hold any type)."""
    if isinstance(value, (int, float)) and math.isfinite(value):
        return value
    return None


def numbers(column: Sequence[Any]) -> Sequence[float | None]:
    """`number` of each; of whole numbers, which most columns are, without a look at every one."""
    return column if set(map(type, column)) <= {int, NoneType} else list(map(number, column))


def duration(ms: object) -> str:
    """Milliseconds for people: ``85 µs``, ``12.3 ms``, ``1.24 s``, ``2m 05s``, ``3h 07m``, ``2d 04h``.

    Absurd ones as ``1e+292d``.
    """
    value = number(ms)
    if value is None:
        return DASH
    if value < -HALF_A_MICROSECOND_MS:
        return f"-{duration(-value)}"
    value = abs(value)  # -0.0, and what rounds to it
    if value < 1:
        return f"{value * 1000:.0f} µs"
    if value < SECONDS_FROM_MS:
        return f"{_significant(value)} ms"
    if value < MINUTES_FROM_MS:
        return f"{_significant(value / 1000)} s"
    return _clock(round(value / 1000))


def _significant(value: float) -> str:
    return f"{value:.{max(0, 2 - int(math.log10(value)))}f}"


def _clock(seconds: int) -> str:
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if hours < 1:
        return f"{minutes}m {seconds % 60:02}s"
    if days < 1:
        return f"{hours}h {minutes % 60:02}m"
    return f"{days}d {hours % 24:02}h" if days < ABSURD_DAYS else f"{days:.0e}d"


def cost(usd: object, computed: object = None) -> str:
    """Dollars with three significant digits, at least cents: ``$0.00123``, ``$1.50``; absurd: ``$1e+308``.

    With ``~`` in front where anything of it was computed by a price table.
    """
    value = number(usd)
    if value is None:
        return ""
    if computed is not None:
        return f"~{cost(value)}"
    if value == 0:
        return "$0"
    if abs(value) >= ABSURD_USD:
        return f"{'-' if value < 0 else ''}${abs(value):.0e}"
    places = max(2, 2 - math.floor(math.log10(abs(value))))
    whole, _, decimals = f"{abs(value):.{places}f}".partition(".")
    return f"{'-' if value < 0 else ''}${whole}.{decimals.rstrip('0').ljust(2, '0')}"


def tokens(prompt: object, completion: object, total: object) -> str:
    """``123→45``; the total where the parts are unknown; empty where nothing is."""
    if number(prompt) is None and number(completion) is None:
        return count(total)
    return f"{count(prompt) or '?'}→{count(completion) or '?'}"


def count(value: object) -> str:
    """A whole number; empty for what is none."""
    whole = number(value)
    return "" if whole is None else f"{whole:.0f}"


def tags(value: object) -> str:
    """A JSON list of texts as words: ``prod, eu``; empty for none."""
    if value is None:
        return ""
    try:
        return ", ".join(msgspec.json.decode(str(value), type=list[str]))
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return str(value)


def size(n_bytes: int) -> str:
    """Bytes for people: ``512 B``, ``1.5 MiB``."""
    if n_bytes < KIB:
        return f"{n_bytes} B"
    value, units = n_bytes / KIB, ["KiB", "MiB", "GiB", "TiB"]
    while value >= KIB and len(units) > 1:
        value /= KIB
        units.pop(0)
    return f"{value:.1f} {units[0]}"


def local_time(iso_utc: object, *, now: datetime | None = None) -> str:
    """ISO 8601 UTC text as local time: the hour today, the day this year, else the full date."""
    try:
        when = datetime.fromisoformat(str(iso_utc)).astimezone()
    except (ValueError, OverflowError, OSError):
        return clean(iso_utc, limit=32) if iso_utc is not None else DASH
    today = (now or datetime.now(UTC)).astimezone()
    if when.date() == today.date():
        return when.strftime("%H:%M:%S")
    return when.strftime("%m-%d %H:%M" if when.year == today.year else "%Y-%m-%d %H:%M")


def age(since_s: object, now_s: float) -> str:
    """How long ago a unix time in seconds was."""
    value = number(since_s)
    return DASH if value is None else duration(max(0.0, now_s - value) * 1000)


_TRACEBACK: Final = "Traceback (most recent call last):"


def headline(error: str) -> str:
    """What went wrong, of an error that may be a whole traceback: that says it in its last line."""
    if not error.lstrip().startswith(_TRACEBACK):
        return error
    return error.rstrip().rpartition("\n")[2].strip() or error


def lines(value: str, *, keep_end: bool = False) -> list[str]:
    """Text as lines that can do nothing to a terminal.

    Blanks at their beginning stay, blank lines at the end of the text only with `keep_end`.
    """
    plain = _ANSI.sub("", value)
    found = _LINE_BREAKS.split(plain if keep_end else plain.rstrip())
    return [_INVISIBLE.sub("", line.replace("\t", "    ")) for line in found]


def _unescaped(match: re.Match[str]) -> str:
    """A letter, or the escape as it is."""
    units = bytes.fromhex("".join(filter(None, match.groups())))
    letter = units.decode("utf-16-be", "replace")
    seen = (
        letter.isprintable() and not letter.isascii() and letter != "\ufffd" and not _INVISIBLE.match(letter)
    )
    return letter if seen else match[0]


def readable(value: str) -> str:
    """JSON indented, a text in quotes without them; any other text as it is.

    Letters that are escaped without need are written as such; what `lines` would remove stays escaped.
    """
    begins = value.lstrip()[:1]
    try:
        if begins == '"':
            return msgspec.json.decode(value, type=str)
        return (
            _ESCAPE.sub(_unescaped, msgspec.json.format(value, indent=2)) if begins in {"{", "["} else value
        )
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return value
