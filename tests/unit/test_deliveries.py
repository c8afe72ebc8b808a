"""`hush-otel deliveries`: which it lists, and in what form."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from store_rows import StoreRows

from hush_otel.cli import deliveries, main
from hush_otel.cli.filters import moment
from hush_otel.errors import HushError
from hush_otel.presentation.deliveries import newest
from hush_otel.store.reading import Reader


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Deliveries in every state, to two destinations, an hour apart; the newest has just been queued."""
    path = tmp_path / "traces.db"
    now = time.time()
    with StoreRows(path) as rows:
        there, other = rows.destination("there"), rows.destination("other")
        for number, state in enumerate(reversed(deliveries.STATES)):
            age_s = (len(deliveries.STATES) - 1 - number) * 3600.0
            request = rows.request(f"r-{state}")
            rows.delivery(
                request,
                other if state == "dead" else there,
                state,
                created_at=now - age_s,
                settled_at=now - age_s + 119.0,  # 58 minutes and a second: a busy machine has almost a minute
                next_attempt_at=now + 90.0,
                last_error="400 \x1b[31mno\nmore" if state == "dead" else None,
            )
    return path


def run(db: Path, *args: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(main.cli, ["--db", str(db), "deliveries", *args], catch_exceptions=False)


def listed(db: Path, *args: str) -> list[str]:
    """The states of what it lists."""
    return [json.loads(line)["state"] for line in run(db, "--json", *args).stdout.splitlines()]


@pytest.mark.parametrize(
    ("args", "found"),
    [
        ((), list(deliveries.STATES)),
        (("--limit", "2"), ["pending", "sending"]),
        (("--state", "dead"), ["dead"]),
        (("--state", "dead", "--state", "paused"), ["paused", "dead"]),
        (("--destination", "other"), ["dead"]),
        (("--since", "90m"), ["pending", "sending"]),
        (("--older-than", "2.5h"), ["paused", "dead"]),
        (("--since", "3.5h", "--older-than", "90m"), ["delivered", "paused"]),
        (("--since", "2000-01-01", "--state", "sending"), ["sending"]),
        (("--destination", "other", "--state", "pending"), []),
    ],
)
def test_filters(db: Path, args: tuple[str, ...], found: list[str]) -> None:
    """Newest first; each filter leaves out the rest."""
    assert listed(db, *args) == found


def test_json_has_the_columns_of_the_view(db: Path) -> None:
    """Exactly those of `deliveries`."""
    with Reader(db) as reader:
        columns = list(dict(reader.rows("request_deliveries", request_id="r-dead")[0]))
    shown = json.loads(run(db, "--json", "--limit", "1").stdout)
    assert list(shown) == columns[: len(shown)]
    assert list(shown)[-1] == "settled_at"


def test_for_people(db: Path) -> None:
    """A line each with what comes next, and the receiver's words made harmless."""
    header, *lines = run(db).stdout.splitlines()
    assert header.split() == " ".join(deliveries.COLUMNS).split()
    assert len(lines) == 5
    assert "next try in 1m " in lines[0]
    assert lines[4].rstrip().endswith("400 no↵more")
    assert "settled 3h 58m ago" in lines[4]


@pytest.mark.parametrize(("width", "whole"), [(80, False), (120, True)])
def test_a_narrow_terminal_shows_fewer_columns(db: Path, width: int, whole: bool) -> None:
    """Where it is sent and why it failed can be read; how often and since when is left out."""
    with Reader(db) as reader:
        table = deliveries._table(newest(reader, limit=10), time.time(), width)
    assert table.columns[2].header == "destination"
    assert ("attempts" in [column.header for column in table.columns]) == whole
    shown = io.StringIO()
    Console(width=width, file=shown).print(table)
    assert "400 no↵more" in shown.getvalue()


def test_nothing_to_list(db: Path, tmp_path: Path) -> None:
    """No delivery that matches is no error; a destination that nobody knows is one."""
    assert run(db, "--since", "0s").stdout == "no deliveries match\n"
    with StoreRows(tmp_path / "empty.db"):
        pass
    assert run(tmp_path / "empty.db").stdout == "no deliveries yet\n"
    with pytest.raises(HushError, match=r"no destination 'x' .*known: other, there"):
        run(db, "--destination", "x")


def when(given: str) -> float | None:
    """What an option makes of it."""
    command = click.Command("x", params=[click.Option(["--since"], callback=moment)])
    return command.make_context("x", ["--since", given]).params["since"]


def test_moments() -> None:
    """Ages in five units, times with and without offset; anything else is a usage error."""
    for given, age_s in [("90s", 90), ("1.5h", 5400), ("7d", 604_800), ("2w", 1_209_600), ("3m", 180)]:
        before = time.time()
        found = when(given)
        assert found is not None
        assert before <= found + age_s + 1e-3
        assert found + age_s - 1e-3 <= time.time()
    assert when("2026-01-31T12:00:00+02:00") == 1_769_853_600
    assert when("2026-01-31T10:00:00Z") == 1_769_853_600
    for given in ("", "7", "-7d", "7 years", "d", "9" * 400 + "-01-01"):
        with pytest.raises(click.BadParameter, match="neither an age"):
            when(given)
