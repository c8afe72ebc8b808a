"""Secrets out of what others say, in whatever form they say them."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hush_otel.destinations.hiding import MIN_SECRET_CHARS, clean, hidden
from hush_otel.errors import PausedError

SAID = 'se"cret/with spaces\\and+more'


@pytest.mark.parametrize(
    "said",
    [SAID, json.dumps(SAID), repr(SAID), quote(SAID), quote(SAID, ""), SAID.rpartition(" ")[2]],
    ids=["plain", "json", "repr", "path", "query", "last word"],
)
def test_s04_a_secret_is_hidden_in_every_way_of_writing_it(said: str) -> None:
    """As a header, in a JSON answer, in a Python error, in a URL, without the word before it."""
    shown = hidden(f"no such key: {said}.", [SAID])
    assert "and+more" not in shown
    assert "and%2Bmore" not in shown
    assert shown.startswith("no such key: ")


def test_s04_a_basic_header_is_hidden_decoded_too() -> None:
    """Receivers say whose password is wrong."""
    header = "Basic " + base64.b64encode(b"joe-the-user:hunter22").decode()
    shown = hidden("user joe-the-user, password hunter22", [header])
    assert shown == "user ***, password ***"


def test_short_words_stay() -> None:
    """A project called "shop" would garble every text."""
    assert hidden("the shop is closed", ["shop"]) == "the shop is closed"


@given(st.text(min_size=MIN_SECRET_CHARS, max_size=40), st.integers(0, 60), st.integers(0, 60))
@example("0000000", 0, 6)
@settings(deadline=None)
def test_s04_what_a_cut_leaves_of_a_secret_is_hidden(secret: str, before: int, kept: int) -> None:
    """Whichever end was cut, no more than a few characters of it stand there."""
    text = ("." * before + secret)[:kept] if kept < before + len(secret) else "." * before + secret
    for shown, rest in (
        (hidden(text, [secret], cut=True), text),
        (hidden(text[::-1], [secret[::-1]], cut=True), text[::-1]),
    ):
        there = max(len(text) - before, 0)
        if there >= MIN_SECRET_CHARS and "." not in secret:
            assert "***" in shown, rest


def test_an_error_keeps_its_kind_and_loses_its_secret() -> None:
    """Message, hint and what `raise` prints."""
    error = clean(PausedError("key s3cr3t-value", hint="not s3cr3t-value"), ["s3cr3t-value"])
    assert isinstance(error, PausedError)
    assert (str(error), error.args) == ("key *** (not ***)", ("key ***",))
