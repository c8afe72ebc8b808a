"""Several destinations: each has its own queue, its own retries and its own progress.

Source: OTLP specification, "Multi-Destination Exporting". What a hostile receiver does to its own delivery is
in test_otlp_http.py and test_otlp_grpc.py; here its neighbours are looked at.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from certificates import Certificate
from inprocess import rows
from receivers import HTTP, before, receiving
from relaying import Yard
from support import held_port
from test_otlp_http import Drip, raw_server, read_request

from hush_otel import Destination
from hush_otel.background.lanes import Lane
from hush_otel.background.settling import LONGEST_BACKOFF_S
from hush_otel.store.outbox import Delivery
from hush_otel.testing import OtlpReceiver

GIB = 1024**3
AT_ONCE_S = 5.0
"""More than storing and a delivery take on a busy machine, much less than TIMEOUT_S."""
TIMEOUT_S = 60.0


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    """A database and its relay."""
    with Yard(tmp_path / "t.db") as one:
        yield one


@pytest.fixture
def good() -> Iterator[OtlpReceiver]:
    """A receiver that accepts everything."""
    with OtlpReceiver() as running:
        yield running


def at(endpoint: str, name: str, **options: object) -> Destination:
    """A destination of a name."""
    return Destination("otlp", name=name, endpoint=endpoint, **options)  # type: ignore[arg-type]


def states(yard: Yard, name: str) -> Counter[str]:
    """The deliveries of one destination."""
    sql = "SELECT state FROM deliveries WHERE destination = ?"
    return Counter(state for (state,) in rows(yard.path, sql, name))


def names(receiver: OtlpReceiver) -> Counter[str]:
    """How often each span was accepted."""
    return Counter(span.name for span in receiver.spans())


# One good destination beside others that are not.


def test_otlp9_a_dead_a_slow_and_a_refusing_destination_are_nobody_elses_business(
    yard: Yard, good: OtlpReceiver
) -> None:
    """Twenty requests to five destinations: the good one has each of them at once, every other its own fate."""
    release = threading.Event()
    with (
        held_port() as port,
        OtlpReceiver() as slow,
        OtlpReceiver() as refusing,
        OtlpReceiver() as locked,
    ):
        before(slow, lambda: release.wait(TIMEOUT_S))
        refusing.respond(404)
        locked.respond(401)
        five = (
            at(f"http://127.0.0.1:{port}", "dead"),
            at(slow.endpoint, "slow", timeout_s=TIMEOUT_S),
            at(refusing.endpoint, "refusing"),
            at(locked.endpoint, "locked"),
            at(good.endpoint, "good"),
        )
        for number in range(20):
            began = time.monotonic()
            yard.take([f"s{number}"], *five)
            yard.queue()
            yard.run_until(lambda n=number: len(good.spans()) == n + 1, "the good destination")  # type: ignore[misc]
            assert time.monotonic() - began < AT_ONCE_S
        yard.run_until(
            lambda: (
                states(yard, "good")["delivered"] == states(yard, "refusing")["dead"] == 20
                and states(yard, "dead") == {"pending": 20}
                and states(yard, "locked") == {"paused": 20}
            ),
            "what is settled at once",
        )
        assert set(states(yard, "slow")) == {"sending", "pending"}
        release.set()
        yard.run_until(lambda: states(yard, "slow") == {"delivered": 20}, "the slow destination")
        with OtlpReceiver(port) as back:
            yard.time.pass_by(LONGEST_BACKOFF_S)
            yard.run_until(lambda: states(yard, "dead") == {"delivered": 20}, "the dead one, back again")
            assert names(back) == names(slow) == names(good) == {f"s{n}": 1 for n in range(20)}
        for one in five:
            assert yard.ledger_balances(one.name)


def test_otlp9_a_destination_that_gets_no_thread_keeps_no_other_from_its_own(
    yard: Yard, good: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes after it in the same step is served; it is told, and tried again."""
    real = Lane.submit

    def submit(self: Lane, deliveries: Sequence[Delivery], *, alone: bool = False) -> None:
        if self.state.config.name == "first":
            raise RuntimeError("can't start new thread")
        real(self, deliveries, alone=alone)

    first = Destination("file", name="first", path=str(yard.path.with_name("first.jsonl")))
    yard.take(["root"], first, Destination("otlp", name="second", endpoint=good.endpoint))
    yard.queue()
    with monkeypatch.context() as patch:
        patch.setattr(Lane, "submit", submit)
        with pytest.raises(RuntimeError):
            yard.relay.step()
        assert yard.relay._sending == 1
    yard.settle()
    assert yard.states() == {"delivered": 2}


def test_otlp9_one_destinations_retry_after_holds_no_other(yard: Yard, good: OtlpReceiver) -> None:
    """Holds, failures and attempts belong to one destination."""
    with OtlpReceiver() as busy:
        busy.respond(429, {"Retry-After": "1200"})
        for number in range(3):
            yard.take([f"s{number}"], at(busy.endpoint, "busy"), at(good.endpoint, "good"))
            yard.deliver()
        assert len(busy.requests) == 1
    assert states(yard, "good") == {"delivered": 3}
    assert yard.destination("busy")["failures"] == 1
    assert (yard.destination("good")["failures"], yard.destination("good")["hold_until"]) == (0, 0)


