"""B13: names, keys and values that could be taken for more than text are text on every page."""

from __future__ import annotations

import pytest
import samples
from browsing import Visitor

pytestmark = pytest.mark.browser


def nothing_ran(visitor: Visitor) -> None:
    """No script of the content has left its mark; dialogs, errors and foreign requests fail the visit anyway."""
    assert visitor.page.evaluate("window.hit") is None
    assert visitor.page.evaluate("({}).window") is None
    assert visitor.page.locator("main img[src=x], main script").count() == 0


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/requests/hostile-1",
        "/sessions",
        "/stats?by=model",
        "/deliveries",
        "/compare?a=hostile-1&b=hostile-1",
        "/sessions/javascript%3Awindow.hit%3D'url'",
        "/?workflow=%3Cscript%3Ewindow.hit%3D'script'%3C%2Fscript%3E",
        "/?text=%3Cimg%20src%3Dx%20onerror%3D%22window.hit%3D1%22%3E",
        "/requests/%3Cimg%20src%3Dx%20onerror%3D%22window.hit%3D1%22%3E",
        "/compare?a=%3Cscript%3E&b=__proto__",
    ],
)
def test_b13_hostile_content_is_inert_on_every_page(visitor: Visitor, path: str) -> None:
    """Nothing runs, nothing is asked of elsewhere, no prototype is changed."""
    visitor.open(path)
    nothing_ran(visitor)


def test_b13_hostile_texts_are_inert_where_two_are_compared(visitor: Visitor) -> None:
    """Errors and lines that differ are text, and what turns them is written out."""
    visitor.open("/compare?a=hostile-1&b=support-ok", "table.compare")
    visitor.page.get_by_label("What differs in <img").first.click()
    visitor.page.wait_for_selector(".differences .removed")
    removed = visitor.page.locator(".differences .removed").all_inner_texts()
    assert any("<img src=x onerror=" in line for line in removed)
    assert any("abc\\u202etxt.exe" in line for line in removed)
    assert "\u202e" not in visitor.page.inner_text("body")
    nothing_ran(visitor)


def test_b13_hostile_spans_are_inert_in_the_panel(visitor: Visitor) -> None:
    """Every section of every hostile span, opened: keys and values too."""
    visitor.open("/requests/hostile-1", ".waterfall .row")
    assert samples.HOSTILE[1] in visitor.text(".title h1")
    for _ in range(len(samples.HOSTILE) + 1):
        visitor.keys("j")
        visitor.page.wait_for_selector(".panel .section")
        visitor.page.evaluate(
            "document.querySelectorAll('.panel details').forEach((it) => { it.open = true })"
        )
        visitor.page.evaluate(
            "document.querySelectorAll('.json .fold[aria-expanded=false]').forEach((it) => it.click())"
        )
    visitor.shot("hostile-light")
    nothing_ran(visitor)


def test_b13_hostile_texts_are_inert_where_words_were_found(visitor: Visitor) -> None:
    """What stands around the words is text, as they are."""
    visitor.open("/?text=onerror", ".r-hit mark")
    assert visitor.text(".r-hit mark") == ["onerror"]
    assert "<img src=x onerror=" in visitor.text(".r-hit")[0]
    assert visitor.page.locator(".requests img").count() == 0
    nothing_ran(visitor)


def test_b13_links_lead_nowhere_else(visitor: Visitor) -> None:
    """No link of the page has another scheme or host than its own, whatever a session calls itself."""
    visitor.open("/requests/hostile-1", ".waterfall .row")
    visitor.keys("j")
    visitor.page.wait_for_selector(".panel .section")
    links = visitor.page.evaluate("[...document.querySelectorAll('a[href]')].map((it) => it.href)")
    assert links
    assert all(link.startswith(visitor.site.origin + "/") for link in links)


def test_b13_what_hides_or_turns_text_is_shown(visitor: Visitor) -> None:
    """Marks that turn the direction of text stand written out in a value, and are left out of a name."""
    visitor.open("/requests/hostile-1", ".waterfall .row")
    assert "abctxt.exe" in visitor.text(".waterfall .label")
    visitor.page.locator(".waterfall .row", has_text="abctxt.exe").click()
    visitor.page.wait_for_selector(".panel .error-box")
    assert "\\u{202e}" in visitor.text(".panel .error-box .text")[0]
    assert "\u202e" not in visitor.page.inner_text("body")
