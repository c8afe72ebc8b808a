"""A whole request as the flush_data of the seed's tracers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from test_readable import span_data

from hush_otel.mapping.flushing import flush_data
from hush_otel.model import EventData, RequestFacts, RowFacts, SpanData, SpanFacts, WholeRequest

SECOND_NS = 1_000_000_000


def span(number: int, name: str, parent: int | None = None, **fields: Any) -> SpanData:
    """A span that began at its number of seconds and took one."""
    return span_data(
        span_id=number.to_bytes(8, "big"),
        parent_span_id=None if parent is None else parent.to_bytes(8, "big"),
        name=name,
        start_ns=number * SECOND_NS,
        end_ns=(number + 1) * SECOND_NS,
        **fields,
    )


def node(name: str, parent: str | None = None, *, is_new: bool = True, **fields: Any) -> RowFacts:
    """What the store has of a node trace."""
    columns = {"node_name": name, "parent_name": parent, "contain_generation": 0, **fields}
    return RowFacts(1, is_new, json.dumps(columns))


OTEL = RowFacts(1, True)


def flushed(*rows: tuple[SpanData, RowFacts], is_delta: bool = False) -> dict[str, Any]:
    """The flush_data of a request of these rows."""
    spans, nodes = [list(column) for column in zip(*rows, strict=True)]
    request = WholeRequest("r", RequestFacts("flow"), is_delta, spans, nodes)
    return flush_data(request, "Mine", {"key": "value"})


def order(data: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Each node and its parent, as executed."""
    return [(entry["node"], entry["parent"]) for entry in data["execution_order"]]


def test_nodes_are_in_the_order_of_their_workflow() -> None:
    """Whatever order they ended in; what has no number comes after them, as it began."""
    data = flushed(
        (span(1, "late"), OTEL),
        (span(2, "b"), node("flow.b", "flow", execution_order=2)),
        (span(3, "flow"), node("flow", execution_order=0)),
        (span(4, "a"), node("flow.a", "flow", execution_order=1)),
        (span(0, "early"), OTEL),
    )
    assert [name for name, _ in order(data)] == ["flow", "flow.a", "flow.b", "early", "late"]
    assert list(data["nodes_trace_data"]) == ["flow", "flow.a", "flow.b", "early", "late"]


def test_every_entry_of_the_order_finds_its_data() -> None:
    """By node, or node:context_id, as the seed's tracers look it up."""
    data = flushed(
        (span(1, "step"), node("flow.step", "flow", context_id="[0]", execution_order=1)),
        (span(2, "step"), node("flow.step", "flow", context_id="[1]", execution_order=2)),
        (span(3, "step"), node("flow.step", "flow", context_id="[1]", execution_order=3)),
        (span(4, "flow"), node("flow", context_id="", execution_order=0)),
    )
    keys = [
        f"{entry['node']}:{entry['context_id']}" if entry["context_id"] else entry["node"]
        for entry in data["execution_order"]
    ]
    assert keys == ["flow", "flow.step:[0]", "flow.step:[1]", "flow.step#2:[1]"]
    ids = [data["nodes_trace_data"][key]["span_id"] for key in keys]
    assert ids == [f"{number:016x}" for number in (4, 1, 2, 3)]


def test_a_name_that_looks_given_is_not_given_twice() -> None:
    """A node that is called `chat#2` keeps its name."""
    data = flushed(
        *((span(number, name), OTEL) for number, name in enumerate(["chat", "chat", "chat#2", "chat"]))
    )
    assert [name for name, _ in order(data)] == ["chat", "chat#3", "chat#2", "chat#4"]


def test_parents_are_called_as_they_are_called_themselves() -> None:
    """A span's parent by its place; a node's as its workflow says, unless that one has another name here."""
    data = flushed(
        (span(1, "call"), OTEL),
        (span(2, "inner", 1), OTEL),
        (span(3, "call"), OTEL),
        (span(4, "inner", 3), OTEL),
        (span(5, "lost", 99), OTEL),
        (span(6, "again", 7), node("again", "flow", execution_order=3)),
        (span(7, "flow"), node("flow", execution_order=2)),
        (span(8, "orphan", 7), node("orphan", "never.seen", execution_order=4)),
        (span(9, "flow"), node("flow", execution_order=1)),
    )
    assert order(data) == [
        ("flow", None),
        ("flow#2", None),
        ("again", "flow#2"),
        ("orphan", "never.seen"),
        ("call", None),
        ("inner", "call"),
        ("call#2", None),
        ("inner#2", "call#2"),
        ("lost", None),
    ]


