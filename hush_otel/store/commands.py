"""What people ask for by a command: applied by the one writer, in the transaction that ingests its record.

A command comes through the spool like everything else (`records.Command`): it is durable once it is written,
in order with the records around it, applied exactly once, and there is no second writer. What came of it
stands in hush_commands under its id, where whoever asked looks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from hush_otel import records

from . import outbox, repricing, search_upkeep
from .prune_orders import Order, Rule
from .routes import Routes
from .statements import load_statements

SQL: Final = load_statements("commands")

REMEMBER_S: Final = 7 * 24 * 3600.0
"""How long results are kept: whoever asked has long looked, or never will."""
IDS_AT_MOST: Final = 1000
"""Deliveries that a result names, so that somebody can watch them."""


class Retry(msgspec.Struct, forbid_unknown_fields=True):
    """Deliveries that are dead or paused, or wait for their next try, are sent now.

    Attributes:
        ids: These; empty: all that the rest says.
        destination: Only there; None: everywhere.
        only_dead: Leave out what is paused or waits.
    """

    ids: list[int] = []
    destination: str | None = None
    only_dead: bool = False


class Replay(msgspec.Struct, forbid_unknown_fields=True):
    """Requests of the past are sent to a destination.

    Attributes:
        destination: Its name.
        record: Its definition (`Destination.as_record`); None: the database knows it.
        requests: Numbers of rows.
        again: Those, too, that were delivered there.
    """

    destination: str
    requests: list[int]
    record: dict[str, Any] | None = None
    again: bool = False


class Reprice(msgspec.Struct, forbid_unknown_fields=True):
    """Computed costs become those of today's price table.

    Attributes:
        requests: Numbers of rows.
    """

    requests: list[int]


class Refused(Exception):  # noqa: N818 - an answer, no fault
    """A command that cannot be applied; its text is the answer."""


def apply(db: sqlite3.Connection, routes: Routes, commands: Iterable[records.Command], now: float) -> None:
    """Apply commands in their order, and write down what came of each.

    Args:
        db: In a transaction.
        routes: The ingest's.
        commands: As they were read.
        now: Unix seconds.
    """
    for command in commands:
        try:
            result = _apply(db, routes, command, now)
        except (Refused, msgspec.ValidationError) as exc:
            result = {"error": str(exc)}
        text = msgspec.json.encode(result).decode()
        db.execute(SQL["save_result"], (command.id, command.name, text, now))
        db.execute(SQL["forget_results"], (now - REMEMBER_S,))


def _apply(db: sqlite3.Connection, routes: Routes, command: records.Command, now: float) -> dict[str, Any]:
    if command.name == "retry":
        return _retry(db, msgspec.convert(command.arguments, Retry), now)
    if command.name == "replay":
        return _replay(db, routes, msgspec.convert(command.arguments, Replay), now)
    if command.name == "prune":
        return _prune(msgspec.convert(command.arguments, Rule))
    if command.name == "reprice":
        return repricing.reprice(db, msgspec.convert(command.arguments, Reprice).requests)
    if command.name == "reindex":
        search_upkeep.give_up(db)
        return {}
    raise Refused(f"the background process does not know the command {command.name!r}")


def _retry(db: sqlite3.Connection, asked: Retry, now: float) -> dict[str, Any]:
    numbers, spans, resumed = list[int](), 0, list[str]()
    for destination, name, paused in _destinations(db, asked):
        values = {"ids": _json(asked.ids), "destination": destination, "now": now}
        rows = [
            row for statement in _statements(asked) for row in db.execute(SQL[statement], values).fetchall()
        ]
        if not rows and (asked.only_dead or paused is None):
            continue
        numbers += [number for number, _ in rows]
        spans += sum(count for _, count in rows)
        # With its hold: a person has said that it is worth a try now.
        outbox.resume(db, destination, now)
        if paused is not None:
            resumed.append(name)
    return {"deliveries": len(numbers), "spans": spans, "resumed": resumed, "ids": numbers[:IDS_AT_MOST]}


def _destinations(db: sqlite3.Connection, asked: Retry) -> list[tuple[int, str, str | None]]:
    if asked.ids:
        return db.execute(SQL["destinations_of_deliveries"], {"ids": _json(asked.ids)}).fetchall()
    if asked.destination is not None:
        return [_destination(db, asked.destination)]
    return db.execute(SQL["destinations"]).fetchall()


def _statements(asked: Retry) -> Sequence[str]:
    if asked.ids:
        return ("retry_ids",)
    # In this order: dead ones wait once they are asked for, and would be found twice.
    return ("retry_dead",) if asked.only_dead else ("retry_open", "retry_dead")


def _destination(db: sqlite3.Connection, name: str) -> tuple[int, str, str | None]:
    found: tuple[int, str, str | None] | None = db.execute(SQL["destination"], (name,)).fetchone()
    if found is None:
        raise Refused(f"no destination {name!r}")
    return found


def _replay(db: sqlite3.Connection, routes: Routes, asked: Replay, now: float) -> dict[str, Any]:
    if asked.record is not None:
        routes.destination(db, asked.record, now)
    number, _, paused = _destination(db, asked.destination)
    values = {"destination": number, "requests": _json(asked.requests)}
    found = [row[0] for row in db.execute(SQL["ask_anew"], values).fetchall()]
    if asked.again:
        new = set(found)
        values["requests"] = _json([request for request in asked.requests if request not in new])
        found += [row[0] for row in db.execute(SQL["ask_again"], values).fetchall()]
    values["requests"] = _json(found)
    (spans,) = db.execute(SQL["spans_to_send"], values).fetchone()
    db.execute(SQL["make_due"], {"requests": values["requests"], "now": now})
    return {
        "requests": len(found),
        "spans": spans,
        "skipped": len(asked.requests) - len(found),
        "paused": paused,
    }


def _prune(asked: Rule) -> dict[str, Any]:
    """Only taken down: background/retention.py does it in small steps, and notes how far it is."""
    if not asked.says_something:
        raise Refused("prune without a rule")
    order: dict[str, Any] = msgspec.to_builtins(Order(asked))
    return order


def _json(numbers: Sequence[int]) -> str:
    return msgspec.json.encode(numbers).decode()
