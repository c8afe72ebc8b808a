"""What looks like a secret in a text: the ready patterns, and users' own.

Each is a function from a text to the spans of it that must be hidden, in order and without overlap. All take
linear time, whatever the text: a run of characters is looked at from its beginning only (a look-behind at its
start, possessive within), and everything that may fail after a scan is bounded. Most texts hold none of a
pattern's fixed parts; looking for those first costs a tenth of the expression.

In doubt they hide: a number of 16 digits with a card's beginning and check digit is a card.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from hush_otel.rules import RedactionRules, compile_pattern

Span: TypeAlias = tuple[int, int]
Find: TypeAlias = Callable[[str, str], list[Span]]
"""Gets the text, and the same in lower case (of the same length only where it is ASCII: not for offsets)."""

MAX_OWN_MATCHES: Final = 1_000
"""Of one own pattern in one text; with more, all of it is hidden. Each search of RE2 is linear, but one that
starts over after each match may look at the same rest every time (``x.*y|x`` over many x)."""

# ------------------------------------------------------------------ e-mail

_EMAIL: Final = re.compile(
    r"(?<![\w.+%-])(?<!\w')(?:[\w.+%-]|(?<=\w)'(?=\w))++@(?:[\w-]++\.)+[^\W\d_][\w-]++"
)
"""The part before the @ in practice (RFC 5321 allows more), a domain of any script, a top level that begins
with a letter: user@10.0.0.1 and left@2.0 are none."""


def email(text: str, _lower: str) -> list[Span]:
    """E-mail addresses."""
    return [match.span() for match in _EMAIL.finditer(text)] if "@" in text else []


# ------------------------------------------------------------------ card numbers

_DIGITS: Final = re.compile(r"[0-9](?:[ .\u00a0\u2007\u2009\u202f\u2011-]?[0-9]){12,}+")
"""Between two digits nothing, or one of what groups are printed with: a space of any kind, a dot, a dash."""
_NO_DIGITS: Final = bytes(set(range(256)) - set(b"0123456789"))
_GROUP: Final = re.compile(r"[0-9]++")
_ISSUER: Final = re.compile(r"3[04-9]|4|5[0-8]|6[0-9]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)")
"""Diners, American Express, JCB, Visa, Mastercard, Maestro, Discover, UnionPay (ISO/IEC 7812)."""
_CONTINUES: Final = re.compile(r"[^\W_]|\.[0-9]")
"""What stands beside digits that are part of something longer."""
_POINT_BEFORE: Final = re.compile(r"[0-9]\.")
_POINT_BEHIND: Final = re.compile(r"\.[0-9]")
_CARD_DIGITS: Final = range(13, 20)
_PRINTED: Final = ((4, 4, 4, 4, 3), (4, 4, 4, 4), (4, 6, 5), (4, 6, 4))
"""How a number is divided where it is, the longest first."""
_FIRST_GROUP: Final = 4


def card(text: str, _lower: str) -> list[Span]:
    """Payment card numbers: 13 to 19 digits of a known issuer that pass Luhn's check."""
    # To count a text's digits costs a fifth of the search for a run of them.
    if len(text) < _CARD_DIGITS.start or len(_digits_of(text)) < _CARD_DIGITS.start:
        return []
    return [span for run in _DIGITS.finditer(text) for span in _cards_within(text, *run.span())]


def _digits_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass").translate(None, _NO_DIGITS)


def _cards_within(text: str, start: int, end: int) -> Iterator[Span]:
    """Whole groups only, none of which continues a word or a number with a decimal point."""
    groups = [match.span() for match in _GROUP.finditer(text, start, end)]
    if _CONTINUES.match(text[max(start - 2, 0) : start][::-1]):
        del groups[0]
    if groups and _CONTINUES.match(text[end : end + 2]):
        del groups[-1]
    at = 0
    while at < len(groups):
        count = _is_card_from(text, groups[at : at + 5])
        if count:
            span = groups[at][0], groups[at + count - 1][1]
            if not _is_decimal(text, *span):
                yield span
        at += count or 1


def _is_decimal(text: str, start: int, end: int) -> bool:
    """Whether digits are one side of a decimal point, and no dots stand between the groups of them."""
    beside = _POINT_BEFORE.match(text[max(start - 2, 0) : start]) or _POINT_BEHIND.match(text, end)
    return beside is not None and "." not in text[start:end]


