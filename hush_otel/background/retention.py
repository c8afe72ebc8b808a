"""Retention: what may go goes, the oldest first, in small steps between those of the drain.

By the settings (age, requests of a workflow, size of the database), once a second when there is time, and by
`hush-otel prune`. A step ends after the first unit of bounded work past STEP_S, and another one follows only
after a rest, longer while the drain is behind. What it has written is brought from the WAL into the file by a
step of its own, so that the drain waits for one of the two. What is deleted is committed with each step;
nothing that has to be remembered lies in memory: after a kill the next owner looks again and finds what is
left.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from hush_otel.config import Settings
from hush_otel.failpoints import reach
from hush_otel.store import notes, search_upkeep, space
from hush_otel.store.database import Database
from hush_otel.store.ingest import Ingest
from hush_otel.store.prunable import Oldest, Queue, Surplus, Walk
from hush_otel.store.prune_orders import Order, Rule, oldest_order, save
from hush_otel.store.pruning import ROWS_AT_ONCE, Pruned, Pruning

from .ageing import is_believed
from .reserve import Reserve

STEP_S: Final = 0.01
"""One step's work; with the unit that passes it and the commit well below the 50 ms that a drain may wait."""
QUOTA: Final = 2_000
"""Spans at most that a step deletes for as many that the drain has stored: so it keeps up."""
OVERTIME_S: Final = 0.015
"""How much longer a step may take for that."""
CHECKPOINT_PAGES: Final = 1_000
"""Of the WAL, about, that a step brings into the file. Two syncs are most of its time, so fewer cost as much;
with more of them the drain would wait for the pages."""
ROUND_S: Final = 1.0
"""Pause between two rounds by the settings."""
SKIPPED_S: Final = 100e-6
"""And for each request that a round has looked at and kept: looking takes a fiftieth of the time at most."""
SKIPPED_FULL_S: Final = 10e-6
"""The same while the drain waits for what a round may find."""
REST_BEHIND: Final = 4.0
"""Rest after a step, in its own lengths, while the drain is behind; as long as the step itself else."""
FREE_SHARE: Final = 32
"""One page of so many may stay free: what comes next fills it, and pages need not be moved for nothing."""
FREE_BYTES: Final = 256 * 1024
"""Free pages that may stay, whatever the size."""
BEGIN_SHARE: Final = 0.95
"""Of HUSH_MAX_DB_BYTES, where deleting begins: the drain goes on meanwhile."""
END_SHARE: Final = 0.9
"""Where it ends, so that it is not at it all the time."""
MARGIN: Final = 50
"""`prune` deletes down to this part less than was asked for: what the full-text index gives back is reckoned,
and to look once more means to merge all of it once more."""
ROW_BYTES: Final = 128 * 1024
"""What a row is taken to have at most where a size is to be reached."""
DAY_S: Final = 24 * 3600.0


