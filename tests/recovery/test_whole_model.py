"""A model of everything between a span and its receiver: processes, spool, store, relay, clock and retention."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from applications import Application, Fork
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from inprocess import losses, rows
from modelled import PROCESSES, WHO, SpoolAndOwner, settings_of
from opentelemetry.trace import Span
from support import eventually

from hush_otel import Destination, failpoints
from hush_otel.background.clock import Clock
from hush_otel.failpoints import Failpoint
from hush_otel.spool import format as layout

SIZES = st.sampled_from([0, 10, 20_000, 300_000])
REQUESTS_MARKED = 4
REQUESTS = st.integers(1, REQUESTS_MARKED)
DAY_S = 24 * 3600.0
MOMENTS = st.sampled_from(
    [name for name in failpoints.BACKGROUND if name not in {"store.opened", "store.migrated"}]
)


class KilledError(BaseException):
    """SIGKILL, as far as one process can play it: nobody catches it."""


class SpanToReceiver(SpoolAndOwner):
    """Spans, nodes and marks are made and damaged; processes fork and die; owners die; time leaps; requests go."""

    @initialize()
    def begin(self) -> None:
        """Three processes that have not written yet, and no owner."""
        self.prepare(retention_days=30.0, delivery_max_age_s=1e12, complete_timeout_s=0.0)
        self.shift_s = 0.0
        now, now_ns = time.time, time.time_ns
        self.patch.setattr(time, "time", lambda: now() + self.shift_s)
        self.patch.setattr(time, "time_ns", lambda: now_ns() + int(self.shift_s * 1e9))
        # Its default was bound before.
        self.patch.setattr(Clock.__init__, "__defaults__", (time.time, time.monotonic))
        self.sent, self.marked = self.directory / "sent.jsonl", self.directory / "marked.jsonl"
        self.destination = Destination("file", name="file", path=str(self.sent))
        self.ended: set[str] = set()
        self.left_open: set[str] = set()
        self.ended_by_fork: set[str] = set()
        self.nodes: dict[str, str] = {}
        self.marks: set[str] = set()
        self.doubtful: set[str] = set()
        self.damaged = self.forked = False
        self.processes: list[Application | Fork] = [self.another_process() for _ in range(PROCESSES)]

    def another_process(self) -> Application:
        """One that has inherited nothing."""
        return Application(self.another_writer(), self.destination)

    # ------------------------------------------------------------------ the applications

    def name(self) -> str:
        """One that no other contains, so that it can be looked for in a segment."""
        self.made += 1
        return f"<{self.made}>"

    @rule(who=WHO, size=SIZES, below=st.booleans())
    def start(self, who: int, size: int, below: bool) -> None:
        """A root, or a child of any open span, be it another process's."""
        parents: list[Span] = [
            span for one in self.processes for span in one.open.values() if span is not None
        ]
        name = self.name()
        self.processes[who].start(name, size, parents[-1] if below and parents else None)
        self.doubt(who, name)

    @rule(who=WHO, last=st.booleans())
    def end(self, who: int, last: bool) -> None:
        """Its end has returned: from now on it must be stored."""
        process = self.processes[who]
        if process.open:
            name = list(process.open)[-1 if last else 0]
            process.end(name)
            self.ended.add(name)
            self.doubt(who, name)

    @rule(who=WHO, sizes=st.lists(SIZES, min_size=1, max_size=5))
    def record(self, who: int, sizes: list[int]) -> None:
        """Some at once, which roll the segment now and then."""
        for size in sizes:
            self.start(who, size, below=False)
            self.end(who, last=True)

    @rule(who=WHO, request=REQUESTS, sizes=st.lists(SIZES, min_size=1, max_size=3))
    def insert_nodes(self, who: int, request: int, sizes: list[int]) -> None:
        """Of a request to which any process contributes, marked or not."""
        for size in sizes:
            name = self.name()
            self.processes[who].node(f"[{request}]", name, size)
            self.nodes[name] = f"[{request}]"
            self.doubt(who, name)

    @rule(who=WHO, request=REQUESTS)
    def mark(self, who: int, request: int) -> None:
        """A request is complete, whether its nodes are there, or some of them, or none."""
        self.processes[who].mark(f"[{request}]", str(self.marked))
        self.marks.add(f"[{request}]")

    @rule(who=WHO, into=WHO)
    def fork(self, who: int, into: int) -> None:
        """The child takes the place of another process, which dies; of its parent, if that is the one."""
        parent = self.processes[who]
        if isinstance(parent, Application):
            self.forked = True
            child = Fork(parent)
            self.kill(into)
            self.processes[into] = child

    @rule(who=WHO)
    def end_what_was_inherited(self, who: int) -> None:
        """A child ends a span of its parent, which counts only when the parent does not."""
        process = self.processes[who]
        if process.inherited:
            name = process.inherited[0]
            process.end(name)
            self.ended_by_fork.add(name)
            self.doubt(who, name)

    @rule(who=WHO)
    def kill(self, who: int) -> None:
        """What it has left open is stored as interrupted."""
        process = self.processes[who]
        self.left_open |= set(process.open)
        process.kill()
        self.processes[who] = self.another_process()

    @rule(who=WHO, place=st.floats(0, 1), noise=st.binary(min_size=1, max_size=64))
    def damage(self, who: int, place: float, noise: bytes) -> None:
        """A disk forgets some bytes of the process's segment, and the process dies."""
        segment = self.processes[who].segment()
        if segment is not None and segment.exists():
            self.forget(segment, place, noise)
            self.kill(who)

    @rule(which=st.integers(0, 9), place=st.floats(0, 1), noise=st.binary(min_size=1, max_size=64))
    def damage_what_is_left(self, which: int, place: float, noise: bytes) -> None:
        """Likewise of a segment that is sealed, or whose writer is dead or a fork, which goes on."""
        written = {process.segment() for process in self.processes}
        left = [path for path in sorted(self.settings.spool_dir.glob("*.seg")) if path not in written]
        if left:
            self.forget(left[which % len(left)], place, noise)

    def forget(self, segment: Path, place: float, noise: bytes) -> None:
        """What stands in it and has no row is in doubt, what its writer goes on to write, and nothing else."""
        data = segment.read_bytes()
        writer = layout.unpack_header(data[: layout.HEADER_BYTES], str(segment)).pid
        for process in self.processes:
            if isinstance(process, Fork) and process.pid == writer:
                process.is_damaged = True
        names = self.ended | self.left_open | self.running() | set(self.nodes)
        held = {name for name in names if name.encode() in data}
        self.doubtful |= held - self.stored("ended") - self.stored("interrupted")
        self.marks -= {request for request in self.marks if request.encode() in data}
        self.damaged = True
        at = layout.HEADER_BYTES + int(place * max(len(data.rstrip(b"\0")) - layout.HEADER_BYTES, 0))
        with segment.open("r+b") as file:
            file.seek(at)
            file.write(noise)

    def doubt(self, who: int, name: str) -> None:
        """A record of a process may be stored without the definition that it refers to."""
        if self.processes[who].is_damaged:
            self.doubtful.add(name)

    def running(self) -> set[str]:
        """Spans that are open."""
        return {name for process in self.processes for name in process.open}

    # ------------------------------------------------------------------ the owners

    @rule(name=MOMENTS, kills=st.booleans(), turn=st.integers(1, 3))
    def fail(self, name: str, kills: bool, turn: int) -> None:
        """Killed in the midst of a step, or an error there, if it comes to that."""
        owner = self.owner
        kills = kills and name != "relay.sent"  # which a lane reaches: nobody can play its death

        def act(_: Failpoint) -> None:
            raise KilledError if kills else OSError("as the model says")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(failpoints, "_act", act)
            patch.setattr(failpoints, "_set", Failpoint(name, "kill", turn))
            failpoints._times.clear()
            try:
                owner.step()
                owner.tend()
            except KilledError:
                owner.crash()
                self.elected = None
            except OSError:
                pass  # the main loop's guard

    # ------------------------------------------------------------------ time

    @rule(days=st.sampled_from([-3650, -1, 2, 40, 3650]))
    def set_the_clock(self, days: int) -> None:
        """Somebody does, or the machine was off. Linux takes no time before 1970 (clock_settime(2))."""
        self.shift_s += max(days * DAY_S, DAY_S - time.time())

    @rule()
    def let_a_month_pass(self) -> None:
        """Day by day, so that it is believed; what was delivered may go. Without an owner nobody sees it pass.

        No precondition: whether an owner lives can depend on the time, and Hypothesis refuses rules that do.
        """
        for _ in range(40 if self.elected is not None else 0):
            self.shift_s += 0.9 * DAY_S
            self.owner.service._retention._next = 0.0
            self.owner.step()

    # ------------------------------------------------------------------ what always holds

    @invariant()
    def nothing_is_stored_twice_or_invented(self) -> None:
        """At every moment."""
        found = self.names("SELECT name FROM spans")
        assert len(found) == len(set(found))
        known = self.ended | self.left_open | self.running() | set(self.nodes) if found else set()
        assert set(found) <= known
        assert self.stored("ended") <= known & (self.ended | self.ended_by_fork | set(self.nodes))

    def stored(self, state: str) -> set[str]:
        """Names of rows."""
        return set(self.names("SELECT name FROM spans WHERE state = ?", state))

    def received(self, file: Path) -> dict[str, set[str]]:
        """What a receiver has, by name: the ids under which it came."""
        found: dict[str, set[str]] = {}
        for line in file.read_text().splitlines() if file.exists() else ():
            for group in json.loads(line)["resourceSpans"]:
                for scope in group["scopeSpans"]:
                    for span in scope["spans"]:
                        found.setdefault(span["name"], set()).add(span["spanId"])
        return found

    def teardown(self) -> None:
        """Every process dies; owners work until nothing is left; then all sums are compared."""
        if not hasattr(self, "processes"):
            return
        try:
            for request in range(1, REQUESTS_MARKED + 1):  # a mark without nodes waits for them
                self.insert_nodes(0, request, [10])
            for who in range(PROCESSES):
                self.kill(who)
            eventually(self.is_at_rest, 30, what="everything stored and delivered", poll_s=0.001)
            self.owner.close()
            self.everything_has_arrived()
        finally:
            for process in self.processes:
                process.kill()
            self.clean_up()

    def is_at_rest(self) -> bool:
        """Nothing in the spool, nothing to be queued or sent: a second later, and one more."""
        self.shift_s += 1.0
        self.owner.step()
        self.owner.tend()
        self.owner.connection.execute(
            "UPDATE hush_deliveries SET next_attempt_at = 0 WHERE state = 'pending'"
        )
        self.owner.connection.execute("UPDATE hush_destinations SET hold_until = 0")
        if list(self.settings.spool_dir.glob("*.seg")):
            return False
        open_ones = "SELECT count(*) FROM requests WHERE status NOT IN ('flushed', 'stored')"
        return rows(self.settings.db_path, open_ones) == [(0,)]

    def everything_has_arrived(self) -> None:
        """Exactly what was acknowledged, but for what damage or retention has taken, which is counted."""
        stored, interrupted = self.stored("ended"), self.stored("interrupted")
        received, marked = self.received(self.sent), self.received(self.marked)
        missing = self.ended - stored - self.doubtful
        assert missing <= set(received), "only what was delivered may have been deleted"
        pruned = rows(self.settings.db_path, "SELECT count FROM hush_ledger WHERE name = 'pruned'")
        missing_nodes = set(self.nodes) - stored - self.doubtful
        assert len(missing) + len(missing_nodes) <= sum(count for (count,) in pruned)
        assert (stored | interrupted) - self.doubtful - set(self.nodes) <= set(received)
        assert {name for name in stored & set(self.nodes) if self.nodes[name] in self.marks} <= set(marked)
        assert all(len(ids) == 1 for ids in (*received.values(), *marked.values()))
        assert set(received) <= self.ended | self.left_open
        assert set(marked) <= set(self.nodes)
        counted = set(losses(self.settings.db_path))
        by_damage = {"damaged", "origin_lost"} if self.damaged else set()
        assert counted <= by_damage | ({"duplicate", "provisional"} if self.forked else set())
        lost = (self.ended | set(self.nodes)) & self.doubtful - stored - set(received)
        assert not lost or losses(self.settings.db_path)["damaged"]


def test_f35_a_process_that_began_and_died_since_the_last_look_is_not_forgotten() -> None:
    """Its segment is looked for before its owner file goes: what it left open is interrupted, whoever leaves then."""
    machine = SpanToReceiver()
    machine.begin()
    assert machine.owner.step() >= 0, "it has looked"
    machine.start(0, 10, below=False)
    machine.kill(0)
    for _ in range(2):
        machine.tend()
        machine.step()
    machine.leave()
    machine.teardown()


TestSpanToReceiver = SpanToReceiver.TestCase
TestSpanToReceiver.settings = settings_of(300 if os.environ.get("HUSH_TEST_FAULTS") == "all" else 12)