def _is_card_from(text: str, groups: list[Span]) -> int:
    """How many of the groups, from the first on, are one card; 0 when none."""
    start, end = groups[0]
    if end - start != _FIRST_GROUP:
        return int(is_card(text[start:end]))
    if not _ISSUER.match(text, start):
        return 0
    parts = [text[start:end] for start, end in groups]
    for lengths in _PRINTED:
        count = len(lengths)
        if tuple(map(len, parts[:count])) == lengths and is_card("".join(parts[:count])):
            return count
    return 0


def is_card(digits: str) -> bool:
    """Length, issuer, and Luhn's check digit."""
    if len(digits) not in _CARD_DIGITS or not _ISSUER.match(digits):
        return False
    figures = digits.encode()
    plain, doubled = figures[::-2], figures[-2::-2].translate(_DOUBLED)
    return (sum(plain) - len(plain) * ord("0") + sum(doubled)) % 10 == 0


_DOUBLED: Final = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
"""For each digit, the digits of its double added up (ISO/IEC 7812-1, annex B)."""

# ------------------------------------------------------------------ bearer tokens

_EDGE: Final = r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))"
"""Where a token may begin: not within a word; behind a line's end as JSON writes it."""

_BEARER: Final = re.compile(
    r"(?i:\bbearer)[ \t]{1,8}((?=[A-Za-z._~+/-]{0,64}[0-9])[\w.~+/-]{8,}+=*+|[\w.~+/-]{20,}+=*+)"
)
"""RFC 6750, section 2.1. Eight characters with a digit, or twenty: "bearer authentication" is none."""
_BASIC: Final = re.compile(r"(?i:\bbasic)[ \t]{1,8}([A-Za-z0-9+/]{4,}+={0,2}+)")
_JWT: Final = re.compile(_EDGE + r"eyJ[\w-]{5,}+\.[\w-]{5,}+(?:\.[\w-]*+){0,3}")
"""RFC 7515 and 7516: a base64url object that begins with ``{"``, and at least one part more."""


def bearer(text: str, lower: str) -> list[Span]:
    """Tokens of an Authorization header, its scheme left readable, and JSON web tokens anywhere."""
    found: list[Span] = []
    if "bearer" in lower:
        found += [match.span(1) for match in _BEARER.finditer(text)]
    if "basic" in lower:
        found += [match.span(1) for match in _BASIC.finditer(text) if _holds_a_password(match[1])]
    if "eyJ" in text:
        found += [match.span() for match in _JWT.finditer(text)]
    return merged(found)


def _holds_a_password(token: str) -> bool:
    """RFC 7617: the base64 of user, colon, password. A word after "basic" is not."""
    try:
        return b":" in binascii.a2b_base64(token + "=" * (-len(token) % 4))
    except binascii.Error:
        return False


# ------------------------------------------------------------------ API keys

_PEM: Final = "(?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_PREFIXES: Final = {
    "sk-": r"sk-(?=[A-Za-z_-]{0,64}[0-9])[\w-]{16,}+",  # OpenAI, Anthropic, OpenRouter, DeepSeek, Langfuse
    "k_live_": r"[srp]k_live_[A-Za-z0-9]{16,}+",  # Stripe
    "k_test_": r"[srp]k_test_[A-Za-z0-9]{16,}+",
    "whsec_": r"whsec_[A-Za-z0-9+/=]{16,}+",
    "gsk_": r"gsk_[A-Za-z0-9]{20,}+",  # Groq
    "xai-": r"xai-[A-Za-z0-9]{20,}+",
    "pplx-": r"pplx-[A-Za-z0-9]{20,}+",  # Perplexity
    "hf_": r"hf_[A-Za-z0-9]{20,}+",  # Hugging Face
    "r8_": r"r8_[A-Za-z0-9]{20,}+",  # Replicate
    "tvly-": r"tvly-[\w-]{16,}+",  # Tavily
    "pcsk_": r"pcsk_[\w]{20,}+",  # Pinecone
    "lsv2_": r"lsv2_(?:pt|sk)_[a-f0-9]{20,}+(?:_[a-f0-9]++)?+",  # LangSmith
    "pylf_": r"pylf_v[0-9]_[\w-]{16,}+",  # Logfire
    "AIza": r"AIza[\w-]{30,}+",  # Google
    "ya29.": r"ya29\.[\w-]{20,}+",
    "AKIA": r"AKIA[A-Z0-9]{16}(?![A-Za-z0-9])",  # AWS
    "ASIA": r"ASIA[A-Z0-9]{16}(?![A-Za-z0-9])",
    "ghp_": r"ghp_[A-Za-z0-9]{30,}+",  # GitHub
    "gho_": r"gho_[A-Za-z0-9]{30,}+",
    "ghu_": r"ghu_[A-Za-z0-9]{30,}+",
    "ghs_": r"ghs_[A-Za-z0-9]{30,}+",
    "ghr_": r"ghr_[A-Za-z0-9]{30,}+",
    "github_pat_": r"github_pat_\w{22,}+",
    "glpat-": r"glpat-[\w-]{20,}+",  # GitLab
    "xox": r"xox[abceoprs]-(?=[A-Za-z-]{0,64}[0-9])[\w-]{10,}+",  # Slack
    "xapp-": r"xapp-[\w-]{16,}+",
    "dapi": r"dapi[a-f0-9]{32}(?:-[0-9])?+",  # Databricks
    "npm_": r"npm_[A-Za-z0-9]{36}",
    "pypi-": r"pypi-[\w-]{50,}+",
    "SG.": r"SG\.[\w-]{16,}+\.[\w-]{16,}+",  # SendGrid
    "-----BEGIN ": rf"-----BEGIN {_PEM}(?s:.*?)(?:-----END {_PEM}|\Z)",  # PEM (RFC 7468), OpenPGP
}  # fmt: skip
"""By what every key of a provider begins with, or holds. Keys without such a sign (Mistral, Cohere, Azure,
AWS secrets) look like any other text: a rule for their attribute's key hides those."""


