"""A model of spool and drain: whatever happens in whatever order, each acknowledged record is stored once."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from inprocess import die, losses, node_payload, rows
from modelled import PROCESSES, WHO, SpoolAndOwner, settings_of

from hush_otel.spool.reader import SegmentReader

SIZES = st.sampled_from([0, 10, 5_000, 100_000, 300_000])
HUGE = 5_000_000
"""Larger than any segment that is made for several records."""


class SpoolAndDrain(SpoolAndOwner):
    """Processes that append, roll, are fenced and die; owners that step, crash and come back."""

    @initialize()
    def begin(self) -> None:
        """Three processes that have not written yet, and no owner."""
        self.prepare()
        self.acknowledged: set[str] = set()
        self.torn: set[str] = set()
        self.processes = [self.another_writer() for _ in range(PROCESSES)]

    def teardown(self) -> None:
        """Every process dies, one pass drains all, and the sums are compared once more."""
        if not hasattr(self, "processes"):
            return
        for writer in self.processes:
            die(writer)
        self.owner.drain()
        self.owner.close()
        self.everything_is_stored()
        self.clean_up()

    # ------------------------------------------------------------------ the apps

    def append(self, who: int, size: int) -> str:
        """One record."""
        self.made += 1
        name = f"n{self.made}"
        assert self.processes[who].append(node_payload("r", name, input_data="x" * size))
        return name

    def kill(self, who: int) -> None:
        """SIGKILL; another process takes its place."""
        writer = self.processes[who]
        if writer._identity is not None:
            die(writer)
        self.processes[who] = self.another_writer()

    @rule(who=WHO, sizes=st.lists(SIZES, min_size=1, max_size=6))
    def append_some(self, who: int, sizes: list[int]) -> None:
        """Small and large records, which roll the segment now and then."""
        self.acknowledged |= {self.append(who, size) for size in sizes}

    @rule(who=WHO)
    def append_a_huge_one(self, who: int) -> None:
        """A segment of its own."""
        self.acknowledged.add(self.append(who, HUGE))

    @rule(who=WHO)
    def seal(self, who: int) -> None:
        """As at exit."""
        self.processes[who].seal()

    @rule(who=WHO)
    def die_between_records(self, who: int) -> None:
        """Everything that was acknowledged is there."""
        self.kill(who)

    @rule(who=WHO)
    def die_while_writing(self, who: int) -> None:
        """The word of the last record was not stored yet, so that one was never acknowledged."""
        self.acknowledged.add(self.append(who, 10))
        segment: Any = self.processes[who]._segment
        at, path = segment.offset, segment.path
        name = self.append(who, 10)
        if self.processes[who]._segment is segment:
            with path.open("r+b") as file:
                file.seek(at)
                file.write(bytes(8))
            self.torn.add(name)
        else:
            self.acknowledged.add(name)  # it met a fence or a full segment on its way
        self.kill(who)

    @rule(who=WHO, discovered=st.booleans(), goes_on=st.integers(0, 2))
    def be_taken_for_dead(self, who: int, discovered: bool, goes_on: int) -> None:
        """A fence on a living process: its next record is repeated elsewhere, and stored once."""
        self.acknowledged.add(self.append(who, 10))
        segment = self.processes[who]._segment
        assert segment is not None
        if discovered:
            self.owner.service._intake.discover()
        source = self.owner.service._intake.sources.get(segment.path)
        reader = SegmentReader(segment.path) if source is None else source.reader
        reader.fence()
        if source is None:
            reader.close()
        self.acknowledged |= {self.append(who, 10) for _ in range(goes_on)}

    # ------------------------------------------------------------------ the owners

    @rule()
    def drain(self) -> None:
        """The one pass of `hush-otel drain`."""
        self.owner.drain()

    @rule()
    def crash_after_the_commit(self) -> None:
        """Before the headers say so."""
        owner = self.owner
        owner.service._intake.discover()
        for source in owner.service._intake.sources.values():
            source.reader.set_drained = lambda _position: None  # type: ignore[method-assign]
        owner.service._drain.step()
        owner.crash()
        self.elected = None

    # ------------------------------------------------------------------ what always holds

    @invariant()
    def nothing_is_stored_twice_or_invented(self) -> None:
        """At every moment."""
        found = self.stored()
        assert len(found) == len(set(found))
        assert not found or set(found) <= self.acknowledged

    def stored(self) -> list[str]:
        """Names of the rows."""
        return self.names("SELECT node_name FROM node_traces")

    def everything_is_stored(self) -> None:
        """At the end: exactly what was acknowledged, nothing counted as lost, nothing left in the spool."""
        found = self.stored()
        assert sorted(found) == sorted(self.acknowledged)
        assert not self.torn & set(found)
        assert losses(self.settings.db_path) == {}
        count = rows(self.settings.db_path, "SELECT coalesce(sum(node_count), 0) FROM requests")
        assert count == [(len(found),)]
        assert not list(self.settings.spool_dir.glob("*.seg"))


TestSpoolAndDrain = SpoolAndDrain.TestCase
TestSpoolAndDrain.settings = settings_of(30)
