"""Keys: which a rule fits, and where the value of one ends in a text that is no JSON.

A text may only resemble JSON (cut short, Python's repr), or be a header or a query string. There a key is
what stands before ``:`` or ``=``, and its value is taken to end where it surely does.
"""

from __future__ import annotations

import re
from typing import Final

from hush_otel.rules import normal_key

PAIR: Final = re.compile(
    r"""(?:(?<![\w.$@/\\-])|(?<=\\[nrt]))(?:--?|/)?(?P<key>[\w$@][\w.$@/-]*+)(?P<closed>\\{0,8}["'])?"""
    r"""(?:\[?\]|[*`]{1,2}){0,2}[ \t]{0,64}+(?P<sign>=>|[:=\uff1a])[ \t]{0,64}+"""
    r"""(?:[BbFfRrUu]{1,2}(?=\\{0,8}["']))?(?P<quote>\"{3}|'{3}|\\{0,8}["'])?"""
)
"""A key and its sign; within JSON within JSON, quotes have backslashes in front. Options begin with dashes or
a slash, forms and programs have the key in brackets, Markdown has signs around it; Python's texts a prefix.
"""

_SEPARATORS: Final = re.compile(r"\W")
_QUOTED: Final = {
    '"': re.compile(r'(?:[^"\\]|\\.)*+', re.DOTALL),
    "'": re.compile(r"(?:[^'\\]|\\.)*+", re.DOTALL),
}
_COLONS: Final = (":", "\uff1a")
_TO_DELIMITER: Final = re.compile(r"[^,}\]\n]*+")
_TO_LINE_END: Final = re.compile(r"[^\r\n]*+")
_CALL: Final = re.compile(r"[A-Za-z_][\w.]{0,64}\(")
_WORD: Final = re.compile(r"""[^\s&,;"'<>)}\]]*+""")


def end_of_value(text: str, pair: re.Match[str], start: int) -> int:
    """Where the value ends whose key and sign `pair` has found, from where on it is looked at."""
    quote = pair["quote"]
    if quote in _QUOTED:
        return _end(_QUOTED[quote], text, start)
    if quote:
        end = text.find(quote, start)
        return end if end >= 0 else len(text)
    if text[start : start + 1] in ("{", "["):
        return len(text)
    if pair["closed"]:
        return _end(_TO_DELIMITER, text, start)
    to_line_end = pair["sign"] in _COLONS or _CALL.match(text, start)
    return _end(_TO_LINE_END if to_line_end else _WORD, text, start)


def _end(expression: re.Pattern[str], text: str, start: int) -> int:
    found = expression.match(text, start)
    return found.end() if found else len(text)


class KeyRules:
    """Patterns for keys: any case, ``_`` and ``-`` left out, ``*`` for any characters.

    One fits a key as a whole, or what stands behind its last dot, slash, colon or other sign.
    """

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._globs = [(pattern, normal_key(pattern).split("*")) for pattern in patterns]
        self._signs = [max(pieces, key=len) for _, pieces in self._globs]

    def rule_of(self, key: str) -> str:
        """The first rule that fits, as reports name it; the empty text when none does."""
        whole = normal_key(key)
        last = _SEPARATORS.split(whole)[-1]
        for pattern, pieces in self._globs:
            if _fits(pieces, whole) or _fits(pieces, last):
                return f"key {pattern}"
        return ""

    def may_occur(self, lower: str) -> bool:
        """Whether a text, given in lower case, may name such a key: it holds the longest piece of one."""
        if not self._signs:
            return False
        plain = lower.replace("_", "").replace("-", "")  # `normal_key`
        return any(sign in plain for sign in self._signs)


def _fits(pieces: list[str], key: str) -> bool:
    """Whether a pattern, divided at its asterisks, is all of a key. Each piece at its first place will do."""
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return key == first
    if not key.startswith(first):
        return False
    at = len(first)
    for piece in pieces[1:-1]:
        found = key.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return len(key) - at >= len(last) and key.endswith(last)
