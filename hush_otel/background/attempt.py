"""One attempt at a batch of deliveries: whole where the receiver takes it, in parts where it does not.

A request above the destination's limit is cut by what its spans take on average. A refused one is halved
until the refused spans stand alone (poison spans), at borders between deliveries first. Parts are sent in
order, so that what was answered when an attempt breaks off is the beginning.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Final, NamedTuple, cast

from hush_otel.errors import (
    DeliveryError,
    OversizeError,
    PermanentError,
    RefusedError,
    RetryableError,
    TooLargeError,
)
from hush_otel.model import Outcome, SpanData
from hush_otel.store.division import Division
from hush_otel.store.outbox import Delivery
from hush_otel.store.spans import Batch

REQUEST_SPANS: Final = 512
"""Spans in one request: below the 4 MiB default limit of gRPC receivers for usual LLM spans."""
BISECT_REQUESTS: Final = 64
"""Refusals of one attempt that are looked into: four poison spans among 512. What is refused after that is
not halved any more, each delivery gets one answer: a receiver that refuses all sees 64 requests more."""
SIZE_REQUESTS: Final = 256
"""The same for refusals because of the size: enough to find out that two spans are the most of 512."""
HEADROOM: Final = 0.9
"""How full a request is planned to be: spans differ."""
GROW_AFTER: Final = 16
"""Requests in a row that fitted before twice as many spans are tried in one."""


class SpansGone(RetryableError):  # noqa: N818 - a state
    """No row is found for a delivery. That concerns nobody else."""


class ConfigurationChanged(RetryableError):  # noqa: N818 - a state
    """What was answered concerned a configuration of the destination that is no more."""


class NotTried(RetryableError):  # noqa: N818 - a state
    """Handed back without an attempt."""


class Report(NamedTuple):
    """What came of an attempt at some deliveries: accepted when `error` is None.

    With a `division`, it stands for the one delivery: what is said here holds for what is left of it.
    """

    deliveries: Sequence[Delivery]
    outcome: Outcome
    error: DeliveryError | None
    division: Division | None = None

    @property
    def stops_others(self) -> bool:
        """Whether others would only meet the same."""
        return not isinstance(self.error, (PermanentError, SpansGone, type(None)))


class Packing:
    """How many spans go into one request to a destination: as many as lately fitted.

    Shared by a lane's threads without a lock: what they overwrite of each other's comes again.
    """

    def __init__(self) -> None:
        self.at_once = REQUEST_SPANS
        self._fitted = 0

    def fewer(self, spans: int, error: TooLargeError) -> int:
        """How many of these `spans` to try at once instead, half of them at most."""
        half = max(spans // 2, 1)
        if not isinstance(error, OversizeError):
            return half
        return max(min(int(spans * HEADROOM * error.limit_bytes / error.size_bytes), half), 1)

    def learn(self, largest: int) -> None:
        """A request as planned was too large; the largest that was accepted instead had so many spans."""
        self.at_once, self._fitted = max(largest, 1), 0

    def fitted(self) -> None:
        """A request was sent."""
        self._fitted += 1
        if self._fitted >= GROW_AFTER and self.at_once < REQUEST_SPANS:
            self.at_once, self._fitted = min(2 * self.at_once, REQUEST_SPANS), 0


class _Answer(NamedTuple):
    """What came of the spans from `start` to `stop`; no `outcome`: refused, for good."""

    start: int
    stop: int
    outcome: Outcome | None
    words: str


class Attempt:
    """Sends one batch. `run` once.

    Args:
        send: One request; raises DeliveryErrors only.
        deliveries: In the order of the batch.
        batch: Their spans.
        packing: The destination's.
    """

    def __init__(
        self,
        send: Callable[[Sequence[SpanData]], Outcome],
        deliveries: Sequence[Delivery],
        batch: Batch,
        packing: Packing,
    ) -> None:
        self._send = send
        self._deliveries = deliveries
        self._spans = batch.spans
        self._places = batch.places
        self._packing = packing
        counts = Counter(map(itemgetter(0), batch.places))
        self._ends = list(accumulate(counts[delivery.id] for delivery in deliveries))
        """Where each delivery's spans end."""
        self._planned: list[tuple[int, int]] = []
        self._answers: list[_Answer] = []
        self._reached = len(self._spans)
        self._error: DeliveryError | None = None
        self._refusals = 0
        self._misplanned = False

    def run(self) -> list[Report]:
        """Send; what became of every delivery."""
        self._planned = self._cut(0, len(self._spans), self._packing.at_once)
        waiting = self._planned[::-1]
        while waiting:
            start, stop = waiting.pop()
            try:
                outcome = self._send(self._spans[start:stop])
            except PermanentError as exc:
                parts = self._parts(start, stop, exc)
                waiting += parts[::-1]
                if not parts:
                    self._answers.append(_Answer(start, stop, None, str(exc)))
            except DeliveryError as exc:
                self._reached, self._error = start, exc
                break
            else:
                self._packing.fitted()
                self._answers.append(_Answer(start, stop, outcome, ""))
        if self._misplanned:
            # One span that is huge says nothing about the others: what counts is what was accepted.
            accepted = [one.stop - one.start for one in self._answers if one.outcome is not None]
            self._packing.learn(max(accepted, default=self._packing.at_once))
        return self._reports()

    # ------------------------------------------------------------------ cutting

    def _parts(self, start: int, stop: int, error: PermanentError) -> list[tuple[int, int]]:
        """What to try instead of a request that was refused; nothing when that is the answer."""
        if stop - start == 1:
            return []
        self._refusals += not isinstance(error, OversizeError)  # which made no request
        if isinstance(error, TooLargeError) and (
            isinstance(error, OversizeError) or self._refusals <= SIZE_REQUESTS
        ):
            self._misplanned = self._misplanned or (start, stop) in self._planned
            return self._cut(start, stop, self._packing.fewer(stop - start, error))
        if isinstance(error, RefusedError) and self._refusals <= BISECT_REQUESTS:
            return self._halves(start, stop)
        inside = self._borders(start, stop)
        return list(zip([start, *inside], [*inside, stop], strict=True)) if inside else []

    def _cut(self, start: int, stop: int, at_once: int) -> list[tuple[int, int]]:
        """Stretches of `at_once` spans at most, of whole deliveries where they are smaller."""
        parts, begin = [], start
        while begin < stop:
            end = min(begin + at_once, stop)
            if begin and begin not in self._ends:  # within a delivery that is larger: nothing joins its rest
                end = min(end, self._delivery_end(begin))
            elif end < stop and (inside := self._borders(begin, end + 1)):
                end = inside[-1]
            parts.append((begin, end))
            begin = end
        return parts

    def _halves(self, start: int, stop: int) -> list[tuple[int, int]]:
        middle = (start + stop) // 2
        inside = self._borders(start, stop)
        cut = min(inside, key=lambda border: abs(border - middle)) if inside else middle
        return [(start, cut), (cut, stop)]

    def _borders(self, start: int, stop: int) -> list[int]:
        """Where one delivery ends and another begins, between `start` and `stop`."""
        found = self._ends[bisect_right(self._ends, start) : bisect_left(self._ends, stop)]
        return list(dict.fromkeys(found))

    def _delivery_end(self, place: int) -> int:
        return self._ends[bisect_right(self._ends, place)]

    # ------------------------------------------------------------------ reporting

    def _reports(self) -> list[Report]:
        reports: list[Report] = []
        start, same = 0, None
        for delivery, stop in zip(self._deliveries, self._ends, strict=True):
            shared, report = self._fate(delivery, start, stop)
            if shared is not None and shared is same:
                cast("list[Delivery]", reports[-1].deliveries).append(delivery)  # of one request
            else:
                reports.append(report)
            start, same = stop, shared
        return reports

    def _fate(self, delivery: Delivery, start: int, stop: int) -> tuple[object, Report]:
        """What became of one delivery, and what it has in common with those that went the same way."""
        if start == stop:
            return None, Report([delivery], Outcome(), SpansGone("none of its spans is found"))
        if start >= self._reached:
            return self._error, Report([delivery], Outcome(), self._error)
        first = bisect_right(self._answers, start, key=lambda answer: answer.stop)
        answer = self._answers[first]
        if answer.start <= start and answer.stop >= stop and answer.outcome is not None:
            return answer, Report([delivery], answer.outcome, None)
        answers = [one for one in self._answers[first:] if one.start < stop]
        return None, self._divided(delivery, answers, start, stop)

    def _divided(self, delivery: Delivery, answers: Sequence[_Answer], start: int, stop: int) -> Report:
        """Of several requests, or refused."""
        outcome = _together([one.outcome for one in answers if one.outcome is not None])
        refused = {
            self._places[place][1]: one.words
            for one in answers
            if one.outcome is None
            for place in range(max(one.start, start), min(one.stop, stop))
        }
        if len(refused) == stop - start:
            words = "; ".join(dict.fromkeys(refused.values()))
            return Report([delivery], Outcome(), PermanentError(words))
        done = min(self._reached, stop)
        division = Division(
            refused,
            done_seq=self._places[done - 1][1],
            accepted=done - start - len(refused),
            whole=done == stop,
        )
        error = None if done == stop else self._error
        return Report([delivery], outcome, error, None if division.is_plain else division)


def _together(outcomes: Sequence[Outcome]) -> Outcome:
    """Several answers as one."""
    words = dict.fromkeys(one.message for one in outcomes if one.message)
    return Outcome(sum(one.rejected for one in outcomes), "; ".join(words))
