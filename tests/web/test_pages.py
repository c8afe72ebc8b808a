"""Each page: what it shows, in both themes, for everybody; with a picture of it."""

from __future__ import annotations

from typing import Literal

import pytest
from browsing import PHONE, Shop, Visitor, visiting
from playwright.sync_api import Browser, Locator

pytestmark = pytest.mark.browser

PAGES = {
    "list": ("/", ".requests .row"),
    "search": ("/?text=packed", ".r-hit mark"),
    "request": ("/requests/support-ok", ".waterfall .row"),
    "span": ("/requests/support-failing", ".waterfall .row"),
    "loop": ("/requests/digest-1", ".waterfall .row"),
    "sessions": ("/sessions", "table"),
    "session": ("/sessions/chat-7f31", ".requests .row"),
    "compare": ("/compare?a=support-ok&b=support-slow", "table.compare"),
    "stats": ("/stats", ".chart circle"),
    "deliveries": ("/deliveries", "tbody tr"),
    "nothing": ("/?workflow=none", ".notice"),
    "missing": ("/requests/never-was", ".notice"),
    "refused": ("/nope", "main h1"),
}

SPACED = "(it) => document.querySelectorAll('*').forEach((one) => { one.style.letterSpacing = it; })"
WIDTHS = "['html', 'main'].map((it) => document.querySelector(it).scrollWidth)"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_in_both_themes(
    visitor: Visitor, name: str, theme: Literal["light", "dark"]
) -> None:
    """axe-core finds nothing serious on any page, by day and by night."""
    path, ready = PAGES[name]
    with visitor.lit(theme):
        visitor.open(path, ready)
        if name == "span":
            visitor.keys("e", "e")
            visitor.page.wait_for_selector(".panel .error-box")
        visitor.shot(f"{name}-{theme}")
        visitor.is_accessible()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone(phone: Visitor, name: str) -> None:
    """At 390 pixels nothing makes the page wider than the screen, and axe-core finds nothing serious."""
    path, ready = PAGES[name]
    phone.open(path, ready)
    if name == "span":
        phone.keys("e")
        phone.page.wait_for_selector(".panel .facts")
    phone.shot(f"{name}-phone")
    phone.is_accessible()
    for spacing in ("normal", "0.12em"):  # as wide as WCAG 2.2 wants it borne (1.4.12); wider than any font
        phone.page.evaluate(SPACED, spacing)
        assert phone.page.evaluate(WIDTHS) == [PHONE["width"]] * 2, spacing
    phone.has_no_problems()


def test_the_list_shows_requests_with_their_numbers(visitor: Visitor) -> None:
    """A row has the workflow, the id, how it went, spans, tokens and cost."""
    visitor.open("/", ".requests .row")
    row = visitor.page.locator(".requests .row", has_text="support-failing")
    assert row.locator("[aria-label='has errors']").count() == 1
    text = " ".join(row.inner_text().split())
    for part in ("support.answer", "1.06 s", "829→24", "gpt-4o-mini", "ada@example.org"):
        assert part in text


def test_older_requests_come_when_somebody_scrolls(visitor: Visitor) -> None:
    """The list goes on below its first page."""
    visitor.open("/", ".requests .row")
    assert visitor.text(".foot span")[0].startswith("50 requests")

    def scrolled() -> bool:
        visitor.page.evaluate(
            "(it) => { it.scrollTop = it.scrollHeight }", visitor.page.query_selector(".requests")
        )
        return int(visitor.text(".foot span")[0].split()[0]) > 100

    visitor.sees(scrolled, "a third page of requests")


def test_the_request_page_shows_tree_and_waterfall_in_one(visitor: Visitor) -> None:
    """Rows are in execution order, bars begin where the axis says, parents sum up what is below."""
    visitor.open("/requests/support-ok", ".waterfall .row")
    assert visitor.text(".waterfall .row .label")[:4] == [
        "support.answer",
        "guard input",
        "retrieve",
        "embed question",
    ]
    assert "1,875→162" in visitor.text(".waterfall .row .w-tokens")[0]
    visitor.page.wait_for_selector(".axis .tick")
    starts = "(it) => it.getBoundingClientRect().left"
    root = visitor.page.evaluate(starts, visitor.page.query_selector(".span-bar"))
    zero = visitor.page.evaluate(starts, visitor.page.query_selector(".axis .tick"))
    assert abs(root - zero) <= 1


