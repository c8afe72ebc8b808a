"""Marks: which destination they mean, and what becomes of one for a request that nobody knows."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from inprocess import drain_once, losses, no_background, owning, rows
from opentelemetry.sdk.trace import TracerProvider

from hush_otel import Destination, HushSpanProcessor, get_store
from hush_otel.attachment import attach
from hush_otel.cli import main
from hush_otel.errors import PausedError
from hush_otel.secrets import check
from hush_otel.store.delivered import DeliveryWatch

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


def test_a_mark_by_the_name_of_a_vendor_means_what_its_processor_sends_to(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the vendor's variables complete is completed for both: one destination, described once."""
    (tmp_path / ".hush").mkdir()
    (tmp_path / ".hush/hush.toml").write_text('[destination.lf]\ntype = "langfuse"\n')
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk-canary")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk-canary")
    provider = TracerProvider()
    provider.add_span_processor(HushSpanProcessor(db, destinations=["lf"]))
    with provider.get_tracer("t").start_as_current_span("root", attributes={"hush.request_id": "req-1"}):
        pass
    assert deliveries_of(db) == [("lf", 1)]
    before = rows(db, "SELECT config, digest, fingerprints FROM hush_destinations")
    get_store(db).mark_request_complete("req-2", "lf")
    record(db, "req-2")
    assert deliveries_of(db) == [("lf", 1), ("lf", 1)]
    assert rows(db, "SELECT config, digest, fingerprints FROM hush_destinations") == before
    assert "canary" not in str(before)


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


def nested(depth: int) -> Any:
    """Lists in lists."""
    value: Any = "bottom"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", range(900, 1000, 9))
def test_a_mark_with_a_secret_beside_what_no_decoder_takes_is_no_loss(
    depth: int, db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is mended before it is searched for references, as where it is stored."""
    monkeypatch.setenv("KEY", "canary")
    record(db)
    config = {"headers": {"x-key": "${KEY}"}, "x": nested(depth)}
    get_store(db).mark_request_complete("req-1", "otlp", config)
    drain_once(attach(db).settings)
    assert rows(db, "SELECT completed_by FROM requests WHERE request_id = 'req-1'") == [("mark",)]
    ((stored,),) = rows(db, "SELECT fingerprints FROM hush_destinations")
    assert "KEY" in json.loads(stored)
    assert losses(db) == {}


# A mark for a request that nobody knows.


def status(db: Path, request: str = "req-1") -> str:
    """What the view says."""
    return str(rows(db, "SELECT status FROM requests WHERE request_id = ?", request)[0][0])


def said(db: Path, *command: str) -> str:
    """What a command prints."""
    return CliRunner().invoke(main.cli, ["--db", str(db), *command], catch_exceptions=False).stdout


def mark_unknown(db: Path, kind: str = "file") -> None:
    """A mark, and nothing else."""
    config = {"path": str(db.with_name("out.jsonl"))} if kind == "file" else {}
    get_store(db).mark_request_complete("req-1", kind, config)
    drain_once(attach(db).settings)


def test_a_mark_without_spans_is_no_delivery(db: Path) -> None:
    """Nothing was sent, so nothing is flushed: it is waited for."""
    mark_unknown(db)
    assert status(db) == "pending"
    assert rows(db, "SELECT * FROM deliveries") == []
    assert get_store(db).wait_delivered(50, "req-1") is False
    assert get_store(db).wait_delivered(50) is False


def test_a_mark_without_spans_is_waited_for_a_minute_and_then_not_at_all(db: Path) -> None:
    """An identifier that was mistyped an hour ago does not make every later call use all of its time."""
    mark_unknown(db)
    ((marked_at,),) = rows(db, "SELECT completed_at FROM requests")
    for request_id in ("req-1", None):
        with DeliveryWatch(db, attach(db).writer.writer_ids, request_id, 60.0) as watch:
            assert watch.look() is None
        with DeliveryWatch(
            db, attach(db).writer.writer_ids, request_id, marked_at - time.time() - 1
        ) as watch:
            assert watch.look() is False


def test_a_mark_of_the_store_alone_asks_for_nothing(db: Path) -> None:
    """There is no delivery to wait for."""
    mark_unknown(db, "local")
    assert get_store(db).wait_delivered(50, "req-1") is True


def test_a_mark_without_spans_is_shown_everywhere(db: Path) -> None:
    """By status, ls, show and audit; the ledger balances all the same."""
    mark_unknown(db)
    assert "1 marked complete without any span; the oldest " in said(db, "status")
    assert "pending, no spans" in said(db, "ls")
    assert "none has arrived since it was marked complete" in said(db, "show", "req-1")
    assert "1 request marked complete, and no span has arrived\nthe ledger balances" in said(db, "audit")
    report = json.loads(said(db, "status", "--json"))
    assert (report["awaited"], report["requests"]) == (1, {"pending": 1})
    assert 0 <= report["oldest_awaited_s"] < 60
    assert json.loads(said(db, "audit", "--json"))["awaited"] == 1


def test_spans_that_come_after_their_mark_are_delivered_and_end_the_waiting(db: Path) -> None:
    """The request is what the mark has made of it: complete, so that they follow as a delta."""
    mark_unknown(db)
    record(db)
    settings = attach(db).settings
    with owning(settings) as owner:
        deadline = time.monotonic() + 20
        while status(db) != "flushed" and time.monotonic() < deadline:
            owner.service._bell.wait(max(owner.step(), 0.01))
    assert rows(db, "SELECT span_count, state FROM deliveries") == [(1, "delivered")]
    assert get_store(db).wait_delivered(50, "req-1") is True
    report = json.loads(said(db, "status", "--json"))
    assert (report["awaited"], report["oldest_awaited_s"]) == (0, None)
    assert "no span" not in said(db, "ls") + said(db, "audit")


def test_a_mark_of_a_request_that_only_runs_is_pending(db: Path) -> None:
    """Its spans have begun and not ended: nothing was sent yet."""
    provider = TracerProvider()
    provider.add_span_processor(HushSpanProcessor(db, destinations=["local"]))
    span = provider.get_tracer("t").start_span("root", attributes={"hush.request_id": "req-1"})
    mark_unknown(db)
    assert status(db) == "pending"
    assert "no spans" not in said(db, "ls")
    span.end()
    drain_once(attach(db).settings)
    assert get_store(db).wait_delivered(0, "req-1") is False
