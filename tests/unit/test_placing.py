"""Node traces that come after their request was queued: where they hang, and what that costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inprocess import App, Owner, no_background, node_payload, owning, rows, writer_of

REQUEST = "r"
NOWHERE = {"endpoint": "http://127.0.0.1:9", "headers": {"a": "${NOT_SET}"}}
"""Lacks a secret: deliveries are queued, and none is sent."""

HANGS = """SELECT p.name FROM spans s LEFT JOIN spans p ON p.span_id = s.parent_span_id WHERE s.name = ?"""


class Request:
    """Node traces of one request, and the background process that places them."""

    def __init__(self, app: App, owner: Owner) -> None:
        self.app = app
        self.owner = owner
        self.writer = writer_of(app.settings)

    def record(self, name: str, parent: str | None, **values: Any) -> None:
        """A node trace."""
        assert self.writer.append(node_payload(REQUEST, name, parent_name=parent, **values))

    def queue(self) -> None:
        """What has come is complete, and placed."""
        self.app.store.mark_request_complete(REQUEST, "otlp", NOWHERE)
        self.owner.drain()
        self.owner.service._relay.queue_due(time.time() + 60)

    def parent_of(self, name: str) -> str | None:
        """The name of the span that a span hangs below."""
        ((found,),) = rows(self.app.db_path, HANGS, name)
        return found


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Request]:
    """A request that nothing is known of."""
    no_background(monkeypatch, tmp_path)
    app = App(tmp_path / "t.db")
    with owning(app.settings) as owner:
        yield Request(app, owner)


def test_a_late_node_hangs_below_one_that_was_queued_before(request_: Request) -> None:
    """In the nearest context that has one of its parent's name."""
    request_.record("flow.loop", "flow")
    request_.record("flow.loop.body", "flow.loop", context_id="[1]")
    request_.record("flow", None)
    request_.queue()
    request_.record("flow.late", "flow.loop.body", context_id="[1].[0]")
    request_.record("flow.last", "flow.late", context_id="[1].[0]")
    request_.queue()
    assert [request_.parent_of(name) for name in ("late", "last")] == ["body", "late"]


def test_a_late_node_without_its_parent_hangs_below_the_root_that_was_queued_before(
    request_: Request,
) -> None:
    """The first node stands deep below it."""
    request_.record("flow.a.b", "flow.a")
    request_.record("flow.a", "flow")
    request_.record("flow", None)
    request_.queue()
    request_.record("flow.late", "flow.gone")
    request_.queue()
    assert request_.parent_of("late") == "flow"


def test_a_root_that_came_late_is_the_root_of_what_comes_after_it(request_: Request) -> None:
    """What was queued without one stays without."""
    request_.record("flow.a", "flow")
    request_.queue()
    request_.record("flow", None)
    request_.queue()
    request_.record("flow.late", "flow.gone")
    request_.queue()
    assert [request_.parent_of(name) for name in ("a", "flow", "late")] == [None, None, "flow"]


def test_what_late_nodes_cost_does_not_grow_with_their_request(request_: Request) -> None:
    """Stored, placed and queued: in steps of SQLite's machine."""
    few = late_work(request_, passes=400)
    assert late_work(request_, passes=4_000) <= 1.5 * few


def late_work(request: Request, passes: int) -> int:
    """Tens of steps for ten late nodes of a loop that has had so many passes."""
    for index in range(passes):
        request.record("flow.loop.step", "flow.loop", context_id=f"[{index}]")
    request.record("flow.loop", "flow")
    request.record("flow", None)
    request.queue()
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    for index in range(10):
        request.record("flow.loop.late", "flow.loop", context_id=f"[{index}]")
    request.owner.connection.set_progress_handler(count, 10)
    request.queue()
    request.owner.connection.set_progress_handler(None, 0)
    return steps
