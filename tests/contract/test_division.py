"""Requests that are too large or refused are divided; only what cannot be accepted is dead."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_receiver import GrpcCall, GrpcReceiver
from relaying import DEADLINE_S, Yard, end_of

from hush_otel import Destination
from hush_otel.background import attempt
from hush_otel.background.attempt import BISECT_REQUESTS, REQUEST_SPANS, Attempt
from hush_otel.testing import OtlpReceiver, ReceivedRequest, decode_request

NAMES = [f"s{n}" for n in range(20)]


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """An HTTP receiver that accepts everything until told otherwise."""
    with OtlpReceiver() as running:
        yield running


@pytest.fixture
def grpc_receiver() -> Iterator[GrpcReceiver]:
    """The same over gRPC."""
    with GrpcReceiver() as running:
        yield running


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    """A database and its relay."""
    with Yard(tmp_path / "t.db") as one:
        yield one


def lab(receiver: OtlpReceiver | GrpcReceiver, **options: object) -> Destination:
    """The receiver as a destination."""
    protocol = "grpc" if isinstance(receiver, GrpcReceiver) else None
    more: dict[str, Any] = {"timeout_s": 60} | options  # some of what is sent is large
    return Destination("otlp", name="lab", endpoint=receiver.endpoint, protocol=protocol, **more)


def names_of(request: ReceivedRequest) -> list[str]:
    """The spans of one request."""
    return [span.name for span in decode_request(request.body, "application/x-protobuf")]


def refuse(receiver: OtlpReceiver, status: int, judge: Callable[[list[str]], bool]) -> None:
    """Answer `status` to requests whose span names `judge` condemns."""
    answer = receiver._answer

    def judged(path: str, headers: dict[str, str], raw: bytes) -> object:
        import gzip

        names = [s.name for s in decode_request(gzip.decompress(raw), "application/x-protobuf")]
        if judge(names):
            receiver.respond(status, {"Content-Type": "text/plain"}, b"bad " + ",".join(names).encode(), 1)
        return answer(path, headers, raw)

    receiver._server.answer = judged  # type: ignore[assignment]


def received(receiver: OtlpReceiver) -> Counter[str]:
    """How often each span was accepted."""
    return Counter(span.name for span in receiver.spans())


# Poison spans.


@pytest.mark.parametrize("status", [400, 413])
def test_f33_a_poison_span_is_dead_alone(yard: Yard, receiver: OtlpReceiver, status: int) -> None:
    """The refused span becomes a delivery of its own with the receiver's words; the rest is delivered once."""
    refuse(receiver, status, lambda names: "s13" in names)
    yard.take(NAMES, lab(receiver))
    yard.deliver()
    assert yard.deliveries() == [("delivered", 19), ("dead", 1)]
    (words,) = yard.errors("dead")
    assert f"answered {status}" in words
    assert words.endswith("bad s13")
    assert received(receiver) == dict.fromkeys((n for n in NAMES if n != "s13"), 1)
    assert yard.ledger_balances()


@pytest.mark.parametrize("code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_f33_a_poison_span_is_dead_alone_over_grpc(
    yard: Yard, grpc_receiver: GrpcReceiver, code: grpc.StatusCode
) -> None:
    """INVALID_ARGUMENT, and RESOURCE_EXHAUSTED without RetryInfo, are looked into likewise."""
    accepted: Counter[str] = Counter()

    def answer(call: GrpcCall, context: grpc.ServicerContext) -> None:
        if "s13" in call.names:
            context.abort(code, "bad span")
        accepted.update(call.names)

    grpc_receiver.answer = answer
    yard.take(NAMES, lab(grpc_receiver))
    yard.deliver()
    assert yard.deliveries() == [("delivered", 19), ("dead", 1)]
    assert "bad span" in yard.errors("dead")[0]
    assert accepted == dict.fromkeys((n for n in NAMES if n != "s13"), 1)


