"""Phoenix asks for a key: without the right one its destination is paused and says why; with it everything arrives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench import Bench
from commands import balance, command, define
from phoenix_server import Project
from reading import ids
from support import eventually

WRONG = "not-the-key-4711"
PAUSED = "SELECT count(*) FROM deliveries WHERE state = 'paused'"


@pytest.fixture
def key_file(bench: Bench) -> Path:
    """Where the key stands."""
    path = bench.path / "phoenix.key"
    path.write_text(WRONG)
    return path


def test_a_wrong_key_pauses_and_the_right_one_resumes(
    bench: Bench, locked_project: Project, key_file: Path
) -> None:
    """`status` and `deliveries` show the answer and never the key; `retry` sends what waited."""
    define(bench, locked_project, authorization=f"Bearer ${{file:{key_file}}}")
    app = bench.obedient(HUSH_DESTINATIONS="place")
    app.ask("end r 100")
    eventually(lambda: bench.value(PAUSED) == 100, what="a hundred paused deliveries")
    shown = [command(bench, "status"), command(bench, "deliveries")]
    for said in shown:
        assert "paused" in said
        assert "401" in said
    (destination,) = json.loads(command(bench, "status", "--json"))["destinations"]
    assert (destination["state"], destination["pending"], destination["dead"]) == ("paused", 100, 0)
    assert "401" in destination["reason"]
    assert locked_project.spans() == []

    key_file.write_text(locked_project.phoenix.api_key)
    said = command(bench, "retry", "--destination", "place")
    assert said.splitlines()[-1] == "now 100 delivered"
    stored = set(bench.rows("SELECT trace_id, span_id FROM spans"))
    eventually(lambda: ids(locked_project.spans()) == dict.fromkeys(stored, 1), what="each span once")
    assert balance(bench)["balanced"]
    logs = (bench.path / "traces.db.spool").glob("*.log")
    everything_said = "".join([*shown, said, *(log.read_text() for log in logs)])
    assert WRONG not in everything_said
    assert locked_project.phoenix.api_key not in everything_said