def test_otlp9_a_refusal_by_one_destination_divides_no_other_ones_delivery(
    yard: Yard, good: OtlpReceiver
) -> None:
    """A poison span for one receiver is a span like any other for the next."""
    with OtlpReceiver() as strict:
        strict.respond(400)
        yard.take(["a", "b", "c"], at(strict.endpoint, "strict"), at(good.endpoint, "good"))
        yard.deliver()
    assert states(yard, "strict") == {"dead": 1}
    assert states(yard, "good") == {"delivered": 1}
    assert names(good) == {"a": 1, "b": 1, "c": 1}


def test_otlp9_a_destination_that_was_behind_goes_on_where_it_was(yard: Yard, good: OtlpReceiver) -> None:
    """A restart changes no destination's progress: what one has is not sent to it again for another's sake."""
    with OtlpReceiver() as late:
        late.respond(503)
        for number in range(3):
            yard.take([f"s{number}"], at(late.endpoint, "late"), at(good.endpoint, "good"))
            yard.deliver()
        yard.restart()
        late.respond(200)
        yard.time.pass_by(LONGEST_BACKOFF_S)
        yard.settle()
        assert names(late) == names(good) == {"s0": 1, "s1": 1, "s2": 1}
        assert len(good.requests) == 3


# Receivers that misbehave.


def silent(connection: socket.socket) -> None:
    """Read the request and say nothing."""
    read_request(connection)
    connection.recv(1)


def resetting(connection: socket.socket) -> None:
    """Read the request and cut the connection hard."""
    read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def chattering(connection: socket.socket) -> None:
    """Answer with headers that never end."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")


class Gusher:
    """Answers with a body of a gigabyte, and counts what is taken of it."""

    def __init__(self, status: bytes) -> None:
        self.taken = 0
        self._status = status

    def __call__(self, connection: socket.socket) -> None:
        """Serve one connection."""
        read_request(connection)
        connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (self._status, GIB))
        for _ in range(GIB // 65536):
            connection.sendall(bytes(65536))
            self.taken += 65536


@contextmanager
def misbehaving(serve: Callable[[socket.socket], None]) -> Iterator[Destination]:
    """A destination whose receiver does that."""
    with raw_server(serve) as endpoint:
        yield at(endpoint, "bad", timeout_s=0.5)


@contextmanager
def dripping(prefix: bytes) -> Iterator[Destination]:
    """One byte every 50 ms."""
    stop = threading.Event()
    with misbehaving(Drip(prefix, stop)) as bad:
        yield bad
        stop.set()


def beside(yard: Yard, good: OtlpReceiver, bad: Destination) -> tuple[str, str]:
    """Send one request to both, wait for both; state and words of the bad one's delivery."""
    began = time.monotonic()
    yard.take(["a"], bad, at(good.endpoint, "good"))
    yard.deliver()
    assert time.monotonic() - began < AT_ONCE_S
    assert names(good) == {"a": 1}
    assert states(yard, "good") == {"delivered": 1}
    sql = "SELECT state, coalesce(last_error, '') FROM deliveries WHERE destination = 'bad'"
    ((state, words),) = rows(yard.path, sql)
    return state, words


@pytest.mark.parametrize("serve", [silent, resetting, chattering], ids=lambda serve: serve.__name__)
def test_f31_a_receiver_that_hangs_resets_or_chatters_is_tried_again(
    yard: Yard, good: OtlpReceiver, serve: Callable[[socket.socket], None]
) -> None:
    """The attempt is bounded, the outcome unknown: the delivery waits for another try."""
    with misbehaving(serve) as bad:
        assert beside(yard, good, bad)[0] == "pending"


@pytest.mark.parametrize(
    "prefix", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"], ids=["head", "body"]
)
def test_f31_a_receiver_that_drips_is_tried_again(yard: Yard, good: OtlpReceiver, prefix: bytes) -> None:
    """A byte every 50 ms resets no deadline."""
    with dripping(prefix) as bad:
        assert beside(yard, good, bad)[0] == "pending"


@pytest.mark.parametrize(("status", "state"), [(b"200 OK", "delivered"), (b"404 Not Found", "dead")])
def test_f31_a_receiver_that_answers_a_gigabyte_is_read_for_a_megabyte(
    yard: Yard, good: OtlpReceiver, status: bytes, state: str
) -> None:
    """The status counts; of the body no more is taken than the bound and what the kernel buffers."""
    gusher = Gusher(status)
    with raw_server(gusher) as endpoint:
        assert beside(yard, good, at(endpoint, "bad"))[0] == state
    assert gusher.taken < GIB // 16


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_f31_a_receiver_that_redirects_is_not_followed(yard: Yard, good: OtlpReceiver, status: int) -> None:
    """Not even to a destination that would take it: the credentials were meant for this one."""
    with OtlpReceiver() as elsewhere, OtlpReceiver() as redirecting:
        redirecting.respond(status, {"Location": f"{elsewhere.endpoint}/v1/traces"})
        bad = at(redirecting.endpoint, "bad", headers={"authorization": "Bearer t0ken-of-this-one"})
        state, words = beside(yard, good, bad)
        assert (state, elsewhere.requests) == ("dead", [])
        assert f"answered {status}" in words


def test_f31_a_receiver_with_a_bad_certificate_pauses(
    yard: Yard, good: OtlpReceiver, certificate: Certificate
) -> None:
    """Nothing is sent to somebody who does not prove who he is."""
    with receiving(HTTP, certificate) as imposter:
        state, words = beside(yard, good, at(imposter.endpoint, "bad"))
        assert (state, imposter.bodies()) == ("paused", [])
        assert "certificate" in words
