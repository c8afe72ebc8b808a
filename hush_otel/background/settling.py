"""What a report means for its deliveries and their destination, in the relay's transaction.

Accepted: delivered, and what paused or held the destination is over. Retryable: the whole destination is
held, others of its deliveries would only meet the same. Paused: it waits for people, and is probed. Refused:
dead.
"""

from __future__ import annotations

import logging
import random
import sqlite3
from typing import Final

from hush_otel.errors import DeliveryError, HushError, PausedError, PermanentError, RetryableError
from hush_otel.model import Outcome
from hush_otel.store import outbox
from hush_otel.store.division import divide

from .attempt import ConfigurationChanged, NotTried, Report, SpansGone
from .clock import Clock

log = logging.getLogger(__name__)

FIRST_BACKOFF_S: Final = 1.0
LONGEST_BACKOFF_S: Final = 300.0
PROBE_S: Final = 300.0
"""How often a paused destination is tried with one delivery."""
MAX_MESSAGE_CHARS: Final = 4_000
"""Of what an error says; the longest words that senders let through, those of code of others, have half."""


def backoff_s(failures: int) -> float:
    """Exponential with jitter: half to all of 1, 2, 4 … 300 seconds (OTLP specification, Retry)."""
    longest = min(FIRST_BACKOFF_S * 2.0 ** min(failures, 16), LONGEST_BACKOFF_S)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret


def _words(error: DeliveryError | None) -> str:
    """What is kept of an error. Senders bound and clean what others say; this holds for all of them."""
    return "" if error is None else str(HushError(_line(error.message), hint=_line(error.hint)))


def _line(words: str) -> str:
    """Printable, and with an end."""
    kept = words if len(words) <= MAX_MESSAGE_CHARS else words[: MAX_MESSAGE_CHARS - 1] + "…"
    return "".join(c if c.isprintable() else " " for c in kept)


class Settling:
    """Writes down what came of attempts.

    Args:
        max_age_s: A delivery that is older when an attempt at its destination fails is dead.
        clock: The relay's.
    """

    def __init__(self, max_age_s: float, clock: Clock) -> None:
        self._max_age_s = max_age_s
        self._clock = clock

    def record(
        self, db: sqlite3.Connection, report: Report, now: float, *, may_resume: bool, stale: bool
    ) -> None:
        """One report, at `now` in unix seconds. `stale`: under a configuration that is no more.

        Only what was sent alone may tell that trouble is over: what was sent before another request met it
        says nothing about now.
        """
        said = report.outcome
        report = report._replace(outcome=Outcome(said.rejected, _line(said.message)))
        if report.division is not None:
            (delivery,) = report.deliveries
            refused = {row: _line(words) for row, words in report.division.refused.items()}
            division = report.division._replace(refused=refused)
            left = divide(db, delivery, division, report.outcome, now, again=stale)
            report = report._replace(deliveries=[left])
        deliveries, error = report.deliveries, report.error
        if error is None:
            outbox.settle_delivered(db, deliveries, report.outcome.rejected, report.outcome.message, now)
            if may_resume and outbox.is_troubled(db, deliveries[0].destination):
                outbox.resume(db, deliveries[0].destination, now)
        elif isinstance(error, NotTried):
            outbox.hand_back(db, deliveries)
        elif isinstance(error, ConfigurationChanged):
            outbox.settle_retry(db, deliveries, _words(error), now, now)
        elif isinstance(error, SpansGone):
            self._wait_for_spans(db, report, now)
        elif isinstance(error, PausedError):
            outbox.pause(db, deliveries, _words(error), now, PROBE_S)
        elif isinstance(error, PermanentError):
            self._bury(db, report, now)
        else:
            self._hold(db, report, now)

    def _wait_for_spans(self, db: sqlite3.Connection, report: Report, now: float) -> None:
        for delivery in outbox.forget_superseded(db, report.deliveries):
            wait = backoff_s(delivery.attempts)
            outbox.settle_retry(db, [delivery], _words(report.error), now + wait, now)

    def _bury(self, db: sqlite3.Connection, report: Report, now: float) -> None:
        for delivery in report.deliveries:
            outbox.settle_dead(db, delivery, _words(report.error), now)
        if outbox.is_paused(db, report.deliveries[0].destination):
            # No answer to what it is paused for: the next probe is as far away.
            outbox.probe_later(db, report.deliveries[0].destination, now, PROBE_S)

    def _hold(self, db: sqlite3.Connection, report: Report, now: float) -> None:
        error, destination = report.error, report.deliveries[0].destination
        if outbox.is_paused(db, destination):
            outbox.stay_paused(db, report.deliveries, _words(error), now, PROBE_S)
            return
        wish = error.retry_after_s if isinstance(error, RetryableError) else None
        held_s = outbox.held_until(db, destination) - now
        if held_s > 0 and (wish or 0.0) <= held_s:
            # Of several requests in flight another one has met it before: the same failure, counted once.
            outbox.settle_retry(db, report.deliveries, _words(error), now + held_s, now)
            return
        wait = max(backoff_s(outbox.failures(db, destination)), wish or 0.0)
        outbox.settle_retry(db, report.deliveries, _words(error), now + wait, now)
        outbox.hold(db, destination, now, wait)
        self._expire(db, destination, _words(error), now)

    def _expire(self, db: sqlite3.Connection, destination: int, words: str, now: float) -> None:
        """Give up what is too old, now that it is known not to be accepted.

        Not by the clock alone: set forward, it would make everything old that waits.
        """
        before = now - self._clock.ahead_s - self._max_age_s
        reason = f"not accepted within {self._max_age_s:g} s, the age limit: {words}"
        if expired := outbox.expire(db, destination, before, reason, now):
            log.warning("%d deliveries are dead: %s", expired, reason)
