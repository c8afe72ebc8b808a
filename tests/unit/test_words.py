"""What people type: always words, never an error of FTS5."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hush_otel.errors import ConfigError
from hush_otel.store.words import TERMS_AT_MOST, Term, folded, parse, phrase


@pytest.fixture(scope="module")
def index() -> Iterator[sqlite3.Connection]:
    """An index with one document."""
    db = sqlite3.connect(":memory:", check_same_thread=False)
    db.execute("CREATE VIRTUAL TABLE f USING fts5 (w, tokenize = 'unicode61 remove_diacritics 2')")
    db.execute("INSERT INTO f VALUES ('one two gpt-4o order_id Hà Nội Straße')")
    yield db
    db.close()


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("one two", [Term(("one",)), Term(("two",))]),
        ('"one two" three', [Term(("one", "two")), Term(("three",))]),
        ("beginn*", [Term(("beginn",), is_beginning=True)]),
        ('"one beginn"*', [Term(("one", "beginn"), is_beginning=True)]),
        ("gpt-4o order_id", [Term(("gpt", "4o")), Term(("order", "id"))]),
        ('an "open quote', [Term(("an",)), Term(("open", "quote"))]),
        ("one AND NOT one", [Term(("one",)), Term(("and",)), Term(("not",))]),
        ("HÀ Nội", [Term(("ha",)), Term(("noi",))]),
        ("-one (two) a:b^ 2*3", [Term(("one",)), Term(("two",)), Term(("a", "b")), Term(("2", "3"))]),
        ("a-*", [Term(("a",))]),
    ],
)
def test_parse(text: str, terms: list[Term]) -> None:
    """Spaces, quotes and a star at the end mean something, nothing else does."""
    assert list(parse(text)) == terms


@pytest.mark.parametrize("text", ["", "  ", "*", '""', "---", "?! …", "\0"])
def test_nothing_to_search_for(text: str) -> None:
    """That is said, instead of finding everything or nothing."""
    with pytest.raises(ConfigError, match="there is no word"):
        parse(text)


def test_a_text_that_was_pasted() -> None:
    """It is found by its first words."""
    assert len(parse(" ".join(map(str, range(1000))))) == TERMS_AT_MOST


@given(st.text())
def test_no_text_is_a_syntax_error(index: sqlite3.Connection, text: str) -> None:
    """FTS5 takes whatever comes of it, quotes, brackets, NUL and operators too."""
    try:
        terms = parse(text)
    except ConfigError:
        return
    for term in terms:
        assert index.execute("SELECT count(*) FROM f WHERE f MATCH ?", (phrase(term.words),)).fetchone()


@pytest.mark.parametrize("text", ["ONE", "gpt-4o", "order_id", "ha noi", '"hà nội"', "STRAßE"])
def test_words_are_those_of_the_tokenizer(index: sqlite3.Connection, text: str) -> None:
    """Case, accents and punctuation do not stand in the way."""
    for term in parse(text):
        assert index.execute("SELECT 1 FROM f WHERE f MATCH ?", (phrase(term.words),)).fetchone()


@given(st.text())
def test_folding_keeps_places(text: str) -> None:
    """A place in the folded text is the same place in the text."""
    assert len(folded(text)) == len(text)
