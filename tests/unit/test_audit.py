"""`hush-otel audit`: it balances whatever happened, and does not when something was taken away."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from asking import turn, write_config
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from inprocess import (
    App,
    Owner,
    die,
    let_go,
    no_background,
    no_waits,
    node_payload,
    owning,
    settings_for,
    writer_of,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from store_rows import StoreRows

from hush_otel import records
from hush_otel.cli import audit, main
from hush_otel.codec import encode
from hush_otel.config import Settings
from hush_otel.presentation.status import collect, glance
from hush_otel.records import FLAG_PROVISIONAL
from hush_otel.spool.writer import SpoolWriter
from hush_otel.testing import OtlpReceiver


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A database that nobody works on."""
    no_background(monkeypatch, tmp_path)
    return settings_for(tmp_path / "traces.db")


def end_payload(span: int, *, flags: int = 0, kind: int = records.END) -> bytes:
    """An encoded end, or start, of one trace without an origin."""
    ids = (b"t" * 16, span.to_bytes(8, "big"), None, flags, f"span-{span}", 1)
    if kind == records.START:
        return encode((kind, 0, *ids, 1, {}))[0]
    return encode((kind, 0, *ids, 1, 2, 0, None, {}, None))[0]


def stored(settings: Settings, *payloads: bytes) -> SpoolWriter:
    """A writer whose records are in the database."""
    writer = writer_of(settings)
    for payload in payloads:
        assert writer.append(payload)
    with owning(settings) as owner:
        owner.drain()
    return writer


def change(settings: Settings, sql: str) -> None:
    """Somebody has the database in hand."""
    with sqlite3.connect(settings.db_path) as db:
        assert db.execute(sql).rowcount == 1


