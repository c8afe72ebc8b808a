"""The relay: outbox → destinations. At least once, with the same ids; delivered means accepted.

`step()` settles what lanes report and hands them what is due. It alone joins store and destinations.
"""

from __future__ import annotations

import queue
import sqlite3
import time
from collections.abc import Callable
from typing import Final

from hush_otel.config import WEEK_S
from hush_otel.errors import StoreError
from hush_otel.failpoints import reach
from hush_otel.store import outbox
from hush_otel.store.database import Database

from .attempt import REQUEST_SPANS, ConfigurationChanged, NotTried
from .clock import Clock
from .lanes import Lane, Result
from .settling import LONGEST_BACKOFF_S, Settling

CLOSE_S: Final = 2.0
"""What a request in flight gets to finish at shutdown; unfinished it is sent once more."""
LANES_AT_ONCE: Final = 64
"""Destinations that are open side by side: each has a thread, a reader and a connection, or more of them. An
app may name a file of its own for each request."""
LANE_IDLE_S: Final = 300.0
"""How long one stays open that has nothing to do. A tracer in a process of its own takes seconds to begin."""


class Relay:
    """Used by the owner's main thread only; its lanes have threads of their own."""

    def __init__(
        self,
        database: Database,
        wake: Callable[[], None],
        max_age_s: float = WEEK_S,
        clock: Clock | None = None,
    ) -> None:
        self._database = database
        self._wake = wake
        self._clock = clock or Clock()
        self._settling = Settling(max_age_s, self._clock)
        self._lanes: dict[int, Lane] = {}
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._unsettled: list[Result] = []
        self._next: float | None = None
        self._sending = 0
        now = self._clock.now()
        database.write(lambda db: outbox.reset_sending(db, now))
        self._clamp(now)

    def step(self) -> bool:
        """Settle and send; True when anything was done."""
        now = self._clock.now()
        if self._clock.has_jumped():
            self._clamp(now)
        settled = self._settle(now)
        self._close_idle()
        queued = self._start(now)
        return settled or queued

    def queue_due(self, before: float) -> int:
        """Requests due at `before` get their deliveries."""
        now = self._clock.now()
        if self._database.read(outbox.next_due) is None:
            return 0
        queued = self._database.write(lambda db: outbox.queue_due(db, before, now))
        reach("relay.queued")
        return queued

    def _clamp(self, now: float) -> None:
        """Deadlines are wall-clock times on disk; whoever sets the clock back must not make them longer."""
        self._database.write(lambda db: outbox.clamp(db, now, LONGEST_BACKOFF_S))

    def next_wake(self) -> float | None:
        """Unix seconds of the next thing to do by itself; None: only a report or the drain brings work."""
        due = self._database.read(outbox.next_due)
        times = [moment for moment in (due, self._next) if moment is not None]
        return min(times, default=None)

    def is_idle(self) -> bool:
        """Whether nothing is being sent or waits for its time. Paused deliveries wait for people."""
        return not self._sending and self.next_wake() is None

    # ------------------------------------------------------------------ starting

    def _start(self, now: float) -> bool:
        self._next = None
        started, failed = False, None
        for state in self._database.read(outbox.waiting):
            try:
                started = self._start_one(state, now) or started
            except (sqlite3.Error, StoreError):
                raise
            except Exception as exc:  # noqa: BLE001 - no thread to be had: the others may have theirs
                failed = exc
        if failed is not None:
            raise failed
        return started

    def _start_one(self, state: outbox.DestinationState, now: float) -> bool:
        lane = self._lane(state)
        in_trouble = bool(state.paused or state.failures)
        # A lane that has failed hands back whatever it gets until all is settled, whoever says retry.
        if lane is None or (lane.in_flight if in_trouble or lane.failed else lane.room <= 0):
            return False
        if state.hold_until > now:
            if not state.paused:
                self._wake_at(state.hold_until)
            return False
        if state.paused:
            self._database.write(lambda db: outbox.probe(db, state.id, now))
        # What is in trouble is tried with one delivery: nobody helps a receiver up with all that has waited.
        deliveries = self._claim(state, now, 1 if in_trouble else lane.at_once)
        if deliveries:
            self._submit(lane, deliveries, alone=in_trouble)
        else:
            self._wake_at(self._database.read(lambda db: outbox.next_attempt(db, state.id)))
        return bool(deliveries)

    def _submit(self, lane: Lane, deliveries: list[outbox.Delivery], *, alone: bool) -> None:
        try:
            reach("relay.claimed")
            lane.submit(deliveries, alone=alone)
        except BaseException:  # no thread to be had: nobody would ever report them
            self._database.write(lambda db: outbox.hand_back(db, deliveries))
            raise
        self._sending += len(deliveries)

    def _claim(self, state: outbox.DestinationState, now: float, limit: int) -> list[outbox.Delivery]:
        """As many due deliveries as fit one request; at least one."""
        claimed = self._database.read(
            lambda db: outbox.due_deliveries(db, state.id, now, limit, spans=REQUEST_SPANS)
        )
        if claimed:
            self._database.write(lambda db: outbox.claim(db, claimed))
        return claimed

    def _lane(self, state: outbox.DestinationState) -> Lane | None:
        """The destination's lane, or None for now: a changed configuration gets one when the old is idle."""
        lane = self._lanes.get(state.id)
        if lane is not None and lane.digest != state.digest:
            if lane.in_flight:
                return None
            self._lanes.pop(state.id).close(0)
            lane = None
        if lane is None:
            if len(self._lanes) >= LANES_AT_ONCE and not self._close_oldest():
                return None  # a report will make room
            lane = self._lanes[state.id] = Lane(state, self._database.path, self._results, self._wake)
        return lane

    def _close_oldest(self) -> bool:
        idle = [number for number, lane in self._lanes.items() if not lane.in_flight]
        if idle:
            self._lanes.pop(min(idle, key=lambda number: self._lanes[number].used_at)).close(0)
        return bool(idle)

    def _close_idle(self) -> None:
        before = self._clock.monotonic() - LANE_IDLE_S
        for number, lane in [*self._lanes.items()]:
            if not lane.in_flight and lane.used_at < before:
                self._lanes.pop(number).close(0)

    def _wake_at(self, moment: float | None) -> None:
        if moment is not None:
            self._next = moment if self._next is None else min(self._next, moment)

    # ------------------------------------------------------------------ settling

    def _settle(self, now: float) -> bool:
        while True:
            try:
                self._unsettled.append(self._results.get_nowait())
            except queue.Empty:
                break
        settled = self._unsettled
        if settled:
            self._database.write(lambda db: self._record(db, settled, now))
            # Only now: when the database refuses, they are settled in the next step.
            self._unsettled = []
            for result in settled:
                self._sending -= sum(len(report.deliveries) for report in result.reports)
                result.lane.in_flight -= 1
                result.lane.used_at = self._clock.monotonic()
            reach("relay.settled")
        return bool(settled)

    def _record(self, db: sqlite3.Connection, results: list[Result], now: float) -> None:
        for result in results:
            stale = outbox.opened_with(db, result.lane.state.id) != result.lane.digest
            for report in result.reports:
                if stale and not isinstance(report.error, (NotTried, type(None))):
                    # Said to a configuration that is no more: the new one is tried.
                    error = ConfigurationChanged(f"under its configuration of then: {report.error}")
                    report = report._replace(error=error)  # noqa: PLW2901
                self._settling.record(db, report, now, may_resume=result.alone, stale=stale)

    def close(self) -> None:
        """Let requests in flight finish for a moment, and record what came of them."""
        deadline = time.monotonic() + CLOSE_S
        for lane in self._lanes.values():
            lane.close(0)  # all of them begin to end at once
        for lane in self._lanes.values():
            lane.close(max(deadline - time.monotonic(), 0))
        self._settle(self._clock.now())
        self._lanes.clear()
