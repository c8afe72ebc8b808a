"""Requests found by words: which hold them, the newest first, and where.

A request is found when it holds every term, each in any of its spans. Each term by itself is a way back
through the requests (`Search.walk`) and a question about some of them (`Search.holding`), so that no step is
long however common the words are: lists take the way with the fewest candidates (presentation/listing.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from hush_otel.errors import StoreError
from hush_otel.mapping.searchtext import SPAN_CHARS, texts_of

from .reading import Reader, Row
from .search_index import PLACE_BITS
from .words import Term, folded, parse, phrase

WORDS_AT_MOST: Final = 128
"""Of those that begin so: each has its own way through the index, which takes some microseconds a step."""
DOCS_AT_ONCE: Final = 500
BEFORE_CHARS: Final = 40
AFTER_CHARS: Final = 120
"""Of a text around a hit."""


class State(NamedTuple):
    """Whether words are found.

    Attributes:
        phase: ready, emptying (it is being made anew), or off: there is none.
        behind: Spans, about, that are not found yet.
    """

    phase: str
    behind: int


class Hit(NamedTuple):
    """A text that holds what was searched for. `text[start:end]` is it; ids in hex."""

    trace_id: str
    span_id: str
    name: str
    text: str
    start: int
    end: int


def state(reader: Reader) -> State:
    """How far the index is. Raises as `Reader.rows`."""
    row = reader.row("search_state")
    if row is None or row["state"] is None:
        return State("off", 0)
    return State(row["state"], row["behind"])


def is_available(reader: Reader) -> bool:
    """Whether this Python's SQLite was built with FTS5."""
    try:
        reader.row("search_fts5")
    except StoreError:
        return False
    return True


class Search:
    """What somebody searches for in one database.

    Args:
        reader: Opened.
        text: As it was typed (words.py).

    Attributes:
        terms: In the syntax of FTS5: all must be found.
        is_cut: Whether more words begin as the text says than are looked for.

    Raises:
        ConfigError: There is no word in it.
        StoreError: There is no index, or it cannot be read.
    """

    def __init__(self, reader: Reader, text: str) -> None:
        self._reader = reader
        self._parsed = parse(text)
        self.is_cut = False
        self._check()
        self.terms = tuple(self._expression(term) for term in self._parsed)

    def walk(self, term: str, before: int, limit: int, *, first: int = 0) -> list[int]:
        """Numbers of requests from `first` on, below `before`, that hold one term, the highest first.

        Fewer than `limit`: those are all.
        """
        found, lowest = list[int](), first << PLACE_BITS
        while len(found) < limit:
            rows = self._reader.rows(
                "search_walk",
                words=term,
                first=lowest,
                before=before << PLACE_BITS,
                limit=max(limit, DOCS_AT_ONCE),
            )
            found += dict.fromkeys(row["doc"] >> PLACE_BITS for row in rows)
            if len(rows) < max(limit, DOCS_AT_ONCE):
                break
            before = found[-1]
        return found[:limit]

    def holding(self, requests: Sequence[int], known: str | None = None) -> set[int]:
        """Of these requests those that hold every term; `known` is one that all of them do."""
        left = list(requests)
        for term in self.terms:
            if term == known:
                continue
            rows = self._reader.each("search_holds", ids=json.dumps(left), words=term)
            left = [row["id"] for row in rows]
        return set(left)

    def hit(self, request_id: str) -> Hit | None:
        """Where a request holds it, by its first term; None when nothing is left of it."""
        for parsed, term in zip(self._parsed, self.terms, strict=True):
            for row in self._reader.rows("search_doc", request_id=request_id, words=term):
                if (found := self._hit_in(row["doc"], _pattern(parsed))) is not None:
                    return found
        return None

    def _hit_in(self, doc: int, pattern: re.Pattern[str]) -> Hit | None:
        for row in self._reader.rows("search_doc_spans", doc=doc, chars=2 * SPAN_CHARS):
            said = (row["name"], row["status_message"], row["attributes"], row["events"])
            for text in texts_of(*said, self._long_texts(row)):
                if (found := pattern.search(folded(text))) is not None:
                    return _hit(row, text, found.start(), found.end())
        return None

    def _long_texts(self, row: Row) -> Iterator[str]:
        if row["large"]:
            for long in self._reader.each("search_long_texts", span=row["id"], chars=2 * SPAN_CHARS):
                yield long["json"]

    def _check(self) -> None:
        if not is_available(self._reader):
            raise StoreError(
                "cannot search for words: the SQLite of this Python was built without FTS5",
                hint="the other filters work; Python's own builds and Debian's have it",
            )
        if (phase := state(self._reader).phase) != "ready":
            raise StoreError(
                f"there is no full-text index in {self._reader.path}",
                hint="it is being built anew: try again in a while"
                if phase == "emptying"
                else "the background process builds it, unless HUSH_SEARCH is off",
            )

    def _expression(self, term: Term) -> str:
        if not term.is_beginning:
            return phrase(term.words)
        *before, beginning = term.words
        return " OR ".join(phrase((*before, word)) for word in self._words_with(beginning))

    def _words_with(self, beginning: str) -> Iterable[str]:
        """Words of the dictionary that begin so, in its order; the beginning itself when there are none."""
        found, at = list[str](), beginning
        while (row := self._reader.row("search_next_word", word=at)) is not None:
            word: str = row["term"]
            if not word.startswith(beginning):
                break
            if len(found) == WORDS_AT_MOST:
                self.is_cut = True
                break
            found.append(word)
            at = word + "\x01"  # the next word: no word has control characters
        return found or [beginning]


def _pattern(term: Term) -> re.Pattern[str]:
    """The words as they stand in a folded text."""
    words = r"[\W_]+".join(map(re.escape, term.words))
    return re.compile(rf"(?<![^\W_]){words}" + (r"[^\W_]*" if term.is_beginning else r"(?![^\W_])"))


def _hit(row: Row, text: str, start: int, end: int) -> Hit:
    first, last = max(start - BEFORE_CHARS, 0), min(end + AFTER_CHARS, len(text))
    before = ("…" if first else "") + text[first:start]
    after = text[end:last] + ("…" if last < len(text) else "")
    at = len(before)
    shown = f"{before}{text[start:end]}{after}"
    return Hit(row["trace_id"], row["span_id"], row["name"], shown, at, at + end - start)
