"""Iterations: nodes of a loop's pass hang below a span for it, which is made on the way out and never stored."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from asking import turn
from hypothesis import given
from hypothesis import strategies as st
from inprocess import App, no_background, owning, rows

from hush_otel.mapping.iterations import (
    NO_CONTENT,
    Grouping,
    IterationNode,
    group_iterations,
    iteration_id,
    loop_content,
)
from hush_otel.mapping.parents import PlacedNode, resolve_parents
from hush_otel.store.history import HistoryReader
from hush_otel.testing import OtlpReceiver, ReceivedSpan

ROOT, LOOP = b"root----", b"loop----"


@pytest.fixture(autouse=True)
def _nobody_is_launched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests drain by themselves."""
    no_background(monkeypatch, tmp_path)


def placed(name: str, context: str | None, parent: str | None, seq: int, **fields: Any) -> IterationNode:
    """A node whose id is its name and context."""
    ids = {"flow": ROOT, "flow.each": LOOP}
    span_id = ids.get(name, f"{name}{context}".encode()[-20:])
    parent_id = None if parent is None else ids.get(parent, f"{parent}{context}".encode()[-20:])
    times = {"start_ns": seq * 10, "end_ns": seq * 10 + 5}
    return IterationNode(span_id, parent_id, name, parent, context, end_seq=seq, **{**times, **fields})


FLOW = placed("flow", None, None, 90, start_ns=0, end_ns=1000)
EACH = placed("flow.each", None, "flow", 80, start_ns=1, end_ns=999)


def grouped(*nodes: IterationNode) -> Grouping:
    """In a flow with one loop."""
    return group_iterations([*nodes, EACH, FLOW])


def test_a_pass_of_a_loop_is_a_group() -> None:
    """Its nodes hang below it, it hangs below the loop, and the first to end carries it."""
    a0, b0 = placed("flow.each.a", "[0]", "flow.each", 1), placed("flow.each.b", "[0]", "flow.each", 2)
    a1 = placed("flow.each.a", "[1]", "flow.each", 3)
    found = grouped(b0, a0, a1)
    assert set(found.of_node) == {a0.span_id, b0.span_id, a1.span_id}
    first, second = found.of_node[a0.span_id], found.of_node[a1.span_id]
    assert found.of_node[b0.span_id] is first
    assert (first.name, first.index, first.loop_id, first.loop_name) == ("iteration[0]", 0, LOOP, "flow.each")
    assert second.name == "iteration[1]"
    assert found.by_carrier == {a0.span_id: first, a1.span_id: second}
    assert first.span_id == iteration_id(LOOP, "[0]")


def test_it_rolls_up_all_below_it() -> None:
    """Time from the first start to the last end, tokens and cost of every node, nested ones too."""
    outer = placed("flow.each.a", "[0]", "flow.each", 5, start_ns=20, end_ns=40, prompt_tokens=1)
    below = placed(
        "flow.each.a.b", "[0]", "flow.each.a", 4, start_ns=30, end_ns=70, prompt_tokens=2, cost_usd=0.5
    )
    other = placed("flow.each.c", "[0]", "flow.each", 6, start_ns=10, end_ns=20, completion_tokens=7)
    group = grouped(outer, below, other).of_node[outer.span_id]
    assert (group.start_ns, group.end_ns) == (10, 70)
    assert (group.prompt_tokens, group.completion_tokens, group.total_tokens) == (3, 7, None)
    assert group.cost_usd == 0.5


def test_only_what_is_directly_below_the_loop_is_moved() -> None:
    """What hangs below a node of the pass stays there."""
    node = placed("flow.each.a", "[0]", "flow.each", 1)
    below = placed("flow.each.a.b", "[0]", "flow.each.a", 2)
    assert below.span_id not in grouped(node, below).of_node


@pytest.mark.parametrize(
    ("context", "parent"),
    [("run-7", "flow.each"), ("[a]", "flow.each"), ("[0]", "gone"), (None, "flow.each")],
)
def test_what_is_no_pass_of_a_loop(context: str | None, parent: str) -> None:
    """A context of another form; a node whose parent is missing and that hangs elsewhere."""
    node = placed("flow.each.a", context, parent, 1)
    node.parent_span_id = LOOP
    assert grouped(node).of_node == {}


