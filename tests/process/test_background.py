"""The background process is killed, stopped, replaced: the app goes on, and rows stay exact."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from bench import App, Bench, names
from processes import is_running
from support import eventually, stays

from hush_otel.background.client import ENTRY
from hush_otel.presentation.waiting import last_error
from hush_otel.store.integrity import moved_aside

KILLS = 10
SEED = 20_260_102
BACK_S = 5.0
LEAVE_S = 5.0


def finish(app: App) -> int:
    """Tell apps/stream.py to stop; returns how many spans it has ended. It makes thousands of pauses before."""
    app.tell("stop")
    return app.value(180)


def streaming(bench: Bench, prefix: str = "s", minimum: int = 0, pause_s: float = 0.002) -> App:
    """An app that goes on ending spans."""
    app = bench.start("stream", prefix, minimum, pause_s)
    assert app.value() == "ready"
    return app


@pytest.mark.alone
def test_f11_a_killed_background_process_is_back_while_the_app_goes_on(bench: Bench) -> None:
    """SIGKILL: another process owns the database within seconds, and nothing is lost or doubled."""
    app = streaming(bench)
    killed = bench.kill_owner()
    began = time.monotonic()
    assert bench.owner_eventually(other_than=killed) != killed
    assert time.monotonic() - began < BACK_S
    bench.expect(names("s", finish(app)))


def test_f11_ten_kills_at_random_moments_leave_every_span_stored_once(bench: Bench) -> None:
    """5,000 spans and more, while the background process is killed again and again."""
    chance = random.Random(SEED)
    app = streaming(bench, minimum=5_000, pause_s=0.0005)
    for _ in range(KILLS):
        bench.owner_eventually()
        app.read_for(chance.uniform(0.0, 0.5))
        killed = bench.kill_owner()
    bench.owner_eventually(other_than=killed)
    bench.expect(names("s", finish(app)))
    assert bench.value("PRAGMA integrity_check") == "ok"


def leave_in_spool(bench: Bench) -> set[str]:
    """Spans that are in the spool alone: the background process stopped, then app and it were killed."""
    app = bench.obedient()
    app.ask("end a 100")
    app.ask("flush 20000")
    owner = bench.signal_owner(signal.SIGSTOP)
    app.ask("end b 2000")
    app.kill()
    os.kill(owner, signal.SIGKILL)
    eventually(lambda: not bench.processes(), what="the end of everything")
    assert bench.value("SELECT count(*) FROM spans") == 100
    return names("a", 100) | names("b", 2_000)


def test_f11_the_next_process_that_uses_the_database_stores_what_the_dead_left(bench: Bench) -> None:
    """Background process dead, then the app: another app's first span brings everything in."""
    left = leave_in_spool(bench)
    app = bench.obedient()
    app.ask("end next 1")
    bench.expect(left | {"next-0"})


def test_errors_of_a_process_long_replaced_are_not_repeated(bench: Bench) -> None:
    """The last words are those of the last one: it has begun to work since, and said so."""
    app = bench.obedient()
    bench.spool.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = bench.spool.path / "background.log"
    log.write_text("2026-01-01 00:00:01,000 5 ERROR cannot work\n")
    assert last_error(bench.spool.path) == "2026-01-01 00:00:01,000 5 ERROR cannot work"
    app.ask("end a 1")
    eventually(lambda: last_error(bench.spool.path) is None, what="the words of another process")
    assert f" works on {bench.db}" in log.read_text()


def test_f14_doctor_says_that_a_background_process_stores_nothing(bench: Bench) -> None:
    """It is stopped: somebody holds the lock, and records wait. SIGCONT, and nothing is wrong."""
    app = bench.obedient()
    app.ask("end a 1")
    app.ask("flush 20000")
    owner = bench.signal_owner(signal.SIGSTOP)
    app.ask("end b 10")
    stopped = bench.hush("doctor")
    said = stopped.read_all().decode()
    assert f"{owner} has stored nothing for 3 s" in said
    assert f"kill -CONT {owner}" in said
    assert stopped.wait() == 1
    os.kill(owner, signal.SIGCONT)
    app.ask("flush 20000")
    again = bench.hush("doctor")
    assert "has stored nothing" not in again.read_all().decode()
    assert again.wait() == 0


def test_f17_drain_alone_stores_everything_when_all_were_killed(bench: Bench) -> None:
    """`hush-otel drain` needs nobody, and says what it stored."""
    left = leave_in_spool(bench)
    report = bench.drain()
    assert report["spans"] == 2_000
    bench.expect(left, 0)
    assert bench.background_processes() == []


def test_drain_returns_promptly_while_another_process_owns_the_database(bench: Bench) -> None:
    """`hush-otel drain` leaves the work to the owner."""
    app = bench.obedient()
    app.ask("end a 10")
    bench.owner_eventually()
    assert bench.drain()["owned_elsewhere"] is True
    bench.expect(names("a", 10))


@pytest.mark.alone
def test_f13_sigterm_ends_it_in_time_with_everything_committed_stored(bench: Bench) -> None:
    """SIGTERM in the midst of 20,000 spans: gone within 5 s, and the next owner finds exact positions."""
    app = bench.obedient()
    app.ask("end a 20000")
    eventually(lambda: bench.value("SELECT count(*) FROM spans"), what="the beginning of its work")
    pid = bench.signal_owner(signal.SIGTERM)
    eventually(lambda: not is_running(pid), LEAVE_S, what="the end of the background process")
    assert bench.value("PRAGMA integrity_check") == "ok"
    app.kill()
    bench.drain()
    bench.expect(names("a", 20_000))


