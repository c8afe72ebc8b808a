"""How a question becomes an answer: a reader of its own in a worker thread, JSON, errors for people.

The event loop never reads the database, never encodes and never compresses: a question that takes long holds
one thread, and nobody else. Threads are few, a query has a time limit, and an answer is complete before its
first byte is sent, so that a client that reads slowly holds memory and no thread.
"""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias
from urllib.parse import unquote

import anyio
import anyio.to_thread
import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from hush_otel.config import Settings
from hush_otel.errors import ConfigError, HushError, PageError, StoreError
from hush_otel.store.reading import Reader

QUERY_S: Final = 5.0
"""The longest that one query may run."""

THREADS: Final = 8
"""Questions that are answered at once; the others wait. Readers of SQLite do not hinder each other."""
SLOW_THREADS: Final = 2

ZIP_FROM_BYTES: Final = 32 * 1024
"""Below it, compressing takes longer than sending."""
ZIP_LEVEL: Final = 1
"""Three quarters of what the best level saves, in a tenth of its time."""

BODY_BYTES: Final = 64 * 1024
"""Of what is asked by POST."""

Answer: TypeAlias = "Response | Mapping[str, object]"


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question.

    Attributes:
        settings: Whose database.
        path: What stands in the braces of the route, decoded.
        query: Behind the question mark; of a key that stands there twice, the last.
        body: The object of a POST; empty otherwise.
    """

    settings: Settings
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, object] = field(default_factory=dict)

    def reader(self, time_limit_s: float = QUERY_S) -> Reader:
        """The database, for this question alone.

        Args:
            time_limit_s: The longest that one query may run.

        Raises:
            StoreError: There is none, or it cannot be read.
        """
        return Reader(self.settings.db_path, time_limit_s=time_limit_s)

    def whole(self, key: str, default: int, *, least: int = 1, most: int) -> int:
        """A whole number of the query; what is above `most` is `most`.

        Raises:
            PageError: It is none, or too small.
        """
        text = self.query.get(key)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal()) or int(text[:18]) < least:
            raise PageError(400, f"{key}={text[:40]!r} is no number from {least} on")
        return min(int(text[:18]), most)


Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class Desk:
    """Makes endpoints of functions that answer, for one database.

    Args:
        settings: Whose database.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limiters: dict[bool, anyio.CapacityLimiter] = {}

    def endpoint(self, answer: Callable[[Question], Answer], *, slow: bool = False) -> Endpoint:
        """What Starlette calls: reads the body, answers in a thread.

        Args:
            answer: Called in the thread.
            slow: It waits for another process, or writes a file, so that it must not take a thread from
                those that read.
        """

        async def ask(request: Request) -> Response:
            try:
                body = await _body(request) if request.method == "POST" else {}
            except PageError as exc:
                return error(exc)
            question = Question(
                settings=self._settings,
                path={name: unquote(value) for name, value in request.path_params.items()},
                query=dict(request.query_params),
                body=body,
            )
            zips = "gzip" in request.headers.get("accept-encoding", "")
            work = partial(_answered, answer, question, zips=zips)
            return await anyio.to_thread.run_sync(work, limiter=self._threads(slow=slow))

        return ask

    def _threads(self, *, slow: bool) -> anyio.CapacityLimiter:
        if slow not in self._limiters:  # belongs to the event loop that is running now
            self._limiters[slow] = anyio.CapacityLimiter(SLOW_THREADS if slow else THREADS)
        return self._limiters[slow]


async def _body(request: Request) -> dict[str, object]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise PageError(415, "the body is not application/json")
    received = bytearray()
    try:
        async for part in request.stream():
            received += part
            if len(received) > BODY_BYTES:
                raise PageError(413, f"the body is larger than {BODY_BYTES} bytes")
        found: dict[str, object] = msgspec.json.decode(received, type=dict[str, object])
    except ClientDisconnect:
        raise PageError(400, "the body ended early") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise PageError(400, f"the body is no JSON object: {exc}") from None
    return found


def _answered(answer: Callable[[Question], Answer], question: Question, *, zips: bool) -> Response:
    try:
        found = answer(question)
    except HushError as exc:
        return error(exc)
    if isinstance(found, Response):
        return found
    return to_json(found, zips=zips)


def to_json(value: object, status: int = 200, *, zips: bool = False) -> Response:
    """An answer in JSON. What JSON cannot say (infinities) is null in it."""
    body = msgspec.json.encode(value)
    headers = {"Content-Type": "application/json", "Vary": "Accept-Encoding"}
    if zips and len(body) >= ZIP_FROM_BYTES:
        body = gzip.compress(body, ZIP_LEVEL, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(body, status, headers)


def error(exc: HushError) -> Response:
    """What went wrong, for people: ``{"error": {"message", "hint"}}``."""
    return to_json({"error": {"message": exc.message, "hint": exc.hint}}, _status(exc))


def _status(exc: HushError) -> int:
    if isinstance(exc, PageError):
        return exc.status
    if isinstance(exc, ConfigError):
        return 400
    return 503 if isinstance(exc, StoreError) else 502
