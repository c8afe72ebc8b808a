"""The relay of a database, fed with rows and stepped by hand: real store, real lanes, real receivers."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from inprocess import dicts, rows

from hush_otel import records
from hush_otel.background.clock import Clock
from hush_otel.background.relay import Relay
from hush_otel.model import Destination
from hush_otel.records import FLAG_COMPLETE, End, OriginRecord
from hush_otel.secrets import with_fingerprints
from hush_otel.store.arrivals import Arrival
from hush_otel.store.database import Database
from hush_otel.store.ingest import Ingest

WRITER = b"w" * 16
DEADLINE_S = 20.0


class Time:
    """A wall clock and a monotonic one, where the test puts them."""

    def __init__(self) -> None:
        self.wall_s = time.time()
        self.monotonic_s = 1000.0

    def pass_by(self, seconds: float) -> None:
        """Both go on."""
        self.wall_s += seconds
        self.monotonic_s += seconds

    def jump(self, seconds: float) -> None:
        """Somebody sets the clock."""
        self.wall_s += seconds

    def clock(self) -> Clock:
        """As a relay looks at it."""
        return Clock(lambda: self.wall_s, lambda: self.monotonic_s)


class Yard:
    """One database with its relay. A context manager. Time passes when the test says so."""

    def __init__(self, path: Path, max_age_s: float = 7 * 24 * 3600.0) -> None:
        self.path = path
        self.max_age_s = max_age_s
        self.time = Time()
        self._rung = threading.Event()
        self._traces = 0
        self.database = Database(path)
        self._ingest = Ingest()
        self.relay = Relay(self.database, self._rung.set, max_age_s, self.time.clock())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.relay.close()
        self.database.close()

    def restart(self) -> None:
        """Another background process takes over."""
        self.relay.close()
        self.database.close()
        self.database = Database(self.path)
        self._ingest = Ingest()
        self.relay = Relay(self.database, self._rung.set, self.max_age_s, self.time.clock())

    def take(self, names: Sequence[str], *destinations: Destination, value: str = "") -> None:
        """One complete request with spans of these names, the last one its root."""
        self._traces += 1
        trace = self._traces.to_bytes(16, "big")
        ends = [
            end_of(trace, place, name, value, root=place == len(names)) for place, name in enumerate(names, 1)
        ]

        self.ingest(*ends, destinations=destinations)

    def ingest(self, *records_: records.Record, destinations: Sequence[Destination] = ()) -> None:
        """One batch of records of the writer."""

        def change(db: sqlite3.Connection) -> None:
            spooled = [with_fingerprints(one.as_record(), str(self.path)) for one in destinations]
            origin = OriginRecord(records.ORIGIN, 0, {"service.name": "s"}, "", "t", "", "", {}, spooled)
            place = self._ingest.place(db, origin, self.time.wall_s)
            self._ingest.ingest(db, [Arrival(one, WRITER, place) for one in records_], self.time.wall_s)

        self.database.write(change)

    def die(self) -> None:
        """The writer's process is gone."""
        self.database.write(lambda db: self._ingest.interrupt(db, WRITER, self.time.wall_s))

    def queue(self) -> None:
        """What is complete gets its deliveries."""
        self.relay.queue_due(self.time.wall_s)

    def run_until(self, reached: Callable[[], object], what: str = "the relay") -> None:
        """Step as the main loop does, until `reached()`."""
        deadline = time.monotonic() + DEADLINE_S
        while not reached():
            assert time.monotonic() < deadline, f"waited for {what}: {self.deliveries()}"
            self._rung.clear()
            if not self.relay.step():
                self._rung.wait(0.02)

    def settle(self) -> None:
        """Until nothing is being sent and nothing is due."""
        self.run_until(lambda: not self.relay.step() and not self.relay._sending, "nothing in flight")

    def deliver(self) -> None:
        """Queue what is complete, and one attempt at all that is due."""
        self.queue()
        self.settle()

    def states(self) -> Counter[str]:
        """How many deliveries are in which state."""
        return Counter(state for state, _ in self.deliveries())

    def deliveries(self) -> list[tuple[Any, ...]]:
        """State and span count, in order."""
        return rows(self.path, "SELECT state, span_count FROM deliveries ORDER BY id")

    def errors(self, state: str) -> list[str]:
        """What the deliveries in a state say."""
        return [row[0] for row in rows(self.path, "SELECT last_error FROM deliveries WHERE state = ?", state)]

    def destination(self, name: str = "lab") -> dict[str, Any]:
        """One destination's row."""
        return dicts(self.path, "SELECT * FROM hush_destinations WHERE name = ?", name)[0]

    def sql(self, statement: str, *values: object) -> None:
        """Change something behind the relay's back."""
        self.database.write(lambda db: db.execute(statement, values))

    def ledger_balances(self, name: str = "lab") -> bool:
        """Whether every span that a destination was asked to take is somewhere, and once."""
        one = self.destination(name)
        sql = "SELECT coalesce(sum(span_count), 0) FROM deliveries WHERE destination = ? AND state <> 'delivered'"
        ((open_or_dead,),) = rows(self.path, sql, name)
        return bool(one["asked"] == one["delivered"] + one["rejected"] + open_or_dead)


def end_of(trace: bytes, number: int, name: str, value: str, *, root: bool) -> End:
    """The end of a span."""
    return End(
        records.END,
        0,
        trace,
        number.to_bytes(8, "big"),
        None if root else (999).to_bytes(8, "big"),
        0x101 | (FLAG_COMPLETE if root else 0),
        name,
        1,
        number * 10,
        number * 10 + 5,
        0,
        None,
        {"value": value},
        None,
    )
