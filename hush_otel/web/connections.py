"""Connections that say nothing: how long they may, and how many, so that nobody shuts the owner out.

A connection *waits* from its beginning, and from the end of each answer, until the head of a request is
whole. Whoever can connect can have it wait, without a token. One that works has sent a head, which the gate
has let through or has answered already. So only those that wait are bounded, and where one more comes, the
oldest goes: the owner's browser sends its head at once.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S: Final = 10.0
"""Within this a head is whole, however slowly it comes. uvicorn ends what is quiet after an answer sooner."""

WAITING: Final = 64
"""At once. A browser keeps six connections to a server, over all its tabs."""


class Connection(H11Protocol):
    """One connection, as uvicorn's event loop has it."""

    waits_since: float | None = None
    """By the loop's clock; None while a request is answered."""
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It waits; the one that has waited longest makes room."""
        super().connection_made(transport)
        self._note()
        waiting = [it for it in self.connections if isinstance(it, Connection) and it.waits_since is not None]
        if len(waiting) > WAITING:
            min(waiting, key=lambda it: it.waits_since or 0.0).leave()

    def data_received(self, data: bytes) -> None:
        """A head may be whole now."""
        super().data_received(data)
        self._note()

    def on_response_complete(self) -> None:
        """It waits again, unless the next request is there already."""
        super().on_response_complete()
        self._note()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to wait for."""
        super().connection_lost(exc)
        self._stop_waiting()

    def leave(self) -> None:
        """Close it: it has waited long enough."""
        self._stop_waiting()
        self.transport.close()

    def _note(self) -> None:
        works = self.cycle is not None and not self.cycle.response_complete
        if works or self.transport.is_closing():
            self._stop_waiting()
        elif self.waits_since is None:
            self.waits_since = self.loop.time()
            self._deadline = self.loop.call_later(HEAD_S, self.leave)

    def _stop_waiting(self) -> None:
        self.waits_since = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