def test_what_is_new_is_named_by_key() -> None:
    """In the order of execution."""
    data = flushed(
        (span(1, "a"), node("a", context_id="[0]", is_new=True, execution_order=2)),
        (span(2, "b"), node("b", is_new=False, execution_order=0)),
        (span(3, "c"), node("c", is_new=True, execution_order=1)),
        is_delta=True,
    )
    assert (data["is_delta"], data["new_nodes"]) == (True, ["c", "a:[0]"])


@pytest.mark.parametrize(
    ("attributes", "content"),
    [
        ({}, {}),
        ({"input.value": "plain", "input.mime_type": "text/plain"}, "plain"),
        ({"input.value": "[1]", "input.mime_type": "text/plain"}, "[1]"),
        ({"input.value": "[1]", "input.mime_type": "application/json"}, [1]),
        ({"input.value": "{no", "input.mime_type": "application/json"}, "{no"),
        ({"input.value": "1" * 40, "input.mime_type": "application/json"}, int("1" * 40)),
        ({"input.value": "[" * 5000, "input.mime_type": "application/json"}, "[" * 5000),
        ({"input.value": 5}, 5),
        ({"gen_ai.input.messages": '[{"role":"user"}]'}, [{"role": "user"}]),
        ({"traceloop.entity.input": '{"a":1}'}, {"a": 1}),
        ({"input.value": None, "langfuse.observation.input": '"x"'}, "x"),
    ],
)
def test_input_comes_out_of_its_json(attributes: dict[str, Any], content: Any) -> None:
    """Of the first convention that has it; what is no JSON stays as it is."""
    data = flushed((span(1, "a", attributes=attributes), OTEL))
    assert data["nodes_trace_data"]["a"]["input"] == content


def test_a_span_of_otel_has_times_attributes_and_what_was_found_in_them() -> None:
    """In the shape of a node."""
    facts = SpanFacts(False, "llm", "m-1", 3, cost_usd=0.5)
    failed = span(1, "chat", attributes={"x": b"1"}, status_code=2, status_message="no", facts=facts)
    data = flushed((failed, RowFacts(2, True)))
    assert data["execution_order"][0]["contain_generation"] is True
    assert data["nodes_trace_data"]["chat"] == {
        "name": "chat",
        "start_time": "1970-01-01T00:00:01.000000Z",
        "end_time": "1970-01-01T00:00:02.000000Z",
        "duration_ms": 1000.0,
        "input": {},
        "output": {},
        "model": "m-1",
        "usage": {"prompt_tokens": 3},
        "cost": 0.5,
        "metadata": {},
        "node_type": "llm",
        "error": "no",
        "interrupted": True,
        "trace_id": b"t".hex() * 16,
        "span_id": "0000000000000001",
        "parent_span_id": None,
        "attributes": {"x": b"1"},
    }


def test_the_earliest_and_the_latest_time_are_text() -> None:
    """What 64 bits of nanoseconds can say."""
    far = span_data(name="far", start_ns=-(2**63), end_ns=2**63 - 1)
    data = flushed((far, OTEL))["nodes_trace_data"]["far"]
    assert (data["start_time"][:4], data["end_time"][:4]) == ("1677", "2262")


def test_messages_of_a_spans_events_are_its_input_and_output() -> None:
    """Where no attribute says them; as values."""
    events = [
        EventData("gen_ai.user.message", 1, {"content": "Why?"}),
        EventData("gen_ai.choice", 2, {"message": "Because."}),
    ]
    (entry,) = flushed((span(1, "chat", events=events), OTEL))["nodes_trace_data"].values()
    assert entry["input"] == [{"role": "user", "content": "Why?"}]
    assert entry["output"] == [{"role": "assistant", "content": "Because."}]