def test_bars_end_where_the_axis_says(visitor: Visitor) -> None:
    """The bar of a span of 640 ms is as wide as 640 ms of the axis."""
    visitor.open("/requests/support-ok", ".waterfall .row")
    box = "(it) => it.getBoundingClientRect().width"
    axis = visitor.page.evaluate(box, visitor.page.query_selector(".axis"))
    chat = visitor.page.locator(".waterfall .row", has_text="gpt-4o-mini").locator(".span-bar")
    whole_ms = 3 + 42 + 96 + 38 + 61 + 640 + 184 + 1480
    assert chat.evaluate(box) == pytest.approx(axis * 640 / whole_ms, abs=1)


def test_a_model_call_is_shown_as_a_conversation(visitor: Visitor) -> None:
    """Who said what, which tool was called with what, and what came of it."""
    visitor.open("/requests/support-ok", ".waterfall .row")
    visitor.page.locator(".waterfall .row", has_text="chat gpt-4o").last.click()
    visitor.page.wait_for_selector(".message.output")
    assert visitor.text(".message header b") == ["System", "User", "Assistant", "Tool", "Assistant"]
    assert "lookup_order" in visitor.text(".call code")[0]
    assert "leaves tomorrow" in visitor.text(".message.output .text")[0]
    visitor.shot("conversation-light")
    visitor.is_accessible()


def test_an_input_leads_to_the_span_that_made_it(visitor: Visitor) -> None:
    """The documents of the reranker are those that retrieval has found."""
    visitor.open("/requests/support-ok", ".waterfall .row")
    visitor.page.locator(".waterfall .row", has_text="rerank").click()
    visitor.page.locator(".flow a", has_text="retrieve").click()
    visitor.sees(lambda: visitor.text(".panel h2") == ["retrieve"], "the span that made it")


def test_json_is_folded_and_opens(visitor: Visitor) -> None:
    """Branches show how much is in them, and open by a click."""
    visitor.open("/requests/support-ok", ".waterfall .row")
    visitor.page.locator(".waterfall .row", has_text="rerank").click()
    visitor.page.locator(".json .fold[aria-expanded=false]").first.click()
    visitor.sees(
        lambda: any("Changing an address" in it for it in visitor.text(".json .leaf")), "an opened branch"
    )


def test_copy_buttons_copy(visitor: Visitor) -> None:
    """The id of a request, as it is stored."""
    visitor.open("/requests/support-ok", ".waterfall .row")
    visitor.page.get_by_label("Copy the request id").click()
    visitor.sees(
        lambda: visitor.page.evaluate("navigator.clipboard.readText()") == "support-ok", "the id copied"
    )


def test_the_critical_path_is_shown_on_demand(visitor: Visitor) -> None:
    """What the whole has not waited for is dimmed."""
    visitor.open("/requests/support-ok", ".waterfall .row")
    visitor.page.get_by_role("button", name="Critical path").click()
    visitor.page.wait_for_selector(".critical-only .row.on-path")
    on_path = visitor.text(".critical-only .row.on-path .label")
    assert "chat gpt-4o" in on_path
    assert len(on_path) < len(visitor.text(".waterfall .row .label")) + 1


def test_passes_of_a_loop_are_folded_and_open(visitor: Visitor) -> None:
    """Twelve passes are twelve rows; one that is opened shows its nodes."""
    visitor.open("/requests/digest-1", ".waterfall .row")
    assert len(visitor.text(".waterfall .row")) == 13
    visitor.page.get_by_label("Unfold iteration[3]").click()
    visitor.sees(lambda: len(visitor.text(".waterfall .row")) == 15, "the nodes of the pass")


