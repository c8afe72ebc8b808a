"""Waiting in tests: the only place that pauses. Always a condition with a deadline, never a hope."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.02


def eventually(
    look: Callable[[], T], timeout_s: float = 20.0, *, what: str = "the condition", poll_s: float = POLL_S
) -> T:
    """Poll until `look()` gives something true, and return it.

    Args:
        look: Asked about fifty times a second; an AssertionError counts as "not yet".
        timeout_s: Generous: it bounds a failing test, not a passing one.
        what: For the message.
        poll_s: Longer where a look is dear.

    Raises:
        AssertionError: Not within `timeout_s`; the message carries the last answer.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            answer: object = look()
            if answer:
                return answer  # type: ignore[return-value]
        except AssertionError as exc:
            answer = exc
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout_s:g} s for {what}; last answer: {answer!r}")
        time.sleep(poll_s)


def stays(look: Callable[[], object], for_s: float, *, what: str = "the condition") -> None:
    """Assert that `look()` is true all the time for `for_s` seconds."""
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        assert look(), f"{what} did not stay true for {for_s:g} s"
        time.sleep(POLL_S)


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run `work(number)` in so many threads, and wait."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextmanager
def held_port() -> Iterator[int]:
    """A port of 127.0.0.1 where nobody listens, and which the system gives to nobody else meanwhile.

    The port of a receiver that was closed may be another test's receiver a moment later. Whoever sets SO_REUSEADDR,
    as every server here does, can listen on this one.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@contextmanager
def refused() -> Iterator[str]:
    """An endpoint where nobody listens."""
    with held_port() as port:
        yield f"http://127.0.0.1:{port}"
