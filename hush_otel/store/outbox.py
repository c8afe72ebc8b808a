"""The outbox: completed requests become deliveries, one for each destination and stretch of rows.

All statements run in the owner's transactions. States: pending → sending → delivered, or back to
pending with a later `next_attempt_at`, or dead, or paused with its destination.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Final, NamedTuple

import msgspec

from hush_otel.model import AttributeValue, DestinationConfig, Outcome
from hush_otel.secrets import join

from .placing import place_nodes
from .statements import load_statements

SQL: Final = load_statements("outbox")

QUEUE_AT_ONCE: Final = 500
"""Requests queued in one transaction: bounds its length."""

LONGEST_DUE_S: Final = 10.0
"""A request is due 5 s after its first late row at most (statement roll_up)."""


class Delivery(NamedTuple):
    """A claimed delivery: the rows of a request with from_seq < end_seq <= to_seq."""

    id: int
    request: int
    from_seq: int
    to_seq: int
    attempts: int  # before this one
    span_count: int
    whole: bool
    request_id: str
    destination: int
    has_nodes: bool = True  # whether node traces are among them


class DestinationState(NamedTuple):
    """A destination as the relay sees it."""

    id: int
    config: DestinationConfig
    digest: bytes  # of all that a sender is opened with
    paused: str | None
    hold_until: float
    failures: int


# ------------------------------------------------------------------ queueing


def queue_due(db: sqlite3.Connection, before: float, now: float) -> int:
    """Queue requests that were due at `before`; returns how many were looked at."""
    due = db.execute(SQL["due_requests"], (before, QUEUE_AT_ONCE)).fetchall()
    if not due:
        return 0
    for request, has_nodes in due:
        if has_nodes:
            place_nodes(db, request)
    requests = {"requests": msgspec.json.encode([request for request, _ in due]).decode()}
    db.execute(SQL["insert_deliveries"], requests | {"now": now})
    db.execute(SQL["set_queued"], requests)
    db.execute(SQL["clear_due"], requests)
    return len(due)


def next_due(db: sqlite3.Connection) -> float | None:
    """When the next request is due, in unix seconds."""
    (due,) = db.execute(SQL["next_due"]).fetchone()
    return None if due is None else float(due)


# ------------------------------------------------------------------ claiming and settling


def reset_sending(db: sqlite3.Connection, now: float) -> None:
    """At the start: whoever was sending is gone, and so is his environment."""
    db.execute(SQL["reset_sending"], (now,))
    db.execute(SQL["probe_secrets"])


def waiting(db: sqlite3.Connection) -> list[DestinationState]:
    """Destinations that are owed something, their literal secrets put back in."""
    found = []
    for number, name, kind, config, prints, digest, *state in db.execute(SQL["waiting"]).fetchall():
        row = db.execute(SQL["secrets"], (number,)).fetchone()
        masked: dict[str, AttributeValue] = msgspec.json.decode(config)
        whole = join(masked, msgspec.json.decode(row[0])) if row else masked
        assert isinstance(whole, dict)  # noqa: S101 - join gives back what split took
        fingerprints: dict[str, str] = msgspec.json.decode(prints)
        opened = DestinationConfig(name, kind, whole, fingerprints)
        found.append(DestinationState(number, opened, _opened_with(digest, prints), *state))
    return found


def _opened_with(digest: bytes, prints: str) -> bytes:
    return digest + prints.encode()


def opened_with(db: sqlite3.Connection, destination: int) -> bytes | None:
    """`DestinationState.digest` as it is now; None when there is no such destination any more."""
    row = db.execute(SQL["digest"], (destination,)).fetchone()
    return None if row is None else _opened_with(*row)


def due_deliveries(
    db: sqlite3.Connection, destination: int, now: float, limit: int, spans: int | None = None
) -> list[Delivery]:
    """Pending deliveries whose time has come, oldest first.

    Args:
        db: Read only.
        destination: Theirs.
        now: Unix seconds.
        limit: How many at most.
        spans: How many spans they may have together, unless a single one has more. What does not fit is not
            even looked at: a backlog holds thousands.
    """
    found: list[Delivery] = []
    room = spans
    with closing(db.execute(SQL["due_deliveries"], (destination, now, limit))) as rows:
        for number, request, from_seq, to_seq, attempts, count, whole, request_id, has_nodes in rows:
            if room is not None:
                if found and count > room:
                    break
                room -= count
            # Without a row in request_destinations nothing restricts it: the whole request.
            is_whole = whole is None or bool(whole)
            sequence = request, from_seq, to_seq, attempts, count
            found.append(Delivery(number, *sequence, is_whole, request_id, destination, bool(has_nodes)))
    return found


def next_attempt(db: sqlite3.Connection, destination: int) -> float | None:
    """When its next pending delivery is due that waits for no other."""
    row = db.execute(SQL["next_attempt"], (destination,)).fetchone()
    return None if row is None else float(row[0])


def _numbers(deliveries: Iterable[Delivery]) -> str:
    return msgspec.json.encode([delivery.id for delivery in deliveries]).decode()


def claim(db: sqlite3.Connection, deliveries: Iterable[Delivery]) -> None:
    """Count the attempt before it is made: a crash in its midst still counts."""
    db.execute(SQL["claim"], (_numbers(deliveries),))


def settle_delivered(
    db: sqlite3.Connection, deliveries: Sequence[Delivery], rejected: int, message: str, now: float
) -> None:
    """The receiver accepted them, `rejected` of their spans excepted."""
    outcome = Outcome(rejected, message)
    note, alone = note_of(outcome), len(deliveries) == 1
    if rejected and not alone:
        # The receiver does not say whose they were.
        note = f"{note} (of {sum(d.span_count for d in deliveries)} spans sent together)"
    own = rejected if alone else 0
    db.execute(SQL["settle_delivered"], (now, note, own, _numbers(deliveries)))
    count_accepted(db, deliveries[0].destination, sum(d.span_count for d in deliveries), outcome, now)


def note_of(outcome: Outcome) -> str | None:
    """What a delivery remembers of an acceptance; None when there is nothing to say."""
    if outcome.rejected:
        spans = "1 span" if outcome.rejected == 1 else f"{outcome.rejected} spans"
        return f"{spans} rejected: {outcome.message}"
    return outcome.message or None


def count_accepted(
    db: sqlite3.Connection, destination: int, spans: int, outcome: Outcome, now: float
) -> None:
    """Add a request that was accepted, of so many spans, to its destination."""
    counts = {"delivered": spans - outcome.rejected, "rejected": outcome.rejected}
    when = {"now": now, "minute": int(now // 60)}
    db.execute(SQL["count_delivered"], counts | when | {"destination": destination})
    if note := note_of(outcome):
        db.execute(SQL["note_error"], (note, now, destination))


def settle_dead(db: sqlite3.Connection, delivery: Delivery, message: str, now: float) -> None:
    """It will never be accepted."""
    db.execute(SQL["settle_dead"], (now, message, delivery.id))
    db.execute(SQL["note_error"], (message, now, delivery.destination))


def settle_retry(
    db: sqlite3.Connection, deliveries: Sequence[Delivery], message: str, at: float, now: float
) -> None:
    """Try them again at `at`."""
    db.execute(SQL["settle_retry"], (at, message, _numbers(deliveries)))
    db.execute(SQL["note_error"], (message, now, deliveries[0].destination))


def hand_back(db: sqlite3.Connection, deliveries: Sequence[Delivery]) -> None:
    """They were claimed and not tried."""
    db.execute(SQL["hand_back"], (_numbers(deliveries),))


def forget_superseded(db: sqlite3.Connection, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Of deliveries without rows, take back those whose rows are in a later one; gives the others."""
    left = []
    for delivery in deliveries:
        row = db.execute(SQL["is_superseded"], (delivery.id,)).fetchone()
        if row is not None and row[0]:
            db.execute(SQL["empty_delivery"], (delivery.id,))  # the ledger: it has asked for nothing
            db.execute(SQL["delete_delivery"], (delivery.id,))
        else:
            left.append(delivery)
    return left


