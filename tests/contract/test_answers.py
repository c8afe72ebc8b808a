"""What becomes of a delivery by what the receiver answers: every HTTP status class, every gRPC code.

Sources: OTLP specification, "OTLP/gRPC Response" and "OTLP/HTTP Response" (failures, throttling, partial
success). What one request makes of an answer is in test_otlp_http.py and test_otlp_grpc.py; here the relay
acts on it, with its store, and the receiver counts what it gets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner
from grpc_receiver import GrpcReceiver
from inprocess import rows
from receivers import GRPC, HTTP, PROTOCOLS, lab, receiving, span_names
from relaying import Yard

from hush_otel import Destination
from hush_otel.background.settling import LONGEST_BACKOFF_S, PROBE_S
from hush_otel.cli import main
from hush_otel.testing import OtlpReceiver

CODE = grpc.StatusCode
MOMENT_S = 0.01
LATER_S = 2 * max(LONGEST_BACKOFF_S, PROBE_S)
"""Whatever is tried again by itself has been tried by then."""


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    """A database and its relay."""
    with Yard(tmp_path / "t.db") as one:
        yield one


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """Over HTTP; accepts everything until told otherwise."""
    with OtlpReceiver() as running:
        yield running


@pytest.fixture
def grpc_receiver() -> Iterator[GrpcReceiver]:
    """The same over gRPC."""
    with GrpcReceiver() as running:
        yield running


def over_http(receiver: OtlpReceiver) -> Destination:
    """The receiver as a destination."""
    return Destination("otlp", name="lab", endpoint=receiver.endpoint)


def over_grpc(receiver: GrpcReceiver) -> Destination:
    """The same."""
    return Destination("otlp", name="lab", endpoint=receiver.endpoint, protocol=GRPC)


# Which answers ask for another try.

RETRYABLE = {429, 502, 503, 504}
NEED_A_PERSON = {401, 403}
PERMANENT = sorted(
    {int(status) for status in HTTPStatus if status >= 300} - RETRYABLE - NEED_A_PERSON | {599}
)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_f32_2xx_is_delivered_and_not_sent_again(yard: Yard, receiver: OtlpReceiver, status: int) -> None:
    """Accepted is settled."""
    receiver.respond(status)
    assert after_the_answer(yard, over_http(receiver)) == "delivered"
    assert in_the_end(yard) == "delivered"
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", sorted(RETRYABLE))
def test_f32_429_502_503_504_are_tried_again(yard: Yard, receiver: OtlpReceiver, status: int) -> None:
    """They say "not now": the delivery waits, and arrives once."""
    receiver.respond(status, times=1)
    assert after_the_answer(yard, over_http(receiver)) == "pending"
    assert in_the_end(yard) == "delivered"
    assert [request.status for request in receiver.requests] == [status, 200]


@pytest.mark.parametrize("status", sorted(NEED_A_PERSON))
def test_f32_401_403_pause_and_lose_nothing(yard: Yard, receiver: OtlpReceiver, status: int) -> None:
    """The key is wrong, not the spans: they wait, and arrive when it is right."""
    receiver.respond(status, times=1)
    assert after_the_answer(yard, over_http(receiver)) == "paused"
    assert str(status) in yard.destination()["paused"]
    assert in_the_end(yard) == "delivered"


@pytest.mark.parametrize("status", PERMANENT)
def test_f32_every_other_status_is_final(yard: Yard, receiver: OtlpReceiver, status: int) -> None:
    """A 302 is no success, a 500 no request for another try: dead, with what was answered, and never sent again."""
    receiver.respond(status)
    assert after_the_answer(yard, over_http(receiver)) == "dead"
    assert f"answered {status}" in yard.errors("dead")[0]
    sent = len(receiver.requests)
    receiver.respond(200)
    assert in_the_end(yard) == "dead"
    assert len(receiver.requests) == sent
    assert yard.ledger_balances()


GRPC_FATES = {
    CODE.OK: ("delivered", "delivered"),
    CODE.CANCELLED: ("pending", "delivered"),
    CODE.DEADLINE_EXCEEDED: ("pending", "delivered"),
    CODE.ABORTED: ("pending", "delivered"),
    CODE.OUT_OF_RANGE: ("pending", "delivered"),
    CODE.UNAVAILABLE: ("pending", "delivered"),
    CODE.DATA_LOSS: ("pending", "delivered"),
    CODE.UNAUTHENTICATED: ("paused", "delivered"),
    CODE.PERMISSION_DENIED: ("paused", "delivered"),
    CODE.UNKNOWN: ("dead", "dead"),
    CODE.INVALID_ARGUMENT: ("dead", "dead"),
    CODE.NOT_FOUND: ("dead", "dead"),
    CODE.ALREADY_EXISTS: ("dead", "dead"),
    CODE.FAILED_PRECONDITION: ("dead", "dead"),
    CODE.RESOURCE_EXHAUSTED: ("dead", "dead"),
    CODE.UNIMPLEMENTED: ("dead", "dead"),
    CODE.INTERNAL: ("dead", "dead"),
}
"""What becomes of a delivery of one span at once, and after the receiver is well again."""


def test_f32_every_code_of_grpc_has_its_fate() -> None:
    """The table below the next test is whole."""
    assert set(GRPC_FATES) == set(CODE)


@pytest.mark.parametrize("code", CODE, ids=lambda code: code.name)
def test_f32_grpc_codes(yard: Yard, grpc_receiver: GrpcReceiver, code: grpc.StatusCode) -> None:
    """The seven codes that ask for another try get one; two wait for a person; the others are final."""
    grpc_receiver.respond(code, "words")
    at_once, in_time = GRPC_FATES[code]
    assert after_the_answer(yard, over_grpc(grpc_receiver)) == at_once
    sent = len(grpc_receiver.calls)
    grpc_receiver.respond(CODE.OK)
    assert in_the_end(yard) == in_time
    assert len(grpc_receiver.calls) == sent + (at_once in {"pending", "paused"})
    assert yard.ledger_balances()


def after_the_answer(yard: Yard, destination: Destination) -> str:
    """The state of a delivery of one span after one attempt."""
    yard.take(["only"], destination)
    yard.deliver()
    return state(yard)


def in_the_end(yard: Yard) -> str:
    """Its state after everything that happens by itself."""
    yard.time.pass_by(LATER_S)
    yard.settle()
    return state(yard)


def state(yard: Yard) -> str:
    """Of the only delivery."""
    ((found, _),) = yard.deliveries()
    return str(found)


# How long the receiver asks to wait.


@pytest.mark.parametrize("asked_s", [60, 1200])
@pytest.mark.parametrize("status", sorted(RETRYABLE))
def test_f32_retry_after_in_seconds_is_kept_to_the_moment(
    yard: Yard, receiver: OtlpReceiver, status: int, asked_s: int
) -> None:
    """Nothing before that, whatever the backoff says; then at once."""
    receiver.respond(status, {"Retry-After": str(asked_s)}, times=1)
    after_the_answer(yard, over_http(receiver))
    yard.time.pass_by(asked_s - MOMENT_S)
    yard.settle()
    assert len(receiver.requests) == 1
    yard.time.pass_by(2 * MOMENT_S)
    yard.settle()
    assert state(yard) == "delivered"


def test_f32_retry_after_as_a_date_is_kept(yard: Yard, receiver: OtlpReceiver) -> None:
    """An HTTP date says when; it has whole seconds, so a second is left to it."""
    date = formatdate(yard.time.wall_s + 1200, usegmt=True)
    receiver.respond(503, {"Retry-After": date}, times=1)
    after_the_answer(yard, over_http(receiver))
    assert yard.destination()["hold_until"] - yard.time.wall_s == pytest.approx(1200, abs=20)
    yard.time.pass_by(1180)
    yard.settle()
    assert len(receiver.requests) == 1
    yard.time.pass_by(21)
    yard.settle()
    assert state(yard) == "delivered"


@pytest.mark.parametrize(
    ("value", "longest_s"),
    [
        ("Mon, 01 Jan 2001 00:00:00 GMT", 1.0),
        ("0", 1.0),
        ("-5", 1.0),
        ("soon", 1.0),
        ("999999999", 3600.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
    ],
    ids=["date in the past", "zero", "negative", "a word", "huge", "date far ahead"],
)
def test_f32_retry_after_that_helps_nobody_is_bounded(
    yard: Yard, receiver: OtlpReceiver, value: str, longest_s: float
) -> None:
    """The past and nonsense leave the backoff as it is, never less than half a second; a year is an hour (3600 s)."""
    receiver.respond(503, {"Retry-After": value}, times=1)
    after_the_answer(yard, over_http(receiver))
    wait_s = yard.destination()["hold_until"] - yard.time.wall_s
    assert min(longest_s, 0.5) <= wait_s <= longest_s
    yard.time.pass_by(longest_s + MOMENT_S)
    yard.settle()
    assert state(yard) == "delivered"


@pytest.mark.parametrize("code", [CODE.UNAVAILABLE, CODE.RESOURCE_EXHAUSTED])
def test_f32_retry_info_is_kept_to_the_moment(
    yard: Yard, grpc_receiver: GrpcReceiver, code: grpc.StatusCode
) -> None:
    """RetryInfo is gRPC's Retry-After, and makes RESOURCE_EXHAUSTED a request for a pause."""
    grpc_receiver.respond(code, "busy", retry_info=1200)
    assert after_the_answer(yard, over_grpc(grpc_receiver)) == "pending"
    grpc_receiver.respond(CODE.OK)
    yard.time.pass_by(1200 - MOMENT_S)
    yard.settle()
    assert len(grpc_receiver.calls) == 1
    yard.time.pass_by(2 * MOMENT_S)
    yard.settle()
    assert state(yard) == "delivered"


