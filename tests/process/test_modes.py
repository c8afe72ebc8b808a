"""HUSH_BACKGROUND=thread and =external: the same promises without a launched process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from bench import Bench, catches, names
from processes import is_running
from support import eventually, stays


def test_thread_mode_stores_without_launching_a_process(bench: Bench) -> None:
    """The app's own thread owns the database."""
    app = bench.obedient(HUSH_BACKGROUND="thread")
    app.ask("end a 1000")
    assert app.ask("flush 20000")[0] is True
    bench.expect(names("a", 1_000))
    assert bench.owner() == app.pid
    assert app.ask("background") == [app.pid, True]
    assert bench.background_processes() == []


def test_i3_thread_mode_takes_no_signal_that_the_app_has_blocked(bench: Bench) -> None:
    """I3: SIGTERM waits until the app asks for it, instead of ending it by a thread that it does not know of."""
    app = bench.obedient(HUSH_BACKGROUND="thread")
    app.ask("end a 10")
    assert app.ask("flush 20000")[0] is True
    assert app.ask("blocked") == "pending"


def test_thread_mode_a_forked_child_takes_over_when_its_parent_dies(bench: Bench) -> None:
    """The child's spans are stored by its parent's thread, then by a process that it launches.

    Not by a thread of its own: its SQLite has inherited the parent's locks without holding them.
    """
    app = bench.obedient(HUSH_BACKGROUND="thread")
    app.ask("end a 10")
    assert app.ask("flush 20000")[0]
    app.ask("fork")
    app.ask("end b 10")
    assert app.ask("flush 20000")[0]
    assert bench.owner() == app.pid
    app.kill()
    app.ask("end c 10")
    assert app.ask("flush 20000")[0]
    eventually(lambda: bench.background_processes() == [bench.owner()], what="one process")
    bench.expect(names("a", 10) | names("b", 10) | names("c", 10))


def test_thread_mode_a_child_forked_in_the_midst_of_a_transaction_takes_over(bench: Bench) -> None:
    """The parent's thread held SQLite's write lock at the fork; that must not keep the child out for ever."""
    app = bench.obedient(HUSH_BACKGROUND="thread")
    app.ask("end a 20000")
    app.ask("fork")
    app.kill()
    app.ask("end b 10")
    assert app.ask("flush 50000")[0]
    bench.expect(names("a", 20_000) | names("b", 10))


def test_thread_mode_of_many_processes_one_thread_owns_the_database(bench: Bench) -> None:
    """When the owner dies, the next process that records anything takes over."""
    apps = [bench.obedient(HUSH_BACKGROUND="thread") for _ in range(3)]
    for i, app in enumerate(apps):
        app.ask(f"end a{i} 10")
        assert app.ask("flush 20000")[0]
    assert bench.owner() == apps[0].pid
    apps[0].kill()
    last = 0

    def taken_over() -> bool:
        nonlocal last
        apps[1].ask(f"end last 1 {last}")
        last += 1
        return bench.owner() == apps[1].pid

    eventually(taken_over, what="another owner")
    bench.expect(names("a0", 10) | names("a1", 10) | names("a2", 10) | names("last", last))


def test_external_mode_launches_nothing(bench: Bench) -> None:
    """Records wait in the spool for whoever is set up to drain it."""
    app = bench.obedient(HUSH_BACKGROUND="external")
    app.ask("end a 10")
    assert app.ask("flush 300")[0] is False
    stays(lambda: bench.processes() == [app.pid], 0.5, what="the app alone")
    assert not bench.db.exists()


def test_run_in_the_foreground_drains_and_ends_at_sigterm_with_0(bench: Bench) -> None:
    """`hush-otel run` beside an external app: stored while it runs, gone within 5 s, exit code 0."""
    run = bench.hush("run", HUSH_IDLE_EXIT_S="0.1")
    said = run.line()
    assert f"in {bench.spool.path} is stored in {bench.db} and delivered, until SIGTERM" in said
    assert bench.owner_eventually() == run.pid
    stays(lambda: bench.owner() == run.pid, 0.5, what="ownership without work")
    app = bench.obedient(HUSH_BACKGROUND="external")
    app.ask("end a 1000")
    assert app.ask("flush 20000")[0] is True
    bench.expect(names("a", 1_000))
    began = time.monotonic()
    assert run.kill(signal.SIGTERM) == 0
    assert time.monotonic() - began < 5
    assert bench.owner() is None


def test_run_works_without_standard_output(bench: Bench) -> None:
    """As daemons are started: what it would say first is for people."""
    line = [sys.executable, "-m", "hush_otel", "--db", str(bench.db), "run"]
    run = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *line], env=bench.env)
    assert bench.owner_eventually() == run.pid
    app = bench.obedient(HUSH_BACKGROUND="external")
    app.ask("end a 10")
    assert app.ask("flush 20000")[0] is True
    run.terminate()
    assert run.wait() == 0
    bench.expect(names("a", 10))


def test_run_waits_for_the_owner_and_takes_over_when_it_leaves(bench: Bench) -> None:
    """A second `hush-otel run` stands by; it ends at SIGTERM while it waits, too."""
    first = bench.hush("run")
    assert bench.owner_eventually() == first.pid
    second, third = bench.hush("run"), bench.hush("run")
    assert f"by process {first.pid}; waiting to take over" in second.line()
    eventually(lambda: catches(third.pid, signal.SIGTERM), what="a process that stands by")
    stays(lambda: bench.owner() == first.pid and is_running(second.pid), 0.5, what="the first owner")
    os.kill(third.pid, signal.SIGTERM)
    assert third.wait() == 0
    assert first.kill(signal.SIGKILL) == -signal.SIGKILL
    assert bench.owner_eventually(other_than=first.pid) == second.pid
