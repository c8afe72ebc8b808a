"""A real browser at a real server over a database with a real background process."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import samples
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from processes import stop_background
from support import eventually

from hush_otel import Destination
from hush_otel.testing import OtlpReceiver

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES = ("chromium", "chromium-browser", "google-chrome")

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
AXE = Path(__file__).with_name("vendor") / "axe.min.js"

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}

SPANS = 50_000
CHARACTERS = 10_000_000


def program() -> str:
    """Chromium: `$CHROMIUM`, or the first of the usual names.

    Without one the test is skipped; with HUSH_REQUIRE_BROWSER=1, as in CI, it fails.
    """
    named = os.environ.get("CHROMIUM")
    found = next(filter(None, map(shutil.which, [named] if named else NAMES)), None)
    if found is None:
        missing = f"no Chromium: {named or ', '.join(NAMES)}; apt-get install chromium, or set CHROMIUM"
        if os.environ.get("HUSH_REQUIRE_BROWSER") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium, without a window and with an empty profile."""
    path = program()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield started
        started.close()


@dataclass
class Site:
    """The page of one database.

    Attributes:
        database: Its file.
        login_url: Lets a browser in.
        process: `hush-otel ui`.
    """

    database: Path
    login_url: str
    process: subprocess.Popen[str]

    @property
    def origin(self) -> str:
        """The address without path and token."""
        return self.login_url.partition("/login")[0]


@contextmanager
def serving_page(database: Path) -> Iterator[Site]:
    """`hush-otel ui` in a process of its own."""
    command = [sys.executable, "-m", "hush_otel", "--db", str(database), "ui", "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Site(database, process.stdout.readline().strip(), process)
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()  # type: ignore[union-attr]


@dataclass
class Shop(Site):
    """A database full of samples, its page, and the receiver that first refuses what comes."""

    refusing: OtlpReceiver = field(kw_only=True)


@contextmanager
def shop(directory: Path) -> Iterator[Shop]:
    """Every sample, stored; `archive` has refused the hostile request for good, `jaeger` has taken the rest."""
    database = directory / "traces.db"
    with OtlpReceiver() as taking, OtlpReceiver() as refusing:
        refusing.respond(400, {}, times=10**6)
        try:
            record(database, taking, refusing)
            with serving_page(database) as site:
                yield Shop(site.database, site.login_url, site.process, refusing=refusing)
        finally:
            stop_background(database)


def record(database: Path, taking: OtlpReceiver, refusing: OtlpReceiver) -> None:
    """All samples. The newest stand first in the list: those that people look at."""
    jaeger = Destination("otlp", name="jaeger", endpoint=taking.endpoint)
    with samples.tracing(database) as tracer:
        samples.many(tracer, "crawl-1", SPANS)
        samples.large(tracer, "import-1", CHARACTERS)
    with samples.tracing(database, Destination("otlp", name="archive", endpoint=refusing.endpoint)) as tracer:
        samples.hostile(tracer, "hostile-1")
    with samples.tracing(database, jaeger) as tracer:
        samples.history(tracer, 300)
    samples.loop(database, "digest-1", 12)
    samples.pictures(database, "receipt-1")
    now_ns = time.time_ns()
    with samples.tracing(database, jaeger) as tracer:
        samples.support(tracer, "support-ok", now_ns - 20 * samples.SECOND_NS)
        samples.support(tracer, "support-slow", now_ns - 12 * samples.SECOND_NS, scale=1.6)
        samples.support(tracer, "support-failing", now_ns - 4 * samples.SECOND_NS, failing=True)


@dataclass
class Visitor:
    """Somebody at the page, who notices everything that must not happen.

    Attributes:
        page: Playwright's.
        site: Where it looks.
        problems: Errors, dialogs, violations of the policy, requests to elsewhere.
    """

    page: Page
    site: Site
    problems: list[str] = field(default_factory=list)

    def open(self, path: str, ready: str = "main .row, main table, main .chart, main .notice") -> None:
        """Go there, and wait until there is something to see."""
        self.page.goto(self.site.origin + path)
        self.page.wait_for_selector(ready)

    @contextmanager
    def lit(self, theme: Literal["light", "dark"]) -> Iterator[None]:
        """Meanwhile the system asks for this theme."""
        self.page.emulate_media(color_scheme=theme)
        yield
        self.page.emulate_media(color_scheme="light")

    def keys(self, *names: str) -> None:
        """Press them, one after the other."""
        for name in names:
            self.page.keyboard.press(name)

    def shot(self, name: str) -> None:
        """Keep a picture, for people to look at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def path(self) -> str:
        """The address without the origin."""
        return str(self.page.evaluate("location.pathname + location.search"))

    def text(self, selector: str) -> list[str]:
        """What stands in each element that matches."""
        return [" ".join(text.split()) for text in self.page.locator(selector).all_inner_texts()]

    def sees(self, look: Callable[[], object], what: str) -> None:
        """Wait until it is so."""
        eventually(look, 30.0, what=what, poll_s=0.05)

    @contextmanager
    def computing(self) -> Iterator[Callable[[], float]]:
        """How many seconds the page's thread has computed since the beginning, whatever the clock says."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})  # counted from here on

        def computed_s() -> float:
            metrics = session.send("Performance.getMetrics")["metrics"]
            return float(next(it["value"] for it in metrics if it["name"] == "TaskDuration"))

        yield computed_s
        session.detach()

    def has_no_problems(self) -> None:
        """Nothing has happened, since this was asked last, that must not."""
        problems, self.problems[:] = list(self.problems), []
        assert not problems, problems

    def is_accessible(self) -> None:
        """No serious or critical violation of axe-core's rules."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        bad = [_violation(it) for it in found["violations"] if it["impact"] in {"serious", "critical"}]
        assert not bad, "\n".join(bad)


def _violation(it: dict[str, Any]) -> str:
    nodes = [f"{node['html'][:160]} {node.get('failureSummary', '')[:200]}" for node in it["nodes"][:3]]
    return f"{it['id']} ({it['impact']}): {json.dumps(nodes, indent=1)}"


_EXPECTED = re.compile("Failed to load resource")
"""What Chromium logs where the server refuses: that is looked at by what the page shows."""

_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => violated(`${event.violatedDirective} ${event.blockedURI}`));
"""


@contextmanager
def visiting(
    chromium: Browser, site: Site, *, phone: bool = False, logged_in: bool = True, scale: float = 1.0
) -> Iterator[Visitor]:
    """A browser of its own, as far as cookies and storage go, logged in; what must not happen fails at the end."""
    context = chromium.new_context(
        viewport=PHONE if phone else DESKTOP,  # type: ignore[arg-type]
        color_scheme="light",
        device_scale_factor=scale,
        has_touch=phone,
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(20_000)
    visitor = _watched(context, site)
    try:
        if logged_in:
            context.request.get(site.login_url, max_redirects=0)
        yield visitor
    finally:
        context.close()
    visitor.has_no_problems()


def _watched(context: BrowserContext, site: Site) -> Visitor:
    context.add_init_script(_VIOLATIONS)
    visitor = Visitor(context.new_page(), site)
    page, problems = visitor.page, visitor.problems

    def asked(url: str) -> None:
        if not url.startswith((site.origin + "/", "data:", "blob:")):
            problems.append(f"asked for {url}")

    def said(kind: str, text: str) -> None:
        if kind == "error" and not _EXPECTED.search(text):
            problems.append(f"console: {text}")

    page.expose_function("violated", lambda what: problems.append(f"policy: {what}"))
    page.on("request", lambda request: asked(request.url))
    page.on("console", lambda message: said(message.type, message.text))
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    return visitor
