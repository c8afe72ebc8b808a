"""How a command has something changed: it asks the background process, the one writer of the database.

What is asked is a record in the spool: durable once it is written, in order, applied exactly once, whether a
background process runs by then or not. Whoever asks starts one, unless HUSH_BACKGROUND says that somebody
else does, and waits for the answer.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Self, TypeVar

import msgspec

from hush_otel import records
from hush_otel.codec import MAX_RECORD_BYTES, encode
from hush_otel.config import Settings
from hush_otel.errors import HushError
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.filesystem import append_mode
from hush_otel.spool.process import is_stopped
from hush_otel.spool.writer import SpoolWriter
from hush_otel.store.reading import Reader

from .client import BackgroundClient, owner_of_another_spool, owner_pid

ANSWER_S: Final = 30.0
"""How long to wait for an answer: the background process may have a backlog before it."""
POLL_S: Final = 0.02
AHEAD: Final = 4
"""Commands in the spool without an answer: enough to keep the background process busy, and no backlog that
its other work would wait for."""
ENSURE_S: Final = 0.5
"""Between two looks whether somebody works: a launch takes a few hundred milliseconds."""

STOPPED_S: Final = 3.0
"""Longer than what stops a process for a moment: a debugger, a snapshot."""

T = TypeVar("T")


class Asking:
    """A short-lived writer that has commands applied. A context manager; one thread.

    Args:
        settings: Whose database.
        reader: To see the answers.

    Raises:
        HushError: Another spool is drained into this database, or this one cannot be used.
    """

    def __init__(self, settings: Settings, reader: Reader) -> None:
        if settings.background == "thread":
            # A thread of this process would end with the command, in the midst of what it delivers.
            settings = dataclasses.replace(settings, background="process")
        other = owner_of_another_spool(settings)
        if other is not None:
            raise HushError(
                f"{settings.db_path} is worked on by process {other[1]} from the spool {other[0]}",
                hint="HUSH_SPOOL_DIR is not what it has there",
            )
        self._settings = settings
        self._reader = reader
        self._client = BackgroundClient(settings)
        self._next_ensure = 0.0
        self._stopped_at: float | None = None
        mode = append_mode(settings.spool_dir, key="HUSH_SPOOL_DIR", force=settings.force_filesystem)
        directory = SpoolDirectory(settings.spool_dir)
        self._writer = SpoolWriter(directory, mode, settings.spool_max_bytes, self._client.ensure)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.release()

    def send(self, name: str, arguments: dict[str, Any]) -> bytes:
        """Put a command into the spool; returns the id of its answer. From here on it will be applied.

        Raises:
            HushError: There is no room for it.
        """
        number = os.urandom(16)
        payload, cut = encode((records.COMMAND, time.time_ns(), number, name, arguments))
        if cut or len(payload) > MAX_RECORD_BYTES or not self._writer.append(payload):
            raise HushError(
                f"cannot write the command {name} into the spool {self._settings.spool_dir}",
                hint="it is full, or there is no room on the disk; see `hush-otel status`",
            )
        self._writer.ring()
        return number

    def answer(self, number: bytes, name: str, timeout_s: float = ANSWER_S) -> dict[str, Any]:
        """Wait for what came of a command.

        Raises:
            HushError: It was refused, or not applied in time; then it will be later.
        """
        result = self.wait(lambda: self._reader.row("command", id=number), timeout_s)
        if result is None:
            raise HushError(f"{name} is not applied yet", hint=self._why())
        found: dict[str, Any] = msgspec.json.decode(result["result"])
        if "error" in found:
            raise HushError(f"{name}: {found['error']}")
        return found

    def answers(
        self, name: str, many: Iterable[dict[str, Any]]
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Have many commands of one name applied, in order: the arguments of each, and what came of it.

        Raises:
            HushError: As `send` and `answer`.
        """
        waiting = deque[tuple[dict[str, Any], bytes]]()
        for arguments in many:
            waiting.append((arguments, self.send(name, arguments)))
            if len(waiting) > AHEAD:
                arguments, number = waiting.popleft()  # noqa: PLW2901 - the oldest
                yield arguments, self.answer(number, name)
        for arguments, number in waiting:
            yield arguments, self.answer(number, name)

    def wait(self, look: Callable[[], T | None], timeout_s: float) -> T | None:
        """Poll until `look()` gives something, while somebody works on the spool; None at the timeout.

        Raises:
            HushError: Who should work was stopped, and is not let go on for `STOPPED_S`.
        """
        deadline = time.monotonic() + timeout_s
        while (found := look()) is None:
            now = time.monotonic()
            if now >= deadline or self._is_in_vain():
                return look()  # it may have been done since
            if now >= self._next_ensure:
                self._next_ensure = now + ENSURE_S
                self._refuse_stopped(now)
                self.ensure()
                self._writer.ring()
            time.sleep(min(POLL_S, max(deadline - now, 0)))
        return found

    def ensure(self) -> None:
        """See that somebody works, unless HUSH_BACKGROUND=external says that somebody else sees to it."""
        self._client.ensure()

    def _refuse_stopped(self, now: float) -> None:
        pid = owner_pid(self._settings)
        if pid is None or not is_stopped(pid):
            self._stopped_at = None
        elif self._stopped_at is None:
            self._stopped_at = now
        elif now - self._stopped_at >= STOPPED_S:
            raise HushError(
                f"the background process of {self._settings.db_path}, pid {pid}, is stopped",
                hint=f"kill -CONT {pid}; what was asked waits in the spool and is done then",
            )

    def _is_in_vain(self) -> bool:
        return self._settings.background == "external" and owner_pid(self._settings) is None

    def _why(self) -> str:
        if self._is_in_vain():
            return (
                "it waits in the spool; nobody works on it: start `hush-otel run`, or `hush-otel drain` once"
            )
        return "it waits in the spool and will be; see `hush-otel status`"
