"""Everything can be done by keys, and `?` says how."""

from __future__ import annotations

import pytest
from browsing import Visitor

pytestmark = pytest.mark.browser


def test_the_question_mark_lists_the_keys(visitor: Visitor) -> None:
    """Those of the page, and those of every page; Esc closes the list."""
    visitor.open("/requests/support-ok", ".waterfall .row")
    visitor.keys("?")
    shown = visitor.text("dialog[open] dd")
    assert {"Next error", "Critical path", "Older request", "Sessions"} <= set(shown)
    visitor.shot("keys-light")
    visitor.is_accessible()
    visitor.keys("Escape")
    visitor.sees(lambda: not visitor.page.locator("dialog[open]").count(), "the list of keys closed")


def test_a_request_is_chosen_and_opened_and_left(visitor: Visitor) -> None:
    """j, j, Enter and Esc: there and back."""
    visitor.open("/", ".requests .row")
    second = visitor.text(".requests .row .r-name code")[1]
    visitor.keys("j", "j")
    visitor.page.wait_for_selector(".row.at")
    visitor.keys("Enter")
    visitor.page.wait_for_selector(".waterfall .row")
    assert visitor.path() == f"/requests/{second}"
    visitor.keys("Escape")
    visitor.sees(lambda: visitor.path() == "/", "the list")


def test_brackets_go_to_the_neighbours(visitor: Visitor) -> None:
    """] is the next one down the list, [ the one above."""
    visitor.open("/", ".requests .row")
    first, second = visitor.text(".requests .row .r-name code")[:2]
    visitor.open(f"/requests/{first}", ".waterfall .row")
    visitor.keys("]")
    visitor.sees(lambda: visitor.path() == f"/requests/{second}", "the older request")
    visitor.keys("[")
    visitor.sees(lambda: visitor.path() == f"/requests/{first}", "the newer request")


def test_e_goes_through_the_errors(visitor: Visitor) -> None:
    """From one failed span to the next, and round again."""
    visitor.open("/requests/support-failing", ".waterfall .row")
    for called in ("support.answer", "lookup_order", "support.answer"):
        visitor.keys("e")
        visitor.sees(lambda called=called: visitor.text(".panel h2") == [called], f"the error of {called}")


def test_arrows_fold_and_unfold(visitor: Visitor) -> None:
    """Left folds a span's children away, right shows them again."""
    visitor.open("/requests/support-ok", ".waterfall .row")
    visitor.keys("j", "j", "j")
    visitor.sees(lambda: visitor.text(".panel h2") == ["retrieve"], "the third span")
    visitor.keys("ArrowLeft")
    visitor.sees(lambda: "embed question" not in visitor.text(".waterfall .label"), "its children folded")
    visitor.keys("ArrowRight")
    visitor.sees(lambda: "embed question" in visitor.text(".waterfall .label"), "its children again")


def test_z_zooms_and_0_shows_all(visitor: Visitor) -> None:
    """The axis shows the span's own time, then the whole again."""
    visitor.open("/requests/support-ok", ".waterfall .row")
    visitor.page.locator(".waterfall .row", has_text="guard input").click()
    visitor.keys("z")
    visitor.sees(
        lambda: any("20 ms" in it for it in visitor.text(".axis .tick")), "an axis of some milliseconds"
    )
    visitor.keys("0")
    visitor.sees(lambda: "2 s" in visitor.text(".axis .tick"), "the whole axis")


@pytest.mark.parametrize(
    ("key", "path"), [("s", "/sessions"), ("t", "/stats"), ("d", "/deliveries"), ("l", "/")]
)
def test_g_goes_to_a_page(visitor: Visitor, key: str, path: str) -> None:
    """G and a letter soon after it, from anywhere."""
    visitor.open("/requests/support-ok", ".waterfall .row")
    visitor.page.evaluate("performance.now = () => 0")  # it is soon, however busy the machine is
    visitor.keys("g", key)
    visitor.sees(lambda: visitor.path() == path, path)


def test_two_requests_are_marked_and_compared(visitor: Visitor) -> None:
    """X on two of them, then the button."""
    visitor.open("/?workflow=support.answer", ".requests .row")
    visitor.keys("j", "x", "j", "x")
    visitor.page.get_by_role("button", name="Compare the two").click()
    visitor.page.wait_for_selector("table.compare")


def test_keys_in_a_field_are_text(visitor: Visitor) -> None:
    """Whoever types g s into the search stays on the list."""
    visitor.open("/", ".requests .row")
    visitor.keys("/")
    visitor.page.keyboard.type("g s?")
    assert visitor.page.get_by_role("searchbox").input_value() == "g s?"
    assert visitor.path().startswith("/?text=") or visitor.path() == "/"


def test_the_theme_is_chosen_and_remembered(newcomer: Visitor) -> None:
    """The button turns it over, also after loading again."""
    newcomer.open("/", ".requests .row")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = newcomer.page.evaluate(ground)
    newcomer.page.get_by_label("Switch to the dark theme").click()
    dark = newcomer.page.evaluate(ground)
    assert dark != light
    newcomer.open("/stats", "main")
    assert newcomer.page.evaluate(ground) == dark