def test_f33_neighbouring_deliveries_of_a_poison_span_are_whole(yard: Yard, receiver: OtlpReceiver) -> None:
    """Of ten requests sent together one has a poison span: the other nine are delivered as they are."""
    refuse(receiver, 400, lambda names: "bad" in names)
    for n in range(10):
        yard.take([f"a{n}", "bad" if n == 6 else f"b{n}"], lab(receiver))
    yard.deliver()
    states = Counter(yard.deliveries())
    assert states == {("delivered", 2): 9, ("delivered", 1): 1, ("dead", 1): 1}
    assert yard.ledger_balances()
    assert max(received(receiver).values()) == 1


def test_f33_several_refused_spans_of_a_delivery_are_one_dead_delivery(
    yard: Yard, receiver: OtlpReceiver
) -> None:
    """They are kept together, each with its words."""
    refuse(receiver, 400, lambda names: bool({"s3", "s4", "s17"} & set(names)))
    yard.take(NAMES, lab(receiver))
    yard.deliver()
    assert yard.deliveries() == [("delivered", 17), ("dead", 3)]
    for name in ("s3", "s4", "s17"):
        assert f"bad {name}" in yard.errors("dead")[0]


def test_a_delivery_of_which_all_is_refused_is_dead_as_it_is(yard: Yard, receiver: OtlpReceiver) -> None:
    """There is nothing to divide."""
    refuse(receiver, 400, lambda names: True)
    yard.take(["a", "b"], lab(receiver))
    yard.deliver()
    assert yard.deliveries() == [("dead", 2)]
    assert yard.ledger_balances()


def test_the_dead_part_of_a_delivery_is_sent_alone_when_it_is_tried_again(
    yard: Yard, receiver: OtlpReceiver
) -> None:
    """A dead delivery that somebody makes pending again carries the refused span and nothing else."""
    refuse(receiver, 400, lambda names: "s13" in names)
    yard.take(NAMES, lab(receiver))
    yard.deliver()
    receiver._server.answer = receiver._answer
    receiver.clear()
    yard.sql("UPDATE hush_deliveries SET state = 'pending', next_attempt_at = 0 WHERE state = 'dead'")
    yard.settle()
    assert received(receiver) == {"s13": 1}
    assert yard.deliveries() == [("delivered", 19), ("delivered", 1)]
    assert yard.ledger_balances()


def test_bisecting_takes_a_bounded_number_of_requests(yard: Yard, receiver: OtlpReceiver) -> None:
    """One poison span among 512 costs two requests a halving."""
    refuse(receiver, 400, lambda names: "s300" in names)
    yard.take([f"s{n}" for n in range(512)], lab(receiver))
    yard.deliver()
    assert yard.deliveries() == [("delivered", 511), ("dead", 1)]
    assert len(receiver.requests) <= 1 + 2 * 9


def test_a_receiver_that_refuses_everything_is_not_asked_about_every_span(
    yard: Yard, receiver: OtlpReceiver
) -> None:
    """Each delivery gets its answer; beyond that a bounded number of requests is spent on looking closer."""
    refuse(receiver, 400, lambda names: True)
    for n in range(50):
        yard.take([f"{n}-{m}" for m in range(10)], lab(receiver))
    yard.deliver()
    assert {state for state, _ in yard.deliveries()} == {"dead"}
    assert len(receiver.requests) <= 50 + 2 * BISECT_REQUESTS
    assert yard.ledger_balances()


def test_a_refusal_that_is_not_about_the_content_is_not_bisected(yard: Yard, receiver: OtlpReceiver) -> None:
    """404 is about the place: each delivery gets its answer, none is divided."""
    refuse(receiver, 404, lambda names: True)
    yard.take(NAMES, lab(receiver))
    yard.take(["a"], lab(receiver))
    yard.deliver()
    assert yard.deliveries() == [("dead", 20), ("dead", 1)]
    assert len(receiver.requests) == 3


