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
    """One that refuses everything for good until it is told otherwise, however it is packed."""
    with OtlpReceiver() as made:
        made.respond(400)
        yield made


@pytest.fixture
def operator(chromium: Browser, tmp_path: Path, receiver: OtlpReceiver) -> Iterator[Visitor]:
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


def test_one_dead_delivery_is_sent_again(operator: Visitor, receiver: OtlpReceiver) -> None:
    """The button at its row; the row says when it has been delivered."""
    operator.sees(lambda: states(operator) == ["dead"] * 3, "three dead deliveries")
    assert "400" in operator.text("tbody .wrap")[0]
    operator.shot("dead-light")
    receiver.respond(200)
    operator.page.get_by_role("button", name="Send delivery").first.click()
    operator.sees(lambda: sorted(states(operator)) == ["dead", "dead", "delivered"], "one delivered")
    assert len(receiver.spans()) == 1


def test_all_of_a_destination_are_sent_again(operator: Visitor, receiver: OtlpReceiver) -> None:
    """The button at the destination."""
    operator.sees(lambda: states(operator) == ["dead"] * 3, "three dead deliveries")
    receiver.respond(200)
    operator.page.get_by_role("button", name="Send again what is dead or paused").click()
    operator.sees(lambda: states(operator) == ["delivered"] * 3, "all delivered")
    assert "3 deliveries will be sent again." in operator.text(".banner")
    assert len(receiver.spans()) == 3


def test_deliveries_are_filtered_by_state(visitor: Visitor) -> None:
    """What a link says: only those that are dead, or delivered, or none."""
    for state in ("dead", "delivered"):
        visitor.open(f"/deliveries?state={state}", "tbody tr")
        visitor.sees(lambda state=state: set(states(visitor)) == {state}, f"{state} ones alone")
    visitor.open("/deliveries?state=paused", ".notice")
