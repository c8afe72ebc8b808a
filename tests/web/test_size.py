"""Large requests: the page opens at once, and stays quick."""

from __future__ import annotations

import re

import pytest
from browsing import CHARACTERS, SPANS, Visitor

pytestmark = pytest.mark.browser

OPEN_MS = 1000
FRAME_MS = 50
"""Three frames of sixty a second: what a scroll may take, drawn without a graphics card."""

_SCROLL = """async (box) => {
  const frames = [];
  for (let n = 0, last = performance.now(); n < 60; n += 1) {
    box.scrollTop += 9000;
    await new Promise((done) => requestAnimationFrame(done));
    frames.push(performance.now() - last);
    last = performance.now();
  }
  return frames.sort((a, b) => a - b)[30];
}"""


def test_a_request_of_50000_spans_opens_and_scrolls(visitor: Visitor) -> None:
    """Its first rows within a second of asking; every row can be reached, and few are in the document."""
    visitor.open("/requests/crawl-1", ".waterfall .row")
    opened = []
    for _ in range(3):
        visitor.page.goto(visitor.site.origin + "/requests/crawl-1")
        visitor.page.wait_for_selector(".waterfall .row")
        opened.append(visitor.page.evaluate("performance.now()"))
    box = visitor.page.query_selector(".waterfall")
    assert visitor.page.get_attribute(".waterfall", "aria-rowcount") == str(SPANS + 1)
    median = visitor.page.evaluate(_SCROLL, box)
    visitor.page.evaluate("(box) => { box.scrollTop = box.scrollHeight }", box)
    visitor.sees(lambda: f"page {SPANS - 2}" in visitor.text(".waterfall .label"), "the last row")
    assert visitor.page.locator(".waterfall .row").count() < 120
    visitor.shot("many-light")
    assert min(opened) < OPEN_MS, opened
    assert median < FRAME_MS


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
