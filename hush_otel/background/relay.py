"""The relay: outbox → destinations. At least once, with the same ids; delivered means accepted.

`step()` settles what lanes report and hands them what is due. It alone joins store and destinations.
"""

from __future__ import annotations

import logging
import queue
import random
import sqlite3
import time
from collections.abc import Callable
from typing import Final

from hush_otel.errors import PausedError, PermanentError, RetryableError
from hush_otel.store import outbox
from hush_otel.store.database import Database
from hush_otel.store.division import divide

from .attempt import REQUEST_SPANS, Report, SpansGone
from .lanes import Lane, Result

log = logging.getLogger(__name__)

FIRST_BACKOFF_S: Final = 1.0
LONGEST_BACKOFF_S: Final = 300.0
PROBE_S: Final = 300.0
"""How often a paused destination is tried with one delivery."""
CLAIM_AT_ONCE: Final = 256
"""Deliveries in one attempt at most; their spans are bounded by REQUEST_SPANS."""
CLOSE_S: Final = 2.0
"""What a request in flight gets to finish at shutdown; unfinished it is sent once more."""


def backoff_s(failures: int) -> float:
    """Exponential with jitter: half to all of 1, 2, 4 … 300 seconds (OTLP specification, Retry)."""
    longest = min(FIRST_BACKOFF_S * 2.0 ** min(failures, 16), LONGEST_BACKOFF_S)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret


class Relay:
    """Used by the owner's main thread only; its lanes have threads of their own."""

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake
        self._lanes: dict[int, Lane] = {}
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._unsettled: list[Result] = []
        self._next: float | None = None
        self._sending = 0
        database.write(lambda db: outbox.reset_sending(db, time.time()))

    def step(self) -> bool:
        """Settle and send; True when anything was done."""
        now = time.time()
        settled = self._settle(now)
        queued = self._start(now)
        return settled or queued

    def queue_due(self, before: float) -> int:
        """Requests due at `before` get their deliveries."""
        now = time.time()
        if self._database.read(outbox.next_due) is None:
            return 0
        return self._database.write(lambda db: outbox.queue_due(db, before, now))

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
        waiting = self._database.read(outbox.waiting)
        self._next = None
        if not waiting:
            return False
        started = False
        for state in self._database.read(outbox.destinations):
            if state.id in waiting:
                started = self._start_one(state, now) or started
        return started

    def _start_one(self, state: outbox.DestinationState, now: float) -> bool:
        lane = self._lane(state)
        if lane is None or not lane.ready:
            return False
        if state.hold_until > now:
            if not state.paused:
                self._wake_at(state.hold_until)
            return False
        if state.paused:
            if lane.in_flight:
                return False
            self._database.write(lambda db: outbox.probe(db, state.id, now))
        deliveries = self._claim(state, now)
        if deliveries:
            self._sending += len(deliveries)
            lane.submit(deliveries)
        else:
            self._wake_at(self._database.read(lambda db: outbox.next_attempt(db, state.id)))
        return bool(deliveries)

    def _claim(self, state: outbox.DestinationState, now: float) -> list[outbox.Delivery]:
        """As many due deliveries as fit one request; at least one."""
        due = self._database.read(lambda db: outbox.due_deliveries(db, state.id, now, CLAIM_AT_ONCE))
        spans, claimed = 0, list[outbox.Delivery]()
        for delivery in due:
            if claimed and spans + delivery.span_count > REQUEST_SPANS:
                break
            spans += delivery.span_count
            claimed.append(delivery)
        if claimed:
            self._database.write(lambda db: outbox.claim(db, claimed))
        return claimed

    def _lane(self, state: outbox.DestinationState) -> Lane | None:
        """The destination's lane; a changed configuration gets a new one once the old is idle."""
        lane = self._lanes.get(state.id)
        if lane is not None and lane.digest != state.digest:
            if lane.in_flight:
                return None
            lane.close(0)
            lane = None
        if lane is None:
            lane = self._lanes[state.id] = Lane(state, self._database.path, self._results, self._wake)
        return lane

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
        return bool(settled)

    def _record(self, db: sqlite3.Connection, results: list[Result], now: float) -> None:
        for lane, reports in results:
            for report in reports:
                self._record_one(db, lane, report, now)

    def _record_one(self, db: sqlite3.Connection, lane: Lane, report: Report, now: float) -> None:
        destination = report.deliveries[0].destination
        error = report.error
        if report.division is not None:
            (delivery,) = report.deliveries
            report = report._replace(deliveries=[divide(db, delivery, report.division, report.outcome, now)])
        if error is None:
            lane.failures = 0
            outcome = report.outcome
            outbox.settle_delivered(db, report.deliveries, outcome.rejected, outcome.message, now)
            outbox.resume(db, destination, now)
        elif isinstance(error, SpansGone):
            outbox.settle_retry(
                db, report.deliveries, str(error), now + backoff_s(report.deliveries[0].attempts), now
            )
        elif isinstance(error, PausedError):
            outbox.pause(db, report.deliveries, str(error), now + PROBE_S, now)
        elif isinstance(error, PermanentError):
            for delivery in report.deliveries:
                outbox.settle_dead(db, delivery, str(error), now)
        else:
            self._retry_later(db, report, lane, now)

    def _retry_later(self, db: sqlite3.Connection, report: Report, lane: Lane, now: float) -> None:
        """The whole destination waits: others of its deliveries would only meet the same."""
        error = report.error
        wait = backoff_s(lane.failures)
        lane.failures += 1
        if isinstance(error, RetryableError) and error.retry_after_s is not None:
            wait = max(wait, error.retry_after_s)
        outbox.settle_retry(db, report.deliveries, str(error), now + wait, now)
        outbox.hold(db, report.deliveries[0].destination, now + wait)

    def close(self) -> None:
        """Let requests in flight finish for a moment, and record what came of them."""
        deadline = time.monotonic() + CLOSE_S
        for lane in self._lanes.values():
            lane.close(max(deadline - time.monotonic(), 0))
        self._settle(time.time())
        self._lanes.clear()
