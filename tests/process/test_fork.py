"""Forks, threads, signals, tasks: each process has its own segment, and the union is exact."""

from __future__ import annotations

import json
import os
import signal

import pytest
from bench import Bench, names
from processes import is_running
from support import eventually

COUNT = 200
CHILDREN = 3


def family() -> set[str]:
    """What apps/processes.py ends in all."""
    found = names("before", COUNT) | names("after", COUNT)
    for i in range(CHILDREN):
        found |= names(f"child{i}", COUNT) | names(f"between{i}", COUNT)
    return found


def segments(bench: Bench) -> int:
    """How many processes have written."""
    return bench.value("SELECT count(DISTINCT writer_id) FROM hush_segments")


@pytest.mark.parametrize("method", ["os_fork", "fork", "forkserver", "spawn"])
def test_f05_the_union_of_a_family_of_processes_is_exact(bench: Bench, method: str) -> None:
    """Parent and children end spans at the same time, and every one of them is stored once."""
    bench.run("processes", method, CHILDREN, COUNT)
    bench.expect(family())
    assert segments(bench) == CHILDREN + 1


def test_f06_a_fork_at_c_level_gets_a_segment_of_its_own(bench: Bench) -> None:
    """A fork that runs no hook of the interpreter is noticed at the child's first record."""
    bench.run("processes", "libc_fork", CHILDREN, COUNT)
    bench.expect(family())
    assert segments(bench) == CHILDREN + 1


def by(bench: Bench, name: str) -> str | None:
    """Who ended a span, as the span itself says."""
    attributes = bench.value("SELECT attributes FROM spans WHERE name = ? AND state = 'ended'", name)
    return json.loads(attributes).get("by") if attributes else None


@pytest.mark.parametrize("fork", ["fork", "c_fork"])
def test_f05_a_span_open_across_a_fork_belongs_to_the_process_that_started_it(
    bench: Bench, fork: str
) -> None:
    """Child and parent both end it: the parent's end is stored, though it comes later."""
    app = bench.obedient()
    app.ask("open shared")
    assert app.ask(fork) != app.pid
    app.ask("close shared child")
    app.ask("end child 10")
    assert app.ask("flush 20000")[0]
    app.tell("leave")
    assert app.value() == "child left with 0"
    assert app.value() == app.pid
    assert bench.names("running") == {"shared": 1}
    app.ask("close shared parent")
    bench.expect({"shared", *names("child", 10)})
    assert by(bench, "shared") == "parent"


def test_f05_the_childs_end_is_used_when_the_parent_dies_without_one(bench: Bench) -> None:
    """The parent is killed with the span open, after the child has ended it."""
    app = bench.obedient()
    app.ask("open shared")
    app.ask("fork")
    app.ask("close shared child")
    app.kill()
    bench.expect({"shared"})
    assert by(bench, "shared") == "child"


def test_f05_the_childs_end_is_used_when_it_comes_after_the_parents_death(bench: Bench) -> None:
    """A daemon ends the span of the parent that left: its end replaces the interrupted row."""
    app = bench.obedient()
    app.ask("open shared")
    app.ask("fork")
    app.kill()
    eventually(lambda: bench.names("interrupted") == {"shared": 1}, what="the parent's interrupted span")
    app.ask("close shared child")
    bench.expect({"shared"})
    assert by(bench, "shared") == "child"
    assert bench.names("interrupted") == {}


def test_f05_a_grandchilds_end_is_provisional_too(bench: Bench) -> None:
    """Child, grandchild and parent all end a span: the row is of the parent, which started it."""
    app = bench.obedient()
    app.ask("open shared")
    app.ask("fork")
    app.ask("fork")
    app.ask("close shared grandchild")
    assert app.ask("flush 20000")[0]
    for _ in range(2):
        app.tell("leave")
        assert app.value() == "child left with 0"
        app.value()
    app.ask("close shared parent")
    bench.expect({"shared"})
    assert by(bench, "shared") == "parent"


