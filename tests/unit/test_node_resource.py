"""Node traces carry the resource of their process: receivers sort by service.name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inprocess import dicts, drain_once, no_background
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from hush_otel import TraceStore
from hush_otel.attachment import attach


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody drains but the test."""
    no_background(monkeypatch, tmp_path)


def resource_of(db_path: Path) -> dict[str, object]:
    """The resource of the one node trace that a new store records."""
    TraceStore(db_path).insert_node_trace("r", "flow", "a", None, None, 1, None, None, 1.0, {}, {})
    drain_once(attach(db_path).settings)
    (span,) = dicts(db_path, "SELECT resource, scope FROM spans")
    assert json.loads(span["scope"])["name"] == "hush"
    found: dict[str, object] = json.loads(span["resource"])
    return found


def test_it_comes_from_otels_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a tracer provider OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say who it is."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=search")
    found = resource_of(tmp_path / "t.db")
    assert (found["service.name"], found["team"]) == ("shop", "search")


def test_it_comes_from_the_tracer_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that has set one up has said there who it is."""
    provider = TracerProvider(resource=Resource({"service.name": "till"}), shutdown_on_exit=False)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    assert resource_of(tmp_path / "t.db")["service.name"] == "till"
