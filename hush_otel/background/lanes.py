"""Lanes: one thread a destination, so that a slow or dead one delays neither the drain nor the others.

A lane reads spans, sends them, and reports; it never writes to the store.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from hush_otel.destinations.base import Sender
from hush_otel.destinations.registry import open_sender
from hush_otel.errors import DeliveryError, PermanentError, RetryableError
from hush_otel.model import Outcome, SpanData
from hush_otel.store.outbox import Delivery, DestinationState
from hush_otel.store.spans import SpanReader

log = logging.getLogger(__name__)

REQUEST_SPANS: Final = 512
"""Spans in one request: below the 4 MiB default limit of gRPC receivers for usual LLM spans."""


AHEAD: Final = 2
"""Batches that a lane has at once: it encodes and sends one while the next is claimed. In order all the same."""


class Report(NamedTuple):
    """What came of an attempt: accepted when `error` is None.

    `last`: of what was submitted together.
    """

    deliveries: Sequence[Delivery]
    outcome: Outcome
    error: DeliveryError | None
    last: bool = True


class Lane:
    """One destination's thread. `submit` when `ready`; results go to `reports`.

    Args:
        state: The destination.
        database: For reading spans.
        reports: Where every attempt is reported.
        wake: Called after a report.
    """

    def __init__(
        self,
        state: DestinationState,
        database: Path,
        reports: queue.SimpleQueue[Report],
        wake: Callable[[], None],
    ) -> None:
        self.digest = state.digest
        self.failures = 0
        """Retryable failures in a row."""
        self.in_flight = 0
        """Submitted batches whose last report is not settled yet."""
        self._state = state
        self._database = database
        self._reports = reports
        self._wake = wake
        self._jobs: queue.SimpleQueue[Sequence[Delivery] | None] = queue.SimpleQueue()
        self._sender: Sender | None = None
        self._thread = threading.Thread(target=self._run, name=f"hush-otel {state.config.name}", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether to submit more: one ahead, so that nobody waits for the other; none after a failure."""
        return self.in_flight < (1 if self.failures else AHEAD)

    def submit(self, deliveries: Sequence[Delivery]) -> None:
        """Send these; a report follows for each of them."""
        self.in_flight += 1
        self._jobs.put(deliveries)

    def close(self, timeout_s: float) -> None:
        """End the thread after what it is sending, or leave it behind after `timeout_s`."""
        self._jobs.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        reader: SpanReader | None = None
        try:
            while (deliveries := self._jobs.get()) is not None:
                try:
                    reader = reader or SpanReader(self._database)
                    for report in self._attempt(reader, deliveries):
                        self._reports.put(report)
                except (OSError, sqlite3.Error) as exc:
                    self._reports.put(Report(deliveries, Outcome(), _transient(exc)))
                self._wake()
        finally:
            if reader is not None:
                reader.close()
            if self._sender is not None:
                self._sender.close()

    def _attempt(self, reader: SpanReader, deliveries: Sequence[Delivery]) -> Iterator[Report]:
        """Send all in common; when that can never work, each by itself: it gets its own answer."""
        report = self._send(reader, deliveries)
        if isinstance(report.error, PermanentError) and len(deliveries) > 1:
            for delivery in deliveries:
                yield self._send(reader, [delivery])._replace(last=delivery is deliveries[-1])
        else:
            yield report

    def _send(self, reader: SpanReader, deliveries: Sequence[Delivery]) -> Report:
        try:
            spans = reader.read(deliveries)
            if not spans:
                raise RetryableError("its spans have moved to another request")  # noqa: TRY301
            return Report(deliveries, self._send_spans(spans), None)
        except DeliveryError as exc:
            return Report(deliveries, Outcome(), exc)
        except (OSError, sqlite3.Error, MemoryError) as exc:
            return Report(deliveries, Outcome(), _transient(exc))
        except Exception as exc:
            # A bug of ours, met by a span: the same happens at every try, and others must not wait for it.
            log.exception("sending to %s failed", self._state.config.name)
            return Report(
                deliveries, Outcome(), PermanentError(f"cannot be sent: {type(exc).__name__}: {exc}")
            )

    def _send_spans(self, spans: Sequence[SpanData]) -> Outcome:
        if self._sender is None:
            self._sender = open_sender(self._state.config)
        rejected, messages = 0, []
        for start in range(0, len(spans), REQUEST_SPANS):
            outcome = self._sender.send(spans[start : start + REQUEST_SPANS])
            rejected += outcome.rejected
            messages.append(outcome.message)
        return Outcome(rejected, "; ".join(dict.fromkeys(filter(None, messages))))


def _transient(exc: Exception) -> RetryableError:
    return RetryableError(f"{type(exc).__name__}: {exc}")
