"""Node traces, without OpenTelemetry in the application: what was inserted, what is read, what arrives."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compare import assert_ends_agree, rows
from processes import stop_background
from receiving_agent import AgentSession

from hush_otel import TraceStore, get_background

RAG = "6f1c9d0e-8b7a-4c5d-9e0f-112233445566"

DEFAULTS: dict[str, Any] = {
    "request_id": RAG,
    "workflow_name": "rag",
    "parent_name": None,
    "context_id": None,
    "execution_order": None,
    "start_time": None,
    "end_time": None,
    "duration_ms": None,
    "input_data": None,
    "output_data": None,
    "user_id": None,
    "session_id": None,
    "model": None,
    "prompt_tokens": None,
    "completion_tokens": None,
    "total_tokens": None,
    "cost_usd": None,
    "contain_generation": False,
    "metadata": None,
    "node_type": None,
    "error": None,
}

NODES: list[dict[str, Any]] = [
    DEFAULTS
    | {
        "node_name": "rag.retrieve",
        "parent_name": "rag",
        "execution_order": 1,
        "start_time": "2025-03-01T10:00:00.100000",
        "end_time": "2025-03-01T10:00:00.250000",
        "duration_ms": 150.25,
        "input_data": {"query": "naïve 日本語 \u202e", "top": 3, "filters": {"a": [1, 2.5, None, True]}},
        "output_data": ["one", "two"],
        "node_type": "retriever",
        "metadata": {"index": "docs", "shards": 2},
    },
    DEFAULTS
    | {
        "node_name": "rag.answer",
        "parent_name": "rag",
        "execution_order": 2,
        "start_time": "2025-03-01T12:00:00.250001+02:00",
        "end_time": "2025-03-01T10:00:01.000002Z",
        "duration_ms": 750,
        "input_data": "text as it is: {not json",
        "output_data": "",
        "user_id": "user-1",
        "session_id": "session-1",
        "model": "gpt-4o-mini",
        "prompt_tokens": 1204,
        "completion_tokens": 0,
        "total_tokens": 1204,
        "cost_usd": 0.1 + 0.2,
        "contain_generation": True,
        "node_type": "llm",
    },
    DEFAULTS
    | {
        "node_name": "rag.check",
        "parent_name": "rag.answer",
        "execution_order": 3,
        "start_time": "2025-03-01T10:00:00.500000+00:00",
        "end_time": "2025-03-01T10:00:00.600000+00:00",
        "duration_ms": 100.0,
        "input_data": 12,
        "output_data": False,
        "error": "ValueError: no\ngood",
    },
    DEFAULTS
    | {
        "node_name": "rag",
        "execution_order": 0,
        "start_time": "2025-03-01T10:00:00+00:00",
        "end_time": "2025-03-01T10:00:01.100000+00:00",
        "duration_ms": 1100.0,
        "input_data": {},
        "output_data": [],
        "contain_generation": True,
    },
]
"""Children before their parents, as Hush inserts them; every column set in one of them and unset in another."""


@pytest.fixture
def store(database: Path) -> TraceStore:
    """A store without a processor."""
    return TraceStore(database)


def insert_and_deliver(store: TraceStore, agent: AgentSession, nodes: list[dict[str, Any]]) -> None:
    """Insert nodes of one request, complete it, and wait until the agent has accepted it."""
    for node in nodes:
        store.insert_node_trace(**node)
    config = {"endpoint": agent.endpoint, "headers": agent.headers}
    store.mark_request_complete(nodes[0]["request_id"], "otlp", config, ["a", "b"])
    assert store.wait_delivered(30_000, nodes[0]["request_id"])


def parsed(text: str | None, inserted: object) -> object:
    """A column of content: text comes back as it is, everything else as JSON."""
    return text if text is None or isinstance(inserted, str) else json.loads(text)


def test_every_column_reads_back_as_it_was_inserted(store: TraceStore, agent: AgentSession) -> None:
    """`node_traces` gives what `insert_node_trace` got, column by column, and what is derived beside it."""
    before = time.time()
    insert_and_deliver(store, agent, NODES)
    found = {row["node_name"]: row for row in rows(store.db_path, "SELECT * FROM node_traces")}
    assert len({row["id"] for row in found.values()}) == len(found) == len(NODES)
    for node in NODES:
        row = found[node["node_name"]]
        for column in ("input_data", "output_data", "metadata"):
            row[column] = parsed(row[column], node[column])
        derived = {name: row.pop(name) for name in ("id", "status", "trace_id", "span_id", "created_at")}
        assert row == node | {"contain_generation": int(node["contain_generation"])}
        assert type(row["duration_ms"]) is type(node["duration_ms"])
        assert derived["status"] == ("error" if node["error"] else "ok")
        assert derived["trace_id"] == RAG.replace("-", "")
        assert before <= derived["created_at"] <= time.time()


def test_the_request_sums_its_nodes_up(store: TraceStore, agent: AgentSession) -> None:
    """`requests` has the mark, the roll-ups over every node, and the delivery's outcome."""
    insert_and_deliver(store, agent, NODES)
    (request,) = rows(store.db_path, "SELECT * FROM requests")
    expected = {
        "request_id": RAG,
        "workflow_name": "rag",
        "status": "flushed",
        "completed_by": "mark",
        "tracer_type": "otlp",
        "user_id": "user-1",
        "session_id": "session-1",
        "node_count": 4,
        "error_count": 1,
        "prompt_tokens": 1204,
        "completion_tokens": 0,
        "total_tokens": 1204,
        "cost_usd": 0.1 + 0.2,
        "duration_ms": 1100.0,
        "error_message": "ValueError: no\ngood",
    }
    assert {name: request[name] for name in expected} == expected
    assert json.loads(request["tags"]) == ["a", "b"]
    assert agent.token not in request["tracer_config"]


