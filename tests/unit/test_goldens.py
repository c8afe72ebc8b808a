"""Spans of real clients, as scripts/record_goldens.py has recorded them: the rows and sums that they must give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from inprocess import dicts, drain_once, no_background
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from hush_otel import HushSpanExporter
from hush_otel.attachment import attach
from hush_otel.mapping import prices

GOLDENS = sorted((Path(__file__).parent / "goldens").glob("*.json"))
NODE = (
    "node_name",
    "parent_name",
    "node_type",
    "model",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
)
REQUEST = ("workflow_name", "user_id", "session_id", "prompt_tokens", "completion_tokens", "total_tokens")
SHOWN = 60
"""Characters of inputs and outputs."""


def span(recorded: dict[str, Any]) -> ReadableSpan:
    """A recorded span, as the SDK would hand it on."""

    def context(span_id: int | None) -> SpanContext | None:
        if span_id is None:
            return None
        return SpanContext(recorded["trace_id"], span_id, is_remote=False, trace_flags=TraceFlags(1))

    return ReadableSpan(
        recorded["name"],
        context(recorded["span_id"]),
        context(recorded["parent_id"]),
        Resource({}),
        recorded["attributes"],
        [
            Event(each["name"], each["attributes"], recorded["start_ns"])
            for each in recorded.get("events", ())
        ],
        kind=SpanKind[recorded["kind"]],
        status=Status(StatusCode[recorded["status"]], recorded["message"]),
        start_time=recorded["start_ns"],
        end_time=recorded["end_ns"],
        instrumentation_scope=InstrumentationScope(recorded["scope"]),
    )


def rows_of(home: Path, golden: dict[str, Any]) -> dict[str, Any]:
    """The rows that its spans give, in the form in which they are expected."""
    db_path = home / "t.db"
    exporter = HushSpanExporter(db_path)
    exporter.export([span(one) for one in golden["spans"]])
    drain_once(attach(db_path).settings)
    nodes = dicts(db_path, "SELECT * FROM node_traces ORDER BY start_time, span_id")
    (request,) = dicts(db_path, "SELECT * FROM requests")
    return {
        "request": {name: request[name] for name in REQUEST} | {"cost_usd": _rounded(request["cost_usd"])},
        "nodes": [
            {name: node[name] for name in NODE if node[name] is not None}
            | {
                name: value
                for name, value in (
                    ("cost_usd", _rounded(node["cost_usd"])),
                    ("input", _begins(node["input_data"])),
                    ("output", _begins(node["output_data"])),
                    ("error", _begins(node["error"])),
                )
                if value is not None
            }
            for node in nodes
        ],
    }


def _rounded(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 9)


def _begins(text: object) -> str | None:
    return None if text is None else str(text)[:SHOWN]


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_rows_of_real_clients(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, types, models, tokens, costs, inputs and outputs; a request's sums count every call once."""
    no_background(monkeypatch, tmp_path)
    _fixed_prices(monkeypatch)
    golden = json.loads(path.read_text())
    assert rows_of(tmp_path, golden) == golden["expected"]


def _fixed_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models at a dollar and two a million tokens, whatever the table of today says."""
    units = {
        f"{direction}_tokens": {"per": 10**6, "dimensions": {"family": "tokens", "direction": direction}}
        for direction in ("input", "output")
    }
    models = [
        {
            "id": name,
            "match": {"starts_with": name},
            "prices": [{"usd": {"input_tokens": 1, "output_tokens": 2}}],
        }
        for name in ("gpt-4o-mini", "text-embedding-3-small")
    ]
    provider = {"id": "openai", "model_match": {"contains": ""}, "models": models}
    table = {"source": "prices", "taken": "2026-01-31", "units": units, "providers": [provider]}
    made = prices.PriceTable(json.dumps(table).encode())
    monkeypatch.setattr(prices, "price_table", lambda: made)