# Partial success.


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_f32_rejected_spans_are_counted_shown_and_not_sent_again(yard: Yard, protocol: str) -> None:
    """The receiver has taken the request: what it threw away of it is known, and nobody insists."""
    with receiving(protocol) as receiver:
        receiver.accept_with(2, "too old")
        yard.take(["a", "b", "c"], lab(receiver, protocol))
        yard.deliver()
        assert in_the_end(yard) == "delivered"
        assert [span_names(body) for body in receiver.bodies()] == [["a", "b", "c"]]
    assert notes(yard) == ["2 spans rejected: too old"]
    assert (yard.destination()["delivered"], yard.destination()["rejected"]) == (1, 2)
    assert yard.ledger_balances()
    shown = status(yard)
    assert (shown["rejected_spans"], shown["last_error"]) == (2, "2 spans rejected: too old")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_f32_a_message_without_rejected_spans_is_a_warning(yard: Yard, protocol: str) -> None:
    """`rejected_spans = 0` with words: everything was accepted, and the words are shown."""
    with receiving(protocol) as receiver:
        receiver.accept_with(0, "use the new endpoint")
        yard.take(["a", "b", "c"], lab(receiver, protocol))
        yard.deliver()
        assert in_the_end(yard) == "delivered"
        assert len(receiver.bodies()) == 1
    assert notes(yard) == ["use the new endpoint"]
    assert (yard.destination()["delivered"], yard.destination()["rejected"]) == (3, 0)
    shown = status(yard)
    assert (shown["rejected_spans"], shown["last_error"]) == (0, "use the new endpoint")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_f32_rejections_of_one_request_are_noted_on_each_of_its_deliveries(yard: Yard, protocol: str) -> None:
    """OTLP does not say which spans were meant: each delivery has the note, the destination the count, once."""
    with receiving(protocol) as receiver:
        receiver.accept_with(1, "one of them")
        for name in "abc":
            yard.take([name], lab(receiver, protocol))
        yard.deliver()
        assert len(receiver.bodies()) == 1
    assert notes(yard) == ["1 span rejected: one of them (of 3 spans sent together)"] * 3
    assert (yard.destination()["delivered"], yard.destination()["rejected"]) == (2, 1)
    assert yard.ledger_balances()


