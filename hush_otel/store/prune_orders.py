"""What people ask for by `hush-otel prune`: kept with its progress in hush_commands until it is done."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from .pruning import Pruned
from .statements import load_statements

SQL: Final = load_statements("retention")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests go; each part by itself, None: that part says nothing.

    Attributes:
        before: Those of which nothing has arrived since then (unix seconds).
        per_workflow: All but so many of the newest of each workflow.
        to_bytes: The oldest, until the database uses no more than this.
        undelivered: Those, too, that some destination has not accepted.
    """

    before: float | None = None
    per_workflow: int | None = None
    to_bytes: int | None = None
    undelivered: bool = False

    @property
    def says_something(self) -> bool:
        """Whether any part does."""
        return any(part is not None for part in (self.before, self.per_workflow, self.to_bytes))


class Order(msgspec.Struct, frozen=True):
    """One `prune`, as its answer stands in the database.

    Attributes:
        state: working | done.
        size_bytes: Of the database file in the end.
    """

    rule: Rule
    state: str = "working"
    requests: int = 0
    spans: int = 0
    size_bytes: int = 0
    id: bytes = b""

    def grown(self, by: Pruned) -> Order:
        """With what a step has deleted."""
        return msgspec.structs.replace(
            self, requests=self.requests + by.requests, spans=self.spans + by.spans
        )

    def done(self, size_bytes: int) -> Order:
        """At its end."""
        return msgspec.structs.replace(self, state="done", size_bytes=size_bytes)


def oldest_order(db: sqlite3.Connection) -> Order | None:
    """The first that is not done."""
    row = db.execute(SQL["unfinished"]).fetchone()
    if row is None:
        return None
    return msgspec.structs.replace(msgspec.json.decode(row[1], type=Order), id=row[0])


def save(db: sqlite3.Connection, order: Order, now: float) -> Order:
    """Write its progress down, in the transaction that has made it. Gives it back."""
    text = msgspec.json.encode(msgspec.structs.replace(order, id=b"")).decode()
    db.execute(SQL["save_progress"], (text, now, order.id))
    return order
