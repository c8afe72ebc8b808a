"""Retention with a real background process: killed or failing at each step, and beside applications that go on."""

from __future__ import annotations

import json
import signal

import pytest
from bench import Bench
from support import eventually

from hush_otel.failpoints import RETENTION

REQUESTS = 1_000
EXTERNAL = {"HUSH_BACKGROUND": "external"}
AT_ONCE = {"HUSH_RETENTION_DAYS": "0.000001"}
"""A tenth of a second."""


def recorded(bench: Bench) -> None:
    """An application has left requests in the spool, and is gone."""
    app = bench.obedient(**EXTERNAL)
    app.ask(f"end s {REQUESTS}")
    app.kill()


def balance(bench: Bench) -> dict[str, int]:
    """The receiving side of the ledger, which must balance."""
    found = bench.hush("audit", "--json")
    said = json.loads(found.read_all(60.0))
    assert found.wait() == 0, said
    return said["received"]


@pytest.mark.parametrize("name", RETENTION)
def test_f11_killed_at_a_step_of_retention_the_next_process_goes_on(bench: Bench, name: str) -> None:
    """F11: after the kill the ledger balances and the database is whole; then all of it is deleted."""
    recorded(bench)
    assert bench.hush("run", HUSH_FAILPOINT=f"{name}:kill", **AT_ONCE).wait() == -signal.SIGKILL
    received = balance(bench)
    assert received["stored"] + received["pruned"] + received["not_drained"] == REQUESTS
    assert bench.rows("PRAGMA integrity_check") == [("ok",)]
    bench.hush("run", **AT_ONCE)
    eventually(lambda: balance(bench)["pruned"] == REQUESTS, 60, what="an empty database")


@pytest.mark.parametrize("name", RETENTION)
def test_f11_an_error_at_a_step_of_retention_is_got_over(bench: Bench, name: str) -> None:
    """The same process tries again."""
    recorded(bench)
    bench.hush("run", HUSH_FAILPOINT=f"{name}:error", **AT_ONCE)
    eventually(lambda: bench.value("SELECT 1 FROM hush_ledger WHERE name = 'pruned'"), 60, what="a step")
    eventually(lambda: balance(bench)["pruned"] == REQUESTS, 60, what="an empty database")


def test_an_order_outlives_the_background_process_that_took_it(bench: Bench) -> None:
    """`hush-otel prune` waits meanwhile, starts the next one, and says what all of them have deleted."""
    recorded(bench)
    bench.hush("run", HUSH_FAILPOINT="retention.committed:kill")
    eventually(lambda: bench.value("SELECT count(*) FROM requests") == REQUESTS, 60, what="all stored")
    running = bench.hush("prune", "--older-than", "0s", "--json")
    did = json.loads(running.read_all(60.0))
    assert running.wait() == 0
    assert (did["requests"], did["spans"]) == (REQUESTS, REQUESTS)
    assert balance(bench)["pruned"] == REQUESTS


def test_what_is_too_old_goes_while_applications_write(bench: Bench) -> None:
    """By the setting, beside a drain that goes on: nothing that was received is missing."""
    app = bench.obedient(**AT_ONCE)
    for turn in range(5):
        app.ask(f"end t{turn} 500")
    app.ask("flush 30000")
    eventually(lambda: bench.value("SELECT count(*) FROM requests") == 0, what="an empty database")
    received = balance(bench)
    assert (received["stored"], received["pruned"]) == (0, 2500)