def is_troubled(db: sqlite3.Connection, destination: int) -> bool:
    """Whether it is paused, held, or has lately failed."""
    return any(db.execute(SQL["trouble"], (destination,)).fetchone())


def is_paused(db: sqlite3.Connection, destination: int) -> bool:
    """Whether it waits for people."""
    return db.execute(SQL["trouble"], (destination,)).fetchone()[0] is not None


def failures(db: sqlite3.Connection, destination: int) -> int:
    """Retryable failures in a row."""
    return int(db.execute(SQL["trouble"], (destination,)).fetchone()[2])


def held_until(db: sqlite3.Connection, destination: int) -> float:
    """Until when nothing is sent to it, in unix seconds."""
    return float(db.execute(SQL["trouble"], (destination,)).fetchone()[1])


def hold(db: sqlite3.Connection, destination: int, now: float, wait_s: float) -> None:
    """Send nothing to a destination for so long: one more failure in a row."""
    db.execute(SQL["hold"], (now + wait_s, wait_s, destination))


def expire(db: sqlite3.Connection, destination: int, before: float, reason: str, now: float) -> int:
    """What waits there and was queued, or asked for again, before then is dead; how many deliveries."""
    return db.execute(SQL["expire"], (now, reason, destination, before)).rowcount


def pause(
    db: sqlite3.Connection, deliveries: Sequence[Delivery], reason: str, now: float, probe_s: float
) -> None:
    """Nothing reaches the destination until somebody acts, or a probe after `probe_s` gets through."""
    destination = deliveries[0].destination
    db.execute(SQL["settle_paused"], (reason, _numbers(deliveries)))
    db.execute(SQL["pause_deliveries"], (reason, destination))
    db.execute(SQL["pause"], (reason, now + probe_s, probe_s, destination))
    db.execute(SQL["note_error"], (reason, now, destination))