def test_what_was_answered_before_an_outage_is_kept(yard: Yard, receiver: OtlpReceiver) -> None:
    """The accepted and the refused part of a divided delivery are settled; only the rest is sent again."""
    refuse(receiver, 400, lambda names: "s2" in names)
    judged = receiver._server.answer

    def outage(path: str, headers: dict[str, str], raw: bytes) -> object:
        if len(receiver.spans()) >= 5:
            receiver.respond(503, times=1)
            return receiver._answer(path, headers, raw)
        return judged(path, headers, raw)

    receiver._server.answer = outage  # type: ignore[assignment]
    yard.take(NAMES, lab(receiver))
    yard.deliver()
    accepted = sum(received(receiver).values())
    assert sorted(yard.deliveries()) == [("dead", 1), ("delivered", accepted), ("pending", 19 - accepted)]
    assert yard.ledger_balances()
    receiver._server.answer = judged
    yard.sql("UPDATE hush_destinations SET hold_until = 0")
    yard.sql("UPDATE hush_deliveries SET next_attempt_at = 0 WHERE state = 'pending'")
    yard.settle()
    assert sorted(yard.deliveries()) == [("dead", 1), ("delivered", accepted), ("delivered", 19 - accepted)]
    assert received(receiver) == dict.fromkeys((n for n in NAMES if n != "s2"), 1)
    assert yard.ledger_balances()


# The limit of bytes.


def test_a_receiver_that_takes_less_than_the_limit_gets_less(yard: Yard, grpc_receiver: GrpcReceiver) -> None:
    """A server with gRPC's default of 4 MiB, a destination that believes in 16: nothing is dead, and it is kept in mind."""
    destination = lab(grpc_receiver, max_request_bytes=16 * 1024 * 1024)
    for _ in range(2):
        yard.take([f"s{n}" for n in range(60)], destination, value="x" * 200_000)
        yard.deliver()
    assert yard.deliveries() == [("delivered", 60)] * 2
    assert max(len(call.body) for call in grpc_receiver.calls) > 2_000_000
    accepted = Counter(name for call in grpc_receiver.calls for name in call.names)
    assert set(accepted.values()) == {2}


def test_a_receiver_that_takes_two_spans_at_once_gets_them_all(yard: Yard, receiver: OtlpReceiver) -> None:
    """413 leads to ever smaller requests; those of the next batch are small from the start."""
    refuse(receiver, 413, lambda names: len(names) > 2)
    for _ in range(2):
        yard.take([f"s{n}" for n in range(256)], lab(receiver))
        yard.deliver()
    assert yard.deliveries() == [("delivered", 256)] * 2
    statuses = [request.status for request in receiver.requests]
    assert statuses[-128:] == [200] * 128


def test_requests_stay_below_the_limit_of_bytes(yard: Yard, receiver: OtlpReceiver) -> None:
    """A batch above max_request_bytes leaves in several requests; nothing is sent twice or refused."""
    limit = 20_000
    for n in range(8):
        yard.take([f"{n}-{m}" for m in range(5)], lab(receiver, max_request_bytes=limit), value="x" * 1000)
    yard.deliver()
    assert {state for state, _ in yard.deliveries()} == {"delivered"}
    assert max(len(request.body) for request in receiver.requests) <= limit
    assert 3 <= len(receiver.requests) <= 8
    assert set(received(receiver).values()) == {1}
    assert len(received(receiver)) == 40


def test_one_request_above_the_limit_of_bytes_is_one_delivery(yard: Yard, receiver: OtlpReceiver) -> None:
    """A delivery whose parts are all accepted is delivered as the one that it is."""
    yard.take(NAMES, lab(receiver, max_request_bytes=6000), value="x" * 1000)
    yard.deliver()
    assert yard.deliveries() == [("delivered", 20)]
    assert len(receiver.requests) >= 4
    assert yard.ledger_balances()


def test_a_span_above_the_limit_is_dead_with_its_size_and_its_neighbours_go(
    yard: Yard, grpc_receiver: GrpcReceiver
) -> None:
    """The default for gRPC is 4 MiB, what its servers accept unless they are told otherwise."""
    yard.take(["a", "b"], lab(grpc_receiver))
    yard.take(["huge"], lab(grpc_receiver), value="x" * 4_300_000)
    yard.take(["c"], lab(grpc_receiver), value="x" * 4_000_000)
    yard.deliver()
    assert yard.deliveries() == [("delivered", 2), ("dead", 1), ("delivered", 1)]
    (words,) = yard.errors("dead")
    assert "a span of 430" in words
    assert "max_request_bytes = 4194304" in words
    assert sorted(name for call in grpc_receiver.calls for name in call.names) == ["a", "b", "c"]
    assert max(len(call.body) for call in grpc_receiver.calls) <= 4 * 1024 * 1024