def notes(yard: Yard) -> list[str]:
    """What the accepted deliveries say."""
    return yard.errors("delivered")


def status(yard: Yard) -> dict[str, Any]:
    """The destination as `hush-otel status` shows it."""
    said = CliRunner().invoke(
        main.cli, ["--db", str(yard.path), "status", "--json"], catch_exceptions=False, env={"HOME": "/"}
    )
    (found,) = json.loads(said.stdout)["destinations"]
    assert isinstance(found, dict)
    return found


# Connections.


def test_f32_a_lost_connection_is_tried_again(yard: Yard, receiver: OtlpReceiver) -> None:
    """Whether the receiver had it is unknown: it gets it again, with the same ids."""

    def lost(*_request: Any) -> Any:
        receiver._server.answer = receiver._answer
        raise ConnectionResetError

    receiver._server.answer = lost  # type: ignore[assignment]
    assert after_the_answer(yard, over_http(receiver)) == "pending"
    assert in_the_end(yard) == "delivered"
    assert len(receiver.spans()) == 1


# An hour without the receiver.


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_f32_an_hour_of_outage_is_survived_without_hammering(yard: Yard, protocol: str) -> None:
    """A request a minute for an hour, all answered 503: about thirty attempts, then every span once."""
    with OtlpReceiver() as http, GrpcReceiver() as over_rpc:
        http.respond(503)
        over_rpc.respond(CODE.UNAVAILABLE, "down")
        destination = over_http(http) if protocol == HTTP else over_grpc(over_rpc)
        ends = yard.time.wall_s + 3600
        names: list[str] = []
        while yard.time.wall_s < ends:
            names.append(f"s{len(names)}")
            yard.take([names[-1]], destination)
            yard.deliver()
            pass_a_minute(yard)
        attempts = len(http.requests) + len(over_rpc.calls)
        assert 3600 / LONGEST_BACKOFF_S <= attempts <= 35
        assert yard.states() == {"pending": 60}
        assert sum(counted for (counted,) in rows(yard.path, "SELECT attempts FROM deliveries")) == attempts
        http.respond(200)
        over_rpc.respond(CODE.OK)
        yard.time.pass_by(LONGEST_BACKOFF_S)
        yard.settle()
        assert yard.states() == {"delivered": 60}
        bodies = [request.body for request in http.requests if request.status == 200]
        bodies += [call.body for call in over_rpc.calls[attempts:]]
        assert sorted(name for body in bodies for name in span_names(body)) == sorted(names)
        assert len(bodies) <= 3
    assert yard.ledger_balances()


def pass_a_minute(yard: Yard) -> None:
    """As the background process lives through it: it wakes up when something is due."""
    ends = yard.time.wall_s + 60
    while (wake := yard.relay.next_wake()) is not None and wake < ends:
        yard.time.pass_by(max(wake - yard.time.wall_s, 0) + MOMENT_S)
        yard.settle()
    yard.time.pass_by(max(ends - yard.time.wall_s, 0))
