"""Model calls around model calls: each call is counted once, whoever else reports it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inprocess import App, no_background, owning, rows
from opentelemetry.trace import Span, set_span_in_context

from hush_otel.store import calls

CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 1,
    "gen_ai.usage.cost": 0.5,
}
EMBEDDING = CALL | {"gen_ai.operation.name": "embeddings"}
AGENT = CALL | {"gen_ai.operation.name": "invoke_agent"}
UNKNOWN = CALL | {"gen_ai.operation.name": "responses"}
ZERO = CALL | {f"gen_ai.usage.{name}": 0 for name in ("input_tokens", "output_tokens", "cost")}
NAMED_AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "m"}


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
        ((CALL, AGENT), 1),
        ((AGENT, CALL), 1),
        ((AGENT,), 1),
        (({}, UNKNOWN, {}), 1),
        ((UNKNOWN, AGENT, {}), 1),
        ((AGENT, {}, EMBEDDING), 1),
        ((NAMED_AGENT, UNKNOWN), 1),
        ((UNKNOWN, ZERO), 1),
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
    assert rows(app.db_path, "SELECT prompt_tokens FROM requests ORDER BY prompt_tokens") == [(10,), (30,)]
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


def opened(app: App, name: str, around: Span | None = None, attributes: dict[str, Any] | None = None) -> Span:
    """A span that its test ends."""
    context = None if around is None else set_span_in_context(around)
    return app.tracer.start_span(name, context, attributes=attributes)


ORDERS = [
    ("outer", "inner", "between"),
    ("outer", "between", "inner"),
    ("between", "outer", "inner"),
    ("between", "inner", "outer"),
    ("inner", "between", "outer"),
]


def end_in_order(app: App, order: tuple[str, ...], after: Callable[[], object]) -> None:
    """A call around another with a span between them, which end in any order; `after` each something is done."""
    outer = opened(app, "outer", attributes=PRICED)
    between = opened(app, "between", outer)
    spans = {"outer": outer, "between": between, "inner": opened(app, "inner", between, PRICED)}
    for name in order:
        spans[name].end()
        after()


def inner_counts_alone(app: App) -> None:
    """Also the cost: what was computed for the call around it is gone."""
    ((prompt, total, usd, computed),) = rows(
        app.db_path, "SELECT prompt_tokens, total_tokens, cost_usd, computed_usd FROM hush_requests"
    )
    assert (prompt, total) == (1000, 1100)
    assert usd == computed > 0
    assert rows(app.db_path, WHAT_COUNTS) == [
        ("between", None, None, 0),
        ("inner", None, usd, 1),
        ("outer", 1, None, 0),
    ]


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
def test_a_call_may_end_after_the_one_around_it(app: App, order: tuple[str, ...]) -> None:
    """As a stream's does, that is read when the framework's span has ended; all in one batch."""
    end_in_order(app, order, lambda: None)
    app.drain()
    inner_counts_alone(app)


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
def test_each_in_a_batch_of_its_own(app: App, order: tuple[str, ...]) -> None:
    """What is stored already is mended."""
    with owning(app.settings) as owner:
        end_in_order(app, order, owner.drain)
    inner_counts_alone(app)


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
def test_the_background_process_may_be_replaced_in_between(app: App, order: tuple[str, ...]) -> None:
    """The next one finds in the store what the one before it knew."""
    end_in_order(app, order, app.drain)
    inner_counts_alone(app)


@pytest.mark.parametrize("attributes", [AGENT, UNKNOWN], ids=["agent", "unknown"])
def test_a_sum_counts_until_a_call_below_it_does(app: App, attributes: dict[str, Any]) -> None:
    """Where the agent's span ends first it is all that is known; its call takes the count from it."""
    with owning(app.settings) as owner:
        outer = opened(app, "outer", attributes=attributes)
        inner = opened(app, "inner", outer, CALL)
        outer.end()
        owner.drain()
        assert sums(app) == (10, 11, 0.5)
        inner.end()
        owner.drain()
    assert sums(app) == (10, 11, 0.5)
    assert rows(app.db_path, "SELECT name FROM hush_spans WHERE repeats = 1") == [("outer",)]


def test_a_call_that_began_after_the_other_had_ended_is_another(app: App) -> None:
    """Its parent has ended when it begins: a context that was left behind."""
    first = app.tracer.start_span("first", attributes=CALL, start_time=1000)
    first.end(end_time=2000)
    app.tracer.start_span("second", set_span_in_context(first), attributes=CALL, start_time=2001).end()
    app.drain()
    assert sums(app) == (20, 22, 1.0)
    assert rows(app.db_path, "SELECT count(*) FROM hush_spans WHERE repeats = 1") == [(0,)]


def test_parents_in_a_circle_end(app: App) -> None:
    """No SDK makes them; whoever does waits for nothing."""
    one = opened(app, "one", attributes=CALL)
    two = opened(app, "two", one, CALL)
    one._parent = two.get_span_context()  # type: ignore[attr-defined]
    with owning(app.settings) as owner:
        for span in (one, two):
            span.end()
            owner.drain()
    assert rows(app.db_path, "SELECT count(*) FROM hush_spans") == [(2,)]


WHAT_COUNTS = "SELECT name, repeats, cost_usd, cost_source IS NOT NULL FROM hush_spans ORDER BY name"
PRICED = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
}
