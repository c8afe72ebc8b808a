"""Lanes: a destination's own threads, so that a slow or dead one delays neither the drain nor the others.

A lane reads spans, sends them, and reports; it never writes to the store. It has as many requests in flight
as its sender allows. Deliveries of one request are never in two of them: the relay hands the next one out
when the one before is settled.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, cast

from hush_otel.destinations.base import RequestSender, Sender
from hush_otel.destinations.hiding import hidden
from hush_otel.destinations.registry import open_sender, takes_requests
from hush_otel.errors import DeliveryError, PermanentError, RefusedError, RetryableError
from hush_otel.failpoints import reach
from hush_otel.model import Outcome, SpanData
from hush_otel.secrets import values_of
from hush_otel.store.outbox import Delivery, DestinationState
from hush_otel.store.spans import Batch
from hush_otel.store.stretches import Stretch
from hush_otel.store.whole import RequestReader

from .attempt import Attempt, NotTried, Packing, Report, SpansGone

log = logging.getLogger(__name__)

CLAIM_AT_ONCE: Final = 256
"""Deliveries in one batch at most; their spans are bounded by REQUEST_SPANS."""

AHEAD: Final = 1
"""Batches that wait while the others are sent: whoever has sent one finds the next one claimed."""

_READING: Final = threading.Lock()
"""SQLite gives up the GIL at each row. Threads that read at the same time hand it to one another, and each
row costs twice its time; they take turns by the batch instead."""


class Result(NamedTuple):
    """What became of one batch: every delivery of it is in one of the reports."""

    lane: Lane
    reports: Sequence[Report]
    alone: bool
    """Whether it was sent with nothing else in flight, to find out how the destination is."""


class Job(NamedTuple):
    """A batch that waits for a thread."""

    deliveries: Sequence[Delivery]
    alone: bool


class Lane:
    """One destination's threads. What came of each batch that is submitted goes to `results`.

    Args:
        state: The destination.
        database: For reading spans.
        results: Where every batch is reported.
        wake: Called after a report.
    """

    def __init__(
        self,
        state: DestinationState,
        database: Path,
        results: queue.SimpleQueue[Result],
        wake: Callable[[], None],
    ) -> None:
        self.digest = state.digest
        self.in_flight = 0
        """Submitted batches whose result is not settled yet."""
        self.used_at = 0.0
        """When what it had in flight was settled last, by the relay's clock."""
        self.state = state
        self.database = database
        self.results = results
        self.wake = wake
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.packing = Packing()
        self.failed = False
        """What was submitted before a failure was settled is handed back: who asks for a pause gets it."""
        self.max_in_flight = 1
        """Requests that the destination takes side by side; known once it is open."""
        self.at_once = 1 if takes_requests(state.config.type) else CLAIM_AT_ONCE
        """Deliveries in one batch at most: one where each is sent, and answered, by itself."""
        self._threads: list[threading.Thread] = []
        self._hiring = threading.Lock()
        self._closed = False

    @property
    def room(self) -> int:
        """How many batches it may be given now."""
        return self.max_in_flight + AHEAD - self.in_flight

    def submit(self, deliveries: Sequence[Delivery], *, alone: bool = False) -> None:
        """Send these; one result follows. With `alone`, nothing is in flight.

        Raises:
            RuntimeError: No thread can be started, and there is none: nothing was submitted.
        """
        if not self.in_flight:
            self.failed = False  # all that came of it is settled
        self.in_flight += 1
        self.jobs.put(Job(deliveries, alone))
        try:
            self._staff()
        except RuntimeError:
            self.jobs.get_nowait()
            self.in_flight -= 1
            raise

    def opened(self, max_in_flight: int) -> None:
        """Called by a thread that has opened a sender: what waits behind its own job may go, too."""
        self.max_in_flight = max_in_flight
        self._staff()

    def _staff(self) -> None:
        """As many threads as there is work for at once, or as can be had."""
        with self._hiring:
            while not self._closed and len(self._threads) < min(self.in_flight, self.max_in_flight):
                name = f"hush-otel {self.state.config.name}"
                thread = threading.Thread(target=Worker(self).run, name=name, daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    if self._threads:
                        return  # they do it, one batch after the other
                    raise
                self._threads.append(thread)

    def close(self, timeout_s: float) -> None:
        """End its threads after what they are sending, or leave them behind after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        with self._hiring:
            self._closed = True
        for _ in self._threads:
            self.jobs.put(None)
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))


class Worker:
    """One thread of a lane, with a connection and a reader of its own."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._state = lane.state
        self._sender: Sender | RequestSender | None = None
        self._reader: RequestReader | None = None

    def run(self) -> None:
        """Take jobs until there is a None."""
        lane = self._lane
        try:
            while (job := lane.jobs.get()) is not None:
                lane.results.put(Result(lane, self._surely_tried(job.deliveries), job.alone))
                lane.wake()
        finally:
            if self._reader is not None:
                self._reader.close()
            if self._sender is not None:
                self._sender.close()

    def _surely_tried(self, deliveries: Sequence[Delivery]) -> list[Report]:
        """Whatever happens, each delivery is reported: what is not would be in flight for ever."""
        try:
            reports = self._tried(deliveries)
            reach("relay.sent")
        except Exception as exc:  # noqa: BLE001 - a bug of ours
            return [Report(deliveries, Outcome(), self._failure(exc, RetryableError))]
        return reports

    def _tried(self, deliveries: Sequence[Delivery]) -> list[Report]:
        if self._lane.failed:
            return [Report(deliveries, Outcome(), NotTried("the destination has failed before its turn"))]
        reports = self._attempt(deliveries)
        if any(report.stops_others for report in reports):
            self._lane.failed = True
        return reports

    def _attempt(self, deliveries: Sequence[Delivery]) -> list[Report]:
        try:
            sender = self._open()
            if isinstance(sender, RequestSender):
                return [self._attempt_whole(delivery) for delivery in deliveries]  # there is one
            batch = self._read(deliveries, sender)
        except RefusedError as exc:
            if len(deliveries) > 1:
                return [report for delivery in deliveries for report in self._attempt([delivery])]
            return [Report(deliveries, Outcome(), exc)]
        except DeliveryError as exc:
            return [Report(deliveries, Outcome(), exc)]
        return Attempt(self._send, deliveries, batch, self._lane.packing).run()

    def _attempt_whole(self, delivery: Delivery) -> Report:
        try:
            outcome = self._send_whole(delivery)
        except DeliveryError as exc:
            return Report([delivery], Outcome(), exc)
        if outcome is None:
            return Report([delivery], Outcome(), SpansGone("none of its spans is found"))
        return Report([delivery], outcome, None)

    def _open(self) -> Sender | RequestSender:
        try:
            if self._sender is None:
                self._sender = open_sender(self._state.config)
                self._lane.opened(self._sender.max_in_flight)
        except DeliveryError:
            raise
        except Exception as exc:
            raise self._failure(exc, PermanentError) from exc
        return self._sender

    def _read(self, deliveries: Sequence[Delivery], sender: Sender) -> Batch:
        facts = sender.wants_facts or any(delivery.has_nodes for delivery in deliveries)
        try:
            self._reader = self._reader or RequestReader(self._lane.database)
            with _READING:
                return self._reader.read_batch(deliveries, facts=facts)
        except Exception as exc:
            raise self._failure(exc) from exc

    def _send(self, spans: Sequence[SpanData]) -> Outcome:
        try:
            if isinstance(spans, Stretch):
                with _READING:
                    spans = [*spans]
            # None: rows that have ended anew since, which a later delivery has.
            return cast("Sender", self._open()).send(spans) if spans else Outcome()
        except DeliveryError:
            raise
        except Exception as exc:
            raise self._failure(exc) from exc

    def _send_whole(self, delivery: Delivery) -> Outcome | None:
        try:
            self._reader = self._reader or RequestReader(self._lane.database)
            with _READING:
                request = self._reader.read_request(delivery)
            sender = cast("RequestSender", self._open())
            return None if request is None else sender.send_request(request)
        except DeliveryError:
            raise
        except Exception as exc:
            raise self._failure(exc) from exc

    def _failure(self, exc: Exception, bug: type[DeliveryError] = RefusedError) -> DeliveryError:
        """What passes by itself is tried again.

        A bug of ours, met by a span, happens at every try: its neighbours must not wait for it.
        """
        values = values_of(self._state.config.config)
        words = hidden(f"{type(exc).__name__}: {exc}", values)
        if isinstance(exc, (OSError, sqlite3.Error, MemoryError)):
            return RetryableError(words)
        trace = hidden("".join(traceback.format_exception(exc)).rstrip(), values)
        log.error("sending to %s failed\n%s", self._state.config.name, trace)
        return bug(f"cannot be sent: {words}")
