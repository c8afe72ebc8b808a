"""What a span says in words, for the full-text index: pure functions of its row.

The index keeps no text, so a word leaves it only by being said once more: what is computed here when a row is
deleted must be what was computed when it was indexed. Whoever changes this module raises `FORMAT`, and every
index is built anew. Booleans may change in a row without that: they are no words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

FORMAT: Final = 1
"""Of the texts. The number stands in the database beside the index that was made of them."""

TEXT_CHARS: Final = 64 * 1024
"""Of one text its beginning: a prompt of 16,000 tokens whole, of a book the first 30 pages. More of it takes
as much room as all other spans of its request, and its first words are those that people remember."""

SPAN_CHARS: Final = 2 * TEXT_CHARS
"""Of one span: its input and its output. Indexing so much takes about 10 ms, which bounds a step."""

APART: Final = "\u01c0"
"""Between two texts, a word that nobody writes: no phrase reaches from one into the next."""

_BOOKKEEPING: Final = frozenset(
    {
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.system",
        "input.mime_type",
        "langfuse.observation.type",
        "llm.provider",
        "llm.system",
        "openinference.span.kind",
        "output.mime_type",
        "traceloop.span.kind",
    }
)
"""Attributes that say the same of every call: whoever searches for "chat" does not want all of them."""

_FORMAL: Final = frozenset(
    {"role", "type", "kind", "finish_reason", "mime_type", "object", "time_ns", "dropped_attributes"}
)
"""Keys of messages and events that say the same of all of them, or nothing in words."""

_DEPTH: Final = 32
"""JSON in JSON in JSON: so many levels are looked into."""

_ENCODED: Final = re.compile(r"[A-Za-z0-9+/=_-]{129,}")
"""Files and embeddings as text: no words, and all different."""

_ESCAPE: Final = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
"""Of JSON, and of JSON in JSON, where each backslash is doubled."""


def texts_of(
    name: str, error: str | None, attributes: str, events: str | None, long: Iterable[str]
) -> list[str]:
    """The texts of one span, each once, in this order, together at most `SPAN_CHARS` long.

    Args:
        name: The span's.
        error: Its status message.
        attributes: JSON, or the beginning of it.
        events: JSON, or the beginning of it; the messages of exceptions are in it.
        long: Attributes that are stored apart, each a JSON string or the beginning of one.
    """
    found, room = dict[str, None](), SPAN_CHARS
    for text in _all(name, error, attributes, events, long):
        words = _ENCODED.sub(" ", text[:TEXT_CHARS])[:room]
        if words and words not in found and not words.isspace():
            found[words] = None
            room -= len(words)
        if room <= 0:
            break
    return list(found)


def joined(texts: Iterable[str]) -> str:
    """One text of many, each of them once."""
    return f" {APART} ".join(dict.fromkeys(texts))


def _all(
    name: str, error: str | None, attributes: str, events: str | None, long: Iterable[str]
) -> Iterator[str]:
    yield name
    if error:
        yield error
    yield from _of_json(attributes, 0, _BOOKKEEPING)
    for text in long:
        yield from _of_json(text, 0)
    if events:
        yield from _of_json(events, 0)


def _of_json(text: str, depth: int, without: frozenset[str] = _FORMAL) -> Iterator[str]:
    """The texts in a JSON text; where it cannot be read, because it is cut, the text itself."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        yield _ESCAPE.sub(_unescaped, text)
    else:
        yield from _leaves(value, depth, without)


def _leaves(value: object, depth: int, without: frozenset[str] = _FORMAL) -> Iterator[str]:
    if isinstance(value, str):
        yield from _in_text(value, depth)
    elif isinstance(value, dict) and depth < _DEPTH:
        for key, item in value.items():
            if key not in without:
                yield from _leaves(item, depth + 1)
    elif isinstance(value, list) and depth < _DEPTH:
        for item in value:
            if not isinstance(item, float):  # an embedding
                yield from _leaves(item, depth + 1)
    elif isinstance(value, int) and not isinstance(value, bool) and depth > 1:
        yield str(value) if value.bit_length() <= _INT_BITS else ""


def _in_text(text: str, depth: int) -> Iterator[str]:
    """Inputs and outputs are often JSON themselves, arguments of tools once more."""
    if text[:1] in _OPENING and depth < _DEPTH:
        yield from _of_json(text if len(text) <= SPAN_CHARS else text[:TEXT_CHARS], depth + 1)
    else:
        yield text


_INT_BITS: Final = 128
"""Ids; Python refuses to write what is very much longer."""
_OPENING: Final = frozenset('{["')


def _unescaped(found: re.Match[str]) -> str:
    character = chr(int(found[1] or "20", 16))
    return " " if _SURROGATES[0] <= character <= _SURROGATES[1] else character


_SURROGATES: Final = ("\ud800", "\udfff")
