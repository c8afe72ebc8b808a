"""`hush-otel prune`: what it says it would delete, what it deletes, and that it goes on without whoever asked."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import ask
from inprocess import App, Owner, no_background, owning, rows, settings_for
from pruning import DAY_S, balanced, request_ids

from hush_otel.cli import main
from hush_otel.config import Settings
from hush_otel.model import Destination
from hush_otel.store import commands


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A database that nobody works on."""
    no_background(monkeypatch, tmp_path)
    return settings_for(tmp_path / "traces.db")


@pytest.fixture
def owner(settings: Settings) -> Iterator[Owner]:
    """Twenty requests of two spans and 140 KB, one a day, the newest from today; the two oldest are owed."""
    archive = Destination("file", name="archive", path=str(settings.db_path.with_name("out.jsonl")))
    owed, free = App(settings.db_path, destinations=[archive]), App(settings.db_path)
    with owning(settings) as owner:
        for number in range(20):
            app = owed if number < 2 else free
            texts = {f"t{i}": f"{number} {i} " * 6_000 for i in range(5)}
            with app.tracer.start_as_current_span(
                "root", attributes={"hush.request_id": f"r-{number:02}"} | texts
            ):
                app.tracer.start_span("inner").end()
        owner.drain()
        owner.service._relay.queue_due(time.time() + 60)
        with sqlite3.connect(settings.db_path) as db:
            db.execute("UPDATE hush_deliveries SET state = 'dead'")
            for number in range(20):
                then = time.time() - (19.5 - number) * DAY_S
                sql = "UPDATE hush_requests SET created_at = ?1, last_at = ?1 WHERE request_id = ?2"
                db.execute(sql, (then, f"r-{number:02}"))
        owner.service._database.truncate_wal()
        yield owner


def left(first: int) -> list[str]:
    """Those from a number on, and the two that are owed."""
    return ["r-00", "r-01", *(f"r-{number:02}" for number in range(first, 20))]


def test_by_age(owner: Owner, settings: Settings) -> None:
    """What it would delete is what it deletes; what was not delivered is told, and stays."""
    args = ("prune", "--older-than", "10d")
    would = ask(owner, *args, "--dry-run")
    assert would.stdout == (
        "8 requests with 16 spans would be deleted; 2 requests stay, not delivered (--undelivered)\n"
    )
    assert len(request_ids(settings.db_path)) == 20
    did = ask(owner, *args)
    assert did.stdout.startswith(
        "8 requests with 16 spans deleted; 2 requests stay, not delivered (--undelivered); the database has "
    )
    assert request_ids(settings.db_path) == left(10)
    assert balanced(settings).received.pruned == 16


def test_undelivered_ones_when_told(owner: Owner, settings: Settings) -> None:
    """They are counted where they were asked for."""
    did = ask(owner, "prune", "--older-than", "10d", "--undelivered", "--json")
    assert {key: json.loads(did.stdout)[key] for key in ("requests", "spans", "kept")} == {
        "requests": 10,
        "spans": 20,
        "kept": 0,
    }
    assert request_ids(settings.db_path) == left(10)[2:]
    assert balanced(settings).destinations[0].pruned == 4


def test_per_workflow(owner: Owner, settings: Settings) -> None:
    """The newest of each stay, and what is owed."""
    args = ("prune", "--per-workflow", "5", "--json")
    would = json.loads(ask(owner, *args, "--dry-run").stdout)
    did = json.loads(ask(owner, *args).stdout)
    assert would["requests"] == did["requests"] == 13
    assert request_ids(settings.db_path) == left(15)


def test_to_size(owner: Owner, settings: Settings) -> None:
    """The file is as small as that in the end; the estimate is about right."""
    wanted = settings.db_path.stat().st_size // 2
    args = ("prune", "--to-size", str(wanted), "--json")
    would = json.loads(ask(owner, *args, "--dry-run").stdout)
    did = json.loads(ask(owner, *args).stdout)
    assert settings.db_path.stat().st_size == did["size_bytes"] <= wanted
    assert 0 < did["requests"] < 18
    assert abs(would["requests"] - did["requests"]) <= 5
    assert request_ids(settings.db_path) == left(2 + did["requests"])


def test_it_goes_on_without_whoever_asked(owner: Owner, settings: Settings) -> None:
    """The order stands in the database: a new owner finishes it."""
    asked = "UPDATE hush_commands SET result = json_set(result, '$.state', 'working')"
    ask(owner, "prune", "--per-workflow", "19")
    with sqlite3.connect(settings.db_path) as db:
        db.execute(asked)
        db.execute("UPDATE hush_commands SET result = json_set(result, '$.rule.per_workflow', 5)")
    while rows(settings.db_path, "SELECT result ->> 'state' FROM hush_commands") != [("done",)]:
        owner.service._retention._next = 0.0
        owner.step()
    assert request_ids(settings.db_path) == left(15)
    assert rows(settings.db_path, "SELECT result ->> 'requests' FROM hush_commands") == [(13,)]


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ((), "give --older-than"),
        (("--undelivered",), "give --older-than"),
        (("--to-size", "much"), "'much' is no size"),
        (("--older-than", "long"), "'long' is neither an age"),
        (("--per-workflow", "-1"), "-1"),
        (("--per-workflow", "0"), "0"),
        (("--per-workflow", str(2**63)), "--per-workflow"),
        (("--to-size", "0"), "0 is everything: --older-than 0s says that"),
        (("--to-size", "10"), "'10' is less than 1 MiB"),
        (("--to-size", "1MB"), "'1MB' is less than 1 MiB"),
        (("--per-workflow", "5", "--db", ""), "--db is empty"),
    ],
)
def test_what_makes_no_sense_is_said_and_nothing_is_asked(
    settings: Settings, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], why: str
) -> None:
    """Without a rule it would be everything: there is no such thing by default."""
    assert main.main(["--db", str(settings.db_path), "prune", *args]) == 2
    assert why in capsys.readouterr().err


def test_a_command_without_a_rule_is_refused() -> None:
    """Whoever wrote it into the spool."""
    with pytest.raises(commands.Refused):
        commands._prune(commands.Rule(undelivered=True))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1500", 1500),
        ("500MB", 500_000_000),
        ("2 GiB", 2 << 30),
        ("1.5k", 1500),
        ("10B", 10),
        ("3mib", 3 << 20),
    ],
)
def test_sizes(text: str, number: int) -> None:
    """Decimal and binary ones, in bytes."""
    from hush_otel.cli.filters import size

    assert size(None, None, text) == number  # type: ignore[arg-type]
