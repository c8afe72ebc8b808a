"""Node traces that come after their request was queued: where they hang, and what that costs."""

from __future__ import annotations

from node_request import Request


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
