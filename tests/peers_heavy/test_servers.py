"""Each receiver starts, takes a span and gives it back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from compare import from_view, rows
from mlflow_server import Experiment
from opentelemetry.sdk.trace import TracerProvider
from phoenix_server import Project
from reading import Place
from support import eventually

from hush_otel import Destination, HushSpanProcessor, TraceStore, get_background


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TraceStore]:
    """A store; its background process is stopped in the end."""
    yield TraceStore(tmp_path / "traces.db")
    get_background(tmp_path / "traces.db").shutdown()


def assert_one_span_arrives(store: TraceStore, place: Place) -> None:
    """A span with one attribute."""
    destination = Destination("otlp", name="place", endpoint=place.endpoint, headers=place.headers)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(HushSpanProcessor(store.db_path, destinations=[destination]))
    provider.get_tracer("smoke").start_span("one", attributes={"answer": 42}).end()
    assert store.wait_delivered(30_000)
    provider.shutdown()
    stored = [from_view(row) for row in rows(store.db_path, "SELECT * FROM spans")]
    assert len(stored) == 1
    eventually(lambda: place.spans() == [place.kept(span) for span in stored], what="the span")


def test_phoenix(store: TraceStore, project: Project) -> None:
    """In a project of its own."""
    assert_one_span_arrives(store, project)


def test_phoenix_with_auth(store: TraceStore, locked_project: Project) -> None:
    """With the key that its administrator made."""
    assert_one_span_arrives(store, locked_project)


def test_mlflow(store: TraceStore, experiment: Experiment) -> None:
    """In an experiment of its own."""
    assert_one_span_arrives(store, experiment)
