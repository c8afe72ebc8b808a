"""One attempt at a batch: whatever a receiver does, every span is accounted for, and once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hush_otel.background.attempt import BISECT_REQUESTS, Attempt, Packing, Report
from hush_otel.errors import (
    OversizeError,
    PausedError,
    PermanentError,
    RefusedError,
    RetryableError,
    TooLargeError,
)
from hush_otel.model import Outcome
from hush_otel.store.outbox import Delivery
from hush_otel.store.spans import Batch


class Receiver:
    """Accepts what it does not refuse. Spans are numbers here: an attempt never looks into them."""

    def __init__(
        self, poison: set[int], most: int, limit: int, outage_at: int | None, away: type[Any], wrong: set[int]
    ) -> None:
        self.poison, self.most, self.limit, self.outage_at, self.away = poison, most, limit, outage_at, away
        self.wrong = wrong
        self.accepted: list[int] = []
        self.requests = 0

    def send(self, spans: Sequence[Any]) -> Outcome:
        """One request."""
        if sum(3 if span % 7 == 0 else 1 for span in spans) > self.limit:
            raise OversizeError("own limit", size_bytes=len(spans), limit_bytes=self.limit)
        self.requests += 1
        if self.outage_at == self.requests:
            raise self.away("away")
        if len(spans) > self.most:
            raise TooLargeError("too large")
        if self.wrong & set(spans):
            raise PermanentError("wrong")
        if self.poison & set(spans):
            raise RefusedError("poison")
        self.accepted += spans
        return Outcome()


def deliveries_of(sizes: Sequence[int]) -> tuple[list[Delivery], Batch]:
    """Deliveries with so many spans each; a span is its end_seq."""
    deliveries, spans, places = [], list[Any](), []
    for number, size in enumerate(sizes, 1):
        first = len(spans)
        deliveries.append(Delivery(number, number, first, first + size, 0, size, True, f"r{number}", 1))
        for seq in range(first + 1, first + size + 1):
            spans.append(seq)
            places.append((number, seq))
    return deliveries, Batch(spans, places)


def account(reports: Sequence[Report], receiver: Receiver) -> dict[str, set[int]]:
    """What the reports say of every span, as the relay would settle it."""
    said: dict[str, set[int]] = {"delivered": set(), "dead": set(), "open": set()}
    for report in reports:
        for delivery in report.deliveries:
            rest = set(range(delivery.from_seq + 1, delivery.to_seq + 1))
            if (division := report.division) is not None:
                assert len(report.deliveries) == 1
                refused = set(division.refused)
                said["dead"] |= refused
                rest -= refused
                if not division.whole:
                    done = {seq for seq in rest if seq <= division.done_seq}
                    assert division.accepted == len(done)
                    said["delivered"] |= done
                    rest -= done
            fate = "delivered" if report.error is None else "dead"
            said[fate if isinstance(report.error, (PermanentError, type(None))) else "open"] |= rest
    return said


receivers = st.builds(
    Receiver,
    poison=st.sets(st.integers(1, 60), max_size=4),
    most=st.sampled_from([1, 2, 3, 10, 1000]),
    limit=st.sampled_from([3, 5, 20, 1000]),
    outage_at=st.none() | st.integers(1, 30),
    away=st.sampled_from([RetryableError, PausedError]),
    wrong=st.just(set()) | st.sets(st.integers(1, 60), max_size=2),
)


@settings(max_examples=400, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=8),
    receiver=receivers,
    at_once=st.sampled_from([1, 2, 5, 512]),
)
def test_every_span_is_accounted_for_and_only_what_is_refused_is_dead(
    sizes: list[int], receiver: Receiver, at_once: int
) -> None:
    """Delivered is what was accepted, once; dead is what was refused; the rest waits."""
    deliveries, batch = deliveries_of(sizes)
    packing = Packing()
    packing.at_once = at_once
    reports = Attempt(receiver.send, deliveries, batch, packing).run()
    assert [d.id for report in reports for d in report.deliveries] == [d.id for d in deliveries]
    said = account(reports, receiver)
    every = set(batch.spans)
    assert said["delivered"] | said["dead"] | said["open"] == every
    assert len(said["delivered"]) + len(said["dead"]) + len(said["open"]) == len(every)
    assert sorted(receiver.accepted) == sorted(said["delivered"])
    if not receiver.wrong:  # which is answered by whole deliveries
        assert said["dead"] <= receiver.poison | (every if receiver.limit < 3 else set())
    if receiver.outage_at is None:
        assert not said["open"]
    assert 1 <= packing.at_once <= 512


@given(size=st.integers(1, 512), poison=st.sets(st.integers(1, 512), min_size=1))
@settings(max_examples=60, deadline=None)
def test_the_number_of_requests_is_bounded_whatever_is_refused(size: int, poison: set[int]) -> None:
    """One delivery: each of the refusals that are looked into leads to two requests at most."""
    deliveries, batch = deliveries_of([size])
    receiver = Receiver(poison, 1000, 10_000, None, RetryableError, set())
    Attempt(receiver.send, deliveries, batch, Packing()).run()
    assert receiver.requests <= 1 + 2 * BISECT_REQUESTS
