"""When a destination is left alone, with what it is tried again, and when something is given up."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inprocess import rows
from relaying import DEADLINE_S, Yard, end_of

from hush_otel import Destination, records
from hush_otel.background import lanes
from hush_otel.background.lanes import Worker
from hush_otel.background.settling import LONGEST_BACKOFF_S, PROBE_S
from hush_otel.errors import RetryableError
from hush_otel.model import Outcome
from hush_otel.records import Start
from hush_otel.store import commands
from hush_otel.store.routes import Routes
from hush_otel.testing import OtlpReceiver

YEARS_S = 10 * 365 * 24 * 3600.0
MOMENT_S = 0.01


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A receiver that accepts everything until told otherwise."""
    with OtlpReceiver() as running:
        yield running


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    """A database and its relay."""
    with Yard(tmp_path / "t.db") as one:
        yield one


def lab(endpoint: str, name: str = "lab", **options: Any) -> Destination:
    """A receiver as a destination."""
    return Destination("otlp", name=name, endpoint=endpoint, **options)


def take(yard: Yard, receiver: OtlpReceiver, count: int) -> None:
    """So many requests of one span, queued."""
    for n in range(count):
        yard.take([f"s{n}"], lab(receiver.endpoint))
    yard.queue()


def test_retry_while_a_request_hangs_waits_for_it(
    yard: Yard, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its neighbour has failed, and somebody lifts the hold: what was claimed now would only be handed back, again and again."""
    sent, fails, hangs = list[int](), threading.Event(), threading.Event()

    def send(_worker: Worker, _spans: object) -> Outcome:
        sent.append(len(sent))
        if len(sent) == 1:
            assert fails.wait(DEADLINE_S)
            raise RetryableError("503")
        assert hangs.wait(DEADLINE_S)
        return Outcome()

    monkeypatch.setattr(Worker, "_send", send)
    monkeypatch.setattr(lanes, "CLAIM_AT_ONCE", 1)
    for number in range(4):
        yard.take([f"s{number}"], lab(receiver.endpoint, max_in_flight=2))
    yard.queue()
    yard.sql("UPDATE hush_deliveries SET next_attempt_at = next_attempt_at + 50 WHERE id > 2")
    yard.run_until(lambda: len(sent) == 2)
    fails.set()
    yard.run_until(lambda: yard.destination()["failures"] == 1)
    retry = records.Command(records.COMMAND, 0, b"c" * 16, "retry", {})
    yard.database.write(lambda db: commands.apply(db, Routes(), [retry], yard.time.wall_s))
    assert [yard.relay.step() for _ in range(10)] == [False] * 10
    hangs.set()
    yard.settle()
    assert set(yard.states()) == {"delivered"}


# Retryable failures: the whole destination is held.


def test_a_retryable_failure_holds_the_whole_destination(yard: Yard, receiver: OtlpReceiver) -> None:
    """What waits beside a delivery that failed would only meet the same: nothing is sent before its time."""
    receiver.respond(503)
    take(yard, receiver, 3)
    yard.settle()
    assert len(receiver.requests) == 1
    yard.take(["late"], lab(receiver.endpoint))
    yard.deliver()
    assert len(receiver.requests) == 1
    assert yard.states() == {"pending": 4}


def test_a_failing_destination_is_probed_with_one_delivery(yard: Yard, receiver: OtlpReceiver) -> None:
    """After a hold one delivery is tried; when it is accepted, all the others follow at once."""
    receiver.respond(503, times=3)
    take(yard, receiver, 10)
    yard.settle()
    for _ in range(2):
        yard.time.pass_by(LONGEST_BACKOFF_S)
        yard.settle()
    attempts = rows(yard.path, "SELECT attempts FROM deliveries ORDER BY attempts")
    assert len(receiver.requests) == 3
    assert sum(attempt for (attempt,) in attempts) == 10 + 2
    yard.time.pass_by(LONGEST_BACKOFF_S)
    yard.settle()
    assert yard.states() == {"delivered": 10}
    assert len(receiver.requests) == 5
    assert yard.destination()["failures"] == 0


def test_backoff_grows_with_every_failure_and_survives_a_restart(yard: Yard, receiver: OtlpReceiver) -> None:
    """Half to all of 1, 2, 4 … 300 s: a new background process goes on where the last one was."""
    receiver.respond(503)
    take(yard, receiver, 1)
    waits = []
    for _ in range(12):
        yard.settle()
        waits.append(yard.destination()["hold_until"] - yard.time.wall_s)
        yard.restart()
        yard.settle()
        yard.time.pass_by(waits[-1] + MOMENT_S)
    assert len(receiver.requests) == 12
    for number, wait in enumerate(waits):
        longest = min(2.0**number, LONGEST_BACKOFF_S)
        assert longest / 2 <= wait <= longest


def test_otlp1_backoff_has_jitter(tmp_path: Path, receiver: OtlpReceiver) -> None:
    """Many that lost one receiver at one moment do not all come back at one moment."""
    receiver.respond(503)
    waits = set()
    for n in range(5):
        with Yard(tmp_path / f"{n}.db") as one:
            take(one, receiver, 1)
            one.settle()
            waits.add(one.destination()["hold_until"] - one.time.wall_s)
    assert len(waits) == 5
    assert all(0.5 <= wait <= 1.0 for wait in waits)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_holds_the_destination(yard: Yard, receiver: OtlpReceiver, status: int) -> None:
    """Not a moment earlier, whatever the backoff says, and not for one of its deliveries."""
    receiver.respond(status, {"Retry-After": "1200"}, times=1)
    take(yard, receiver, 3)
    yard.settle()
    yard.time.pass_by(1200 - MOMENT_S)
    yard.settle()
    assert len(receiver.requests) == 1
    yard.restart()
    yard.settle()
    assert len(receiver.requests) == 1
    yard.time.pass_by(2 * MOMENT_S)
    yard.settle()
    assert yard.states() == {"delivered": 3}


def test_what_was_ready_to_follow_a_failure_is_not_sent(yard: Yard, receiver: OtlpReceiver) -> None:
    """The next batch waits in the lane while the receiver asks for a pause: it is handed back untried."""
    go = threading.Event()
    answer = receiver._server.answer

    def slow(*request: Any) -> Any:
        go.wait(DEADLINE_S)
        return answer(*request)

    receiver._server.answer = slow
    receiver.respond(503, {"Retry-After": "60"}, times=1)
    for n in range(2):
        yard.take([f"{n}-{m}" for m in range(300)], lab(receiver.endpoint, max_in_flight=1, timeout_s=60))
    yard.queue()
    yard.run_until(lambda: yard.relay._sending == 2, "two batches in the lane")
    go.set()
    yard.settle()
    assert len(receiver.requests) == 1
    assert rows(yard.path, "SELECT state, attempts FROM deliveries ORDER BY id") == [
        ("pending", 1),
        ("pending", 0),
    ]
    yard.time.pass_by(60 + MOMENT_S)
    yard.settle()
    assert yard.states() == {"delivered": 2}


# What needs a person: paused.


@pytest.mark.parametrize("status", [401, 403])
def test_unauthorized_pauses_the_destination_with_its_reason(
    yard: Yard, receiver: OtlpReceiver, status: int
) -> None:
    """All its deliveries are paused, those that come later, too; nothing is lost."""
    receiver.respond(status, {"Content-Type": "text/plain"}, b"who are you")
    take(yard, receiver, 3)
    yard.settle()
    yard.take(["late"], lab(receiver.endpoint))
    yard.deliver()
    assert yard.states() == {"paused": 4}
    assert all("who are you" in words for words in yard.errors("paused"))
    assert "who are you" in yard.destination()["paused"]
    assert len(receiver.requests) == 1
    assert yard.relay.is_idle()  # people are waited for without a process


def test_a_paused_destination_is_probed_slowly_with_one_delivery(yard: Yard, receiver: OtlpReceiver) -> None:
    """One delivery every five minutes; when it is accepted, all the others follow at once."""
    receiver.respond(401, times=3)
    take(yard, receiver, 5)
    yard.settle()
    for number in range(2, 4):
        yard.time.pass_by(PROBE_S - MOMENT_S)
        yard.settle()
        assert len(receiver.requests) == number - 1
        yard.time.pass_by(2 * MOMENT_S)
        yard.settle()
        assert len(receiver.requests) == number
        assert yard.states() == {"paused": 5}
    yard.time.pass_by(PROBE_S + MOMENT_S)
    yard.settle()
    assert yard.states() == {"delivered": 5}
    assert yard.destination()["paused"] is None


def test_a_probe_that_meets_an_outage_leaves_the_destination_paused(
    yard: Yard, receiver: OtlpReceiver
) -> None:
    """503 does not say that the key is right now: the reason stays, and so does the slow pace."""
    receiver.respond(401, {"Content-Type": "text/plain"}, b"bad key", times=1)
    receiver.respond(503)
    take(yard, receiver, 3)
    yard.settle()
    yard.time.pass_by(PROBE_S + MOMENT_S)
    yard.settle()
    assert len(receiver.requests) == 2
    assert yard.states() == {"paused": 3}
    assert "bad key" in yard.destination()["paused"]
    yard.time.pass_by(PROBE_S - 2 * MOMENT_S)
    yard.settle()
    assert len(receiver.requests) == 2


def test_a_probe_that_is_refused_for_good_is_dead_and_the_next_one_waits(
    yard: Yard, receiver: OtlpReceiver
) -> None:
    """A paused destination does not lose its deliveries one after the other to a wrong answer."""
    receiver.respond(401, times=1)
    receiver.respond(404)
    take(yard, receiver, 3)
    yard.settle()
    yard.time.pass_by(PROBE_S + MOMENT_S)
    yard.settle()
    assert yard.states() == {"dead": 1, "paused": 2}
    assert len(receiver.requests) == 2


def test_a_tls_failure_pauses_the_destination(yard: Yard, receiver: OtlpReceiver) -> None:
    """A port that speaks no TLS is a mistake in the configuration."""
    yard.take(["a"], lab(receiver.endpoint.replace("http:", "https:")))
    yard.deliver()
    assert yard.states() == {"paused": 1}
    assert "TLS" in yard.destination()["paused"]


def test_a_name_that_does_not_resolve_pauses_the_destination(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is a host that nobody knows."""

    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    yard.take(["a"], lab("http://collector.test:4318"))
    yard.deliver()
    assert yard.states() == {"paused": 1}
    assert "not known" in yard.destination()["paused"]


@pytest.mark.parametrize("status", [401, 503])
def test_a_changed_configuration_resumes_at_once(yard: Yard, receiver: OtlpReceiver, status: int) -> None:
    """Neither the next probe nor the rest of a hold is waited for: what was wrong may be mended now."""
    receiver.respond(status, {"Retry-After": "3000"})
    take(yard, receiver, 3)
    yard.settle()
    receiver.respond(200)
    yard.take(["new"], lab(receiver.endpoint, headers={"x-key": "right"}))
    yard.deliver()
    assert yard.states() == {"delivered": 4}
    assert [request.headers.get("x-key") for request in receiver.requests][1:] == ["right"] * (
        len(receiver.requests) - 1
    )


# A delivery whose rows have ended anew.


def test_f35_an_interrupted_span_whose_end_turns_up_during_an_outage_is_delivered_once(
    yard: Yard, receiver: OtlpReceiver
) -> None:
    """The delivery that was queued for the interrupted row has no rows left: it holds nobody up, and is gone."""
    receiver.respond(503, times=1)
    trace = b"t" * 16
    began = Start(records.START, 0, trace, (1).to_bytes(8, "big"), None, 0x101, "a", 1, 10, {})
    yard.ingest(began, destinations=[lab(receiver.endpoint)])
    yard.die()
    yard.deliver()
    yard.ingest(end_of(trace, 1, "a", "", root=True), destinations=[lab(receiver.endpoint)])
    yard.time.pass_by(LONGEST_BACKOFF_S)
    yard.deliver()
    yard.time.pass_by(LONGEST_BACKOFF_S)
    yard.settle()
    assert yard.deliveries() == [("delivered", 1)]
    assert [span.name for span in receiver.spans()] == ["a"]
    assert yard.ledger_balances()
    assert yard.relay.is_idle()


# The age limit.


def test_a_delivery_past_the_age_limit_is_dead_with_its_reason(yard: Yard, receiver: OtlpReceiver) -> None:
    """At the first failure after that; the younger ones go on waiting."""
    receiver.respond(503, {"Content-Type": "text/plain"}, b"still down")
    take(yard, receiver, 2)
    yard.settle()
    yard.time.pass_by(yard.max_age_s - 10)
    yard.take(["young"], lab(receiver.endpoint))
    yard.deliver()
    assert yard.states() == {"pending": 3}
    yard.time.pass_by(LONGEST_BACKOFF_S + MOMENT_S)
    yard.settle()
    assert yard.states() == {"dead": 2, "pending": 1}
    assert all(
        "604800 s, the age limit: " in words and "still down" in words for words in yard.errors("dead")
    )
    assert yard.ledger_balances()


def test_age_alone_kills_nothing(yard: Yard, receiver: OtlpReceiver) -> None:
    """What has waited longer than the limit, while nothing ran, gets its chance first."""
    take(yard, receiver, 3)
    yard.time.pass_by(10 * yard.max_age_s)
    yard.restart()
    yard.settle()
    assert yard.states() == {"delivered": 3}


def test_what_somebody_has_asked_for_again_is_as_young_as_that(yard: Yard, receiver: OtlpReceiver) -> None:
    """`hush-otel retry` of a delivery that is dead by age is worth more than one attempt."""
    receiver.respond(503, times=3)
    take(yard, receiver, 1)
    yard.settle()
    yard.time.pass_by(yard.max_age_s)
    yard.settle()
    assert yard.states() == {"dead": 1}
    command = records.Command(records.COMMAND, 0, b"c" * 16, "retry", {})
    yard.database.write(lambda db: commands.apply(db, Routes(), [command], yard.time.wall_s))
    yard.settle()
    assert yard.states() == {"pending": 1}
    yard.time.pass_by(LONGEST_BACKOFF_S)
    yard.settle()
    assert yard.states() == {"delivered": 1}


def test_paused_deliveries_have_no_age_limit(yard: Yard, receiver: OtlpReceiver) -> None:
    """They wait for a person, however long that takes."""
    receiver.respond(401)
    take(yard, receiver, 2)
    yard.settle()
    yard.time.pass_by(2 * yard.max_age_s)
    yard.settle()
    assert len(receiver.requests) == 2
    assert yard.states() == {"paused": 2}


# The clock.


def test_f30_a_clock_set_back_makes_no_retry_wait_longer(yard: Yard, receiver: OtlpReceiver) -> None:
    """Ten years back, noticed by the running process: the hold is as long as it was meant to be."""
    receiver.respond(503, {"Retry-After": "1200"}, times=1)
    take(yard, receiver, 2)
    yard.settle()
    yard.time.jump(-YEARS_S)
    yard.settle()
    assert yard.destination()["hold_until"] - yard.time.wall_s == pytest.approx(1200)
    yard.time.pass_by(1200 + MOMENT_S)
    yard.settle()
    assert yard.states() == {"delivered": 2}


def test_f30_deadlines_of_another_time_are_clamped_at_the_start(yard: Yard, receiver: OtlpReceiver) -> None:
    """The clock was set back while nothing ran."""
    receiver.respond(503, times=1)
    take(yard, receiver, 2)
    yard.settle()
    yard.time.jump(-YEARS_S)
    yard.restart()
    latest = rows(yard.path, "SELECT max(next_attempt_at) FROM deliveries")[0][0]
    assert latest - yard.time.wall_s <= LONGEST_BACKOFF_S
    yard.time.pass_by(LONGEST_BACKOFF_S + MOMENT_S)
    yard.settle()
    assert yard.states() == {"delivered": 2}


def test_f30_a_pause_is_probed_in_time_after_the_clock_was_set_back(
    yard: Yard, receiver: OtlpReceiver
) -> None:
    """A probe, too, is five minutes away at most."""
    receiver.respond(401, times=1)
    take(yard, receiver, 1)
    yard.settle()
    yard.time.jump(-YEARS_S)
    yard.settle()
    yard.time.pass_by(PROBE_S + MOMENT_S)
    yard.settle()
    assert yard.states() == {"delivered": 1}


def test_f30_a_complete_request_is_queued_after_the_clock_was_set_back(
    yard: Yard, receiver: OtlpReceiver
) -> None:
    """It was due at a time that is ten years away now."""
    yard.take(["a"], lab(receiver.endpoint))
    yard.time.jump(-YEARS_S)
    yard.relay.step()
    yard.deliver()
    assert yard.states() == {"delivered": 1}


@pytest.mark.parametrize("years", [-1, 1])
def test_f30_a_jump_of_the_clock_kills_nothing(yard: Yard, receiver: OtlpReceiver, years: int) -> None:
    """Ten years in a moment make nothing too old, even when the receiver is down just then."""
    receiver.respond(503, times=2)
    take(yard, receiver, 2)
    yard.settle()
    yard.time.jump(years * YEARS_S)
    yard.settle()
    yard.time.pass_by(LONGEST_BACKOFF_S)
    yard.settle()
    yard.time.pass_by(LONGEST_BACKOFF_S)
    yard.settle()
    assert len(receiver.requests) >= 3
    assert yard.states() == {"delivered": 2}


# One destination is no other's business.


def test_f31_a_hanging_destination_delays_neither_the_drain_nor_another_one(
    yard: Yard, receiver: OtlpReceiver
) -> None:
    """It takes all of its timeout; meanwhile rows are stored and delivered elsewhere, at the usual pace."""
    release = threading.Event()
    with OtlpReceiver() as hanging:
        hanging._server.answer = lambda *_: release.wait(30) and None  # type: ignore[assignment]
        both = lab(hanging.endpoint, "hung", timeout_s=30), lab(receiver.endpoint)
        longest = 0.0
        for n in range(20):
            began = time.monotonic()
            yard.take([f"s{n}"], *both)
            yard.queue()
            yard.relay.step()
            longest = max(longest, time.monotonic() - began)
            yard.run_until(lambda n=n: len(receiver.spans()) == n + 1, "the other destination")  # type: ignore[misc]
        states = rows(yard.path, "SELECT DISTINCT state FROM deliveries WHERE destination = 'hung'")
        assert {state for (state,) in states} <= {"sending", "pending"}
        assert longest < 5.0  # of the 30 that the hanging one takes; a busy machine needs some
        release.set()
    yard.run_until(lambda: yard.relay._sending == 0, "the hanging attempt")


def test_f30_a_clock_set_back_and_right_again_kills_nothing(yard: Yard, receiver: OtlpReceiver) -> None:
    """What was queued while the clock was a month behind is as young as it is."""
    yard.relay.step()
    yard.time.jump(-30 * 86_400.0)
    yard.relay.step()
    receiver.respond(503, times=2)
    take(yard, receiver, 1)
    yard.time.pass_by(2.0)
    yard.time.jump(30 * 86_400.0)
    yard.settle()
    for _ in range(2):
        yard.time.pass_by(LONGEST_BACKOFF_S)
        yard.settle()
    assert yard.states() == {"delivered": 1}