def _joint(sign: str) -> str:
    return next((joint for joint in "_-" if joint in sign), "")


_KEYS: Final = {
    joint: [
        # Where line breaks were lost, another file's end may stand before a PEM file's dashes.
        (sign, re.compile(key if sign.startswith("-") else _EDGE + key))
        for sign, key in _PREFIXES.items()
        if _joint(sign) == joint
    ]
    for joint in ("_", "-", "")
}
"""By a character that must occur for any of them: prose has neither of the two."""


def api_key(text: str, _lower: str) -> list[Span]:
    """API keys of the usual providers, by their prefixes, and private keys as PEM."""
    found = [
        match.span()
        for joint, keys in _KEYS.items()
        if joint in text
        for sign, key in keys
        if sign in text
        for match in key.finditer(text)
    ]
    return merged(found) if found else found


# ------------------------------------------------------------------ names and passwords in URLs

_USERINFO: Final = re.compile(r""":\\{0,8}/\\{0,8}/((?:[^\s/?#@"'<>\\]*+@)++)""")
"""RFC 3986, section 3.2.1. A password in which an @ is not encoded goes to the last one before the path.
JSON may write the slashes with backslashes."""


def userinfo(text: str, _lower: str) -> list[Span]:
    """What stands between ``://`` and ``@host``: user, password, token."""
    if "@" not in text or not ("://" in text or ":\\" in text):
        return []
    spans = [match.span(1) for match in _USERINFO.finditer(text)]
    return [(start, at - 1) for start, at in spans if start < at - 1]


# ------------------------------------------------------------------ all of them

READY: Final[dict[str, Find]] = {
    "email": email,
    "card": card,
    "bearer": bearer,
    "api_key": api_key,
    "userinfo": userinfo,
}


def finders(rules: RedactionRules) -> list[tuple[str, Find]]:
    """The rules' patterns by name, in the order in which they are applied.

    Raises:
        ImportError: There are own patterns, and RE2 is not installed.
    """
    own = [(f"patterns.{name}", own_pattern(pattern)) for name, pattern in rules.patterns]
    return [(name, READY[name]) for name in rules.values] + own


def own_pattern(pattern: str) -> Find:
    """A user's pattern, by RE2: linear time for each match, and a bound on their number."""
    search = compile_pattern(pattern)

    def find(text: str, _lower: str) -> list[Span]:
        data = text.encode("utf-8", "surrogatepass")
        spans: list[Span] = []
        for match in search(data):
            if len(spans) >= MAX_OWN_MATCHES:
                return [(0, len(text))]
            if match.start() < match.end():
                spans.append(match.span())
        return spans if len(data) == len(text) else _in_characters(data, spans)

    return find


def _in_characters(data: bytes, spans: list[Span]) -> list[Span]:
    """Offsets into UTF-8 as offsets into the text."""
    found, at, chars = [], 0, 0
    for start, end in spans:
        first = chars + len(data[at:start].decode("utf-8", "surrogatepass"))
        chars = first + len(data[start:end].decode("utf-8", "surrogatepass"))
        found.append((first, chars))
        at = end
    return found


def merged(spans: list[Span]) -> list[Span]:
    """In order, those that overlap as one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
