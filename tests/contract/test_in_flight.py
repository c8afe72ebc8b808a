"""Several requests in flight at one destination: side by side, in order where it matters, one trouble at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from inprocess import rows
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from relaying import DEADLINE_S, Yard, end_of

from hush_otel import Destination
from hush_otel.background import relay
from hush_otel.background.lanes import Lane
from hush_otel.store.outbox import Delivery
from hush_otel.testing import OtlpReceiver

MOMENT_S = 0.01


class Gate:
    """A receiver that answers when the test lets it; requests are numbered as they come."""

    def __init__(self, receiver: OtlpReceiver) -> None:
        self.receiver = receiver
        self._answer = receiver._server.answer
        self._changed = threading.Condition()
        self._may_go: set[int] = set()
        self.came = 0
        self.inside = 0
        self.most = 0
        receiver._server.answer = self._wait

    def _wait(self, *request: Any) -> Any:
        with self._changed:
            number = self.came
            self.came += 1
            self.inside += 1
            self.most = max(self.most, self.inside)
            self._changed.wait_for(lambda: number in self._may_go, DEADLINE_S)
            self.inside -= 1
        return self._answer(*request)

    def let_go(self, *numbers: int) -> None:
        """Answer these, now or when they come."""
        with self._changed:
            self._may_go.update(numbers)
            self._changed.notify_all()


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A receiver that accepts everything until told otherwise."""
    with OtlpReceiver() as running:
        yield running


@pytest.fixture
def gate(receiver: OtlpReceiver) -> Iterator[Gate]:
    """Its gate, closed; open at the end, so that nobody is left waiting."""
    one = Gate(receiver)
    yield one
    one.let_go(*range(100))


@pytest.fixture
def yard(tmp_path: Path, gate: Gate) -> Iterator[Yard]:
    """A database and its relay."""
    with Yard(tmp_path / "t.db") as one:
        yield one
        gate.let_go(*range(100))


def lab(receiver: OtlpReceiver, **options: Any) -> Destination:
    """The receiver as a destination."""
    return Destination("otlp", name="lab", endpoint=receiver.endpoint, **{"timeout_s": 60} | options)


def record(yard: Yard, receiver: OtlpReceiver, name: str) -> None:
    """One span of a request: `early`, its root, or what is `late`."""
    is_root = name == "early"
    span = end_of((77).to_bytes(16, "big"), 1 if is_root else 2, name, "", root=is_root)
    yard.ingest(span, destinations=[lab(receiver)])


def take_batches(yard: Yard, receiver: OtlpReceiver, count: int, **options: Any) -> None:
    """Requests so large that no two go together."""
    for n in range(count):
        yard.take([f"{n}-{m}" for m in range(300)], lab(receiver, **options))
    yard.queue()


def test_as_many_requests_as_allowed_are_in_flight(yard: Yard, receiver: OtlpReceiver, gate: Gate) -> None:
    """Three at once, the others wait; all arrive."""
    take_batches(yard, receiver, 8, max_in_flight=3)
    yard.run_until(lambda: gate.inside == 3, "three requests at the receiver")
    yard.run_until(lambda: yard.relay._sending == 4, "one more that waits in the lane")
    gate.let_go(*range(10))
    yard.settle()
    assert gate.most == 3
    assert yard.states() == {"delivered": 8}


def test_a_destination_that_takes_one_request_at_a_time_gets_no_more(
    yard: Yard, receiver: OtlpReceiver, gate: Gate
) -> None:
    """max_in_flight = 1."""
    take_batches(yard, receiver, 4, max_in_flight=1)
    yard.run_until(lambda: yard.relay._sending == 2, "one that waits in the lane")
    gate.let_go(*range(4))
    yard.settle()
    assert gate.most == 1
    assert yard.states() == {"delivered": 4}


def test_what_comes_later_of_a_request_waits_for_what_is_being_sent(
    yard: Yard, receiver: OtlpReceiver, gate: Gate
) -> None:
    """A late span of a request is sent when the request has been answered, though others overtake it."""
    record(yard, receiver, "early")
    yard.queue()
    yard.run_until(lambda: gate.inside == 1, "the request at the receiver")
    record(yard, receiver, "late")
    yard.time.pass_by(10)
    yard.take(["other"], lab(receiver))
    yard.queue()
    assert yard.states() == {"sending": 1, "pending": 2}
    yard.run_until(lambda: gate.inside == 2, "the other request at the receiver")
    assert yard.states() == {"sending": 2, "pending": 1}
    gate.let_go(1)
    yard.run_until(lambda: yard.states() == {"delivered": 1, "sending": 1, "pending": 1}, "it is delivered")
    gate.let_go(0, 2)
    yard.settle()
    assert [span.name for span in receiver.spans()] == ["other", "early", "late"]


