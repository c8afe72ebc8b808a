"""What happens in a database, as it happens: spans that start, end, fail, and requests that are complete.

A look costs what is new. Rows are numbered as they come, so whatever was made since the last look lies above
a number; rows that ran then are asked by their own. Nothing is read again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, Literal, TypeAlias

from hush_otel.store.reading import Reader

from .parents_awaited import Parents
from .text import number

Kind: TypeAlias = Literal["started", "ended", "failed", "interrupted", "complete"]

AT_ONCE: Final = 2_000
"""Rows of one query."""
MOST_RUNNING: Final = 10_000
"""Spans that are waited for; of more the newest."""
MOST_HELD: Final = 10_000
"""Events whose workflow is not known yet; of more the oldest are given up."""
MOST_COMPLETE: Final = 10_000
"""Requests of which it is remembered that they were told as complete: late spans tell it no second time."""

_KINDS: Final[dict[str, Kind]] = {"running": "started", "error": "failed", "interrupted": "interrupted"}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened.

    Attributes:
        row: Of a span, the columns of `tail_new.sql`; of a request that is complete, those of the view.
    """

    kind: Kind
    row: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """As ``--json`` has it."""
        columns = {name: value for name, value in self.row.items() if name not in _OURS}
        return {"event": self.kind} | columns


_OURS: Final = frozenset({"id", "request", "parent_node"})


class Follower:
    """Follows one database. `look` again and again; one thread.

    Args:
        reader: Its connection stays open, no transaction does.
        workflow: Only of this one.
        last: How many of the rows that are there already the first look gives.

    """

    def __init__(self, reader: Reader, *, workflow: str | None = None, last: int = 0) -> None:
        self._running: dict[int, dict[str, Any]] = {}
        self._reader = reader
        self._workflow = workflow
        self._version: int | None = None
        self._after = max(0, self._newest() - last)
        self._open: set[int] = set()
        self._told: dict[int, None] = {}
        self._held: dict[int, list[Event]] = {}
        self._behind: list[Event] = []
        self._parents: dict[int, Parents] = {}
        for row in reader.each("tail_running", limit=MOST_RUNNING):
            if row["id"] <= self._after:
                self._behind.append(Event("started", dict(row)))

    def running(self) -> list[dict[str, Any]]:
        """The spans that run, in the order in which they came."""
        rows = self._running.values()
        return [row for row in rows if self._workflow in (None, row["workflow_name"])]

    def awaited(self) -> list[dict[str, Any]]:
        """Nodes that have not ended, as far as others name them as their parents."""
        rows = (row for parents in self._parents.values() for row in parents.awaited.values())
        return [row for row in rows if self._workflow in (None, row["workflow_name"])]

    def look(self) -> Iterator[Event]:
        """What has happened since the last look; nothing, and nothing read, when nobody has written.

        As it was stored; what the first look finds, which happened before, in the order of time.

        Raises:
            StoreError: The database cannot be read.
        """
        (version,) = (row["data_version"] for row in self._reader.each("data_version"))
        if version == self._version:
            return
        is_first, self._version = self._version is None, version
        yield from _in_time(self._pieces()) if is_first else self._pieces()

    def _pieces(self) -> Iterator[Event]:
        is_behind = True
        while is_behind:
            events, is_behind = self._piece()
            yield from events

    def _piece(self) -> tuple[list[Event], bool]:
        """What one moment of the database has, at most `AT_ONCE` new rows of it, and whether it has more.

        Spans and requests are read at the same moment, and requests only when no span is left: none is
        complete before the spans that were stored by then. Nobody is waited for while the moment is held.
        """
        with self._reader.snapshot():
            newest = self._newest()
            events = list(self._of_workflow(self._spans(newest)))
            is_behind = self._after < newest
            if not is_behind:
                events += self._completed()
        return events, is_behind

    def _spans(self, newest: int) -> Iterator[Event]:
        behind, self._behind = self._behind, []
        for event in behind:
            yield self._noted(event)
        for row in self._reader.each("tail_ended", spans=json.dumps(list(self._running))):
            yield self._noted(_event(dict(row)))
        rows = self._reader.rows("tail_new", after=self._after, newest=newest, limit=AT_ONCE)
        self._after = rows[-1]["id"] if len(rows) == AT_ONCE else max(newest, self._after)
        for row in rows:
            yield self._noted(_event(dict(row)))

    def _noted(self, event: Event) -> Event:
        row = event.row
        if row["request"] not in self._told:
            self._open.add(row["request"])
            self._parents.setdefault(row["request"], Parents()).note(row)
        if event.kind == "started":
            self._running[row["id"]] = row
            if len(self._running) > MOST_RUNNING:
                del self._running[next(iter(self._running))]
        else:
            self._running.pop(row["id"], None)
        return event

    def _of_workflow(self, events: Iterable[Event]) -> Iterator[Event]:
        """Those of the workflow; where it is not known yet, when it is."""
        if self._workflow is None:
            yield from events
            return
        for event in events:
            if event.row["workflow_name"] is None:
                self._held.setdefault(event.row["request"], []).append(event)
            elif event.row["workflow_name"] == self._workflow:
                yield event
        yield from self._released()

    def _released(self) -> Iterator[Event]:
        for row in self._requests(self._held):
            if row["workflow_name"] is not None:
                events = self._held.pop(row["id"])
                if row["workflow_name"] == self._workflow:
                    yield from (
                        Event(one.kind, one.row | {"workflow_name": self._workflow}) for one in events
                    )
        while sum(map(len, self._held.values())) > MOST_HELD:
            del self._held[next(iter(self._held))]

    def _completed(self) -> Iterator[Event]:
        """Requests of which something was seen, and that are complete now."""
        rows = self._requests(self._open)
        self._open = {row["id"] for row in rows}  # the others were deleted
        self._parents = {number: one for number, one in self._parents.items() if number in self._open}
        for row in rows:
            if row["completed_by"] is not None and not row["running_count"]:
                self._open.discard(row["id"])
                self._parents.pop(row["id"], None)
                self._told[row["id"]] = None
                if len(self._told) > MOST_COMPLETE:
                    del self._told[next(iter(self._told))]
                if self._workflow in (None, row["workflow_name"]):
                    yield Event("complete", dict(row))

    def _requests(self, numbers: Iterable[int]) -> list[Any]:
        return self._reader.rows("tail_requests", requests=json.dumps(list(numbers)))

    def _newest(self) -> int:
        (row,) = self._reader.rows("newest_span")
        return int(row["id"])


def _in_time(events: Iterable[Event]) -> list[Event]:
    """By when spans started or ended and requests were complete, none of these before its spans."""
    timed, latest = list[tuple[float, Event]](), dict[int, float]()
    for event in events:
        if event.kind == "complete":
            at_ns = max((number(event.row["completed_at"]) or 0.0) * 1e9, latest.get(event.row["id"], 0.0))
        else:
            at_ns = _moment_ns(event)
            latest[event.row["request"]] = max(at_ns, latest.get(event.row["request"], 0.0))
        timed.append((at_ns, event))
    return [event for _, event in sorted(timed, key=itemgetter(0))]


def _moment_ns(event: Event) -> float:
    """When a span started or ended."""
    took_ms = 0.0 if event.kind == "started" else number(event.row["duration_ms"]) or 0.0
    return (number(event.row["start_ns"]) or 0.0) + took_ms * 1e6


def _event(row: dict[str, Any]) -> Event:
    return Event(_KINDS.get(row["status"], "ended"), row)
