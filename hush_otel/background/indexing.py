"""The full-text index, built behind the drain: in short steps, while nothing waits in the spool.

A step indexes some spans, or merges what was indexed, or empties an index that is to be made anew; each is
one transaction, and how far the index is stands in it. Only an index of many parts is merged whatever waits.
Spans are gathered for a second, so that a quiet application does not cost a commit for each of them. Whatever
is wrong with the index, rows are stored and delivered: it is given up and begun again.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from typing import Final

from hush_otel.diagnostics import swallow
from hush_otel.failpoints import reach
from hush_otel.store import search_index, search_upkeep
from hush_otel.store.database import Database
from hush_otel.store.ingest import Ingest
from hush_otel.store.search_index import Indexed
from hush_otel.store.search_upkeep import Phase

log = logging.getLogger(__name__)

GATHER_S: Final = 1.0
"""How long spans wait for others: how old a span is at most before words find it, while there is time."""
ENOUGH_SPANS: Final = 200
"""So many wait for nobody: they fill a step or two."""
MERGES: Final = 8
"""Steps after one that has indexed, while more waits: each page is written again five times or so."""
FAILED_S: Final = 5.0
"""Pause after a step that failed, for want of room or because somebody has locked the database."""
NEVER: Final = float("inf")


class Indexing:
    """Used by the owner's main thread, between the drain's steps.

    Args:
        database: The owner's.
        ingest: Which is told how far the index is: what ends behind that is looked at again.
        wanted: HUSH_SEARCH. Without it an index that is there goes.
        monotonic: Of a test.
    """

    def __init__(
        self,
        database: Database,
        ingest: Ingest,
        *,
        wanted: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._ingest = ingest
        self._wanted = wanted
        self._monotonic = monotonic
        self._phase: Phase | None = None
        self._waiting = 0
        self._since = -NEVER
        self._merging = False
        self._merges_left = 0
        self._next = 0.0

    # ------------------------------------------------------------------ for the service

    def step(self, *, drained: int = 0, behind: bool = False) -> None:
        """One step, if it is time.

        Args:
            drained: Spans that were stored since the last one.
            behind: The drain has more to do, or no room: the index waits.
        """
        more = drained + self._ingest.unsearched
        if more and self._phase is Phase.READY:
            self._hear(more)
        try:
            if self._must_merge():
                self._merge()
            elif not behind or self._phase is None:
                self._work()
        except sqlite3.DatabaseError as exc:
            if self.is_blamed(exc):
                self.begin_anew(exc)
            elif isinstance(exc, sqlite3.OperationalError):
                swallow("building the full-text index, which is tried again", exc)
                self._next = self._monotonic() + FAILED_S
            else:
                raise

    def wait_s(self) -> float:
        """How long until the next step, in seconds."""
        now = self._monotonic()
        if now < self._next:
            return self._next - now
        if self._phase in (None, Phase.EMPTYING) or self._merging or self._waiting >= ENOUGH_SPANS:
            return 0.0
        return max(self._since + GATHER_S - now, 0.0) if self._waiting else NEVER

    def is_busy(self) -> bool:
        """Whether it has something to do, now or soon."""
        return self.wait_s() < NEVER

    def look_again(self) -> None:
        """Somebody has given a command, which may have been to make it anew."""
        self._phase = None

    def finish(self) -> None:
        """Do all of it, at once."""
        self.look_again()
        while self.is_busy() and self._monotonic() >= self._next:
            self._since = -NEVER
            self.step()

    def is_blamed(self, exc: sqlite3.Error) -> bool:
        """Whether an error is the index's fault, which can be given up: it is in use."""
        if self._phase not in (None, Phase.READY):
            return False
        if getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return self._database.read(search_upkeep.count_parts) >= search_upkeep.TOO_MANY_PARTS
        return search_upkeep.is_index_damage(exc)

    def begin_anew(self, exc: Exception) -> None:
        """Nobody uses the index from now on, and a new one is made."""
        self._database.write(search_upkeep.give_up)
        log.warning("the full-text index in %s is built anew: %s", self._database.path, exc)
        self._set(Phase.EMPTYING)

    # ------------------------------------------------------------------ one step

    def _work(self) -> None:
        if self.wait_s() > 0:
            return
        if self._phase is None:
            self._set(self._database.write(lambda db: search_upkeep.prepare(db, wanted=self._wanted)))
        elif self._phase is Phase.EMPTYING:
            self._empty()
        elif self._waiting and not (self._merging and self._merges_left > 0):
            self._index()
        else:
            self._merge()

    def _set(self, phase: Phase) -> None:
        self._phase = phase
        self._waiting, self._merging = 0, False
        self._ingest.searched_upto = self._database.read(search_upkeep.upto)
        if phase is Phase.READY:
            self._waiting = self._database.read(search_index.behind)
            self._merging = True  # the owner before may have left something

    def _empty(self) -> None:
        done = self._database.write(search_upkeep.empty_some)
        reach("search.emptied")
        if done:
            self._phase = None  # as if it had never been there

    def _index(self) -> None:
        def change(db: sqlite3.Connection) -> Indexed:
            done = search_index.index_some(db)
            reach("search.indexed")
            return done

        done = self._database.write(change)
        self._ingest.searched_upto = done.upto
        reach("search.committed")
        self._merging, self._merges_left = True, MERGES
        self._waiting = max(self._waiting - done.spans, 1) if done.more else 0

    def _must_merge(self) -> bool:
        if self._phase is not Phase.READY or self._monotonic() < self._next:
            return False
        return self._database.read(search_upkeep.count_parts) >= search_upkeep.MANY_PARTS

    def _merge(self) -> None:
        self._merges_left -= 1
        if self._database.read(search_upkeep.is_mostly_dead):
            self._database.write(search_upkeep.give_up)
            self._set(Phase.EMPTYING)
            return
        if not (merging := self._database.write(search_upkeep.merge)):
            must = self._database.read(search_upkeep.must_compact)
            merging = must and self._database.write(search_upkeep.compact)
        self._merging = merging
        reach("search.merged")

    def _hear(self, drained: int) -> None:
        self._ingest.unsearched = 0
        if not self._waiting:
            self._since = self._monotonic()
        self._waiting += drained
