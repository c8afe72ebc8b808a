"""A model of everything between a span and its receiver: processes, spool, store, relay, clock and retention."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from inprocess import Owner, die, let_go, losses, no_waits, rows, settings_for, writer_of
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Span, set_span_in_context
from support import eventually

from hush_otel import Destination, failpoints
from hush_otel.background.clock import Clock
from hush_otel.capture.processor import SpoolingSpanProcessor
from hush_otel.cli import audit
from hush_otel.failpoints import Failpoint
from hush_otel.spool import format as layout
from hush_otel.spool.filesystem import Append
from hush_otel.spool.writer import SpoolWriter

PROCESSES = 3
WHO = st.integers(0, PROCESSES - 1)
SIZES = st.sampled_from([0, 10, 20_000, 300_000])
DAY_S = 24 * 3600.0
MOMENTS = st.sampled_from(
    [name for name in failpoints.BACKGROUND if name not in {"store.opened", "store.migrated"}]
)


class KilledError(BaseException):
    """SIGKILL, as far as one process can play it: nobody catches it."""


class FreshIds(RandomIdGenerator):
    """Hypothesis seeds `random`, from which the SDK takes its ids: these never repeat."""

    def generate_trace_id(self) -> int:
        """16 bytes."""
        return int.from_bytes(os.urandom(16), "big")

    def generate_span_id(self) -> int:
        """8 bytes."""
        return int.from_bytes(os.urandom(8), "big")


class Process:
    """An application: its way into the spool, and its open spans by name."""

    def __init__(self, writer: SpoolWriter, destination: Destination) -> None:
        self.writer = writer
        self.open: dict[str, Span] = {}
        self.told: set[str] = set()
        processor = SpoolingSpanProcessor(writer, [destination], live=True, flush=lambda _: True)
        provider = TracerProvider(shutdown_on_exit=False, id_generator=FreshIds())
        provider.add_span_processor(processor)
        self.tracer = provider.get_tracer("model")


class SpanToReceiver(RuleBasedStateMachine):
    """Spans start, end, are damaged; processes and owners die at any step; time leaps; old requests go."""

    @initialize()
    def begin(self) -> None:
        """Three processes that have not written yet, and no owner."""
        self.patch = pytest.MonkeyPatch()
        no_waits(self.patch)
        self.directory = Path(tempfile.mkdtemp(prefix="model-"))
        self.shift_s = 0.0
        now, now_ns = time.time, time.time_ns
        self.patch.setattr(time, "time", lambda: now() + self.shift_s)
        self.patch.setattr(time, "time_ns", lambda: now_ns() + int(self.shift_s * 1e9))
        # Its default was bound before.
        self.patch.setattr(Clock.__init__, "__defaults__", (time.time, time.monotonic))
        self.settings = settings_for(
            self.directory / "t.db", retention_days=30.0, delivery_max_age_s=1e12, complete_timeout_s=0.0
        )
        self.sent = self.directory / "sent.jsonl"
        self.destination = Destination("file", name="file", path=str(self.sent))
        self.made = 0
        self.ended: set[str] = set()
        self.left_open: set[str] = set()
        self.doubtful: set[str] = set()
        self.damaged = False
        self.elected: Owner | None = None
        self.processes = [self.another_process() for _ in range(PROCESSES)]

    def another_process(self) -> Process:
        """Every other one appends by pwrite."""
        self.made += 1
        mode = Append.MAP if self.made % 2 else Append.WRITE
        return Process(writer_of(self.settings, mode, doomed=True, max_bytes=1 << 40), self.destination)

    # ------------------------------------------------------------------ the applications

    @rule(who=WHO, size=SIZES, below=st.booleans())
    def start(self, who: int, size: int, below: bool) -> None:
        """A root, or a child of any open span, be it another process's."""
        parents = [span for process in self.processes for span in process.open.values()]
        context = set_span_in_context(parents[-1]) if below and parents else None
        self.made += 1
        name = f"s{self.made}"
        process = self.processes[who]
        process.open[name] = process.tracer.start_span(name, context, attributes={"text": "x" * size})
        process.told.add(name)

    @rule(who=WHO, last=st.booleans())
    def end(self, who: int, last: bool) -> None:
        """Its end has returned: from now on it must be stored."""
        process = self.processes[who]
        if process.open:
            name = list(process.open)[-1 if last else 0]
            process.open.pop(name).end()
            self.ended.add(name)

    @rule(who=WHO, sizes=st.lists(SIZES, min_size=1, max_size=5))
    def record(self, who: int, sizes: list[int]) -> None:
        """Some at once, which roll the segment now and then."""
        for size in sizes:
            self.start(who, size, below=False)
            self.end(who, last=True)

    @rule(who=WHO)
    def kill(self, who: int) -> None:
        """What it has left open is stored as interrupted."""
        process = self.processes[who]
        self.left_open |= set(process.open)
        if process.writer._identity is not None:
            die(process.writer)
        self.processes[who] = self.another_process()

    @rule(who=WHO, place=st.floats(0, 1), noise=st.binary(min_size=1, max_size=64))
    def damage(self, who: int, place: float, noise: bytes) -> None:
        """A disk forgets some bytes of the process's segment, and the process dies: what no row has is in doubt."""
        process = self.processes[who]
        segment = process.writer._segment
        if segment is None or segment.offset == layout.HEADER_BYTES or not segment.path.exists():
            return
        self.doubtful |= process.told - self.stored("ended") - self.stored("interrupted")
        self.damaged = True
        at = layout.HEADER_BYTES + int(place * (segment.offset - layout.HEADER_BYTES))
        with segment.path.open("r+b") as file:
            file.seek(at)
            file.write(noise)
        self.kill(who)

    # ------------------------------------------------------------------ the owners

    @property
    def owner(self) -> Owner:
        """Elected when there is none."""
        if self.elected is None:
            self.elected = Owner(self.settings)
        return self.elected

    @rule()
    def step(self) -> None:
        """One round."""
        self.owner.step()

    @rule()
    def tend(self) -> None:
        """What is due once a second."""
        self.owner.tend()

    @rule()
    def crash(self) -> None:
        """Between two steps."""
        self.owner.crash()
        self.elected = None

    @rule()
    def leave(self) -> None:
        """In order."""
        self.owner.close()
        self.elected = None

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
        """Somebody does, or the machine was off."""
        self.shift_s += days * DAY_S

    @precondition(lambda self: self.elected is not None)
    @rule()
    def let_a_month_pass(self) -> None:
        """Day by day, so that it is believed; what was delivered may go."""
        for _ in range(40):
            self.shift_s += 0.9 * DAY_S
            self.owner.service._retention._next = 0.0
            self.owner.step()

    # ------------------------------------------------------------------ what always holds

    @invariant()
    def nothing_is_stored_twice_or_invented(self) -> None:
        """At every moment."""
        if hasattr(self, "processes") and self.settings.db_path.exists():
            found = [name for (name,) in rows(self.settings.db_path, "SELECT name FROM spans")]
            assert len(found) == len(set(found))
            running = {name for process in self.processes for name in process.open}
            assert set(found) <= self.ended | self.left_open | running
            assert self.stored("ended") <= self.ended

    @invariant()
    def the_ledger_balances(self) -> None:
        """At every moment."""
        if hasattr(self, "processes") and self.settings.db_path.exists():
            found = audit.collect(self.settings)
            assert found.balanced, found

    def stored(self, state: str) -> set[str]:
        """Names of rows."""
        if not self.settings.db_path.exists():
            return set()
        return {n for (n,) in rows(self.settings.db_path, "SELECT name FROM spans WHERE state = ?", state)}

    def received(self) -> dict[str, set[str]]:
        """What the receiver has, by name: the ids under which it came."""
        found: dict[str, set[str]] = {}
        for line in self.sent.read_text().splitlines() if self.sent.exists() else ():
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
            for who in range(PROCESSES):
                self.kill(who)
            eventually(self.is_at_rest, 30, what="everything stored and delivered", poll_s=0.001)
            self.owner.close()
            self.everything_has_arrived()
        finally:
            self.patch.undo()
            let_go()
            shutil.rmtree(self.directory)

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
        stored, interrupted, received = self.stored("ended"), self.stored("interrupted"), self.received()
        missing = self.ended - stored - self.doubtful
        assert missing <= set(received), "only what was delivered may have been deleted"
        pruned = rows(self.settings.db_path, "SELECT count FROM hush_ledger WHERE name = 'pruned'")
        assert len(missing) <= sum(count for (count,) in pruned)
        assert (stored | interrupted) - self.doubtful <= set(received)
        assert all(len(ids) == 1 for ids in received.values())
        assert set(received) <= self.ended | self.left_open
        assert set(losses(self.settings.db_path)) <= ({"damaged", "origin_lost"} if self.damaged else set())
        lost = self.ended - stored - missing - set(received)
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
TestSpanToReceiver.settings = settings(
    max_examples=300 if os.environ.get("HUSH_TEST_FAULTS") == "all" else 12,
    stateful_step_count=25,
    deadline=None,
    # Every example is a real spool: shrinking one takes minutes, reading one of 25 steps does not.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
