"""A delivery divided by what its receiver answered to the parts of it.

The row keeps what is still to be settled. What was refused becomes a delivery of its own, dead with the
receiver's words; what was accepted before an attempt broke off becomes another one, delivered. No span
belongs to two of them, and their counts add up.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from hush_otel.model import Outcome

from .outbox import Delivery, count_accepted, note_of
from .statements import load_statements

SQL: Final = load_statements("division")


class Division(NamedTuple):
    """What was answered of one delivery, in the order of its rows.

    Attributes:
        refused: The receiver's words by end_seq.
        done_seq: The last row that was answered.
        accepted: How many of the rows up to there were accepted.
        whole: Whether all were answered.
    """

    refused: Mapping[int, str]
    done_seq: int
    accepted: int
    whole: bool

    @property
    def is_plain(self) -> bool:
        """Whether it says no more than "accepted"."""
        return self.whole and not self.refused


def divide(
    db: sqlite3.Connection,
    delivery: Delivery,
    division: Division,
    outcome: Outcome,
    now: float,
    *,
    again: bool,
) -> Delivery:
    """Take off what is settled already, `outcome` being that of the accepted rows; gives what is left.

    With `again`, what was refused is tried once more: another configuration had sent it.
    """
    if division.refused:
        delivery = _take_off_refused(db, delivery, division.refused, now, again=again)
    if division.accepted and not division.whole:
        delivery = _take_off_accepted(db, delivery, division, outcome, now)
    return delivery


def _take_off_refused(
    db: sqlite3.Connection, delivery: Delivery, refused: Mapping[int, str], now: float, *, again: bool
) -> Delivery:
    words = "; ".join(dict.fromkeys(refused.values()))
    values = {
        "id": delivery.id,
        "seqs": msgspec.json.encode(sorted(refused)).decode(),
        "count": len(refused),
        "words": words,
        "now": now,
        "again": again,
    }
    db.execute(SQL["insert_refused"], values)
    db.execute(SQL["leave_refused_out"], values)
    db.execute(SQL["note_refusal"], (words, now, delivery.destination))
    return delivery._replace(span_count=max(delivery.span_count - len(refused), 0))


def _take_off_accepted(
    db: sqlite3.Connection, delivery: Delivery, division: Division, outcome: Outcome, now: float
) -> Delivery:
    values = {
        "id": delivery.id,
        "done_seq": division.done_seq,
        "count": division.accepted,
        "rejected": outcome.rejected,
        "note": note_of(outcome),
        "now": now,
    }
    db.execute(SQL["insert_accepted"], values)
    db.execute(SQL["begin_after"], values)
    count_accepted(db, delivery.destination, division.accepted, outcome, now)
    return delivery._replace(
        from_seq=division.done_seq, span_count=max(delivery.span_count - division.accepted, 0)
    )
