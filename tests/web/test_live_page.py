"""What changes is seen without loading the page again."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import samples
from browsing import Site, Visitor, serving_page, visiting
from inprocess import rows
from opentelemetry.trace import StatusCode, set_span_in_context
from playwright.sync_api import Browser
from processes import stop_background

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page of a database that does not exist yet; asked for with the browser, without which nothing begins."""
    database = tmp_path_factory.mktemp("live") / "traces.db"
    with serving_page(database) as made:
        yield made
    stop_background(database)


@pytest.fixture(scope="module")
def window(chromium: Browser, site: Site) -> Iterator[Visitor]:
    """One for all of them."""
    with visiting(chromium, site) as someone:
        yield someone


@pytest.fixture
def visitor(window: Visitor) -> Iterator[Visitor]:
    """Somebody who looks at it."""
    yield window
    window.has_no_problems()


def test_a_workflow_is_seen_while_it_runs_and_when_it_has_failed(visitor: Visitor, site: Site) -> None:
    """Running, then finished or failed: rows, bars and numbers follow, and nothing is loaded again."""
    visitor.open("/?workflow=live", ".notice")
    visitor.page.evaluate("window.here = true")
    with samples.tracing(site.database) as tracer:
        root = tracer.start_span(
            "answer", attributes={"hush.request_id": "live-1", "hush.workflow_name": "live"}
        )
        child = tracer.start_span("think", set_span_in_context(root))
        visitor.page.wait_for_selector(".requests .row.running")
        visitor.page.get_by_role("link", name="live", exact=True).click()
        visitor.page.wait_for_selector(".waterfall .row.running .span-bar.running")
        _bars_grow(visitor)
        visitor.shot("running-light")
        child.end()
        visitor.sees(
            lambda: visitor.page.locator(".waterfall .row.running").count() == 1, "one that still runs"
        )
        root.set_status(StatusCode.ERROR, "no answer")
        root.end()
        visitor.page.wait_for_selector(".waterfall .row.error")
    visitor.sees(
        lambda: visitor.page.locator(".title [aria-label='has errors']").count() == 1, "the head's state"
    )
    assert visitor.page.evaluate("window.here")


def _bars_grow(visitor: Visitor) -> None:
    bar = visitor.page.locator(".waterfall .row.running .w-time").first
    before = bar.inner_text()
    visitor.sees(lambda: bar.inner_text() != before, "time that passes")


def test_new_requests_appear_at_the_top(visitor: Visitor, site: Site) -> None:
    """The list follows what is recorded, with the filters that hold."""
    visitor.open("/?workflow=one", ".notice")
    with samples.tracing(site.database) as tracer:
        for name, workflow in (("first", "one"), ("other", "two"), ("second", "one")):
            about = {"hush.request_id": name, "hush.workflow_name": workflow}
            tracer.start_span("work", attributes=about).end()
    visitor.sees(
        lambda: visitor.text(".requests .row .r-name code") == ["second", "first"], "both, newest first"
    )


def test_a_server_that_is_gone_is_said_so(chromium: Browser, site: Site) -> None:
    """What was there stays on the page, with a word that it is old."""
    with samples.tracing(site.database) as tracer:
        tracer.start_span(
            "work", attributes={"hush.request_id": "kept-1", "hush.workflow_name": "kept"}
        ).end()
    with serving_page(site.database) as ending, visiting(chromium, ending) as someone:
        someone.open("/?workflow=kept", ".requests .row")
        ending.process.terminate()
        ending.process.wait(60)
        someone.page.wait_for_selector(".health.lost")
        assert someone.text(".requests .row .r-name code") == ["kept-1"]
        someone.shot("gone-light")


def test_the_health_line_follows(visitor: Visitor, site: Site) -> None:
    """Spans stored, and who stores them."""

    def record() -> None:
        with samples.tracing(site.database) as tracer:
            tracer.start_span("work").end()

    def stored() -> int:
        return rows(site.database, "SELECT count(*) FROM spans")[0][0]

    def shown() -> int:
        found = re.search(r"([\d,]+) span", " ".join(visitor.text(".health")))
        return int(found[1].replace(",", "")) if found else 0

    visitor.open("/")
    record()
    visitor.sees(lambda: shown() == stored() > 0, "the spans counted")
    before = shown()
    record()
    visitor.sees(lambda: shown() == stored() > before, "one more counted")
    visitor.sees(lambda: "background process running" in visitor.text(".health")[0], "the background process")