def test_f05_the_childs_end_waits_for_the_start_in_a_backlog(bench: Bench) -> None:
    """The child's small segment would be read to its end before the parent's large ones."""
    app = bench.obedient(HUSH_BACKGROUND="external")
    app.ask("pad 1500 4000")  # into the fifth segment, further than the drain reads of one in a step
    app.ask("open shared")
    app.ask("fork")
    app.ask("close shared child")
    app.kill()
    bench.drain()
    assert by(bench, "shared") == "child"


def test_f07_a_fork_while_threads_append_does_not_deadlock_the_child(bench: Bench) -> None:
    """Fifty forks in the midst of three appending threads: each child ends its span and leaves."""
    codes, counts = bench.run("fork_in_the_midst", 50)
    assert codes == [0]
    expected = names("child", 50)
    for worker, count in enumerate(counts):
        expected |= names(f"thread{worker}", count)
    bench.expect(expected)


def test_f08_a_signal_handler_that_ends_spans_loses_none_and_does_not_deadlock(bench: Bench) -> None:
    """Two handlers interrupt appends of their own thread, and each other, a thousand times a second."""
    (handled,) = bench.run("signals", 20_000, 0.0003)
    assert handled[str(int(signal.SIGALRM))] > 100
    expected = names("main", 20_000)
    for number, times in handled.items():
        expected |= names(f"handler{number}", times)
    bench.expect(expected)


def test_f10_spans_of_asyncio_tasks_are_exact_and_keep_their_parents(bench: Bench) -> None:
    """Fifty tasks take turns in nested spans."""
    bench.run("tasks", 50, 20)
    bench.expect(names("task", 50) | {f"step{task}-{i}" for task in range(50) for i in range(20)})
    astray = """
        SELECT count(*) FROM spans s LEFT JOIN spans p
        ON p.span_id = s.parent_span_id AND p.trace_id = s.trace_id
        WHERE s.name LIKE 'step%' AND p.name IS NOT 'task-' || substr(s.name, 5, instr(s.name, '-') - 5)"""
    assert bench.value(astray) == 0


def test_64000_spans_of_8_processes_with_4_threads_are_exact(bench: Bench) -> None:
    """One database for all: 64,000 rows, an intact file, one owner."""
    # The owner waits for longer than any of those that were launched beside it may need to see that there is one.
    apps = [bench.start("threads", f"p{i}", 4, 2_000, HUSH_IDLE_EXIT_S="60") for i in range(8)]
    for app in apps:
        assert app.value() == "ready"
    for app in apps:
        app.tell("go")
    for app in apps:
        assert app.value(120) == "done"
        assert app.wait() == 0
    bench.expect({f"p{i}-{j}-{n}" for i in range(8) for j in range(4) for n in range(2_000)}, 120)
    assert bench.value("PRAGMA integrity_check") == "ok"
    assert bench.value("SELECT value FROM hush_meta WHERE key = 'epoch'") == 1


@pytest.mark.parametrize("survivor", ["parent", "child"])
def test_f11_the_survivor_of_a_fork_brings_the_background_process_back(bench: Bench, survivor: str) -> None:
    """Background process and one of parent and child are killed: the other one sees to the rest."""
    app = bench.start("family")
    parent, child = app.value()
    victim, left = (child, parent) if survivor == "parent" else (parent, child)
    owner = bench.owner_eventually()
    os.kill(owner, signal.SIGSTOP)
    said = b""

    def both_have_said() -> bool:
        nonlocal said
        said += app.read_for(0.2)
        return b"parent-" in said and b"child-" in said

    eventually(both_have_said, what="a word of each")
    os.kill(victim, signal.SIGKILL)
    os.kill(owner, signal.SIGKILL)
    eventually(lambda: not is_running(victim), what="the victim's end")
    bench.owner_eventually(other_than=owner)
    os.kill(left, signal.SIGKILL)
    said += app.read_all()
    acknowledged = {line.decode() for line in said.split(b"\n")[:-1]}
    assert {name.partition("-")[0] for name in acknowledged} == {"parent", "child"}

    def stored() -> set[str]:
        return set(bench.names())

    eventually(lambda: acknowledged <= stored(), what="all acknowledged spans")
    assert len(stored() - acknowledged) <= 2
    assert bench.losses() == {}
