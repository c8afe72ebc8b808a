"""Every test lets go of what it has opened."""

from __future__ import annotations

from collections.abc import Iterator

import browsing
import pytest
from inprocess import let_go
from playwright.sync_api import Browser


@pytest.fixture(autouse=True)
def _letting_go() -> Iterator[None]:
    yield
    let_go()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of a process."""
    with browsing.browser() as started:
        yield started


@pytest.fixture(scope="session")
def shop(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[browsing.Shop]:
    """One database full of samples, and its page. Asked for with the browser: without one nothing is recorded."""
    with browsing.shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture(scope="session")
def desk(chromium: Browser, shop: browsing.Shop) -> Iterator[browsing.Visitor]:
    """One window for all tests that leave nothing behind in the browser: each goes where it wants to look."""
    with browsing.visiting(chromium, shop) as someone:
        yield someone


@pytest.fixture(scope="session")
def phone(chromium: Browser, shop: browsing.Shop) -> Iterator[browsing.Visitor]:
    """The same, 390 pixels wide and with fingers."""
    with browsing.visiting(chromium, shop, phone=True) as someone:
        yield someone


@pytest.fixture
def visitor(desk: browsing.Visitor) -> Iterator[browsing.Visitor]:
    """Somebody at a desk, by day, who only looks."""
    yield desk
    desk.has_no_problems()


@pytest.fixture
def newcomer(chromium: Browser, shop: browsing.Shop) -> Iterator[browsing.Visitor]:
    """Somebody whose cookies and choices nobody else shares."""
    with browsing.visiting(chromium, shop) as someone:
        yield someone
