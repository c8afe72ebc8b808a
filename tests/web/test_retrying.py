"""Deliveries: why they failed, and sent again when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import samples
from browsing import Visitor, serving_page, visiting
from playwright.sync_api import Browser
from processes import stop_background

from hush_otel import Destination
from hush_otel.testing import OtlpReceiver

pytestmark = pytest.mark.browser


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """One that refuses the first three requests for good."""
    with OtlpReceiver() as made:
        made.respond(400, {}, times=3)
        yield made


@pytest.fixture
def visitor(chromium: Browser, tmp_path: Path, receiver: OtlpReceiver) -> Iterator[Visitor]:
    """Somebody at the page of three requests that were refused."""
    database = tmp_path / "traces.db"
    destination = Destination("otlp", name="archive", endpoint=receiver.endpoint, max_in_flight=1)
    for name in ("one", "two", "three"):
        with samples.tracing(database, destination) as tracer:
            tracer.start_span("work", attributes={"hush.request_id": name}).end()
    try:
        with serving_page(database) as site, visiting(chromium, site) as someone:
            someone.open("/deliveries", "tbody tr")
            yield someone
    finally:
        stop_background(database)


def states(visitor: Visitor) -> list[str]:
    """The states of the rows in sight."""
    return visitor.text("tbody .state")


def test_one_dead_delivery_is_sent_again(visitor: Visitor, receiver: OtlpReceiver) -> None:
    """The button at its row; the row says when it has been delivered."""
    visitor.sees(lambda: states(visitor) == ["dead"] * 3, "three dead deliveries")
    assert "400" in visitor.text("tbody .wrap")[0]
    visitor.shot("dead-light")
    visitor.page.get_by_role("button", name="Send delivery").first.click()
    visitor.sees(lambda: sorted(states(visitor)) == ["dead", "dead", "delivered"], "one delivered")
    assert len(receiver.spans()) == 1


def test_all_of_a_destination_are_sent_again(visitor: Visitor, receiver: OtlpReceiver) -> None:
    """The button at the destination."""
    visitor.sees(lambda: states(visitor) == ["dead"] * 3, "three dead deliveries")
    visitor.page.get_by_role("button", name="Send again what is dead or paused").click()
    visitor.sees(lambda: states(visitor) == ["delivered"] * 3, "all delivered")
    assert "3 deliveries will be sent again." in visitor.text(".banner")
    assert len(receiver.spans()) == 3


def test_deliveries_are_filtered_by_state(visitor: Visitor) -> None:
    """What a link says: only those that are dead."""
    visitor.open("/deliveries?state=delivered", ".notice")
    visitor.open("/deliveries?state=dead", "tbody tr")
    visitor.sees(lambda: set(states(visitor)) == {"dead"}, "dead ones alone")
