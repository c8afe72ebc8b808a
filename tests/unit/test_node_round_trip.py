"""What a node trace says comes back: from the view, and from the span that destinations are sent."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inprocess import App, dicts, no_background

from hush_otel.records import MEDIA_KEY

MAX_INT = 2**63 - 1

# What comes back as it was given. Documented conversions do not (test_bad_input.py): lone surrogates (B1), integers
# beyond 64 bit, which the spool's msgpack cannot carry (B2), numbers that are not finite (B3), and more than 64 levels
# (B5). A NUL would end a text in SQLite's JSON functions.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NAME = TEXT.filter(bool)
INT = st.integers(-MAX_INT - 1, MAX_INT)
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
KEY = TEXT.filter(lambda key: key != MEDIA_KEY)
"""What stands under that key are attachments, which become references (test_media.py)."""
JSON = st.recursive(
    st.none() | st.booleans() | INT | FLOAT | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=4),
    max_leaves=12,
)
COUNT = st.none() | st.integers(0, MAX_INT // 100)
MOMENT = st.none() | TEXT | st.sampled_from(["2026-01-31T09:00:00Z", "2026-01-31T09:00:00.123456+02:00"])

NODES = st.fixed_dictionaries(
    {
        "workflow_name": TEXT,
        "node_name": NAME,
        "parent_name": st.none() | NAME,
        "context_id": st.none() | TEXT | st.sampled_from(["[0]", "[0].[1]"]),
        "execution_order": st.none() | INT,
        "start_time": MOMENT,
        "end_time": MOMENT,
        # Whole nanoseconds: SQLite reads 1.0000000000000002e+308 in JSON as its neighbour.
        "duration_ms": st.none() | st.integers(0, 10**15).map(lambda ns: ns / 1e6) | st.integers(0, 10**12),
        "input_data": JSON,
        "output_data": JSON,
        "user_id": st.none() | TEXT,
        "session_id": st.none() | TEXT,
        "model": st.none() | TEXT,
        "prompt_tokens": COUNT,
        "completion_tokens": COUNT,
        "total_tokens": COUNT,
        "cost_usd": st.none() | st.floats(0, 1e6),
        "contain_generation": st.booleans(),
        "metadata": st.none() | st.dictionaries(KEY, JSON, max_size=3),
        "node_type": st.none() | TEXT,
        "error": st.none() | NAME,
    }
)
_numbers = itertools.count()

PLAIN = (
    *("node_name", "parent_name", "context_id", "execution_order", "start_time", "end_time", "duration_ms"),
    *("user_id", "session_id", "model", "prompt_tokens", "completion_tokens", "total_tokens", "cost_usd"),
    *("contain_generation", "node_type", "error"),
)
"""Columns that hold a value as it was given."""


def content(text: str | None, given: Any) -> Any:
    """What a column of content says: text is itself, everything else its JSON."""
    return text if isinstance(given, str) or text is None else json.loads(text)


def same(one: Any, other: Any) -> bool:
    """Equal to the type, and to the sign of zero: 1, 1.0 and True are three values."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def of_row(row: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """The node that a row of `node_traces` speaks of."""
    found = {name: row[name] for name in PLAIN}
    found["contain_generation"] = bool(row["contain_generation"])
    for name in ("input_data", "output_data"):
        found[name] = content(row[name], node[name])
    found["metadata"] = None if row["metadata"] is None else json.loads(row["metadata"])
    return found


def of_span(span: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """The node that a span with these attributes speaks of."""
    attributes = json.loads(span["attributes"])
    keys = {
        "workflow_name": "hush.workflow_name",
        "node_name": "hush.node.name",
        "parent_name": "hush.node.parent_name",
        "context_id": "hush.context_id",
        "execution_order": "hush.execution_order",
        "start_time": "hush.start_time",
        "end_time": "hush.end_time",
        "duration_ms": "hush.duration_ms",
        "user_id": "user.id",
        "session_id": "session.id",
        "model": "gen_ai.request.model",
        "prompt_tokens": "gen_ai.usage.input_tokens",
        "completion_tokens": "gen_ai.usage.output_tokens",
        "total_tokens": "llm.token_count.total",
        "cost_usd": "hush.cost_usd",
        "node_type": "hush.node.type",
    }
    found = {name: attributes.get(key) for name, key in keys.items()}
    found["contain_generation"] = attributes.get("hush.contain_generation", False)
    found["error"] = span["status_message"] if span["status_code"] == "ERROR" else None
    found["input_data"] = content(attributes.get("input.value"), node["input_data"])
    found["output_data"] = content(attributes.get("output.value"), node["output_data"])
    metadata = attributes.get("metadata")
    found["metadata"] = None if metadata is None else json.loads(metadata)
    return found


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """A database that the examples share: each has a request of its own."""
    no_background(monkeypatch, tmp_path)
    return App(tmp_path / "t.db")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NODES, min_size=1, max_size=6))
def test_a_node_comes_back_in_every_column(app: App, nodes: list[dict[str, Any]]) -> None:
    """Through the spool, the drain and the store: by the view, and by the span that destinations get."""
    request_id = f"r{next(_numbers)}"
    for node in nodes:
        app.store.insert_node_trace(request_id, **node)
    app.drain()
    rows = dicts(app.db_path, "SELECT * FROM node_traces WHERE request_id = ? ORDER BY id", request_id)
    assert len(rows) == len(nodes)
    for node, row in zip(nodes, rows, strict=True):
        found = of_row(row, node)
        for name, value in found.items():
            expected = node[name]
            if name == "cost_usd" and expected is None and value is not None:
                continue  # computed: the one column that says more than was given
            assert same(value, expected), (name, expected, value)
        by_id = "SELECT * FROM spans WHERE trace_id = ? AND span_id = ?"
        (span,) = dicts(app.db_path, by_id, row["trace_id"], row["span_id"])
        for name, value in of_span(span, node).items():
            assert same(value, node[name]), (name, node[name], value)
