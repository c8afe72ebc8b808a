"""What the hot paths cost, counted in calls: the same on every machine, so that a limit cannot flake.

Times stand in benchmarks. A call, of Python or of C, costs 30 to 150 ns; a change that adds a few of them to
`on_end` shows here first. The limits leave room for another SDK or interpreter, not for another loop.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from inprocess import App, no_background, owning

LLM = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m",
    "gen_ai.usage.input_tokens": 123,
    "gen_ai.usage.output_tokens": 45,
    "input.value": "question " * 100,
    "output.value": "answer " * 100,
    "user.id": "u",
    "session.id": "s",
}
WARM_UP = 20
SPANS = 400
PER_TRACE = 8


def calls(work: Callable[[], Any]) -> int:
    """How many functions are called, of Python and of C, while `work` runs in this thread."""
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
    return count - 1  # the call that ends the count


def usual(app: App, work: Callable[[Any], Any], prepare: Callable[[], Any]) -> int:
    """The calls of the usual case: the fewest of several, since each rolls or looks about now and then."""
    for _ in range(WARM_UP):
        app.tracer.start_span("warm-up", attributes=LLM).end()
    items = [prepare() for _ in range(WARM_UP)]
    return min(calls(partial(work, item)) for item in items)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody drains by itself."""
    no_background(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture(params=[True, False], ids=["live", "ends only"])
def app(request: pytest.FixtureRequest, home: Path) -> App:
    """An application that records."""
    return App(home / "t.db", live=request.param, destinations=("local",))


def test_on_end_makes_few_calls(app: App) -> None:
    """One encoding, one checksum, one copy, and what decides whether its trace is done."""
    spans = [app.tracer.start_span("chat", attributes=LLM) for _ in range(WARM_UP)]
    assert usual(app, app.processor.on_end, spans.pop) <= 24


def test_on_start_makes_fewer(app: App) -> None:
    """Without live it only counts; with it, one append."""
    limit = 23 if app.processor._live else 6
    spans = [app.tracer.start_span("chat", attributes=LLM) for _ in range(WARM_UP)]
    assert usual(app, app.processor.on_start, spans.pop) <= limit


def test_a_node_trace_makes_few_calls(app: App) -> None:
    """No more than a span."""
    values = ("r", "flow", "a", None, None, 1, None, None, 1.0, {"q": "?"}, {"a": 42})
    assert usual(app, lambda _: app.store.insert_node_trace(*values), lambda: None) <= 32


def test_the_drain_makes_few_calls_a_span(home: Path) -> None:
    """From the segment to the rows, roll-ups and deliveries, in traces of eight; the commit is in it."""
    app = App(home / "t.db", live=True, destinations=("console",))
    with owning(app.settings) as owner:  # what is done once in a process is no cost of a span
        app.tracer.start_span("warm-up", attributes=LLM).end()
        owner.step()
    for _ in range(SPANS // PER_TRACE):
        with app.tracer.start_as_current_span("answer"):
            for _ in range(PER_TRACE - 1):
                app.tracer.start_span("chat", attributes=LLM).end()
    with owning(app.settings) as owner:
        made = calls(owner.step)
        assert app.spans()[-1]["state"] == "ended"
    assert len(app.spans()) == SPANS + 1
    assert made / SPANS <= 110
