"""The server's process: a listening socket, uvicorn on it, an end on a signal."""

from __future__ import annotations

import errno
import logging
import signal
import socket
from collections.abc import Mapping
from types import FrameType, MappingProxyType
from typing import Final

import uvicorn

from hush_otel.config import Settings
from hush_otel.errors import ConfigError
from hush_otel.presentation.sharing import Form

from .auth import Door
from .connections import WAITING, Connection
from .events import Events
from .routes import application

WORKING: Final = 100
"""Connections on which a request is answered, at once; a browser opens six, of which one is for events."""

REQUEST_HEAD_BYTES: Final = 16 * 1024
"""Of a request's line and headers: an id may have a thousand characters, each written as three."""

GOODBYE_S: Final = 1
"""How long answers that are under way may take at the end."""

BACKLOG: Final = 128

NO_FORMS: Final[Mapping[str, Form]] = MappingProxyType({})


class PageServer:
    """Listens from its construction on; `run` answers until `stop` or a signal.

    Args:
        settings: Whose database.
        host: Where to listen.
        port: The same; 0 takes any that is free.
        forms: In which a request can be given away, by name (`presentation.files.SHARED_AS`).

    Raises:
        ConfigError: It cannot listen there.
    """

    def __init__(
        self,
        settings: Settings,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        forms: Mapping[str, Form] = NO_FORMS,
    ) -> None:
        self._socket = _listening(host, port)
        self.door = Door(host=host, port=self._socket.getsockname()[1])
        events = Events(settings)
        config = uvicorn.Config(
            application(settings, self.door, events, forms),
            http=Connection,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,  # a library that configures no logging; and no log has the token
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=WORKING + WAITING,
            h11_max_incomplete_event_size=REQUEST_HEAD_BYTES,
            timeout_graceful_shutdown=GOODBYE_S,
        )
        self._server = _Server(config, events)

    def run(self) -> None:
        """Answer. Returns after `stop`, and in the main thread after SIGINT or SIGTERM."""
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()

    def stop(self) -> None:
        """Have `run` return. From any thread."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """Ends the streams of events first: they would outlast every patience."""

    def __init__(self, config: uvicorn.Config, events: Events) -> None:
        super().__init__(config)
        self._events = events

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._events.close()
        await super().shutdown(sockets)


def end_quietly(server: PageServer) -> None:
    """SIGINT and SIGTERM end `run`, also before it has begun, and nothing else.

    uvicorn listens to them while it runs, and raises them once more when it has ended.
    """

    def stop(_signal: int, _frame: FrameType | None) -> None:
        server.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
    except OSError as exc:
        raise ConfigError(f"cannot listen on {host}: {exc.strerror or exc}", hint="check --host") from exc
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except OSError as exc:
        found.close()
        absent = exc.errno == errno.EADDRNOTAVAIL
        hint = (
            "no interface of this machine has it: check --host"
            if absent
            else "--port 0 takes any port that is free"
        )
        raise ConfigError(f"cannot listen on {host}:{port}: {exc.strerror or exc}", hint=hint) from exc
    return found