def test_the_receiver_gets_the_tree(store: TraceStore, agent: AgentSession) -> None:
    """Every node arrives once, as the view `spans` has it, under the span of the parent that it named."""
    insert_and_deliver(store, agent, NODES)
    received = assert_ends_agree(store.db_path, agent.exports())
    names = {span["span_id"]: span["name"] for span in received}
    tree = {(names.get(span["parent_span_id"]), span["name"], span["kind"]) for span in received}
    assert tree == {
        (None, "rag", "INTERNAL"),
        ("rag", "retrieve", "INTERNAL"),
        ("rag", "answer", "CLIENT"),
        ("answer", "check", "INTERNAL"),
    }
    check = next(span for span in received if span["name"] == "check")
    assert (check["status_code"], check["status_message"]) == ("ERROR", "ValueError: no\ngood")


def test_attributes_follow_the_conventions(store: TraceStore, agent: AgentSession) -> None:
    """A generation arrives with OpenInference's and GenAI's attributes, and times to the nanosecond."""
    insert_and_deliver(store, agent, NODES)
    received = assert_ends_agree(store.db_path, agent.exports())
    answer = next(span for span in received if span["name"] == "answer")
    assert answer["start_ns"] == 1_740_823_200_250_001_000
    assert answer["end_ns"] == 1_740_823_201_000_002_000
    _, attributes = answer["attributes"]
    expected = {
        "hush.request_id": ("str", RAG),
        "hush.node.name": ("str", "rag.answer"),
        "openinference.span.kind": ("str", "LLM"),
        "input.value": ("str", "text as it is: {not json"),
        "input.mime_type": ("str", "text/plain"),
        "llm.model_name": ("str", "gpt-4o-mini"),
        "gen_ai.request.model": ("str", "gpt-4o-mini"),
        "llm.token_count.prompt": ("int", 1204),
        "gen_ai.usage.output_tokens": ("int", 0),
        "llm.cost.total": ("float", (0.1 + 0.2).hex()),
        "user.id": ("str", "user-1"),
        "session.id": ("str", "session-1"),
        "hush.contain_generation": ("bool", True),
        "hush.start_time": ("str", "2025-03-01T12:00:00.250001+02:00"),
    }
    assert {name: attributes.get(name) for name in expected} == expected


@pytest.fixture
def other_store(home: Path) -> Iterator[TraceStore]:
    """A store in another database."""
    path = home / "other.db"
    yield TraceStore(path)
    get_background(path).shutdown()
    stop_background(path)


def test_ids_are_deterministic(store: TraceStore, other_store: TraceStore, agent: AgentSession) -> None:
    """The same nodes in another database get the same ids: BLAKE2b of the request, also for the root span."""
    request_id = "order 1001 / naïve"
    nodes = [node | {"request_id": request_id} for node in NODES]
    insert_and_deliver(store, agent, nodes)
    insert_and_deliver(other_store, agent, nodes)
    sql = "SELECT node_name, trace_id, span_id FROM node_traces ORDER BY node_name"
    ids = rows(store.db_path, sql)
    assert rows(other_store.db_path, sql) == ids
    assert {row["trace_id"] for row in ids} == {
        hashlib.blake2b(request_id.encode(), digest_size=16).hexdigest()
    }
    root = next(row["span_id"] for row in ids if row["node_name"] == "rag")
    assert root == hashlib.blake2b(request_id.encode(), digest_size=8).hexdigest()
    assert len({row["span_id"] for row in ids}) == len(NODES)


def test_iterations_hang_in_their_own_turn(store: TraceStore, agent: AgentSession) -> None:
    """Of nodes with the same name, each arrives below the parent of its own iteration."""
    turns = [
        DEFAULTS
        | {"node_name": f"loop.{name}", "parent_name": parent, "context_id": f"[{turn}]", "model": f"{turn}"}
        for turn in range(3)
        for name, parent in (("inner", "loop.outer"), ("outer", "loop"))
    ]
    insert_and_deliver(store, agent, [*turns, DEFAULTS | {"node_name": "loop", "workflow_name": "loop"}])
    stored = rows(store.db_path, "SELECT * FROM node_traces")
    assert sorted((row["node_name"], row["context_id"] or "") for row in stored) == sorted(
        [("loop", ""), *((node["node_name"], node["context_id"]) for node in turns)]
    )
    turn_of = {row["span_id"]: (row["node_name"], row["context_id"]) for row in stored}
    spans = {row["span_id"]: row["parent_span_id"] for row in rows(store.db_path, "SELECT * FROM spans")}
    parents = {turn_of[span]: turn_of.get(parent) for span, parent in spans.items()}
    for turn in ("[0]", "[1]", "[2]"):
        assert parents["loop.inner", turn] == ("loop.outer", turn)
        assert parents["loop.outer", turn] == ("loop", None)