class Clocks(NamedTuple):
    """The time of day, for ages; the time that passes, for steps and pauses."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class _Task(NamedTuple):
    """Requests to be deleted, until no more than so many bytes are used."""

    queue: Queue
    down_to: int | None = None


class _Size(NamedTuple):
    """A size that is to be reached.

    Requests are deleted down to `rule.to_bytes`, less what the full-text index will give back; it gives that
    back; and so once more, while more than `enough` bytes are used and something changes.
    """

    rule: Rule
    enough: int
    used: int
    """At the beginning."""


class Retention:
    """Used by the owner's main thread, between the drain's steps.

    Args:
        database: The owner's.
        ingest: Whose caches forget what is deleted.
        settings: The rules.
        clocks: Of a test.
    """

    def __init__(
        self, database: Database, ingest: Ingest, settings: Settings, clocks: Clocks | None = None
    ) -> None:
        self._database = database
        self._ingest = ingest
        self._settings = settings
        self._clocks = clocks or Clocks()
        self._tasks: deque[_Task] = deque()
        self._order: Order | None = None
        self._in_round = False
        self._size: _Size | None = None
        self._gives_back = False
        self._must_truncate = False
        self._written, self._written_at_most = 0, 1  # steps between two checkpoints
        self._skipped = self._quota = 0
        self._next = self._next_round = 0.0
        self._full = self._paused = False
        self._newest = database.read(notes.newest)
        self._watches = False  # whether the last look at the clock was its own
        self._reserve = Reserve(database.path)
        if database.read(lambda db: notes.number(db, notes.PAUSED)) is not None:
            database.write(lambda db: notes.forget(db, notes.PAUSED))

    # ------------------------------------------------------------------ for the service

    def step(self, *, drained: int = 0, behind: bool = False, asked: bool = False) -> None:
        """One step, if it is time.

        Args:
            drained: Spans that were stored since the last one. While something has to go, as many go.
            behind: The drain has more to do.
            asked: Somebody has given a command: look for it now.
        """
        began = self._clocks.monotonic()
        self._quota = min(self._quota + drained, QUOTA) if self._tasks else 0
        if not asked and not self._quota and began < self._next:
            return
        worked = self._work(began, began + STEP_S)
        took = self._clocks.monotonic() - began
        rest = 0.0 if self._full else REST_BEHIND if behind else 1.0
        self._next = began + took + (took * rest if worked else ROUND_S)

    def wait_s(self) -> float:
        """How long until the next step, in seconds. A new round can wait for whatever wakes the owner."""
        return max(self._next - self._clocks.monotonic(), 0.0) if self.is_busy() else ROUND_S

    def is_full(self) -> bool:
        """Whether the drain has to wait: the database is as large as it may be."""
        limit = self._settings.max_db_bytes
        if limit is None:
            return False
        used = self._database.read(space.look).used
        was_full, self._full = self._full, used > limit
        if self._full and not was_full:
            self._next_round = min(self._next_round, self._clocks.monotonic() + self._pause_s())
        if self._paused and not self._full:
            self._paused = False
            self._database.write(lambda db: notes.forget(db, notes.PAUSED))
        return self._full

    def is_busy(self) -> bool:
        """Whether something is being deleted or given back."""
        return self._in_round or self._order is not None

    def finish(self) -> None:
        """Do all that people have asked for, at once."""
        while self.is_busy() or self._find_order():
            self._work(0.0, float("inf"))

    def make_room(self) -> bool:
        """Apply the settings, at once; False when the drain has to wait all the same."""
        self._next_round = 0.0
        while self._work(0.0, float("inf")) and self.is_busy():
            pass
        return not self.is_full()

    def step_on_full_disk(self) -> None:
        """The disk is full: delete what may go in what room there is, or in the reserve.

        Raises:
            sqlite3.OperationalError: There is none.
        """
        now = self._clocks.monotonic()
        if not (self.is_busy() or self._has_rules()) and self._database.read(oldest_order) is None:
            return
        self._next = self._next_round = now
        try:
            self._truncate_wal()
            self.step()
        except sqlite3.OperationalError:
            if not self._reserve.give_up():
                raise
            self._truncate_wal()
            self._next = self._next_round = now
            self.step()

    # ------------------------------------------------------------------ one step

    def _work(self, now: float, until: float) -> bool:
        """False when there is nothing to do. Where it fails, what it had counted was rolled back."""
        try:
            return self._next_piece(now, until)
        except BaseException:
            self._abandon(self._clocks.monotonic())
            raise

    def _next_piece(self, now: float, until: float) -> bool:
        if not self.is_busy() and not self._begin(now):
            return False
        if self._written >= self._written_at_most:
            self._checkpoint()
        elif self._tasks:
            self._prune(until)
        elif self._size is not None:
            self._shrink_index(self._size, until)
        elif self._gives_back:
            self._give_back(until)
        else:
            self._end(now)
        return True

    def _begin(self, now: float) -> bool:
        if self._find_order():
            return True
        rule = self._rule_of_settings() if now >= self._next_round else None
        if rule is None:
            return False
        self._skipped = 0
        self._in_round = True
        self._plan(rule, int((self._settings.max_db_bytes or 0) * BEGIN_SHARE))
        return True

    def _plan(self, rule: Rule, enough: int) -> None:
        self._tasks.extend(_tasks(rule))
        self._gives_back = True
        if rule.to_bytes is not None:
            self._size = _Size(rule, enough, self._database.read(space.look).used)

    def _find_order(self) -> bool:
        self._order = self._database.read(oldest_order)
        if self._order is not None:
            rule = self._order.rule
            if (size := rule.to_bytes) is not None:
                rule = msgspec.structs.replace(rule, to_bytes=size - size // MARGIN)
            self._plan(rule, size or 0)
        return self._order is not None

    def _has_rules(self) -> bool:
        """Whether anything is ever deleted without being asked."""
        settings = self._settings
        rules = settings.retention_days, settings.retention_requests, settings.max_db_bytes
        return any(rule is not None for rule in rules)

    def _rule_of_settings(self) -> Rule | None:
        settings, limit = self._settings, self._settings.max_db_bytes
        before = to_bytes = None
        if settings.retention_days is not None:
            now = self._clocks.wall()
            watched, self._watches = self._watches, True
            if self._database.write(lambda db: is_believed(db, now, self._newest, watched=watched)):
                before = now - settings.retention_days * DAY_S
        if limit is not None and self._database.read(space.look).used > limit * BEGIN_SHARE:
            to_bytes = int(limit * END_SHARE)
        rule = Rule(before, settings.retention_requests, to_bytes, settings.retention_undelivered)
        return rule if rule.says_something else None

    def _prune(self, until: float) -> None:
        task = self._tasks[0]
        pruned = Pruned()
        done = self._write(lambda db: self._prune_some(db, task, pruned, until))
        self._quota = 0
        self._ingest.forget_pruned(pruned.trace_ids)
        reach("retention.committed")
        self._must_truncate |= self._order is not None
        if done:
            self._skipped += task.queue.walk.skipped
            self._tasks.popleft()

    def _prune_some(self, db: sqlite3.Connection, task: _Task, into: Pruned, until: float) -> bool:
        """Units until it is time; True at the end of the task."""
        task.queue.look_again(db)
        pruning = Pruning(db, into)
        done = False
        while not done:
            rows = ROWS_AT_ONCE
            if task.down_to is not None:
                surplus = space.look(db).used - search_upkeep.dead_bytes(db) - task.down_to
                if surplus <= 0:
                    done = True
                    break
                rows = min(max(surplus // ROW_BYTES, 1), ROWS_AT_ONCE)  # near the end no more than must go
            requests = task.queue.next(db, rows)
            if requests is None:
                done = True
            elif requests and pruning.delete(requests):
                task.queue.drop(len(requests))
            now = self._clocks.monotonic()
            if now >= until and (into.spans >= self._quota or now >= until + OVERTIME_S):
                break
        if self._order is not None:
            self._order = save(db, self._order.grown(into), self._clocks.wall())
        reach("retention.deleted")
        return done

    # ------------------------------------------------------------------ room

    def _shrink_index(self, size: _Size, until: float) -> None:
        """The index gives back what it has forgotten. Where that was less than it seemed, more has to go."""

        def change(db: sqlite3.Connection) -> bool:
            while space.look(db).used > size.enough and search_upkeep.shrink(db):
                if self._clocks.monotonic() >= until:
                    return True
            return False

        if self._write(change):
            return
        self._size = None
        used = self._database.read(space.look).used
        if used > size.enough and used != size.used:
            self._plan(size.rule, size.enough)

    def _give_back(self, until: float) -> None:
        now = self._database.read(space.look)
        keep = 0 if self._order is not None else self._may_stay_free(now)
        if now.free <= keep:
            self._gives_back = False
            return
        self._must_truncate = True
        go_on = lambda: self._clocks.monotonic() < until  # noqa: E731
        down_to = keep // 2
        if self._write(lambda db: space.give_back(db, down_to, go_on)):
            self._gives_back = False
        reach("retention.cut")

    def _write(self, change: Callable[[sqlite3.Connection], bool]) -> bool:
        done = self._database.write(change)
        self._written += 1
        return done

    def _checkpoint(self) -> None:
        """The next one comes after as many steps as will have written so much, by those before this one."""
        written, self._written = self._written, 0
        if pages := self._database.checkpoint():
            self._written_at_most = min(max(written * CHECKPOINT_PAGES // pages, 1), 2 * written)

    def _truncate_wal(self) -> bool:
        self._written = 0  # all of it is in the file then, or a reader needs it
        return self._database.truncate_wal()

    def _may_stay_free(self, now: space.Space) -> int:
        free = max(FREE_BYTES, now.used // FREE_SHARE)
        limit = self._settings.max_db_bytes
        return free if limit is None else min(free, max(limit - now.used, 0))

    def _end(self, now: float) -> None:
        """A round or an order is through."""
        self._next_round = now + self._pause_s()
        reach("retention.truncating")
        if self._must_truncate and self._truncate_wal():
            self._must_truncate = False
        reach("retention.truncated")
        order, self._order, self._in_round = self._order, None, False
        if order is not None:
            self._database.write(lambda db: save(db, order.done(space.look(db).total), self._clocks.wall()))
        elif self._full and not self._paused:
            self._paused = True
            self._database.write(lambda db: notes.write(db, notes.PAUSED, self._clocks.wall()))
        if self._has_rules():
            self._reserve.keep()
        reach("retention.ended")

    def _pause_s(self) -> float:
        return ROUND_S + self._skipped * (SKIPPED_FULL_S if self._full else SKIPPED_S)

    def _abandon(self, now: float) -> None:
        """After an error the next round begins anew; what was asked for stands in the database."""
        self._tasks.clear()
        self._order, self._size, self._in_round, self._gives_back = None, None, False, False
        self._next = self._next_round = now + ROUND_S


def _tasks(rule: Rule) -> list[_Task]:
    kept = int(rule.undelivered)
    walks: list[Walk] = []
    if rule.before is not None:
        walks.append(Oldest(rule.before, kept))
    if rule.per_workflow is not None:
        walks.append(Surplus(rule.per_workflow, kept))
    tasks = [_Task(Queue(walk)) for walk in walks]
    if rule.to_bytes is not None:
        # What nobody waits for goes first.
        tasks += [_Task(Queue(Oldest(float("inf"), one)), rule.to_bytes) for one in range(kept + 1)]
    return tasks
