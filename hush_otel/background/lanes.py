"""Lanes: one thread a destination, so that a slow or dead one delays neither the drain nor the others.

A lane reads spans, sends them, and reports; it never writes to the store.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, cast

from hush_otel.destinations.base import RequestSender, Sender
from hush_otel.destinations.registry import open_sender
from hush_otel.errors import DeliveryError, PermanentError, RefusedError, RetryableError
from hush_otel.model import Outcome, SpanData
from hush_otel.store.outbox import Delivery, DestinationState
from hush_otel.store.spans import Batch
from hush_otel.store.whole import RequestReader

from .attempt import Attempt, NotTried, Packing, Report
from .whole import try_whole

log = logging.getLogger(__name__)

AHEAD: Final = 2
"""Batches that a lane has at once: it sends one while the next is claimed. In order all the same."""


class Result(NamedTuple):
    """What became of one batch: every delivery of it is in one of the reports."""

    lane: Lane
    reports: Sequence[Report]


class Lane:
    """One destination's thread. `submit` when `ready`; what came of it goes to `results`.

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
        self._state = state
        self._database = database
        self._results = results
        self._wake = wake
        self._jobs: queue.SimpleQueue[Sequence[Delivery] | None] = queue.SimpleQueue()
        self._sender: Sender | RequestSender | None = None
        self._reader: RequestReader | None = None
        self._packing = Packing()
        self._failed = False
        """What was submitted before a failure was settled is handed back: who asks for a pause gets it."""
        self._thread = threading.Thread(target=self._run, name=f"hush-otel {state.config.name}", daemon=True)
        self._thread.start()

    def submit(self, deliveries: Sequence[Delivery]) -> None:
        """Send these; one result follows."""
        if not self.in_flight:
            self._failed = False  # all that came of it is settled, and the thread waits
        self.in_flight += 1
        self._jobs.put(deliveries)

    def close(self, timeout_s: float) -> None:
        """End the thread after what it is sending, or leave it behind after `timeout_s`."""
        self._jobs.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while (deliveries := self._jobs.get()) is not None:
                self._results.put(Result(self, self._tried(deliveries)))
                self._wake()
        finally:
            if self._reader is not None:
                self._reader.close()
            if self._sender is not None:
                self._sender.close()

    def _tried(self, deliveries: Sequence[Delivery]) -> list[Report]:
        if self._failed:
            return [Report(deliveries, Outcome(), NotTried("the destination has failed before its turn"))]
        reports = self._attempt(deliveries)
        self._failed = any(report.stops_others for report in reports)
        return reports

    def _attempt(self, deliveries: Sequence[Delivery]) -> list[Report]:
        try:
            sender = self._open()
            if isinstance(sender, RequestSender):
                return try_whole(self._send_whole, deliveries)
            batch = self._read(deliveries)
        except RefusedError as exc:
            if len(deliveries) > 1:
                return [report for delivery in deliveries for report in self._attempt([delivery])]
            return [Report(deliveries, Outcome(), exc)]
        except DeliveryError as exc:
            return [Report(deliveries, Outcome(), exc)]
        return Attempt(self._send, deliveries, batch, self._packing).run()

    def _open(self) -> Sender | RequestSender:
        try:
            if self._sender is None:
                self._sender = open_sender(self._state.config)
        except DeliveryError:
            raise
        except Exception as exc:
            raise self._failure(exc, PermanentError) from exc
        return self._sender

    def _read(self, deliveries: Sequence[Delivery]) -> Batch:
        try:
            self._reader = self._reader or RequestReader(self._database)
            return self._reader.read_batch(deliveries)
        except Exception as exc:
            raise self._failure(exc) from exc

    def _send(self, spans: Sequence[SpanData]) -> Outcome:
        try:
            return cast("Sender", self._open()).send(spans)
        except DeliveryError:
            raise
        except Exception as exc:
            raise self._failure(exc) from exc

    def _send_whole(self, delivery: Delivery) -> Outcome | None:
        try:
            self._reader = self._reader or RequestReader(self._database)
            request = self._reader.read_request(delivery)
            sender = cast("RequestSender", self._open())
            return None if request is None else sender.send_request(request)
        except DeliveryError:
            raise
        except Exception as exc:
            raise self._failure(exc) from exc

    def _failure(self, exc: Exception, bug: type[PermanentError] = RefusedError) -> DeliveryError:
        """What passes by itself is tried again.

        A bug of ours, met by a span, happens at every try: its neighbours must not wait for it.
        """
        words = f"{type(exc).__name__}: {exc}"
        if isinstance(exc, (OSError, sqlite3.Error, MemoryError)):
            return RetryableError(words)
        log.error("sending to %s failed", self._state.config.name, exc_info=exc)
        return bug(f"cannot be sent: {words}")
