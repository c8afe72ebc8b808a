"""Secrets out of what others say: receivers that repeat a header, code of others that raises with its key.

A destination's secrets are looked for as they are and as they are commonly written: without the word before
them ("Bearer"), within JSON, within a URL, decoded from a Basic header. What is cut may hold a part of one,
its beginning where a text ends, its end where one begins: those are taken out, too.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar
from urllib.parse import quote, quote_plus

from hush_otel.errors import HushError

MIN_SECRET_CHARS: Final = 6
"""Shorter values are words such as a project name; taking them out would garble any text."""

_MASK: Final = "***"
_E = TypeVar("_E", bound=HushError)


def hidden(text: str, secret_values: Iterable[str], *, cut: bool = False) -> str:
    """`text` without these values; with `cut`, also without what its two ends have left of one."""
    forms = {form for value in secret_values for form in _forms(value) if len(form) >= MIN_SECRET_CHARS}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, _MASK)
    for form in forms if cut else ():
        text = _without_cut(text, form)
    return text


def clean(error: _E, secret_values: Iterable[str]) -> _E:
    """The same error, its message and hint without these values."""
    values = list(secret_values)
    error.message, error.hint = hidden(error.message, values), hidden(error.hint, values)
    error.args = (error.message,)
    return error


def _forms(value: str) -> Iterator[str]:
    scheme, _, word = value.rpartition(" ")
    parts = {value, word}
    if scheme.lower() == "basic":
        parts |= _credentials(word)
    for part in parts:
        yield from (
            part,
            json.dumps(part)[1:-1],
            repr(part)[1:-1],
            quote(part),
            quote(part, ""),
            quote_plus(part),
        )


def _credentials(word: str) -> set[str]:
    try:
        both = base64.b64decode(word, validate=True).decode()
    except (binascii.Error, ValueError):
        return set()
    return {both, *both.split(":", 1)}


def _without_cut(text: str, form: str) -> str:
    """Without what looks like one end of a secret where the text ends or begins."""
    longest = min(len(form) - 1, len(text))  # all of the text may be a part of one
    for size in range(longest, MIN_SECRET_CHARS - 1, -1):
        if text.endswith(form[:size]):
            text = text[:-size] + _MASK
            break
    for size in range(longest, MIN_SECRET_CHARS - 1, -1):
        if text.startswith(form[-size:]):
            return _MASK + text[size:]
    return text