def test_failures_of_requests_in_flight_together_count_as_one(
    yard: Yard, receiver: OtlpReceiver, gate: Gate
) -> None:
    """An outage met by three requests at once is waited for as long as one met by one."""
    receiver.respond(503)
    take_batches(yard, receiver, 3)
    yard.run_until(lambda: gate.inside == 3, "three requests at the receiver")
    gate.let_go(*range(3))
    yard.settle()
    lab_now = yard.destination()
    assert lab_now["failures"] == 1
    assert lab_now["hold_until"] - yard.time.wall_s <= 1.0
    assert yard.states() == {"pending": 3}


def test_an_acceptance_of_something_sent_before_does_not_end_a_pause_that_the_receiver_asked_for(
    yard: Yard, receiver: OtlpReceiver, gate: Gate
) -> None:
    """Retry-After holds the whole destination, whatever is answered to what was under way."""
    receiver.respond(429, {"Retry-After": "600"}, times=1)
    take_batches(yard, receiver, 3, max_in_flight=2)
    yard.run_until(lambda: gate.inside == 2, "two requests at the receiver")
    gate.let_go(0)
    yard.run_until(lambda: yard.destination()["failures"] == 1, "the pause")
    gate.let_go(*range(1, 10))
    yard.settle()
    assert yard.states() == {"delivered": 1, "pending": 2}
    yard.time.pass_by(600 - MOMENT_S)
    yard.settle()
    assert yard.states() == {"delivered": 1, "pending": 2}
    yard.time.pass_by(2 * MOMENT_S)
    yard.settle()
    assert yard.states() == {"delivered": 3}


def test_a_longer_pause_asked_for_by_the_second_of_two_answers_counts(
    yard: Yard, receiver: OtlpReceiver, gate: Gate
) -> None:
    """The longest wish holds; it is still one failure more at most for each answer that asks for longer."""
    receiver.respond(503, {"Retry-After": "10"}, times=1)
    receiver.respond(503, {"Retry-After": "900"}, times=1)
    take_batches(yard, receiver, 2, max_in_flight=2)
    yard.run_until(lambda: gate.inside == 2, "two requests at the receiver")
    gate.let_go(0)
    yard.run_until(lambda: yard.destination()["failures"] == 1, "the first pause")
    gate.let_go(1)
    yard.settle()
    assert yard.destination()["hold_until"] - yard.time.wall_s == pytest.approx(900)


def test_requests_in_flight_are_sent_again_by_the_next_process_and_keep_their_order(
    yard: Yard, receiver: OtlpReceiver, gate: Gate
) -> None:
    """A lease ends with its holder, however many it held."""
    receiver.respond(503, times=2)
    take_batches(yard, receiver, 4)
    yard.run_until(lambda: gate.inside == 4, "four requests at the receiver")
    assert rows(yard.path, "SELECT count(*) FROM deliveries WHERE state = 'sending'") == [(4,)]
    gate.let_go(*range(100))
    receiver.wait_for_requests(
        4, DEADLINE_S
    )  # what it refuses is one of these, not what comes of the restart
    yard.restart()
    yard.time.pass_by(1000)
    yard.settle()
    assert yard.states() == {"delivered": 4}


def test_what_comes_later_of_a_request_waits_for_the_next_try_of_what_comes_first(
    yard: Yard, receiver: OtlpReceiver, gate: Gate
) -> None:
    """The first delivery has failed: its delta does not overtake it when the receiver is back."""
    gate.let_go(*range(100))
    receiver.respond(503, times=1)
    record(yard, receiver, "early")
    yard.deliver()
    record(yard, receiver, "late")
    yard.time.pass_by(0.1)
    yard.sql("UPDATE hush_requests SET due_at = ? WHERE due_at IS NOT NULL", yard.time.wall_s)
    yard.deliver()
    assert yard.states() == {"pending": 2}
    yard.time.pass_by(600)
    yard.settle()
    assert [span.name for span in receiver.spans()] == ["early", "late"]


def test_a_lease_that_ends_with_its_holder_keeps_the_order(
    yard: Yard, receiver: OtlpReceiver, gate: Gate
) -> None:
    """What was in flight when the process died goes before what followed it."""
    record(yard, receiver, "early")
    yard.queue()
    yard.run_until(lambda: gate.inside == 1, "the request at the receiver")
    record(yard, receiver, "late")
    yard.time.pass_by(10)
    yard.queue()
    yard.sql("UPDATE hush_deliveries SET next_attempt_at = next_attempt_at + 5 WHERE state = 'sending'")
    receiver.respond(503, times=1)
    gate.let_go(*range(100))
    receiver.wait_for_requests(1, DEADLINE_S)  # it is that one which is refused
    yard.restart()
    yard.time.pass_by(600)
    yard.settle()
    assert [span.name for span in receiver.spans()] == ["early", "late"]


