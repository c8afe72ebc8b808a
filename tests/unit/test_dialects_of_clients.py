"""Spans of real clients at vendors: whoever made them, tokens count as often as the calls were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from inprocess import drain_once, no_background, rows
from test_goldens import GOLDENS, span

from hush_otel import HushSpanExporter
from hush_otel.attachment import attach
from hush_otel.mapping.dialects.catalogue import dialect_named, translated
from hush_otel.model import SpanData
from hush_otel.store.history import HistoryReader

Attributes = Mapping[str, Any]


@pytest.fixture(params=GOLDENS, ids=lambda path: path.stem)
def client(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[SpanData], int, int]:
    """Its spans as the relay reads them, and the prompt and completion tokens of its calls."""
    no_background(monkeypatch, tmp_path)
    golden = json.loads(request.param.read_text())
    exporter = HushSpanExporter(tmp_path / "t.db")
    exporter.export([span(one) for one in golden["spans"]])
    drain_once(attach(tmp_path / "t.db").settings)
    with closing(HistoryReader(tmp_path / "t.db")) as history:
        spans = [
            one
            for (number,) in rows(tmp_path / "t.db", "SELECT id FROM hush_requests")
            for one in history.spans_of(number)
        ]
    expected = golden["expected"]["request"]
    return spans, expected["prompt_tokens"] or 0, expected["completion_tokens"] or 0


def sent(name: str, spans: list[SpanData]) -> list[Attributes]:
    """What leaves."""
    dialect = dialect_named(name)
    assert dialect is not None
    return [translated(dialect, one).attributes for one in spans]


def langfuse_usage(attributes: Attributes) -> dict[str, int]:
    """As Langfuse's OtelIngestionProcessor.extractUsageDetails reads it: its own key, else whatever counts."""
    own = attributes.get("langfuse.observation.usage_details")
    if own:
        found: dict[str, int] = json.loads(own)
        return found
    names = {"prompt_tokens": "input", "input_tokens": "input", "prompt": "input"}
    names |= {"completion_tokens": "output", "output_tokens": "output", "completion": "output"}
    return {
        names.get(key.rpartition(".")[2], key.rpartition(".")[2]): value
        for key, value in attributes.items()
        if key.startswith(("gen_ai.usage.", "llm.token_count.")) and isinstance(value, int)
    }


def test_langfuse_adds_up_to_what_the_calls_took(client: tuple[list[SpanData], int, int]) -> None:
    """Over all observations, buckets that exclude each other, whatever instrumentation made them."""
    spans, prompt, completion = client
    usages = [langfuse_usage(one) for one in sent("langfuse", spans)]

    def total(*beginnings: str) -> int:
        """Over all observations; OpenAI's names may have tables and nothing beside the counts."""
        counts = [(key, value) for one in usages for key, value in one.items() if isinstance(value, int)]
        return sum(value for key, value in counts if key.startswith(beginnings))

    given, answered = total("input", "prompt_tokens"), total("output", "completion_tokens")
    assert (given, answered) == (prompt, completion)


def test_mlflow_adds_up_to_what_the_calls_took(client: tuple[list[SpanData], int, int]) -> None:
    """By the usage of each span; one that has none of its own must have nothing else to read."""
    spans, prompt, completion = client
    given = answered = 0
    for one in sent("mlflow", spans):
        usage = one.get("mlflow.chat.tokenUsage")
        if usage is None:
            assert not [key for key in one if key.startswith(("gen_ai.usage.", "llm.token_count."))]
            continue
        given += usage.get("input_tokens", 0)
        answered += usage.get("output_tokens", 0)
    assert (given, answered) == (prompt, completion)


def test_phoenix_adds_up_to_what_the_calls_took(client: tuple[list[SpanData], int, int]) -> None:
    """It reads OpenInference's counts alone."""
    spans, prompt, completion = client
    found = [
        (one.get("llm.token_count.prompt", 0), one.get("llm.token_count.completion", 0))
        for one in sent("openinference", spans)
    ]
    assert (sum(given for given, _ in found), sum(answered for _, answered in found)) == (prompt, completion)


def test_every_model_call_has_its_kind_everywhere(client: tuple[list[SpanData], int, int]) -> None:
    """A generation, an LLM, a chat model, an llm run."""
    spans, *_ = client
    calls = [one for one in spans if one.facts.node_type == "llm"]
    for name, key, kind in (
        ("langfuse", "langfuse.observation.type", "generation"),
        ("openinference", "openinference.span.kind", "LLM"),
        ("mlflow", "mlflow.spanType", "CHAT_MODEL"),
        ("langsmith", "langsmith.span.kind", "llm"),
    ):
        assert {one[key] for one in sent(name, calls)} <= {kind}