def test_requests_over_http_stay_below_64_mib(yard: Yard, receiver: OtlpReceiver) -> None:
    """What an HTTP receiver takes at least: six spans of 15 MB leave in two requests, whole and once."""
    yard.take([f"s{n}" for n in range(6)], lab(receiver, compression="none"), value="x" * 15_000_000)
    yard.deliver()
    assert yard.deliveries() == [("delivered", 6)]
    assert received(receiver) == {f"s{n}": 1 for n in range(6)}
    sizes = [len(request.body) for request in receiver.requests]
    assert max(sizes) <= 64 * 1024 * 1024 < sum(sizes)
    assert len(sizes) == 2


def test_a_span_above_the_limit_is_dead_with_its_size_over_http(yard: Yard, receiver: OtlpReceiver) -> None:
    """In one request with others, in one delivery with others: they go, and it says how large it is."""
    ends = [
        end_of(b"t" * 16, number, name, value, root=number == 3)
        for number, (name, value) in enumerate([("a", ""), ("huge", "x" * 50_000), ("root", "")], 1)
    ]
    yard.ingest(*ends, destinations=[lab(receiver, max_request_bytes=20_000)])
    yard.take(["b"], lab(receiver, max_request_bytes=20_000))
    yard.deliver()
    assert sorted(yard.deliveries()) == [("dead", 1), ("delivered", 1), ("delivered", 2)]
    (words,) = yard.errors("dead")
    assert re.search(r"a span of 50\d{3} bytes, encoded, above max_request_bytes = 20000: not sent", words)
    assert received(receiver) == {"a": 1, "root": 1, "b": 1}
    assert max(len(request.body) for request in receiver.requests) <= 20_000
    assert yard.ledger_balances()


@pytest.mark.parametrize("names", [["big"], ["big", "small"]], ids="+".join)
def test_what_was_too_large_for_a_limit_that_is_raised_meanwhile_goes(
    yard: Yard, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    """The whole of a request or a part of it: the new configuration is asked before anything is dead."""
    tried, raised = threading.Event(), threading.Event()
    run = Attempt.run

    def run_meanwhile(self: Attempt) -> Any:
        reports = run(self)
        tried.set()
        assert raised.wait(DEADLINE_S)
        return reports

    monkeypatch.setattr(Attempt, "run", run_meanwhile)
    trace = (77).to_bytes(16, "big")
    ends = [
        end_of(trace, number, name, "x" * (5_000 if name == "big" else 1), root=number == len(names))
        for number, name in enumerate(names, 1)
    ]
    yard.ingest(*ends, destinations=[lab(receiver, max_request_bytes=2_000)])
    yard.queue()
    yard.run_until(tried.is_set)
    yard.take(["new"], lab(receiver, max_request_bytes=4_000_000))
    raised.set()
    yard.deliver()
    assert set(yard.states()) == {"delivered"}
    assert received(receiver) == Counter([*names, "new"])


def test_a_limit_that_was_met_is_kept_in_mind(
    yard: Yard, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next batches are cut before they are encoded: one encoding for each request."""
    encodings: list[int] = []
    encode = attempt.Attempt._parts

    def counted(*args: object) -> object:
        encodings.append(1)
        return encode(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(attempt.Attempt, "_parts", counted)
    destination = lab(receiver, max_request_bytes=30_000)
    for _ in range(6):
        yard.take([f"s{n}" for n in range(100)], destination, value="x" * 1000)
        yard.deliver()
    assert set(received(receiver).values()) == {6}
    assert len(encodings) <= 4


def test_a_delivery_above_the_spans_of_one_request_leaves_in_several(
    yard: Yard, receiver: OtlpReceiver
) -> None:
    """512 spans a request; what one of them is answered counts for its spans."""
    names = [f"s{n}" for n in range(2 * REQUEST_SPANS + 10)]
    refuse(receiver, 400, lambda names: "s700" in names)
    yard.take(names, lab(receiver))
    yard.deliver()
    assert yard.deliveries() == [("delivered", len(names) - 1), ("dead", 1)]
    assert received(receiver) == dict.fromkeys((n for n in names if n != "s700"), 1)