def stay_paused(
    db: sqlite3.Connection, deliveries: Sequence[Delivery], words: str, now: float, probe_s: float
) -> None:
    """A probe has met something else that passes by itself: the reason stays."""
    db.execute(SQL["settle_paused"], (words, _numbers(deliveries)))
    probe_later(db, deliveries[0].destination, now, probe_s)
    db.execute(SQL["note_error"], (words, now, deliveries[0].destination))


def probe_later(db: sqlite3.Connection, destination: int, now: float, probe_s: float) -> None:
    """The next probe of a paused destination."""
    db.execute(SQL["probe_later"], (now + probe_s, probe_s, destination))


def resume(db: sqlite3.Connection, destination: int, now: float) -> None:
    """It works again."""
    db.execute(SQL["resume"], (destination,))
    db.execute(SQL["resume_deliveries"], (now, destination))


def clamp(db: sqlite3.Connection, now: float, longest_backoff_s: float) -> None:
    """No deadline lies further in the future than it did when it was set: the clock was set back.

    A hold is as long as it was meant to be at most, counted from now; a request is idle since now at least.
    """
    db.execute(SQL["clamp_holds"], {"now": now})
    for destination, hold_s in db.execute(SQL["holds"]).fetchall():
        longest = {"now": now, "destination": destination, "longest": max(hold_s, longest_backoff_s)}
        db.execute(SQL["clamp_attempts"], longest)
    db.execute(SQL["clamp_due"], {"now": now, "longest": LONGEST_DUE_S})
    db.execute(SQL["clamp_idle"], {"now": now})


def probe(db: sqlite3.Connection, destination: int, now: float) -> None:
    """Let one paused delivery try."""
    row = db.execute(SQL["probe"], (destination,)).fetchone()
    if row is not None:
        db.execute(SQL["make_pending"], (now, row[0]))
