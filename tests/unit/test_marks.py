"""Marks: which destination they mean, and what becomes of one for a request that nobody knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from inprocess import drain_once, no_background, rows
from opentelemetry.sdk.trace import TracerProvider

from hush_otel import Destination, HushSpanProcessor, get_store
from hush_otel.api import attach
from hush_otel.errors import PausedError
from hush_otel.secrets import check

MAIN = """
[destination.main]
type = "otlp"
endpoint = "http://127.0.0.1:9"
headers = {x-key = "${KEY}"}
"""


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database that nobody drains by itself."""
    no_background(monkeypatch, tmp_path)
    return tmp_path / "t.db"


def record(db: Path, request: str = "req-1") -> None:
    """One node of a request."""
    get_store(db).insert_node_trace(request, "flow", "flow", None, None, 0, None, None, 1.0, {}, {})


def lab(db: Path, **options: Any) -> Destination:
    """A destination in code with a name."""
    return Destination("file", name="lab", path=str(db.with_name("lab.jsonl")), **options)


def deliveries_of(db: Path) -> list[tuple[str, int]]:
    """Destination and span count, once everything is stored and queued."""
    drain_once(attach(db).settings)
    return rows(db, "SELECT destination, span_count FROM deliveries ORDER BY id")  # type: ignore[return-value]


@pytest.mark.parametrize("config", [None, {}], ids=["none", "empty"])
def test_a_mark_by_a_name_of_the_file_is_delivered_under_it(db: Path, tmp_path: Path, config: Any) -> None:
    """And under that name only, though a processor sends there, too."""
    (tmp_path / ".hush").mkdir()
    (tmp_path / ".hush/hush.toml").write_text(MAIN)
    provider = TracerProvider()
    provider.add_span_processor(HushSpanProcessor(db, destinations=["main"]))
    with provider.get_tracer("t").start_as_current_span("root", attributes={"hush.request_id": "req-1"}):
        record(db)
    get_store(db).mark_request_complete("req-1", "main", config)
    assert deliveries_of(db) == [("main", 2)]


def test_a_mark_by_a_name_that_was_given_in_code_is_delivered_under_it(db: Path) -> None:
    """A processor has brought the destination; the mark means that one."""
    HushSpanProcessor(db, destinations=[lab(db)])
    record(db)
    get_store(db).mark_request_complete("req-1", "lab")
    get_store(db).mark_request_complete("req-1", "lab", {})
    assert deliveries_of(db) == [("lab", 1)]


def test_a_mark_with_the_configuration_of_a_named_destination_goes_there_once(db: Path) -> None:
    """The same type and configuration are the same place, whatever it is called."""
    provider = TracerProvider()
    provider.add_span_processor(HushSpanProcessor(db, destinations=[lab(db)]))
    with provider.get_tracer("t").start_as_current_span("root", attributes={"hush.request_id": "req-1"}):
        pass
    get_store(db).mark_request_complete("req-1", "file", {"path": str(db.with_name("lab.jsonl"))})
    assert deliveries_of(db) == [("lab", 1)]


def test_a_mark_that_changes_a_named_destination_means_another_one(db: Path) -> None:
    """What is replaced for one request must not replace it for all others."""
    HushSpanProcessor(db, destinations=[lab(db)])
    record(db)
    get_store(db).mark_request_complete("req-1", "lab", {"path": str(db.with_name("other.jsonl"))})
    ((name, _),) = deliveries_of(db)
    assert name.startswith("file#")


def test_a_mark_says_what_its_secrets_are_here(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Like a processor: by a fingerprint beside the reference."""
    monkeypatch.setenv("KEY", "canary")
    record(db)
    get_store(db).mark_request_complete("req-1", "otlp", {"headers": {"x-key": "${KEY}", "a": "literal"}})
    drain_once(attach(db).settings)
    ((stored,),) = rows(db, "SELECT fingerprints FROM hush_destinations")
    check(json.loads(stored))
    monkeypatch.setenv("KEY", "another")
    with pytest.raises(PausedError, match="secret KEY"):
        check(json.loads(stored))
