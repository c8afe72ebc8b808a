"""Node traces that do not fit together: nothing is lost, every span has one place, and the work grows linearly."""

from __future__ import annotations

import gc
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asking import turn
from inprocess import App, Owner, dicts, no_background, node_payload, owning, rows, settings_for, writer_of

from hush_otel.mapping.nodes import root_span_id_of
from hush_otel.mapping.parents import PlacedNode, resolve_parents

REQUEST = "r"
ROOT = root_span_id_of(REQUEST).hex()


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """An app whose background process is this one."""
    no_background(monkeypatch, tmp_path)
    return App(tmp_path / "t.db")


def node(app: App, name: str, parent: str | None, context_id: Any = None, second: int = 0) -> None:
    """A step that took its second of the minute."""
    times = (f"2026-01-31T09:00:{second:02}Z", f"2026-01-31T09:00:{second + 1:02}Z")
    app.store.insert_node_trace(REQUEST, "flow", name, parent, context_id, second, *times, None, None, None)


def deliver(app: App) -> list[dict[str, Any]]:
    """Have it sent to a file; gives the spans there, in all lines of it."""
    path = app.db_path.with_name("sent.jsonl")
    app.store.mark_request_complete(REQUEST, "file", {"path": str(path)})
    with owning(app.settings) as owner:
        owner.drain()
        settle(owner)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        span
        for line in lines
        for resource in line["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def settle(owner: Owner) -> None:
    """Turn until nothing is open."""
    open_ = "SELECT 1 FROM hush_deliveries WHERE state IN ('pending', 'sending')"
    due = "SELECT 1 FROM hush_requests WHERE due_at IS NOT NULL"
    connection = owner.connection
    turn(
        owner,
        lambda: not connection.execute(open_).fetchone() and not connection.execute(due).fetchone(),
        100,
    )


def parents(app: App) -> dict[str, str | None]:
    """The parent of each node by name, as it was sent."""
    sent = deliver(app)
    names = {span["spanId"]: span["name"] for span in sent}
    return {span["name"]: names.get(span.get("parentSpanId", "")) for span in sent}


def test_a_parent_that_arrives_after_its_children(app: App) -> None:
    """Children end first; their parents are found when the request is sent."""
    node(app, "flow.loop.step", "flow.loop", "[0]", 2)
    node(app, "flow.loop", "flow", None, 1)
    node(app, "flow", None)
    assert parents(app) == {"flow": None, "loop": "flow", "iteration[0]": "loop", "step": "iteration[0]"}


def test_a_parent_that_arrives_after_they_were_sent(app: App) -> None:
    """They stay where they were, below the root: what was delivered cannot be taken back. Nothing is lost."""
    node(app, "flow.loop.step", "flow.loop", "[0]", 2)
    node(app, "flow", None)
    assert parents(app) == {"flow": None, "step": "flow"}
    node(app, "flow.loop", "flow", None, 1)
    assert parents(app) == {"flow": None, "step": "flow", "loop": "flow"}
    assert Counter(row[0] for row in rows(app.db_path, "SELECT node_name FROM node_traces")) == {
        "flow": 1,
        "flow.loop": 1,
        "flow.loop.step": 1,
    }


def test_parents_that_form_a_cycle(app: App) -> None:
    """The earliest of them hangs below the root, and the others below it."""
    node(app, "flow", None)
    node(app, "a", "c", None, 3)
    node(app, "b", "a", None, 1)
    node(app, "c", "b", None, 2)
    assert parents(app) == {"flow": None, "b": "flow", "c": "b", "a": "c"}


def test_a_node_that_is_its_own_parent(app: App) -> None:
    """It hangs below the root."""
    node(app, "flow", None)
    node(app, "a", "a", None, 1)
    assert parents(app) == {"flow": None, "a": "flow"}


def test_an_orphan_of_a_request_without_a_root_is_flagged(app: App) -> None:
    """What is below it has a parent, and is not; nor is the root that stands in."""
    node(app, "flow.loop.step", "flow.loop", None, 2)
    node(app, "flow.loop", "flow", None, 1)
    flagged = {
        span["name"]: any(one["key"] == "hush.orphan" for one in span["attributes"]) for span in deliver(app)
    }
    assert flagged == {"flow": False, "loop": True, "step": False}


def test_orphans_of_a_request_without_a_root_hang_below_one(app: App) -> None:
    """Named as the workflow, from the first start to the last end. It is no row, and nobody counts it."""
    node(app, "flow.b", "flow", None, 5)
    node(app, "flow.a", "flow", None, 1)
    node(app, "flow.a.x", "flow.a", None, 2)
    sent = {span["name"]: span for span in deliver(app)}
    root = sent["flow"]
    assert "parentSpanId" not in root
    assert {name: span.get("parentSpanId") for name, span in sent.items() if name != "flow"} == {
        "a": root["spanId"],
        "b": root["spanId"],
        "x": sent["a"]["spanId"],
    }
    starts, ends = ({int(span[key]) for span in sent.values()} for key in TIMES_SENT)
    assert (int(root[TIMES_SENT[0]]), int(root[TIMES_SENT[1]])) == (min(starts), max(ends))
    assert rows(app.db_path, "SELECT span_count FROM deliveries") == [(3,)]
    assert rows(app.db_path, "SELECT node_count FROM requests") == [(3,)]
    assert rows(app.db_path, "SELECT delivered, asked FROM hush_destinations") == [(3, 3)]


TIMES_SENT = ("startTimeUnixNano", "endTimeUnixNano")


def test_nodes_that_come_after_the_root_that_stood_in(app: App) -> None:
    """Another orphan hangs below it; it is not sent once more."""
    node(app, "flow.a", "flow", None, 1)
    (root,) = [span for span in deliver(app) if span["name"] == "flow"]
    node(app, "flow.b", "flow", None, 2)
    sent = deliver(app)
    assert [span["name"] for span in sent].count("flow") == 1
    assert {span.get("parentSpanId") for span in sent if span["name"] in "ab"} == {root["spanId"]}


def test_nodes_of_a_cycle_without_a_root_hang_below_one(app: App) -> None:
    """The earliest of them does, and the others below it."""
    node(app, "a", "b", None, 1)
    node(app, "b", "a", None, 2)
    sent = {span["name"]: span for span in deliver(app)}
    assert sent["a"]["parentSpanId"] == sent["flow"]["spanId"]
    assert sent["b"]["parentSpanId"] == sent["a"]["spanId"]


def test_nodes_of_one_name_are_kept_apart(app: App) -> None:
    """Each occurrence is a span of its own; children belong to the one that was running."""
    node(app, "flow", None)
    for second in (10, 20, 30):
        node(app, "flow.step", "flow", None, second)
        node(app, f"flow.step.at{second}", "flow.step", None, second)
    sent = deliver(app)
    assert len({span["spanId"] for span in sent}) == len(sent) == 7
    starts = {span["spanId"]: span["startTimeUnixNano"] for span in sent if span["name"] == "step"}
    below = [span for span in sent if span["name"].startswith("at")]
    assert all(starts[span["parentSpanId"]] == span["startTimeUnixNano"] for span in below)


@pytest.mark.parametrize(
    "context_id",
    [
        "",
        "0",
        "[",
        "[]",
        "[-1]",
        "[0",
        "[0].",
        "[0]..[1]",
        "[a]",
        "[0].[x]",
        "\x00",
        "🜲" * 50,
        "[0]." * 500,
        7,
        {"a": 1},
    ],
)
def test_a_context_id_of_another_form(app: App, context_id: Any) -> None:
    """It is opaque: a parent in the same context, else in none, else the root. The text is kept."""
    node(app, "flow", None)
    node(app, "flow.loop", "flow")
    node(app, "flow.loop.step", "flow.loop", context_id, 1)
    node(app, "flow.loop.step.inner", "flow.loop.step", context_id, 1)
    node(app, "flow.lost", "flow.nobody", context_id, 1)
    assert parents(app) == {"flow": None, "loop": "flow", "step": "loop", "inner": "step", "lost": "flow"}
    kept = [span["context_id"] for span in dicts(app.db_path, "SELECT context_id FROM node_traces")]
    assert len(kept) == 5
    if isinstance(context_id, str) and "\0" not in context_id:
        assert kept.count(context_id) == 3


# ------------------------------------------------------------------ linear


def loop(iterations: int) -> list[PlacedNode]:
    """A loop of steps, every one in an iteration of its own, children before parents."""
    steps = [
        PlacedNode(f"{index:08}".encode(), "loop.step", "loop", f"[{index}]", index, index + 1)
        for index in range(iterations)
    ]
    end = iterations + 1
    return [
        *steps,
        PlacedNode(b"loop0000", "loop", "flow", None, 0, end),
        PlacedNode(b"root0000", "flow", None, None, 0, end),
    ]


def calls(work: Callable[[], Any]) -> int:
    """How many functions are called, of Python and of C."""
    count = 0

    def on_event(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    gc.disable()  # what other tests have left is not finalized amid the work
    sys.setprofile(on_event)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


@pytest.mark.parametrize(
    "bend",
    [
        lambda nodes: nodes,
        lambda nodes: [PlacedNode(n.span_id, "same", "same", None, n.start_ns, n.end_ns) for n in nodes],
        lambda nodes: [
            PlacedNode(n.span_id, n.node_name, "nobody", n.context_id, n.start_ns, n.end_ns) for n in nodes
        ],
        lambda nodes: [
            PlacedNode(n.span_id, f"n{i}", f"n{(i + 1) % len(nodes)}", None, n.start_ns, n.end_ns)
            for i, n in enumerate(nodes)
        ],
    ],
    ids=["a loop", "one name", "no parents", "one cycle"],
)
def test_parents_are_found_in_linear_work(bend: Callable[[list[PlacedNode]], list[PlacedNode]]) -> None:
    """Ten times the nodes, ten times the calls, whatever is wrong with them."""
    few, many = bend(loop(1_000)), bend(loop(10_000))
    assert calls(lambda: resolve_parents(many)) <= 12 * calls(lambda: resolve_parents(few))


def test_a_hundred_thousand_iterations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are stored, placed below their loop, and queued; the destination lacks a secret, so that none is sent."""
    no_background(monkeypatch, tmp_path)
    settings = settings_for(tmp_path / "t.db")
    writer = writer_of(settings, max_bytes=1 << 30)
    iterations = 100_000
    for index in range(iterations):
        values = {"parent_name": "flow.loop", "context_id": f"[{index}]", "execution_order": index}
        assert writer.append(node_payload(REQUEST, "flow.loop.step", duration_ms=1.0, **values))
    writer.append(node_payload(REQUEST, "flow.loop", parent_name="flow"))
    writer.append(node_payload(REQUEST, "flow"))
    app = App(settings.db_path)
    app.store.mark_request_complete(
        REQUEST, "otlp", {"endpoint": "http://127.0.0.1:9", "headers": {"a": "${NOT_SET}"}}
    )
    with owning(app.settings) as owner:
        owner.drain()
        settle(owner)
    ((stored, placed),) = rows(
        settings.db_path,
        """SELECT count(*), sum(parent_span_id = (SELECT span_id FROM spans WHERE name = 'loop'))
           FROM spans WHERE name = 'step'""",
    )
    assert stored == placed == iterations
    queued = rows(settings.db_path, "SELECT state, sum(span_count) FROM deliveries GROUP BY state")
    assert queued == [("paused", iterations + 2)]