def test_a_delivery_that_waits_for_another_does_not_keep_the_relay_awake(
    yard: Yard, receiver: OtlpReceiver, gate: Gate
) -> None:
    """While the receiver takes its time there is nothing to look at."""
    record(yard, receiver, "early")
    yard.queue()
    yard.run_until(lambda: gate.inside == 1, "the request at the receiver")
    record(yard, receiver, "late")
    yard.time.pass_by(10)
    yard.queue()
    yard.relay.step()
    assert yard.relay.next_wake() is None


@pytest.mark.parametrize(("status", "headers"), [(401, {}), (503, {"Retry-After": "3600"}), (404, {})])
def test_an_answer_to_a_configuration_that_is_no_more_does_not_hold_the_new_one(
    yard: Yard, receiver: OtlpReceiver, gate: Gate, status: int, headers: dict[str, str]
) -> None:
    """A token was corrected while the request with the old one was under way."""
    receiver.respond(status, headers, times=1)
    yard.take(["one"], lab(receiver, headers={"authorization": "old"}))
    yard.queue()
    yard.run_until(lambda: gate.inside == 1, "the request at the receiver")
    yard.take(["two"], lab(receiver, headers={"authorization": "new"}))
    yard.queue()
    gate.let_go(*range(100))
    yard.settle()
    assert yard.states() == {"delivered": 2}
    assert yard.destination()["paused"] is None


def test_spans_that_a_request_was_accepted_without_are_not_counted_for_each_delivery_in_it(
    yard: Yard, receiver: OtlpReceiver, gate: Gate
) -> None:
    """The receiver does not say whose they were: each delivery says how many of how many, none claims them."""
    gate.let_go(*range(100))
    body = ExportTraceServiceResponse()
    body.partial_success.rejected_spans = 1
    body.partial_success.error_message = "too old"
    receiver.respond(200, body=body.SerializeToString(), times=1)
    for name in ("a", "b", "c"):
        yard.take([name], lab(receiver))
    yard.deliver()
    assert yard.destination()["rejected"] == 1
    assert rows(yard.path, "SELECT DISTINCT last_error FROM deliveries") == [
        ("1 span rejected: too old (of 3 spans sent together)",)
    ]
    assert rows(yard.path, "SELECT sum(rejected) FROM hush_deliveries") == [(0,)]


def test_what_was_not_tried_under_a_configuration_that_is_no_more_counts_no_attempt(
    yard: Yard, receiver: OtlpReceiver, gate: Gate
) -> None:
    """It waited in the lane behind the request that failed, and is tried once: under the new configuration."""
    receiver.respond(401, times=1)
    take_batches(yard, receiver, 2, max_in_flight=1)
    yard.run_until(lambda: yard.relay._sending == 2, "one that waits in the lane")
    yard.take(["new"], lab(receiver, headers={"authorization": "new"}))
    gate.let_go(*range(100))
    yard.deliver()
    assert yard.states() == {"delivered": 3}
    assert rows(yard.path, "SELECT attempts FROM deliveries ORDER BY id") == [(2,), (1,), (1,)]


# ------------------------------------------------------------------ a destination for each request


def _file_each(yard: Yard, directory: Path, numbers: range) -> None:
    for number in numbers:
        yard.take(["root"], Destination("file", path=str(directory / f"run-{number}.jsonl")))
    yard.queue()


def _open_here(directory: Path) -> int:
    """Descriptors of this process below a directory."""
    return sum(
        str(link).startswith(str(directory))
        for link in map(os.readlink, _existing(Path("/proc/self/fd").glob("*")))
    )


def _existing(links: Iterable[Path]) -> list[Path]:
    return [link for link in links if os.path.lexists(link)]


def test_a_destination_that_has_nothing_to_do_keeps_nothing_open(yard: Yard, tmp_path: Path) -> None:
    """An app may name a file for each request: the background process must not end at its limit of descriptors.

    SQLite keeps those of the database for the next one who opens it, as long as others have it open.
    """
    found = []
    for some in range(0, 60, 20):
        _file_each(yard, tmp_path, range(some, some + 20))
        yard.settle()
        assert yard.states() == {"delivered": some + 20}
        threads = [thread for lane in yard.relay._lanes.values() for thread in lane._threads]
        yard.time.pass_by(relay.LANE_IDLE_S + 1)
        yard.relay.step()
        assert not yard.relay._lanes
        for thread in threads:
            thread.join(DEADLINE_S)
        found.append((_open_here(tmp_path), threading.active_count()))
    assert found == [found[0]] * 3


def test_no_more_destinations_are_open_than_may_be(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that wait have their turn when another one has nothing to do."""
    monkeypatch.setattr(relay, "LANES_AT_ONCE", 4)
    most = [0]
    real = relay.Relay._submit

    def submit(self: relay.Relay, lane: Lane, deliveries: list[Delivery], *, alone: bool) -> None:
        real(self, lane, deliveries, alone=alone)
        most.append(len(self._lanes))

    monkeypatch.setattr(relay.Relay, "_submit", submit)
    _file_each(yard, tmp_path, range(20))
    yard.run_until(lambda: yard.states() == {"delivered": 20})
    assert max(most) == 4
