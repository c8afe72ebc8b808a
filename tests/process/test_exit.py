"""The application leaves the usual way: quickly, whatever the receivers do, and with all it recorded."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from bench import Bench, names
from support import eventually, refused

ALLOWED_S = 1.0


@contextmanager
def mute() -> Iterator[str]:
    """An endpoint that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def exit_time_s(bench: Bench, *args: str) -> float:
    """From the end of main to the end of the process."""
    app = bench.start("leave", *args)
    ended = app.value()
    assert app.wait() == 0
    return time.monotonic() - ended


@pytest.mark.alone
@pytest.mark.parametrize("receiver", [refused, mute])
def test_exit_takes_at_most_a_second_while_the_destination_is_down(bench: Bench, receiver) -> None:
    """Against the same script without hush; all is stored, and still owed to the receiver."""
    without_s = exit_time_s(bench, "plain")
    with receiver() as endpoint:
        with_s = exit_time_s(bench, "hush", endpoint)
        assert with_s - without_s <= ALLOWED_S
        bench.expect(names("a", 1_000))
        assert bench.rows("SELECT DISTINCT state FROM deliveries WHERE state = 'delivered'") == []


@pytest.mark.parametrize("last", ["flush", "shutdown", "cut"])
def test_f04_a_finaliser_does_not_wait_for_a_thread_that_is_no_more(bench: Bench, last: str) -> None:
    """The end of the interpreter has stopped a daemon thread in the midst of an append: nobody gives its lock back."""
    assert bench.run("frozen", last) == ["done"]


def test_f04_spans_ended_while_the_interpreter_shuts_down_are_stored(bench: Bench) -> None:
    """In atexit handlers on both sides of the SDK's, in daemon threads, and in __del__ after these have gone.

    They are ended in the midst of an append: whatever they held then must not stop the finaliser.
    """
    assert bench.run("last_words") == ["done"]
    eventually(
        lambda: not bench.processes() and not bench.spool.segments(),
        what="an idle exit, after which nothing is left to store",
    )
    rare = {"registered-first-0", "registered-last-0", "finaliser-0", "main-0"}
    ended = bench.names()
    daemon = Counter(name.partition("-")[0] for name in set(ended) - rare)
    assert set(daemon) == {f"daemon{i}" for i in range(4)}
    expected = rare.union(*(names(prefix, count) for prefix, count in daemon.items()))
    assert ended == dict.fromkeys(expected, 1)