def test_loops_within_loops() -> None:
    """The inner loop is a node of the outer pass; its own passes hang below it."""
    inner = placed("flow.each.in", "[2]", "flow.each", 3)
    step = placed("flow.each.in.x", "[2].[5]", "flow.each.in", 1, total_tokens=4)
    step.parent_span_id = inner.span_id
    found = grouped(step, inner)
    assert found.of_node[step.span_id].name == "iteration[5]"
    assert found.of_node[step.span_id].loop_id == inner.span_id
    assert found.of_node[inner.span_id].name == "iteration[2]"
    assert found.of_node[inner.span_id].total_tokens == 4


def test_a_level_that_is_not_recorded() -> None:
    """Nodes two levels down, of a loop whose inner loop left no node, are one group for both."""
    step = placed("flow.each.x", "[2].[5]", "flow.each", 1)
    group = grouped(step).of_node[step.span_id]
    assert (group.name, group.index) == ("iteration[2].[5]", None)


NAMES = st.sampled_from(["flow", "a", "b", "c"])
CONTEXTS = st.sampled_from([None, "[0]", "[1]", "[0].[0]", "[0].[1]", "x"])


@given(st.lists(st.tuples(NAMES, CONTEXTS, st.none() | NAMES, st.integers(0, 50)), max_size=20))
def test_any_nodes_are_grouped_into_a_forest(raw: list[tuple[str, str | None, str | None, int]]) -> None:
    """Each node is in one group at most, each group is carried once, and no group contains itself."""
    nodes = [
        PlacedNode(bytes([n]) * 8, name, parent, context, start, start + 5)
        for n, (name, context, parent, start) in enumerate(raw, 1)
    ]
    parents = resolve_parents(nodes)
    found = group_iterations(
        [
            IterationNode(
                one.span_id,
                parents[one.span_id][0],
                one.node_name,
                one.parent_name,
                one.context_id,
                one.start_ns,
                one.end_ns,
                number,
            )
            for number, one in enumerate(nodes, 1)
        ]
    )
    groups = {group.span_id: group for group in found.of_node.values()}
    assert sorted(groups) == sorted(group.span_id for group in found.by_carrier.values())
    for carrier, group in found.by_carrier.items():
        assert found.of_node[carrier] is group
        assert parents[carrier][0] == group.loop_id


# ------------------------------------------------------------------ what goes in and out


def test_each_pass_gets_its_items() -> None:
    """Of the inputs that metadata names; what every pass was given is not repeated in each."""
    content = loop_content(
        {"item": ["a", "b"], "prompt": "long"}, {"out": [1, 2], "count": 2}, {"each": ["item"]}
    )
    assert content.input_of(1) == {"item": "b"}
    assert content.output_of(1) == {"out": 2}
    assert (content.input_of(2), content.output_of(2), content.input_of(None)) == (None, None, None)


def test_outputs_may_be_one_list() -> None:
    """With an item for each pass."""
    content = loop_content({"item": ["a", "b"]}, [[1], [2]], {"each": "item"})
    assert content.output_of(0) == [1]


@pytest.mark.parametrize(
    ("inputs", "outputs", "metadata"),
    [
        ({"item": ["a"]}, {}, None),
        ({"item": ["a"]}, {}, {"each": 5}),
        (None, None, {"each": ["item"]}),
        (["a"], ["b"], {"each": ["item"]}),
        ({"item": "abc"}, {"out": "abc"}, {"each": ["item"]}),
        ({"item": ["a"]}, {"out": ["x", "y"]}, {"each": ["other"]}),
    ],
)
def test_what_cannot_be_taken_apart_is_left(inputs: Any, outputs: Any, metadata: Any) -> None:
    """Nothing is guessed."""
    content = loop_content(inputs, outputs, metadata)
    assert (content.input_of(0), content.output_of(0)) == (NO_CONTENT.input_of(0), NO_CONTENT.output_of(0))