@pytest.mark.alone
def test_f14_a_stopped_background_process_blocks_nobody(bench: Bench) -> None:
    """SIGSTOP: force_flush(1) says False at once, spans end as ever; SIGCONT: all are stored."""
    app = bench.obedient()
    app.ask("end a 10")
    assert app.ask("flush 20000")[0] is True
    owner = bench.signal_owner(signal.SIGSTOP)
    app.ask("end b 1")
    flushed, took_s = app.ask("flush 1")
    assert flushed is False
    assert took_s < 0.1
    assert app.ask("slowest c 2000") < 1.0
    os.kill(owner, signal.SIGCONT)
    assert app.ask("flush 20000")[0] is True
    bench.expect(names("a", 10) | names("b", 1) | names("c", 2_000))
    assert bench.owner() == owner


def test_f15_of_50_simultaneous_starts_one_owns_the_database(bench: Bench) -> None:
    """Fifty processes are launched at once: one takes over, once, and the others leave."""
    app = bench.obedient(HUSH_BACKGROUND="external")
    app.ask("end a 100")
    command = [sys.executable, "-I", str(ENTRY), "--db", str(bench.db)]
    starters = [subprocess.Popen(command, env=bench.env, stdin=subprocess.DEVNULL) for _ in range(50)]
    assert [starter.wait(120) for starter in starters] == [0] * 50
    bench.expect(names("a", 100))
    eventually(lambda: bench.background_processes() == [bench.owner()], what="one process")
    assert bench.value("SELECT value FROM hush_meta WHERE key = 'epoch'") == 1


def test_f16_an_old_owner_that_wakes_up_after_a_takeover_quits(bench: Bench) -> None:
    """The lock file is deleted while its owner is stopped: the second one's rows stay exact."""
    app = bench.obedient()
    app.ask("end a 100")
    assert app.ask("flush 20000")[0]
    old = bench.stop_owner_between_transactions()
    bench.spool.lock.unlink()

    def taken_over() -> bool:
        app.ask("end more 1")
        return bench.owner() not in {None, old}

    eventually(taken_over, what="a second owner")
    app.ask("end b 500")
    assert app.ask("flush 20000")[0]
    os.kill(old, signal.SIGCONT)
    app.ask("end c 500")
    eventually(lambda: not is_running(old), what="the end of the old owner")
    assert app.ask("flush 20000")[0]
    ended = bench.names()
    assert {name: n for name, n in ended.items() if not name.startswith("more")} == dict.fromkeys(
        names("a", 100) | names("b", 500) | names("c", 500), 1
    )
    eventually(lambda: bench.background_processes() == [bench.owner()], what="one process")


def test_it_leaves_when_nobody_is_left_and_nothing_to_do(bench: Bench) -> None:
    """After HUSH_IDLE_EXIT_S without owners and work the process is gone, and so are the segments."""
    bench.run("count_then_die", 10, "os_exit", code=7, HUSH_IDLE_EXIT_S="0.3")
    bench.expect(names("n", 10))
    eventually(lambda: not bench.processes(), what="an idle exit")
    assert bench.spool.segments() == []
    assert bench.spool.owners() == []


def test_it_stays_as_long_as_an_idle_app_lives(bench: Bench) -> None:
    """An app that has written and now does nothing keeps its background process."""
    app = bench.obedient(HUSH_IDLE_EXIT_S="0.2")
    app.ask("end a 1")
    owner = bench.owner_eventually()
    stays(lambda: bench.owner() == owner, 2.0, what="the owner")
    app.ask("end b 1")
    bench.expect({"a-0", "b-0"})
    assert bench.owner() == owner


def test_an_app_wakes_a_background_process_that_sleeps(bench: Bench) -> None:
    """After a pause the next span is stored without waiting for a poll of either side."""
    app = bench.obedient(HUSH_IDLE_EXIT_S="60")
    for i in range(5):
        app.ask(f"end a{i} 1")
        bench.expect([f"a{j}-0" for j in range(i + 1)])
        stays(lambda: True, 0.2)


@pytest.mark.parametrize("idle", [False, True], ids=["busy", "idle"])
def test_an_older_owner_leaves_when_a_newer_app_asks(bench: Bench, *, idle: bool) -> None:
    """Version 0.0.1 owns the database: today's version takes over, whether its app goes on or rests."""
    older = bench.start("older")
    assert older.value() == "ready"
    assert bench.owner() == older.pid
    app = bench.obedient()
    app.ask("end a 10")
    last = 0

    def taken_over() -> bool:
        nonlocal last
        if not idle:
            app.ask(f"end b 1 {last}")
            last += 1
        return bench.owner() not in {None, older.pid}

    eventually(taken_over, what="a newer owner")
    assert older.wait() == 0
    bench.expect(names("a", 10) | names("b", last))
    stays(lambda: bench.owner() not in {None, older.pid}, 0.5, what="the newer owner")


def test_f26_a_database_that_is_damaged_while_it_is_used_is_replaced(bench: Bench) -> None:
    """Moved aside, a new one made; what was not stored yet is stored there, and doctor says so."""
    app = bench.obedient(HUSH_BACKGROUND="external")
    app.ask("end before 200")
    bench.drain()
    with bench.db.open("r+b") as file:
        file.seek(4096)
        file.write(random.Random(SEED).randbytes(16 * 4096))
    app.ask("end after 200")
    bench.hush("run")
    eventually(lambda: moved_aside(bench.db), 60, what="the damaged one moved aside")  # its WAL goes first
    eventually(lambda: bench.names() >= Counter(names("after", 200)), 60, what="the spans after the damage")
    doctor = bench.hush("doctor")
    assert b"damaged" in doctor.read_all()
    assert doctor.wait() == 1
