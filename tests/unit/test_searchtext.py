"""What of a span is found by words: texts in JSON, each once, bounded, and without what is no word."""

from __future__ import annotations

import json

import pytest

from hush_otel.mapping.searchtext import APART, SPAN_CHARS, TEXT_CHARS, joined, texts_of


def said(
    attributes: object = None, *, name: str = "call", error: str | None = None, events: object = None
) -> list[str]:
    """The texts of a span without long ones."""
    shown = json.dumps({} if attributes is None else attributes)
    return texts_of(name, error, shown, None if events is None else json.dumps(events), ())


def test_names_errors_and_values() -> None:
    """A span's name, its error, and the texts of its attributes; their keys are no words of it."""
    assert said({"order.id": "A-7"}, error="no money") == ["call", "no money", "A-7"]


def test_exceptions() -> None:
    """What an exception says stands in an event."""
    event = {"name": "exception", "time_ns": 17, "attributes": {"exception.message": "no such order"}}
    assert said(events=[event]) == ["call", "exception", "no such order"]


def test_json_within_json() -> None:
    """Inputs are often JSON, arguments of tools JSON in JSON: what they say is read, escapes are not."""
    call = json.dumps({"city": "Hà Nội\nHuế"})
    value = json.dumps(
        [{"role": "user", "type": "text", "content": "two\nlines", "call": call, "n": 42, "x": 0.5}]
    )
    assert said({"input.value": value}) == ["call", "two\nlines", "Hà Nội\nHuế", "42"]


def test_what_says_the_same_of_every_call() -> None:
    """Roles, kinds, providers and plain numbers would find everything."""
    assert said({"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 12, "flag": True}) == ["call"]


def test_a_text_counts_once() -> None:
    """The output of one step is the input of the next."""
    assert said({"input.value": "a document", "output.value": "a document"}) == ["call", "a document"]
    assert joined(["a", "b", "a"]) == f"a {APART} b"


def test_a_text_that_is_cut_within_json() -> None:
    """Its words are found up to there: escapes of JSON in JSON do not stick to them."""
    text = json.dumps(json.dumps({"q": "first\nsecond third"}))
    *_, found = texts_of("call", None, "{}", None, [text[:-6]])
    assert found.replace('"', " ").split() == ["{", "q", ":", "first", "second", "thi"]


def test_encoded_files_are_no_words() -> None:
    """Base64 would fill the index with words that nobody types."""
    assert said({"image": f"see {'QUJD' * 50} here"}) == ["call", "see   here"]


def test_long_texts_are_found_by_their_beginning() -> None:
    """Each text by its first 64 Ki characters, a span by its first 128 Ki."""
    texts = said({"a": "x " * TEXT_CHARS, "b": "y " * TEXT_CHARS, "c": "z"}, name="")
    assert [len(text) for text in texts] == [TEXT_CHARS, TEXT_CHARS]
    assert sum(map(len, texts)) == SPAN_CHARS


@pytest.mark.parametrize(
    "text", ["", "{", "[[[[" * 50_000, '"\\ud800', "\\", "nul", '{"a":1e999}', "1" * 5000]
)
def test_what_is_no_json_is_text(text: str) -> None:
    """Nothing of what applications say stops the index."""
    assert texts_of(text, text, json.dumps({"a": text}), text, [text]) is not None


def test_a_flag_that_changes_changes_no_word() -> None:
    """`hush.orphan` comes and goes while a request is placed: the words stay the same."""
    assert said({"hush.orphan": True, "a": "b"}) == said({"a": "b"})