# ------------------------------------------------------------------ by way of store and relay

TIMES = {"start_time": "2026-01-31T09:00:00Z", "end_time": "2026-01-31T09:00:01Z", "duration_ms": 1000.0}


def loop(app: App, passes: int, request_id: str = "run-1") -> None:
    """A loop of so many passes, children first; each asks a model."""
    common = {"request_id": request_id, "workflow_name": "flow", **TIMES}
    for index in range(passes):
        app.store.insert_node_trace(
            node_name="flow.each.ask",
            parent_name="flow.each",
            context_id=f"[{index}]",
            execution_order=index + 2,
            input_data={"item": index},
            output_data={"out": index * 10},
            model="m",
            prompt_tokens=2,
            completion_tokens=1,
            total_tokens=3,
            cost_usd=0.5,
            node_type="llm",
            **common,
        )
    app.store.insert_node_trace(
        node_name="flow.each",
        parent_name="flow",
        context_id=None,
        execution_order=1,
        input_data={"item": list(range(passes)), "prompt": "p"},
        output_data={"out": [index * 10 for index in range(passes)]},
        metadata={"each": ["item"]},
        **common,
    )
    app.store.insert_node_trace(
        node_name="flow",
        parent_name=None,
        context_id=None,
        execution_order=0,
        input_data={},
        output_data={},
        **common,
    )


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A server that keeps every request."""
    with OtlpReceiver() as server:
        yield server


def delivered(app: App, receiver: OtlpReceiver, kind: str = "otlp", request_id: str = "run-1") -> None:
    """Mark, store and send."""
    keys = {"public_key": "p", "secret_key": "s"} if kind == "langfuse" else {}
    app.store.mark_request_complete(request_id, kind, {"endpoint": receiver.endpoint, **keys})
    with owning(app.settings) as owner:
        turn(owner, lambda: rows(app.db_path, "SELECT 1 FROM deliveries WHERE state = 'delivered'"), 60)


def by_name(spans: list[ReceivedSpan]) -> dict[str, ReceivedSpan]:
    """The last of each name."""
    return {span.name: span for span in spans}


def test_a_receiver_gets_each_pass_once(tmp_path: Path, receiver: OtlpReceiver) -> None:
    """Between the loop and its nodes, with what went in and out of the pass; the rows are as they were."""
    app = App(tmp_path / "t.db")
    loop(app, 3)
    delivered(app, receiver)
    spans = receiver.spans()
    assert sorted(span.name for span in spans) == [
        *("ask", "ask", "ask", "each", "flow"),
        *("iteration[0]", "iteration[1]", "iteration[2]"),
    ]
    found = by_name(spans)
    second, each = found["iteration[1]"], found["each"]
    assert second.span.parent_span_id == each.span.span_id
    (node,) = [span for span in spans if span.span.parent_span_id == second.span.span_id]
    assert node.attributes["hush.context_id"] == "[1]"
    assert json.loads(str(second.attributes["input.value"])) == {"item": 1}
    assert json.loads(str(second.attributes["output.value"])) == {"out": 10}
    assert second.attributes["hush.iteration.total_tokens"] == 3
    assert second.attributes["hush.iteration.cost_usd"] == 0.5
    assert rows(app.db_path, "SELECT count(*) FROM spans") == [(5,)]
    assert rows(app.db_path, "SELECT span_count FROM deliveries") == [(5,)]
    assert rows(app.db_path, "SELECT node_count, total_tokens FROM requests") == [(5, 9)]
    assert rows(app.db_path, "SELECT delivered, asked FROM hush_destinations") == [(5, 5)]


def test_a_pass_counts_nothing_at_a_vendor(tmp_path: Path, receiver: OtlpReceiver) -> None:
    """Its sums stand under keys of ours: the nodes have them already."""
    app = App(tmp_path / "t.db")
    loop(app, 2)
    delivered(app, receiver, "langfuse")
    found = by_name(receiver.spans())["iteration[1]"].attributes
    assert found["langfuse.observation.type"] == "chain"
    assert "langfuse.observation.usage_details" not in found
    assert not [key for key in found if key.startswith(("gen_ai.usage", "llm."))]
    assert found["langfuse.observation.metadata.iteration.total_tokens"] == 3
    assert found["langfuse.observation.input"] == '{"item":1}'


def test_a_resend_has_the_same_ids(tmp_path: Path, receiver: OtlpReceiver) -> None:
    """And what is sent later does not bring a pass again that was sent."""
    app = App(tmp_path / "t.db")
    loop(app, 2)
    receiver.respond(503, times=1)
    delivered(app, receiver)
    ids = [span.span_id for span in receiver.spans() if span.name.startswith("iteration")]
    assert len(set(ids)) == 2
    with closing(HistoryReader(app.db_path)) as history:
        again = [span.span_id.hex() for span in history.spans_of(1) if span.name.startswith("iteration")]
    assert again == ids


def test_what_ends_late_hangs_below_its_pass(tmp_path: Path, receiver: OtlpReceiver) -> None:
    """It comes as a delta, without the pass, which was sent."""
    app = App(tmp_path / "t.db")
    loop(app, 2)
    delivered(app, receiver)
    group = by_name(receiver.spans())["iteration[1]"].span_id
    receiver.clear()
    app.store.insert_node_trace(
        "run-1", "flow", "flow.each.late", "flow.each", "[1]", 9, **TIMES, input_data={}, output_data={}
    )
    with owning(app.settings) as owner:
        turn(owner, receiver.spans, 60)
    (late,) = receiver.spans()
    assert (late.name, late.span.parent_span_id.hex()) == ("late", group)


def test_refused_passes_are_no_loss(tmp_path: Path, receiver: OtlpReceiver) -> None:
    """The ledger counts rows: a receiver that refuses all spans has refused so many."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTracePartialSuccess,
        ExportTraceServiceResponse,
    )

    answer = ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(rejected_spans=8))
    receiver.respond(200, body=answer.SerializeToString())
    app = App(tmp_path / "t.db")
    loop(app, 3)
    delivered(app, receiver)
    assert rows(app.db_path, "SELECT delivered, rejected FROM hush_destinations") == [(0, 5)]


