"""Others lay their hands on the files: a segment is taken away, the database is held."""

from __future__ import annotations

import os
import signal
import sqlite3

import pytest
from bench import Bench, names
from support import eventually

EXTERNAL = {"HUSH_BACKGROUND": "external"}
PAGE_BYTES = 4096
NOT_YET_DUE = "SELECT count(*) FROM hush_requests WHERE due_at IS NOT NULL"


def test_f22_an_unlinked_segment_costs_what_was_not_drained_of_it(bench: Bench) -> None:
    """The application notices within a second, goes on in a new one, and counts the loss; the drain stores that."""
    app = bench.obedient(**EXTERNAL)
    app.ask("end lost 100")
    (segment,) = bench.spool.segments()
    segment.unlink()

    def noticed() -> bool:
        app.ask("end probe 1")
        return bool(bench.spool.segments())

    eventually(noticed, what="a new segment")
    app.ask("end after 100")
    bench.drain()
    stored = bench.names()
    assert {name for name in stored if not name.startswith("probe")} == names("after", 100)
    assert bench.losses() == {"error": 1}
    assert app.process.poll() is None


def test_f22_a_truncated_segment_gives_what_is_left_of_it(bench: Bench) -> None:
    """Its next store may be SIGBUS for the application; the drain stores the page that is left, and counts the rest."""
    app = bench.obedient(**EXTERNAL)
    app.ask("end a 100")
    (segment,) = bench.spool.segments()
    os.truncate(segment, PAGE_BYTES)
    app.tell("end a 1 100")
    app.read(1.0)
    assert app.kill() in {-signal.SIGBUS, -signal.SIGKILL}
    bench.drain()
    stored = bench.names()
    assert 0 < stored.total() < 100
    assert set(stored) < names("a", 100)
    assert set(stored.values()) == {1}
    assert bench.losses() == {"damaged": 1}
    assert not bench.spool.segments()


@pytest.mark.alone
def test_f27_a_database_that_somebody_holds_is_drained_later(bench: Bench) -> None:
    """For longer than the background process waits for a lock: the application does not notice, nothing is lost."""
    app = bench.obedient()
    app.ask("end before 10")
    assert app.ask("flush 20000")[0]
    eventually(
        lambda: bench.value(NOT_YET_DUE) == 0, what="nothing left to write but what the application says"
    )
    owner = bench.owner_eventually()
    other = sqlite3.connect(bench.db, timeout=5.0, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert app.ask("slowest during 500") < 2.5, "half of what the background process waits for the lock"
    assert app.ask("flush 300")[0] is False
    said = bench.spool.path / "background.log"

    def gave_up_once() -> bool:
        return said.exists() and "database is locked" in said.read_text()

    eventually(gave_up_once, 60, what="a background process that has waited for the lock in vain")
    assert app.ask("slowest after 10") < 2.5
    other.execute("COMMIT")
    other.close()
    bench.expect(names("before", 10) | names("during", 500) | names("after", 10))
    assert bench.owner() == owner, "the same process goes on"