def run(settings: Settings, *args: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and what it says."""
    code = main.main(["--db", str(settings.db_path), "audit", *args])
    return code, capsys.readouterr().out


def test_everything_balances_after_one_of_each(settings: Settings) -> None:
    """Rows, repeats, running spans, ends of forked children and records that nobody can read."""
    stored(
        settings,
        end_payload(1),
        end_payload(1),  # twice in a batch
        end_payload(2, kind=records.START),
        end_payload(3, kind=records.START),
        node_payload("r"),
        b"\x92\x01\xc0",  # an end that is none
        b"\x91\x63",  # of no known type
    )
    stored(
        settings,
        end_payload(3, flags=FLAG_PROVISIONAL),
        end_payload(3, flags=FLAG_PROVISIONAL),  # another processor's copy
        end_payload(4, flags=FLAG_PROVISIONAL),  # of a span that nobody has started
    )
    stored(settings, end_payload(1), end_payload(3), node_payload("r"))
    found = audit.collect(settings)
    assert found.balanced
    assert (found.received.received, found.received.stored, found.received.running) == (10, 4, 1)
    assert found.received.duplicate == 4
    assert found.received.dropped == {"unreadable": 1, "provisional": 1}
    assert found.losses["undecodable"] == 2


def test_interrupted_spans_stand_beside_what_was_received(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No record stands for them; one whose end turns up after all is a row like any other."""
    no_waits(monkeypatch)
    writer = writer_of(settings, doomed=True)
    writer.append(end_payload(1, kind=records.START))
    writer.append(end_payload(2, kind=records.START))
    writer.append(end_payload(3, kind=records.START))
    die(writer)
    writer_of(settings).append(end_payload(3, flags=FLAG_PROVISIONAL))
    with owning(settings) as owner:
        owner.drain()
        for _ in range(4):
            owner.tend()
            owner.step()
    found = audit.collect(settings)
    assert (found.balanced, found.received.interrupted, found.received.stored) == (True, 2, 1)
    stored(settings, end_payload(1))
    found = audit.collect(settings)
    assert (found.balanced, found.received.interrupted, found.received.stored) == (True, 1, 2)


def test_what_the_spool_holds_and_what_was_dropped_before_it_count_as_received(settings: Settings) -> None:
    """Records behind the positions of this moment; drops as the segments' headers tell them."""
    writer = stored(settings, end_payload(1))
    writer.append(end_payload(2))
    writer.append(node_payload("r"))
    writer.append(end_payload(3, kind=records.START))
    found = audit.collect(settings)
    assert (found.balanced, found.received.received, found.received.not_drained) == (True, 3, 2)
    for _ in range(5):
        writer.count_error()
    with owning(settings) as owner:
        owner.drain()
    found = audit.collect(settings)
    assert (found.balanced, found.received.received, found.received.not_drained) == (True, 8, 0)
    assert found.received.dropped == {"error": 5}


@pytest.mark.parametrize("which", ["span_id = x'0000000000000001'", "state = 0"])
def test_a_row_that_is_gone_is_missed(
    settings: Settings, which: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A span deleted behind its back, ended or running: exit code 1, and one line that says how many."""
    stored(settings, end_payload(1), end_payload(2), end_payload(3, kind=records.START))
    assert run(settings, capsys=capsys)[0] == 0
    change(settings, f"DELETE FROM hush_spans WHERE {which}")  # noqa: S608
    code, said = run(settings, capsys=capsys)
    assert code == audit.EXIT_UNBALANCED
    assert "does not balance: 1 span missing" in said
    code, said = run(settings, "--json", capsys=capsys)
    assert (code, json.loads(said)["balanced"]) == (1, False)


def test_a_row_too_many_is_seen(settings: Settings) -> None:
    """A row that no record stands for."""
    stored(settings, end_payload(1))
    change(settings, "UPDATE hush_ledger SET count = 0 WHERE name = 'end'")
    assert audit.collect(settings).received.missing == -1


def delivering(tmp_path: Path, path: Path) -> App:
    """An app whose spans go to a file."""
    config = tmp_path / "hush.toml"
    config.write_text(f'[destination.there]\ntype = "file"\npath = "{path}"\n')
    os.environ["HUSH_CONFIG"] = str(config)
    return App(tmp_path / "traces.db", destinations=["there"])


def deliver(owner: Owner, state: str) -> None:
    """Turn until every delivery is in a state."""
    sql = "SELECT state FROM hush_deliveries"
    turn(owner, lambda: {row[0] for row in owner.connection.execute(sql)} == {state})


def test_what_was_asked_for_is_delivered_paused_or_dead(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each destination's spans by what became of them."""
    monkeypatch.setenv("HUSH_CONFIG", "")  # put back at the end
    app = delivering(tmp_path, tmp_path / "out" / "x.jsonl")
    with owning(settings) as owner:
        for expected, names in (("paused", ["a", "b"]), ("delivered", ["c"])):
            for name in names:
                app.tracer.start_span(name).end()
            owner.drain()
            deliver(owner, expected)
            (tmp_path / "out").mkdir(exist_ok=True)
            owner.connection.execute("UPDATE hush_destinations SET hold_until = 0")
            (one,) = audit.collect(settings).destinations
            assert (one.missing, getattr(one, expected)) == (0, one.asked)
    assert audit.collect(settings).balanced
    assert one.asked == 3


def states(rows: StoreRows) -> None:
    """Two destinations with a delivery in each state."""
    there = rows.destination("there", delivered=2, rejected=1)
    for number, state in enumerate(["delivered", "pending", "sending", "paused", "dead"]):
        request = rows.request(f"r{number}")
        rows.span(request, 1)
        rows.delivery(request, there, state)
    rows.destination("idle")


def test_deliveries_in_every_state_add_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was asked for is the sum of all states, in spans, for each destination."""
    with StoreRows(tmp_path / "traces.db") as rows:
        states(rows)
    found = audit.collect(settings_for(tmp_path / "traces.db"))
    idle, there = found.destinations
    assert (there.asked, there.missing, idle.asked) == (15, 0, 0)
    assert (there.pending, there.sending, there.paused, there.dead) == (3, 3, 3, 3)
    run(settings_for(tmp_path / "traces.db"), capsys=capsys)


@pytest.mark.parametrize("state", ["pending", "paused", "dead"])
def test_a_delivery_that_is_gone_is_missed(tmp_path: Path, state: str) -> None:
    """A delivery deleted behind its back leaves spans that were asked for, and its request without one."""
    settings = settings_for(tmp_path / "traces.db")
    with StoreRows(tmp_path / "traces.db") as rows:
        states(rows)
    change(settings, f"DELETE FROM hush_deliveries WHERE state = '{state}'")  # noqa: S608
    change(settings, "UPDATE hush_request_destinations SET whole = 1 WHERE request NOT IN"
                     " (SELECT request FROM hush_deliveries)")  # fmt: skip
    found: Any = {one.name: one for one in audit.collect(settings).destinations}["there"]
    assert (found.missing, found.forgotten_requests) == (3, 1)


def test_the_page_shows_both_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every destination under its name; what is zero is left out but for what was delivered."""
    with StoreRows(tmp_path / "traces.db") as rows:
        states(rows)
    _, said = run(settings_for(tmp_path / "traces.db"), capsys=capsys)
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert "asked 15 spans to there" in lines
    assert "= delivered 2" in lines
    assert "+ dead 3" in lines
    assert "+ pruned 0" in lines[:6]
    assert lines.count("= delivered 0") == 1


def test_drops_at_the_quota_balance(settings: Settings) -> None:
    """What the spool had no room for was received and dropped; what it held is stored."""
    writer = writer_of(settings, max_bytes=1)
    given = 0
    while not writer.dropped:
        writer.append(end_payload(given := given + 1))
    with owning(settings) as owner:
        owner.drain()
    found = audit.collect(settings)
    assert (found.balanced, found.received.received) == (True, given)
    assert found.received.dropped == {"quota": 1}


def test_refusals_balance(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Partial success, a delivery divided by what was refused of it, and one refused as a whole."""
    partial = ExportTraceServiceResponse()
    partial.partial_success.rejected_spans = 2
    partial.partial_success.error_message = "odd"
    with OtlpReceiver() as receiver:
        there = {"type": "otlp", "endpoint": receiver.endpoint}
        monkeypatch.setenv("HUSH_CONFIG", str(write_config(tmp_path, there=there)))
        app = App(tmp_path / "traces.db", destinations=["there"])
        receiver.respond(200, body=partial.SerializeToString(), times=1)
        for _ in range(2):
            receiver.respond(400, times=1)  # all four, then the first half
        receiver.respond(400, times=1)  # the first of it
        receiver.respond(200)
        with owning(settings) as owner:
            for name in ("partial", "divided", "fine"):
                with app.tracer.start_as_current_span(name):
                    for number in range(3):
                        app.tracer.start_span(f"{name}-{number}").end()
                owner.drain()
                turn(owner, lambda: is_settled(owner))
            receiver.respond(400)
            app.tracer.start_span("dead").end()
            owner.drain()
            turn(owner, lambda: is_settled(owner))
        found = audit.collect(settings)
    (one,) = found.destinations
    assert found.balanced
    assert (one.asked, one.rejected, one.pending) == (13, 2, 0)
    assert one.dead >= 2
    assert one.delivered == one.asked - one.rejected - one.dead


def is_settled(owner: Owner) -> bool:
    """Whether nothing is to be queued, and nothing open."""
    look = owner.connection.execute
    due = look("SELECT 1 FROM hush_requests WHERE due_at IS NOT NULL").fetchone()
    return (
        not due and not look("SELECT 1 FROM hush_deliveries WHERE state IN ('pending', 'sending')").fetchone()
    )


STEPS = st.lists(
    st.tuples(
        st.integers(0, 1), st.integers(1, 3), st.sampled_from(["start", "end", "child", "node", "drain"])
    ),
    max_size=14,
)


@hypothesis_settings(max_examples=40, deadline=None)
@given(steps=STEPS, dead=st.booleans(), late=STEPS)
def test_it_balances_whatever_comes_in_whatever_order(
    steps: list[tuple[int, int, str]], dead: bool, late: list[tuple[int, int, str]]
) -> None:
    """Starts, ends, repeats and ends of forked children, two processes, their death, and what comes after it."""
    payloads = {
        "start": lambda span: end_payload(span, kind=records.START),
        "end": end_payload,
        "child": lambda span: end_payload(span, flags=FLAG_PROVISIONAL),
        "node": lambda span: node_payload("r", f"node-{span}"),
    }
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        no_waits(patch)
        settings = settings_for(Path(directory) / "traces.db")
        with owning(settings) as owner:

            def play(writers: list[SpoolWriter], some: list[tuple[int, int, str]]) -> None:
                for who, span, what in some:
                    if what == "drain":
                        owner.drain()
                    else:
                        writers[who].append(payloads[what](span))
                    found = audit.collect(settings)
                    assert found.balanced, found
                    assert glance(settings, 0.0).spans == collect(settings, 0.0).spans

            writers = [writer_of(settings, doomed=True), writer_of(settings, doomed=True)]
            play(writers, steps)
            for writer in writers if dead else ():
                die(writer)
            for _ in range(3):
                owner.step()
                owner.tend()
            play([writer_of(settings), writer_of(settings)], late)
            owner.drain()
            found = audit.collect(settings)
            assert found.balanced, found
            assert found.received.not_drained == 0
        let_go()