def test_errors_come_first(visitor: Visitor) -> None:
    """Above the spans stands where the failure began; it leads there."""
    visitor.open("/requests/support-failing", ".waterfall .row")
    assert visitor.text(".causes button") == [
        "lookup_order TimeoutError: orders-db did not answer within 150 ms"
    ]
    visitor.page.locator(".causes button").click()
    visitor.sees(lambda: visitor.text(".panel h2") == ["lookup_order"], "the span that failed")


def test_pictures_are_shown_and_other_files_offered(visitor: Visitor) -> None:
    """An image is drawn; what a browser could run is only to be downloaded; what is missing says why."""
    visitor.open("/requests/receipt-1", ".waterfall .row")
    visitor.page.locator(".waterfall .row").click()
    visitor.page.wait_for_selector(".media img")
    drawn = "(it) => it.complete && it.naturalWidth"
    visitor.sees(lambda: visitor.page.locator(".media img").evaluate(drawn) == 96, "the picture drawn")
    assert visitor.text(".media a") == ["receipt", "notes"]
    assert visitor.text(".media .warn") == ["scan is missing: cannot be read: No such file or directory"]
    assert "Files 2, 1 file missing" in visitor.text("summary")
    visitor.shot("media-light")
    visitor.is_accessible()


def test_what_was_cut_is_not_called_lost(visitor: Visitor) -> None:
    """At the foot: everything is stored, one node without an attachment."""
    visitor.open("/", ".requests .row")
    visitor.sees(lambda: "1 cut" in visitor.text(".health .warn"), "what was cut")
    assert "none lost" in visitor.text(".health")[0]
    assert not visitor.text(".health .bad")


def test_two_requests_side_by_side(visitor: Visitor) -> None:
    """Durations with their difference, and whether inputs and outputs are the same."""
    visitor.open("/compare?a=support-ok&b=support-failing", "table.compare")
    asked = visitor.page.locator("tr", has_text="gpt-4o-mini")
    assert [text for text in asked.locator("td").all_inner_texts() if "$" in text] == ["~$0.000136"] * 2
    failed = visitor.page.locator("tr", has_text="lookup_order").first
    assert failed.locator("[aria-label=failed]").count() == 1
    assert "only in A" in " ".join(visitor.text("table.compare th"))


@pytest.mark.parametrize("who", ["visitor", "phone"])
def test_a_request_is_shared_as_a_file(request: pytest.FixtureRequest, who: str) -> None:
    """The menu says what is hidden, and each form is saved under its name; on a phone, too."""
    someone: Visitor = request.getfixturevalue(who)
    someone.open("/requests/support-ok", ".waterfall .row")
    someone.page.get_by_label("Share this request").click()
    someone.page.wait_for_selector(".share .menu-list a")
    box = someone.page.locator(".share .menu-list").bounding_box()
    assert box is not None
    assert 0 <= box["x"] < box["x"] + box["width"] <= someone.page.evaluate("innerWidth")
    someone.shot(f"share-{who}")
    someone.is_accessible()
    for form, suffix in (("HTML", "html"), ("Markdown", "md"), ("JSON", "json")):
        with someone.page.expect_download() as started:
            someone.page.locator(".share a", has_text=form).click()
        assert started.value.suggested_filename == f"hush-support-ok.{suffix}"
        text = started.value.path().read_text(encoding="utf-8")
        assert "10482" in text
        assert "ada@example.org" not in text
    someone.has_no_problems()


def test_a_session_is_not_said_again_in_each_of_its_rows(visitor: Visitor) -> None:
    """Nor its user: both stand above the list."""
    visitor.open("/sessions/chat-7f31", ".requests .row")
    assert "chat-7f31" in visitor.text(".head")[0]
    assert "ada@example.org" in visitor.text(".facts")[0]
    assert "User, session" not in visitor.text(".requests [role=columnheader]")
    assert not any("chat-7f31" in row for row in visitor.text(".requests .row"))


