"""Destinations as the store knows them, and routes: the sets of them that captures ask for."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hush_otel import records
from hush_otel.mapping.jsontext import json_text
from hush_otel.model import TRACER_ALIASES, Destination, canonical_json
from hush_otel.options import is_built_in
from hush_otel.secrets import mask, split

from .statements import load_statements

SQL: Final = load_statements("ingest")


class Routes:
    """Interns destinations and routes within the drain's transaction; `forget()` after a rollback."""

    def __init__(self) -> None:
        self._routes: dict[frozenset[int], int] | None = None
        self._asked: set[tuple[bytes, int, int]] = set()
        self._new_asks: list[tuple[int, int, int]] = []
        self._new_askers: list[tuple[bytes, int, int]] = []

    def forget(self) -> None:
        """Trust nothing that was cached."""
        self._routes = None
        self._asked.clear()
        self._new_asks.clear()
        self._new_askers.clear()

    def forget_asked(self) -> None:
        """What was asked for may have been deleted. Between batches only."""
        self._asked.clear()

    def save(self, db: sqlite3.Connection) -> None:
        """Write what was asked for since the last time."""
        db.executemany(SQL["ask"], self._new_asks)
        db.executemany(SQL["insert_asker"], self._new_askers)
        self._new_asks.clear()
        self._new_askers.clear()

    def route(self, db: sqlite3.Connection, destinations: Sequence[dict[str, Any]], now: float) -> int | None:
        """The route of a capture's destination records; None for store only."""
        ids = frozenset(self.destination(db, record, now) for record in destinations)
        return self._intern(db, ids) if ids else None

    def _intern(self, db: sqlite3.Connection, ids: frozenset[int]) -> int:
        routes = self._load(db)
        found = routes.get(ids)
        if found is None:
            found = routes[ids] = max(routes.values(), default=0) + 1
            db.executemany(SQL["insert_route"], [(found, one) for one in sorted(ids)])
        return found

    def union(self, db: sqlite3.Connection, one: int | None, other: int | None) -> int | None:
        """The route to all destinations of both."""
        members = self.members(db, one) | self.members(db, other)
        return self._intern(db, members) if members else None

    def members(self, db: sqlite3.Connection, route: int | None) -> frozenset[int]:
        """Its destinations' row ids."""
        return next((ids for ids, number in self._load(db).items() if number == route), frozenset())

    def _load(self, db: sqlite3.Connection) -> dict[frozenset[int], int]:
        if self._routes is None:
            sets: dict[int, set[int]] = {}
            for route, destination in db.execute(SQL["all_routes"]):
                sets.setdefault(route, set()).add(destination)
            self._routes = {frozenset(ids): route for route, ids in sets.items()}
        return self._routes

    def destination(self, db: sqlite3.Connection, record: dict[str, Any], now: float) -> int:
        """The row of a destination record (`Destination.as_record`), made or brought up to date.

        Secrets given as literals go to a table of their own; what is shown is masked. What came last holds:
        of the configuration, and of what is said of the secrets that it refers to.
        """
        name, kind, config = str(record["name"]), str(record["type"]), _plain(record["config"])
        digest = _digest(kind, config)
        row = db.execute(SQL["find_destination"], (name,)).fetchone()
        same = row is not None and row[1] == digest
        # An application that has no value for a name says nothing of it.
        fingerprints = (msgspec.json.decode(row[2]) if same else {}) | _plain(record.get("secrets") or {})
        prints = msgspec.json.encode(fingerprints, order="deterministic").decode()
        if same and row[2] == prints:
            return int(row[0])
        shown, literals = split(config)
        values = (kind, msgspec.json.encode(shown).decode(), digest, prints)
        if row is None:
            number = int(db.execute(SQL["insert_destination"], (name, *values)).lastrowid or 0)
        else:
            number = int(row[0])
            db.execute(SQL["update_destination"], (*values, number))
            db.execute(SQL["resume_deliveries"], (now, number))
        db.execute(SQL["set_secrets"], (number, msgspec.json.encode(literals).decode()))
        return number

    def marked(self, db: sqlite3.Connection, mark: records.Mark, now: float) -> int | None:
        """The row of the destination that a mark asks for; None for the store alone.

        By its name when the mark has one. Else what has the same type and configuration is the same place,
        whatever it is called: a request goes there once.
        """
        destination = destination_of_mark(mark)
        if destination is None:
            return None
        record = destination.as_record() | {"secrets": mark.secrets}
        if mark.name is not None:
            record["name"] = mark.name
        else:
            same = db.execute(SQL["same_destination"], (_digest(destination.type, destination.config),))
            record["name"] = next(iter(same), (destination.name,))[0]
        return self.destination(db, record, now)

    def ask(self, db: sqlite3.Connection, writer_id: bytes, request: int, route: int) -> None:
        """A request's spans go to a route's destinations, and this process asked for it."""
        key = (writer_id, request, route)
        if key not in self._asked:
            self._bound()
            self._asked.add(key)
            for one in self.members(db, route):
                self._new_asks.append((request, one, 0))
                self._new_askers.append((writer_id, request, one))

    def ask_whole(self, writer_id: bytes, request: int, destination: int) -> None:
        """The whole request goes to one destination (a mark)."""
        self._new_asks.append((request, destination, 1))
        self._new_askers.append((writer_id, request, destination))

    def _bound(self) -> None:
        if len(self._asked) > CACHED_ASKS:
            self._asked.clear()


CACHED_ASKS: Final = 50_000


def destination_of_mark(mark: records.Mark) -> Destination | None:
    """What a mark asks for; None for the store alone."""
    kind = TRACER_ALIASES.get(mark.tracer_type, mark.tracer_type)
    if kind == "local":
        return None
    options = _plain(mark.tracer_config)
    if is_built_in(kind):
        # Neither is an option; those of other people's code are for it to say.
        options = {key: value for key, value in options.items() if key not in ("name", "type")}
    return Destination.from_config(kind, options)


def _digest(kind: str, config: dict[str, Any]) -> bytes:
    return hashlib.blake2b(canonical_json([kind, config]), digest_size=16).digest()


def masked_json(config: dict[Any, Any]) -> str:
    """A mark's configuration as the views show it."""
    return msgspec.json.encode(mask(_plain(config))).decode()


def _plain(config: dict[Any, Any]) -> dict[str, Any]:
    """What JSON carries of a configuration, which may hold anything."""
    plain: dict[str, Any] = msgspec.json.decode(json_text(config))
    return plain
