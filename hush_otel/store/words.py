"""What people type into a search box, as words: nothing of it is ever syntax that FTS5 could refuse.

Words are separated by spaces, ``"several words"`` stand side by side, and ``beginn*`` is every word that
begins so. What FTS5's tokenizer takes apart (``gpt-4o``, ``order_id``) is searched for as words side by side.
All else is text: AND, NEAR, brackets, single quotes.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Final, NamedTuple

from hush_otel.errors import ConfigError

TERMS_AT_MOST: Final = 16
"""Of one search. Nobody types more; a text that was pasted is found by its first ones."""
WORDS_AT_MOST: Final = 32
"""Side by side."""

_PARTS: Final = re.compile(r'"([^"]*)("\*|"|$)|(\S+)')


class Term(NamedTuple):
    """Words that stand side by side. `is_beginning`: the last one may go on."""

    words: tuple[str, ...]
    is_beginning: bool = False


def parse(text: str) -> tuple[Term, ...]:
    """What is searched for: all of it must be found in a request.

    Raises:
        ConfigError: There is no word in it.
    """
    terms = dict.fromkeys(term for found in _PARTS.finditer(text) if (term := _term(found)).words)
    if not terms:
        raise ConfigError(f"text: there is no word in {text!r}", hint="words have letters or digits")
    return tuple(terms)[:TERMS_AT_MOST]


def _term(found: re.Match[str]) -> Term:
    phrase, end, word = found.groups()
    said: str = phrase if word is None else word
    words = words_of(said)
    begins = end == '"*' if word is None else word.endswith("*") and words_of(word[-2:-1]) != ()
    return Term(words[:WORDS_AT_MOST], begins and len(words) <= WORDS_AT_MOST)


def words_of(text: str) -> tuple[str, ...]:
    """As FTS5's tokenizer `unicode61 remove_diacritics 2` takes a text apart."""
    return tuple("".join(c if c.isalnum() else " " for c in folded(text)).split())


def folded(text: str) -> str:
    """Small letters without accents, one for each character of the text."""
    return text.lower() if text.isascii() else "".join(map(_folded, text))


@functools.lru_cache(maxsize=4096)
def _folded(character: str) -> str:
    small = character.lower()
    plain = unicodedata.normalize(
        "NFC", "".join(c for c in unicodedata.normalize("NFD", small) if not _is_accent(c))
    )
    return plain if len(plain) == 1 else small if len(small) == 1 else character


def _is_accent(character: str) -> bool:
    return "\u0300" <= character <= "\u036f"


def phrase(words: tuple[str, ...]) -> str:
    """Side by side, in the syntax of FTS5 (sqlite.org/fts5.html, section 3)."""
    return '"{}"'.format(" ".join(words).replace('"', ""))
