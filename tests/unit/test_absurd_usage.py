"""Tokens and costs that no model call can have: kept on their row, and in nobody's way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inprocess import App, dicts, no_background

from hush_otel.cli.main import main

MOST = 2**63 - 1
"""What a row can hold."""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """An app whose background process is this one."""
    no_background(monkeypatch, tmp_path)
    return App(tmp_path / "t.db")


def call(app: App, session: str = "s") -> None:
    """A model call of a trace of its own that reports as much as a row can hold."""
    attributes: dict[str, str | int] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": MOST,
        "gen_ai.usage.output_tokens": MOST,
        "llm.usage.total_tokens": MOST,
        "session.id": session,
    }
    with app.tracer.start_as_current_span("flow"):
        for _ in range(2):
            app.tracer.start_span("chat m", attributes=attributes).end()


def test_sums_beyond_64_bit_are_stored_with_their_batch(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """A sum that no column can hold is as large as one can be; no record has to be tried by itself."""
    call(app)
    app.drain()
    assert not caplog.records
    (request,) = dicts(app.db_path, "SELECT prompt_tokens, completion_tokens, total_tokens FROM requests")
    assert set(request.values()) == {MOST}


@pytest.mark.parametrize("by", ["workflow", "model", "day"])
def test_statistics_add_them_up(app: App, capsys: pytest.CaptureFixture[str], by: str) -> None:
    """One call that reports nonsense does not take the figures of all others away."""
    for _ in range(2):
        call(app)
    app.drain()
    assert main(["--db", str(app.db_path), "stats", "--by", by, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)[by]["rows"]
    assert {row["prompt_tokens"], row["completion_tokens"], row["total_tokens"]} == {MOST}


@pytest.mark.parametrize(("prompt", "completion"), [(-1000, 10), (10, -1000), (-1, -1)])
def test_a_negative_count_has_no_price(app: App, prompt: int, completion: int) -> None:
    """A node keeps what it was given; nobody is paid for it, and nothing is earned."""
    nothing = (None,) * 7
    app.store.insert_node_trace(
        *("r", "flow", "flow", None, *nothing),
        model="gpt-4o",
        node_type="llm",
        prompt_tokens=prompt,
        completion_tokens=completion,
    )
    app.drain()
    (node,) = dicts(app.db_path, "SELECT prompt_tokens, completion_tokens, cost_usd FROM node_traces")
    assert tuple(node.values()) == (prompt, completion, None)
