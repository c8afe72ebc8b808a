"""Large requests: the page opens at once, and stays quick.

What is bounded is the time that the page's own thread computes, not the clock's: the server's share has its own
test, and other processes take theirs. What the clock says is printed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

import pytest
from browsing import CHARACTERS, SPANS, Visitor

pytestmark = pytest.mark.browser

Say = Callable[[str], None]

OPEN_S = 1.0
"""Decoding 50,000 rows, and the first of them drawn."""

FRAMES = 60
FRAME_S = 0.033
"""Two frames of sixty a second, drawn without a graphics card."""

PANEL_S = 0.5
"""The beginning of ten million characters, drawn."""

_GO = """async (path) => {
  history.pushState(null, "", path);
  dispatchEvent(new PopStateEvent("popstate"));
  while (!document.querySelector(".waterfall .row")) await new Promise((done) => requestAnimationFrame(done));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const painted = performance.now();
  const [answer] = performance.getEntriesByName(location.origin + "/api" + path + "/tree").slice(-1);
  return painted - answer.responseEnd;
}"""
"""How many milliseconds after the answer's last byte the first rows were painted."""

_SCROLL = """async (frames) => {
  const box = document.querySelector(".waterfall");
  for (let n = 0; n < frames; n += 1) {
    box.scrollTop += 300;
    await new Promise((done) => requestAnimationFrame(done));
  }
}"""


_LAST_BAR_PX = """() => {
  const [bar] = [...document.querySelectorAll(".waterfall .row .span-bar")].slice(-1);
  const [seen, drawn] = [bar.parentElement, bar].map((it) => it.getBoundingClientRect());
  return Math.min(seen.right, drawn.right) - drawn.left;
}"""
"""How much of the last row's bar, which begins where the axis ends, is within the axis."""


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Print it, whatever the test comes to."""

    def aloud(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return aloud


def test_a_request_of_50000_spans_opens_and_scrolls(visitor: Visitor, say: Say) -> None:
    """The page's own share is bounded; every row can be reached, and few are in the document."""
    visitor.open("/", ".requests .row")
    with visitor.computing() as computed_s:
        first_rows_ms = visitor.page.evaluate(_GO, "/requests/crawl-1")
        opened_s = computed_s()
        visitor.page.evaluate(_SCROLL, FRAMES)
        frame_s = (computed_s() - opened_s) / FRAMES
    say(
        f"{SPANS:,} spans: first rows {first_rows_ms:.0f} ms after the answer, {opened_s * 1000:.0f} ms computed; "
        f"{frame_s * 1000:.1f} ms computed a scrolled frame"
    )
    assert visitor.page.get_attribute(".waterfall", "aria-rowcount") == str(SPANS + 1)
    visitor.page.evaluate("document.querySelector('.waterfall').scrollTop = 1e9")
    visitor.sees(lambda: f"page {SPANS - 2}" in visitor.text(".waterfall .label"), "the last row")
    assert visitor.page.locator(".waterfall .row").count() < 120
    visitor.shot("many-light")
    assert visitor.page.evaluate(_LAST_BAR_PX) > 1.9
    assert opened_s < OPEN_S
    assert frame_s < FRAME_S


def test_the_one_error_of_50000_spans_is_found_by_a_key(visitor: Visitor) -> None:
    """E opens the section and scrolls to it."""
    visitor.open("/requests/crawl-1", ".waterfall .row")
    visitor.keys("e")
    visitor.sees(lambda: visitor.text(".panel h2") == [f"page {SPANS // 2 + 1}"], "the span that failed")
    assert visitor.page.locator(".row.at").is_visible()


def test_an_input_of_10_million_characters_does_not_freeze_the_page(visitor: Visitor, say: Say) -> None:
    """Its beginning is shown, how long it is, and where all of it is."""
    visitor.open("/requests/import-1", ".waterfall .row")
    with visitor.computing() as computed_s:
        visitor.keys("j")
        visitor.page.wait_for_selector(".payload .warn")
        shown_s = computed_s()
    say(f"{CHARACTERS:,} characters: {shown_s * 1000:.0f} ms computed until their beginning is shown")
    assert re.match(r"the first \d\d,\d{3} of 1\d,\d{3},\d{3} characters", visitor.text(".payload .warn")[0])
    assert visitor.page.evaluate("document.body.innerText.length") < 100_000
    with visitor.page.expect_download() as download:
        visitor.page.get_by_label("Download all of the input").click()
    assert download.value.path().stat().st_size > CHARACTERS
    assert shown_s < PANEL_S
