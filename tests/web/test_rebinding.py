"""S5 in a real browser: pages of another name read nothing, even where that name leads to this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import pytest
from browsing import ARGUMENTS, Site, program, serving_page
from playwright.sync_api import Browser, BrowserContext, Page
from store_rows import StoreRows

pytestmark = pytest.mark.browser

NAME: Final = "evil.example"
SECRET: Final = "r-of-nobody-else"  # noqa: S105 - a request id

ASK: Final = """async (request) => {
    try {
        const answer = await fetch(request.url, {credentials: "include", mode: request.mode});
        return [answer.status, await answer.text()];
    } catch (error) {
        return [0, ""];
    }
}"""
"""Status and text, as far as the browser lets a page have them."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page of a database with one request."""
    database = tmp_path_factory.mktemp("rebinding") / "traces.db"
    with StoreRows(database) as rows:
        rows.span(rows.request(SECRET), 1, name="answer")
    with serving_page(database) as site:
        yield site


class _Hello(BaseHTTPRequestHandler):
    """A page with nothing on it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """A page of somebody else's, served on this machine: what is near is refused nothing for being far."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hello) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{NAME}:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def rebound(chromium: Browser) -> Iterator[Browser]:
    """A Chromium for which the name of somebody else's page is this machine."""
    rule = f"--host-resolver-rules=MAP {NAME} 127.0.0.1"
    started = chromium.browser_type.launch(executable_path=program(), args=[*ARGUMENTS, rule])
    yield started
    started.close()


@pytest.fixture
def context(rebound: Browser, site: Site) -> Iterator[BrowserContext]:
    """Somebody who is logged in at the page."""
    made = rebound.new_context()
    made.set_default_timeout(20_000)
    page = made.new_page()
    page.goto(site.login_url)
    assert ask(page, "/api/requests")[0] == 200
    page.close()
    yield made
    made.close()


def ask(page: Page, url: str, mode: str = "cors") -> tuple[int, str]:
    """What a script of this page gets from there."""
    status, text = page.evaluate(ASK, {"url": url, "mode": mode})
    return status, text


@pytest.mark.parametrize("path", ["/", "/login?TOKEN", f"/requests/{SECRET}"])
def test_s05_a_name_that_was_rebound_gets_nothing(context: BrowserContext, site: Site, path: str) -> None:
    """Whatever is opened under it, with the token too, is refused, sets no cookie, and its scripts read nothing."""
    theirs = site.origin.replace("127.0.0.1", NAME)
    page = context.new_page()
    answer = page.goto(theirs + path.replace("/login?TOKEN", site.login_url.removeprefix(site.origin)))
    assert answer is not None
    assert (answer.status, SECRET in answer.text()) == (421, False)
    status, text = ask(page, "/api/requests")
    assert (status, SECRET in text) == (421, False)
    assert not context.cookies(theirs)


@pytest.mark.parametrize("mode", ["cors", "no-cors"])
@pytest.mark.parametrize("path", ["/api/requests", f"/api/requests/{SECRET}", "/"])
def test_s05_a_page_of_elsewhere_reads_nothing(
    context: BrowserContext, site: Site, elsewhere: str, path: str, mode: str
) -> None:
    """Of somebody who is logged in; neither by the address nor by the name that was rebound."""
    page = context.new_page()
    page.goto(elsewhere)
    for origin in (site.origin, site.origin.replace("127.0.0.1", NAME)):
        assert ask(page, origin + path, mode) == (0, "")