def took_s(passes: int) -> float:
    """How long grouping takes."""
    nodes = [placed("flow.each.a", f"[{index}]", "flow.each", index) for index in range(passes)]
    before = time.thread_time()
    grouped(*nodes)
    return time.thread_time() - before


def test_a_hundred_thousand_passes_are_grouped_in_linear_time() -> None:
    """Ten times as many take about ten times as long."""
    few, many = min(took_s(10_000) for _ in range(3)), took_s(100_000)
    assert many < 30 * few + 0.5


# ------------------------------------------------------------------ hush-otel show


def drawn(app: App, capsys: pytest.CaptureFixture[str], request_id: str = "run-1") -> list[str]:
    """The lines of the tree, without figures."""
    from hush_otel.cli.main import main

    assert main(["--db", str(app.db_path), "show", request_id]) == 0
    lines = capsys.readouterr().out.splitlines()
    return [line for line in lines if "─" in line or line.startswith("✓")]


def test_show_draws_passes_with_their_sums(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before it is queued, and after: the same tree."""
    app = App(tmp_path / "t.db")
    loop(app, 2)
    app.drain()
    before = drawn(app, capsys)
    names = [line.split("✓ ")[1].split()[0] for line in before]
    assert names == ["flow", "each", "iteration[0]", "ask", "iteration[1]", "ask"]
    assert "2→1" in before[2]
    assert "$0.50" in before[2]
    app.store.mark_request_complete("run-1", "local", {})
    app.drain()
    assert drawn(app, capsys) == before


def test_show_draws_two_thousand_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each once, however many."""
    app = App(tmp_path / "t.db")
    loop(app, 2_000)
    app.drain()
    lines = drawn(app, capsys)
    assert len(lines) == 2 + 2 * 2_000
    assert sum("iteration[" in line for line in lines) == 2_000
