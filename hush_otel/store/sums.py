"""What one batch adds to requests: which a trace belongs to, roll-ups, completions, who asked for what."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from hush_otel.mapping.semconv import Promoted

from .requests import RollUp, Trace
from .rows import REQUEST, SpanRow
from .statements import load_statements
from .tags import mend_tags, say_tags

if TYPE_CHECKING:
    from .ingest import Ingest

SQL: Final = load_statements("ingest")

NOT_COMPLETE: Final = {"completed_by": None, "completed_at": None}

MODEL: Final = 0
"""The kind of models in hush_request_labels."""


class Sums:
    """Of one batch, in the drain's transaction.

    Args:
        shared: What batches share.
        db: In a transaction.
        now: Unix seconds.
    """

    def __init__(self, shared: Ingest, db: sqlite3.Connection, now: float) -> None:
        self._shared = shared
        self._db = db
        self._now = now
        self._roll_ups: dict[int, RollUp] = {}
        self._mended: set[int] = set()
        self._asked: tuple[bytes, int, int] | None = None

    def trace(self, trace_id: bytes) -> Trace:
        """The trace of an id; `Requests.prepare` has looked most of them up."""
        return self._shared.requests.known.get(trace_id) or self._shared.requests.trace(self._db, trace_id)

    def assign(self, trace: Trace, request_id: str) -> int:
        """A span or node names its request: the request of its trace from now on."""
        before = trace.request
        request = self._shared.requests.assign(
            self._db,
            trace,
            request_id,
            self._now,
            untouched=before not in self._roll_ups,
            before_merge=self._settle_new,
        )
        if trace.request != before:
            self._follow_merge(before, trace.request)
        return request

    def _follow_merge(self, old: int, new: int) -> None:
        """Two requests became one in the midst of this batch: what is remembered follows."""
        self._shared.routes.save(self._db)
        self._shared.routes.forget()
        self._asked = None
        running = self._shared.running(self._db)
        for key, was in running.items():
            if was.request == old:
                running[key] = was._replace(request=new)
        self._mended = {new if request == old else request for request in self._mended}
        moved = self._roll_ups.pop(old, None)
        if moved is not None:
            self._db.execute(SQL["roll_up"], {**moved.values(), "request": new})
            self.label(new, MODEL, moved.models)
            say_tags(self._db, new, moved.tags)

    def roll_up(self, request: int) -> RollUp:
        """What this batch adds to a request."""
        found = self._roll_ups.get(request)
        if found is None:
            found = self._roll_ups[request] = RollUp(request, self._now)
        return found

    def count(
        self,
        row: SpanRow,
        *,
        was_running: bool = False,
        was_error: bool = False,
        moved_from: int | None = None,
    ) -> None:
        """A row was inserted, or has replaced one that ran or was interrupted, perhaps of another request."""
        self.roll_up(row.values[REQUEST]).add(row, was_running=was_running, was_error=was_error)
        if moved_from is not None and moved_from != row.values[REQUEST]:
            # The start had not named its request yet.
            self._mended.add(moved_from)
            here, there = self.roll_up(row.values[REQUEST]), self.roll_up(moved_from)
            here.nodes += 1
            there.nodes -= 1
            here.running += was_running
            there.running -= was_running
            here.errors += was_error
            there.errors -= was_error

    def take_back(self, request: int, usage: Promoted) -> None:
        """A row that was counted repeats others."""
        self.roll_up(request).take_back(usage)

    def complete_request(self, request: int, reason: str) -> None:
        """It is complete; the first reason stays."""
        self._db.execute(SQL["complete_request"], (reason, self._now, self._now, self._now, request))

    def label(self, request: int, kind: int, labels: Iterable[str]) -> None:
        """A request that is a row is found by these, too."""
        self._db.executemany(SQL["label_request"], [(request, kind, label) for label in labels])

    def write(self, completed: list[bytes]) -> None:
        """Roll-ups and completions. A request that this batch has begun is written once, with all of it."""
        db = self._db
        complete = dict.fromkeys(self.trace(trace_id).request for trace_id in completed)
        begun = set(self._shared.requests.new)
        done = {"completed_by": "root", "completed_at": self._now}
        self._shared.requests.insert_new(
            db, lambda number: self.roll_up(number).values() | (done if number in complete else NOT_COMPLETE)
        )
        roll_ups = [roll_up.values() for number, roll_up in self._roll_ups.items() if number not in begun]
        db.executemany(SQL["roll_up"], roll_ups)
        self._label_models(begun)
        for number, roll_up in self._roll_ups.items():
            if roll_up.tags:
                say_tags(db, number, roll_up.tags)
        self._mend()
        for number in complete:
            if number not in begun:
                self.complete_request(number, "root")

    def _label_models(self, begun: set[int]) -> None:
        found = [(number, model) for number, one in self._roll_ups.items() for model in one.models]
        new = [(number, MODEL, model, self._now) for number, model in found if number in begun]
        old = [(number, MODEL, model) for number, model in found if number not in begun]
        self._db.executemany(SQL["label_new_request"], new)
        self._db.executemany(SQL["label_request"], old)

    def _mend(self) -> None:
        mended = [{"request": request} for request in self._mended]
        for statement in ("mend_request", "forget_models", "mend_models"):
            self._db.executemany(SQL[statement], mended)
        for request in self._mended:
            mend_tags(self._db, request)

    def _settle_new(self) -> None:
        """Before two requests become one: everything is a row. What the batch knows of it follows later."""
        self._shared.requests.insert_new(
            self._db, lambda number: RollUp(number, self._now).values() | NOT_COMPLETE
        )
        self._shared.routes.save(self._db)

    def mend(self, request: int) -> None:
        """Its sums are to be taken from its rows again."""
        self._mended.add(request)

    def ask(self, writer_id: bytes, request: int, route: int) -> None:
        """A process asks for a request's spans to go to a route's destinations."""
        asks = writer_id, request, route
        if asks != self._asked:  # most spans are of the same request as the one before
            self._shared.routes.ask(self._db, *asks)
            self._asked = asks
