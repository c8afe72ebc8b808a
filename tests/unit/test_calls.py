"""Model calls around model calls: each call is counted once, whoever else reports it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from inprocess import App, no_background, owning, rows

from hush_otel.store import calls

CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 1,
    "gen_ai.usage.cost": 0.5,
}
EMBEDDING = CALL | {"gen_ai.operation.name": "embeddings"}


@pytest.fixture(params=[True, False], ids=["live", "ends only"])
def app(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """An application that records."""
    no_background(monkeypatch, tmp_path)
    return App(tmp_path / "t.db", live=request.param)


def nest(app: App, *levels: dict[str, Any]) -> None:
    """Spans within each other, the outermost first."""
    if levels:
        with app.tracer.start_as_current_span(f"level {len(levels)}", attributes=levels[0]):
            nest(app, *levels[1:])


def sums(app: App) -> tuple[Any, ...]:
    """Of the one request."""
    ((prompt, total, usd),) = rows(app.db_path, "SELECT prompt_tokens, total_tokens, cost_usd FROM requests")
    return prompt, total, usd


@pytest.mark.parametrize(
    ("levels", "counted"),
    [
        ((CALL, CALL), 1),
        ((CALL, {}, {"openinference.span.kind": "CHAIN"}, CALL), 1),
        ((CALL, CALL, CALL), 1),
        (({}, CALL, {}), 1),
        ((CALL, EMBEDDING), 2),
        ((EMBEDDING, {}, EMBEDDING), 1),
        ((CALL, {**CALL, "gen_ai.operation.name": "invoke_agent"}), 1),
        (({**CALL, "gen_ai.operation.name": "invoke_agent"}, CALL), 1),
        ((CALL, {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}), 1),
    ],
)
def test_the_innermost_of_a_type_counts(app: App, levels: tuple[dict[str, Any], ...], counted: int) -> None:
    """Whatever lies between; one without tokens says nothing, another type is another call."""
    nest(app, *levels)
    app.drain()
    assert sums(app) == (10 * counted, 11 * counted, 0.5 * counted)


def test_calls_side_by_side_all_count(app: App) -> None:
    """Only what is around others repeats them."""
    with app.tracer.start_as_current_span("sums", attributes=CALL | {"gen_ai.usage.input_tokens": 30}):
        for _ in range(3):
            app.tracer.start_span("chat", attributes=CALL).end()
    app.tracer.start_span("another request", attributes=CALL).end()
    app.drain()
    assert rows(app.db_path, "SELECT prompt_tokens FROM requests ORDER BY created_at, start_time") == [
        (30,),
        (10,),
    ]
    assert rows(app.db_path, "SELECT count(*) FROM hush_spans WHERE repeats = 1") == [(1,)]


def test_the_call_around_ends_in_a_later_batch(app: App) -> None:
    """Also when what was cached in between is forgotten, as after a rollback."""
    with owning(app.settings) as owner:
        with app.tracer.start_as_current_span("around", attributes=CALL):
            app.tracer.start_span("inner", attributes=CALL).end()
            owner.drain()
            owner.service._drain.ingest.forget()
        owner.drain()
    assert sums(app) == (10, 11, 0.5)


def test_what_never_ends_is_forgotten(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers in other services, and spans whose process died: the oldest go, the memory is bounded."""
    monkeypatch.setattr(calls, "KEPT", 5)
    with owning(app.settings) as owner:
        for _ in range(4):
            for _ in range(4):
                with app.tracer.start_as_current_span("never ends", end_on_exit=False):
                    app.tracer.start_span("chat", attributes=CALL).end()
            owner.drain()
        owner.drain()
        assert len(owner.service._drain.ingest.calls._below) <= 5 + 4