def opened_step(someone: Visitor, step: str) -> Locator:
    """What differs in this step of a request that went well and one that failed."""
    someone.open("/compare?a=support-ok&b=support-failing", "table.compare")
    someone.page.get_by_label(f"What differs in {step}").click()
    someone.page.wait_for_selector(".differences pre")
    return someone.page.locator(".step-details")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_step_opens_to_what_differs_in_it(visitor: Visitor, theme: Literal["light", "dark"]) -> None:
    """The errors of both sides, the lines of its output, as in `diff --io`; and the URL says which step."""
    with visitor.lit(theme):
        details = opened_step(visitor, "lookup_order")
        assert visitor.text(".step-details .error-box") == [
            "Error of A none",
            "Error of B TimeoutError: orders-db did not answer within 150 ms",
        ]
        removed = details.locator(".differences .removed > span:last-child")
        assert removed.all_inner_texts() == ["{", '  "state": "packed",', '  "leaves": "tomorrow"', "}"]
        assert "&step=" in visitor.path()
        visitor.shot(f"step-{theme}")
        visitor.is_accessible()
    visitor.keys("Escape")
    visitor.sees(lambda: "&step=" not in visitor.path() and details.count() == 0, "the step closed")


def test_both_sides_are_seen_on_a_phone(phone: Visitor) -> None:
    """A and B, their difference and what is open of a step: all within 390 pixels."""
    details = opened_step(phone, "support.answer")
    for seen in (*phone.page.locator(".step").first.locator(".num:not(.none)").all(), details):
        box = seen.bounding_box()
        assert box is not None
        assert 0 <= box["x"] < box["x"] + box["width"] <= PHONE["width"]
    assert phone.text(".step:first-child .num:not(.none)") == ["2.54 s", "1.06 s", "\u221258 %"]
    phone.shot("step-phone")
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    phone.has_no_problems()


def test_tokens_and_cost_have_their_difference(visitor: Visitor) -> None:
    """Of the whole requests beside their sums, and of each step."""
    visitor.open("/compare?a=support-failing&b=support-ok", "table.compare")
    (side,) = visitor.text(".side[aria-label='Request B']")
    assert "2,037 tokens +139 %" in side
    assert "~$0.00413 \u00d730" in side
    deltas = visitor.page.locator("tr", has_text="gpt-4o-mini").locator("td.num:nth-child(3n + 4)")
    assert deltas.all_inner_texts() == ["≈", "≈", "≈"]


def test_stats_lead_to_requests(visitor: Visitor) -> None:
    """A point of the scatter is a request."""
    visitor.open("/stats", ".chart circle")
    visitor.page.locator(".points circle").first.click(force=True)
    visitor.sees(lambda: visitor.path().startswith("/requests/"), "a request's page")


def test_a_request_that_is_not_there_is_said_so(visitor: Visitor) -> None:
    """With a way back to those that are."""
    visitor.open("/requests/never-was", ".notice")
    assert "never-was" in visitor.text(".notice")[0]
    visitor.page.get_by_role("button", name="All requests").click()
    visitor.page.wait_for_selector(".requests .row")


def test_the_login_url_leads_to_the_list(chromium: Browser, shop: Shop) -> None:
    """Whoever has no cookie is told what to do, not shown an empty page; the URL gives one."""
    with visiting(chromium, shop, logged_in=False) as someone:
        someone.page.goto(shop.origin + "/")
        assert "hush-otel ui" in someone.page.inner_text("body")
        someone.page.goto(shop.login_url)
        someone.page.wait_for_selector(".requests .row")
        assert someone.path() == "/"


def test_a_session_that_ends_is_said_so(newcomer: Visitor) -> None:
    """Without its cookie the open page says what to open."""
    newcomer.open("/", ".requests .row")
    newcomer.page.context.clear_cookies()
    newcomer.page.get_by_role("link", name="Sessions").click()
    newcomer.page.wait_for_selector(".notice[role=alert]")
    assert "token" in newcomer.text(".notice")[0]
