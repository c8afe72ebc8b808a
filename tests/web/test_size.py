"""Large requests: the page opens at once, and stays quick.

What is bounded is the time that the page's own thread computes, not the clock's: the server's share has its own
test, and other processes take theirs.
"""

from __future__ import annotations

import re

import pytest
from browsing import CHARACTERS, SPANS, Visitor

pytestmark = pytest.mark.browser

OPEN_S = 1.0
"""Decoding 50,000 rows, and the first of them drawn."""

FRAMES = 60
FRAME_S = 0.033
"""Two frames of sixty a second, drawn without a graphics card."""

_GO = "(path) => { history.pushState(null, '', path); dispatchEvent(new PopStateEvent('popstate')) }"

_SCROLL = """async (frames) => {
  const box = document.querySelector(".waterfall");
  for (let n = 0; n < frames; n += 1) {
    box.scrollTop += 300;
    await new Promise((done) => requestAnimationFrame(done));
  }
}"""


def test_a_request_of_50000_spans_opens_and_scrolls(visitor: Visitor) -> None:
    """The page's own share is bounded; every row can be reached, and few are in the document."""
    visitor.open("/", ".requests .row")
    before_s = visitor.computed_s()
    visitor.page.evaluate(_GO, "/requests/crawl-1")
    visitor.page.wait_for_selector(".waterfall .row")
    opened_s = visitor.computed_s()
    visitor.page.evaluate(_SCROLL, FRAMES)
    scrolled_s = visitor.computed_s()
    assert visitor.page.get_attribute(".waterfall", "aria-rowcount") == str(SPANS + 1)
    visitor.page.evaluate("document.querySelector('.waterfall').scrollTop = 1e9")
    visitor.sees(lambda: f"page {SPANS - 2}" in visitor.text(".waterfall .label"), "the last row")
    assert visitor.page.locator(".waterfall .row").count() < 120
    visitor.shot("many-light")
    assert opened_s - before_s < OPEN_S
    assert (scrolled_s - opened_s) / FRAMES < FRAME_S


def test_the_one_error_of_50000_spans_is_found_by_a_key(visitor: Visitor) -> None:
    """E opens the section and scrolls to it."""
    visitor.open("/requests/crawl-1", ".waterfall .row")
    visitor.keys("e")
    visitor.sees(lambda: visitor.text(".panel h2") == [f"page {SPANS // 2 + 1}"], "the span that failed")
    assert visitor.page.locator(".row.at").is_visible()


def test_an_input_of_10_million_characters_does_not_freeze_the_page(visitor: Visitor) -> None:
    """Its beginning is shown, how long it is, and where all of it is."""
    visitor.open("/requests/import-1", ".waterfall .row")
    visitor.keys("j")
    visitor.page.wait_for_selector(".payload .warn")
    assert re.match(r"the first \d\d,\d{3} of 1\d,\d{3},\d{3} characters", visitor.text(".payload .warn")[0])
    assert visitor.page.evaluate("document.body.innerText.length") < 100_000
    with visitor.page.expect_download() as download:
        visitor.page.get_by_label("Download all of the input").click()
    assert download.value.path().stat().st_size > CHARACTERS
