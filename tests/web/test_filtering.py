"""Filters of the list: all in the URL, so that a link is a view."""

from __future__ import annotations

import pytest
from browsing import Visitor

from hush_otel.presentation.filters import STATUSES

pytestmark = pytest.mark.browser


def workflows(visitor: Visitor) -> set[str]:
    """The workflows of the rows in sight."""
    return set(visitor.text(".requests .row .r-name a"))


def test_a_filter_goes_into_the_url_and_back(visitor: Visitor) -> None:
    """Choosing one narrows the list, the browser's way back widens it again."""
    visitor.open("/", ".requests .row")
    visitor.page.wait_for_selector(
        "select[aria-label=Workflow] option:text-is('search.rank')", state="attached"
    )
    visitor.page.get_by_label("Workflow").select_option("search.rank")
    visitor.sees(lambda: workflows(visitor) == {"search.rank"}, "one workflow alone")
    assert visitor.path() == "/?workflow=search.rank"
    visitor.page.go_back()
    visitor.sees(lambda: len(workflows(visitor)) > 1, "all workflows again")


def test_a_status_is_the_word_that_the_terminal_has(visitor: Visitor) -> None:
    """In the list, in the filter and in the URL: what `requests.status` and `ls --status` say."""
    visitor.open("/", ".requests .row")
    offered = visitor.page.get_by_label("Status").locator("option").all_inner_texts()
    assert offered == ["Status", *STATUSES]
    seen = {word.strip() for word in visitor.text(".requests .row .r-state")}
    assert seen
    assert seen <= set(STATUSES)


def test_a_deep_link_shows_what_it_says(visitor: Visitor) -> None:
    """Filters of a URL are applied, and shown as chosen."""
    visitor.open("/?workflow=support.answer&errors=1", ".requests .row")
    assert workflows(visitor) == {"support.answer"}
    assert "0" not in visitor.text(".requests .row .r-errors")
    assert visitor.page.get_by_label("Errors", exact=True).is_checked()
    assert visitor.page.get_by_label("Workflow").input_value() == "support.answer"


def test_several_filters_hold_together_and_are_cleared_at_once(visitor: Visitor) -> None:
    """Esc takes all of them away."""
    visitor.open("/?workflow=digest.weekly&min_ms=10000", ".requests .row")
    assert workflows(visitor) == {"digest.weekly"}
    visitor.keys("Escape")
    visitor.sees(lambda: visitor.path() == "/" and len(workflows(visitor)) > 1, "the whole list")


def test_text_is_searched_for_in_names_inputs_and_outputs(visitor: Visitor) -> None:
    """A word of an input finds its request; the word goes into the URL."""
    visitor.open("/", ".requests .row")
    visitor.keys("/")
    visitor.page.keyboard.type("packed")
    visitor.sees(lambda: visitor.path() == "/?text=packed", "the word in the URL")
    visitor.sees(
        lambda: set(visitor.text(".requests .row .r-name code")) == {"support-ok", "support-slow"},
        "the requests with the word",
    )


_TYPE_MORE = """([soon, later]) => {
  const field = document.querySelector("input[type=search]");
  const replace = history.replaceState;
  const type = (more) => {
    field.value += more;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  history.replaceState = (...given) => {
    history.replaceState = replace;
    history.replaceState(...given);
    type(soon);
    setTimeout(type, 150, later);
  };
}"""
"""At the moment at which the words so far go into the URL, and a little later."""


def test_what_is_typed_while_the_url_follows_stays(visitor: Visitor) -> None:
    """The field has the words that it has sent, and those that came meanwhile; the URL follows again."""
    visitor.open("/", ".requests .row")
    visitor.page.evaluate(_TYPE_MORE, ["ke", "d"])
    visitor.keys("/")
    visitor.page.keyboard.type("pac")
    visitor.sees(lambda: visitor.path() == "/?text=packed", "the words in the URL")
    assert visitor.page.get_by_role("searchbox").input_value() == "packed"
    visitor.page.get_by_role("link", name="Sessions").click()
    visitor.page.go_back()
    visitor.sees(lambda: visitor.page.get_by_role("searchbox").input_value() == "packed", "the words again")


def test_a_search_shows_where_the_words_stand(visitor: Visitor) -> None:
    """Below each request: the span, which it leads to, and the words, marked, whatever stands before them."""
    visitor.open("/?text=backhaus", ".r-hit mark")
    assert visitor.text(".r-hit") == ["receipts.read \U0001f950\U0001f370 Backhaus"]
    assert visitor.text(".r-hit mark") == ["Backhaus"]
    visitor.page.locator(".r-hit a").click()
    visitor.sees(lambda: visitor.text(".panel h2") == ["receipts.read"], "the span with the words")


def test_rows_without_a_search_have_no_line_for_it(visitor: Visitor) -> None:
    """They are as high as ever, and those of a search do not overlap."""
    for path, height_px in (("/?workflow=search.rank", 36), ("/?text=packed", 58)):
        visitor.open(path, ".requests .row")
        heights = "(rows) => rows.map((it) => it.getBoundingClientRect().height)"
        assert set(visitor.page.eval_on_selector_all(".requests .row", heights)) == {height_px}


def test_a_link_to_a_span_opens_it(visitor: Visitor) -> None:
    """The URL that selecting a span makes shows the same span again."""
    visitor.open("/requests/support-ok", ".waterfall .row")
    visitor.page.locator(".waterfall .row", has_text="lookup_order").click()
    visitor.page.wait_for_selector(".panel .facts")
    link = visitor.path()
    assert "span=" in link
    visitor.open("/", ".requests .row")
    visitor.open(link, ".panel .facts")
    assert visitor.text(".panel h2") == ["lookup_order"]
