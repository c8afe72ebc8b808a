"""Spans that failed without a description say why by the exception that was recorded on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dialect_samples import span
from inprocess import App, no_background, rows
from opentelemetry.trace import Status, StatusCode

from hush_otel.mapping.dialects.meaning import meaning_of
from hush_otel.model import EventData

SAID = {"exception.type": "ToolError", "exception.message": "no such order"}


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """Nobody drains by itself."""
    no_background(monkeypatch, tmp_path)
    return App(tmp_path / "t.db")


@pytest.mark.parametrize(
    ("description", "said", "shown"),
    [
        (None, SAID, "ToolError: no such order"),
        (None, {"exception.type": "ToolError"}, "ToolError"),
        (None, {"exception.message": "no such order"}, "no such order"),
        ("its own words", SAID, "its own words"),
        (None, {}, ""),
    ],
    ids=["type and message", "type", "message", "description", "nothing"],
)
def test_what_a_span_says_of_its_failure(
    app: App, description: str | None, said: dict[str, Any], shown: str
) -> None:
    """In node_traces, in its request, and to vendors; `spans.status_message` stays as it was recorded."""
    with app.tracer.start_as_current_span("call", record_exception=False) as one:
        one.add_event("retry", {"exception.type": "of another event"})
        one.add_event("exception", said)
        one.set_status(Status(StatusCode.ERROR, description))
    app.drain()
    assert app.nodes()[0]["error"] == shown
    assert app.span("call")["status_message"] == (description or "")
    assert rows(app.db_path, "SELECT error_message FROM requests") == [(shown,)]
    events = [EventData("retry", 1, {"exception.type": "other"}), EventData("exception", 2, dict(said))]
    typed = span("call", status_code=2, status_message=description or "", events=events)
    assert meaning_of(typed).error == shown
