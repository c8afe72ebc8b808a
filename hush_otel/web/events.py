"""Live: one thread looks at the database, and everybody who listens is told what has changed.

Server-sent events (HTML Living Standard, 9.2). A listener that reads slowly is told less often, of all that
has changed meanwhile; nothing waits for it, and nothing piles up. Where nobody listens, nobody looks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from hush_otel.config import Settings
from hush_otel.diagnostics import guard
from hush_otel.errors import PageError
from hush_otel.presentation.changes import NAMED, Changed, Changes, summary

from .answers import error

LISTENERS: Final = 16
"""Open pages. A browser opens six connections to a server, over all its tabs."""

LOOK_S: Final = 0.2
"""Between two looks at the database."""
STATUS_S: Final = 2.0
"""Between two looks at everything else."""
SHARE: Final = 10
"""A look that takes long is followed by a pause of so many times that: it must not take a core."""
PING_S: Final = 15.0
"""Within this something is sent, so that both ends notice when the other is gone."""

Ask: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Has something called in the one thread."""

AGAIN_MS: Final = 2000
"""After this a browser that has lost the connection tries again."""


class Listener:
    """What one open page has not been told yet."""

    def __init__(self) -> None:
        self.wakes = asyncio.Event()
        self._requests: dict[str, None] = {}
        self._more = False
        self._status: dict[str, Any] | None = None

    def tell(self, changed: Changed | None, status: dict[str, Any] | None) -> None:
        """Keep it until it is taken."""
        if changed is not None:
            self._requests.update(dict.fromkeys(changed.requests))
            self._more |= changed.more or len(self._requests) > NAMED
        self._status = status or self._status
        if changed is not None or status is not None:
            self.wakes.set()

    def take(self) -> str:
        """All of it, as events; a comment when there is nothing."""
        parts = []
        if self._requests or self._more:
            found = {"requests": list(self._requests)[:NAMED], "more": self._more}
            parts.append(_event("changed", found))
        if self._status is not None:
            parts.append(_event("status", self._status))
        self._requests, self._more, self._status = {}, False, None
        self.wakes.clear()
        return "".join(parts) or ": still here\n\n"


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {msgspec.json.encode(data).decode()}\n\n"


class _Stream(StreamingResponse):
    """Events; its place is free again when it has ended, also where it never began."""

    def __init__(self, events: AsyncIterator[str], ended: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._when_ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI wants it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._when_ended()


class Events:
    """The endpoint, and the one who looks.

    Args:
        settings: Whose database.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._listeners: set[Listener] = set()
        self._looking: asyncio.Task[None] | None = None
        self._status: dict[str, Any] = {}
        self._ended = asyncio.Event()

    async def endpoint(self, _request: Request) -> Response:
        """Begin to listen."""
        if len(self._listeners) >= LISTENERS:
            return error(PageError(503, f"{LISTENERS} pages listen already", hint="close one"))
        listener = Listener()
        self._listeners.add(listener)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        elif self._status:
            listener.tell(None, self._status)
        return _Stream(self._told(listener), lambda: self._listeners.discard(listener))

    async def close(self) -> None:
        """End all streams, and the looking."""
        self._ended.set()
        for listener in self._listeners:
            listener.wakes.set()
        if self._looking is not None:
            await self._looking

    async def _told(self, listener: Listener) -> AsyncIterator[str]:
        yield f"retry: {AGAIN_MS}\n\n"
        while not self._ended.is_set():
            await _within(listener.wakes, PING_S)
            yield listener.take()

    async def _look(self) -> None:
        """While anybody listens. All looks are made by one thread, to which the reader belongs."""
        changes, next_status = Changes(self._settings), 0.0
        with ThreadPoolExecutor(1, "hush-events") as thread:
            ask = partial(asyncio.get_running_loop().run_in_executor, thread)
            while self._listeners and not self._ended.is_set():
                began = time.monotonic()
                await self._tell_changes(ask, changes)
                pause = max(LOOK_S, (time.monotonic() - began) * SHARE)
                if began >= next_status:
                    took = -time.monotonic()
                    await self._tell_status(ask)
                    took += time.monotonic()
                    next_status = began + max(STATUS_S, took * SHARE)
                await _within(self._ended, pause)
            self._looking, self._status = None, {}
            await ask(changes.close)

    async def _tell_changes(self, ask: Ask, changes: Changes) -> None:
        with guard("looking what has changed, for the page"):
            changed = await ask(changes.look)
            for listener in self._listeners:
                listener.tell(changed, None)

    async def _tell_status(self, ask: Ask) -> None:
        with guard("looking how everything is, for the page"):
            status = await ask(partial(summary, self._settings))
            if status != self._status:
                self._status = status
                for listener in self._listeners:
                    listener.tell(None, status)


async def _within(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        pass
