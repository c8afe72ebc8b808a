"""A destination that accepts nothing says so, everywhere it is shown."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from store_rows import StoreRows

from hush_otel.cli import main
from hush_otel.presentation.status import DestinationStatus, destinations
from hush_otel.store.reading import Reader

NOW_S = 1_700_010_000.0
FAILED = {"last_error": "400 no such project", "last_error_at": NOW_S - 10, "delivered": 0}


def status_of(db: Path) -> DestinationStatus:
    """The only destination."""
    with Reader(db) as reader:
        (found,) = destinations(reader, NOW_S)
    return found


def run(db: Path, *args: str) -> str:
    """What one command prints."""
    return CliRunner().invoke(main.cli, ["--db", str(db), *args], catch_exceptions=False).stdout


@pytest.mark.parametrize("state", ["dead", "pending"])
def test_where_nothing_was_ever_accepted(tmp_path: Path, state: str) -> None:
    """Refused for good or tried again: failing since the first delivery that was tried."""
    with StoreRows(tmp_path / "t.db") as rows:
        there = rows.destination("there", **FAILED)
        rows.delivery(rows.request("r1"), there, state, created_at=NOW_S - 300)
        rows.delivery(rows.request("r2"), there, state, created_at=NOW_S - 200)
    found = status_of(tmp_path / "t.db")
    assert (found.state, found.reason, found.failing_since) == ("failing", "for 5m 00s", NOW_S - 300)


def test_since_the_last_that_was_accepted(tmp_path: Path) -> None:
    """What was refused before that does not count."""
    with StoreRows(tmp_path / "t.db") as rows:
        there = rows.destination("there", **FAILED | {"delivered": 3})
        rows.delivery(rows.request("r1"), there, "dead", created_at=NOW_S - 900)
        rows.delivery(rows.request("r2"), there, "delivered", settled_at=NOW_S - 120)
        rows.delivery(rows.request("r3"), there, "dead", created_at=NOW_S - 100)
    assert status_of(tmp_path / "t.db").failing_since == NOW_S - 120


@pytest.mark.parametrize(
    ("columns", "state"),
    [
        ({}, "active"),
        (FAILED | {"delivered": 3, "last_error_at": NOW_S - 500}, "active"),
        (FAILED | {"paused": "401"}, "paused"),
        (FAILED | {"hold_until": NOW_S + 5}, "held"),
    ],
    ids=["no error", "accepted since", "paused", "held"],
)
def test_other_states_stay_what_they_are(tmp_path: Path, columns: dict[str, object], state: str) -> None:
    """Nothing has failed, something was accepted since, or it is said already why nothing is sent."""
    with StoreRows(tmp_path / "t.db") as rows:
        there = rows.destination("there", **columns)
        rows.delivery(rows.request("r1"), there, "dead", created_at=NOW_S - 900)
        rows.delivery(rows.request("r2"), there, "delivered", settled_at=NOW_S - 120)
    assert status_of(tmp_path / "t.db").state == state


def test_the_terminal_says_since_when_and_the_last_answer(tmp_path: Path) -> None:
    """`status` in the destination's line and below it, `deliveries` below the list."""
    now_s = time.time() - 20  # what follows may be looked at a little before or after it
    with StoreRows(tmp_path / "t.db") as rows:
        there = rows.destination("there", last_error="400 no such project", last_error_at=now_s - 3600)
        rows.delivery(rows.request("r1"), there, "dead", created_at=now_s - 7200, settled_at=now_s - 3600)
    status, listed = run(tmp_path / "t.db", "status"), run(tmp_path / "t.db", "deliveries")
    assert "failing for 2h" in status
    assert "last error, 1h 00m ago: 400 no such project" in status
    assert "there is failing for 2h 00m; last answer, 1h 00m ago: 400 no such project" in listed.splitlines()
    (found,) = json.loads(run(tmp_path / "t.db", "status", "--json"))["destinations"]
    assert found["state"] == "failing"
