"""Others lay their hands on the files: a segment is taken away, the database is held."""

from __future__ import annotations

import os
import signal
import sqlite3

from bench import App, Bench, names
from support import eventually, stays

from hush_otel.spool.writer import CHECK_INTERVAL_S

EXTERNAL = {"HUSH_BACKGROUND": "external"}
PAGE_BYTES = 4096
ROUNDS = 3
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


def slowest(app: App, prefix: str, count: int) -> float:
    """Seconds that the slowest of so many ends took, in the best of some rounds.

    A machine that lets nobody run for a moment spoils one of them; what an application waits for, each: it looks
    after the background process in every one.
    """
    took_s = []
    for n in range(ROUNDS):
        took_s.append(app.ask(f"slowest {prefix}{n} {count}"))
        stays(lambda: True, CHECK_INTERVAL_S)
    return min(took_s)


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
    assert slowest(app, "during", 500) < 2.5, "half of what the background process waits for the lock"
    assert app.ask("flush 300")[0] is False
    said = bench.spool.path / "background.log"

    def gave_up_once() -> bool:
        return said.exists() and "database is locked" in said.read_text()

    eventually(gave_up_once, 60, what="a background process that has waited for the lock in vain")
    assert slowest(app, "after", 10) < 2.5
    other.execute("COMMIT")
    other.close()
    rounds = {
        f"{prefix}{n}": count for prefix, count in (("during", 500), ("after", 10)) for n in range(ROUNDS)
    }
    bench.expect(names("before", 10).union(*(names(prefix, count) for prefix, count in rounds.items())))
    assert bench.owner() == owner, "the same process goes on"
