"""What every destination offers to the relay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from hush_otel.model import Outcome, SpanData, WholeRequest


class Sender(Protocol):
    """An open destination.

    Used by one thread at a time, and not across a fork. Opening it reaches no network.

    Attributes:
        max_in_flight: So many senders of one destination may be open and sending side by side.
        wants_facts: Whether it looks at `SpanData.facts`.
    """

    @property
    def max_in_flight(self) -> int:
        """See above."""
        ...

    @property
    def wants_facts(self) -> bool:
        """See above."""
        ...

    def send(self, spans: Sequence[SpanData]) -> Outcome:
        """Make one attempt to hand over all of `spans` in one request.

        Blocks, bounded by the destination's own timeout. No retry happens inside: a returned Outcome
        means that the receiver accepted the request.

        Raises:
            RetryableError: The receiver was not reached, or asked for another try later.
            RefusedError: The receiver does not accept what this request carries; fewer spans may be accepted.
            TooLargeError: The same, because it is too much at once. OversizeError: seen before it was sent.
            PermanentError: The receiver will never accept this request, or the configuration cannot work.
            PausedError: Nothing is accepted until a person acts: a key, a certificate, a name.
        """
        ...

    def close(self) -> None:
        """Give connections and files back. Idempotent; never raises."""
        ...


@runtime_checkable
class RequestSender(Protocol):
    """An open destination that takes requests whole; otherwise as `Sender`."""

    @property
    def max_in_flight(self) -> int:
        """As of a `Sender`."""
        ...

    def send_request(self, request: WholeRequest) -> Outcome:
        """Make one attempt to hand over all of a request, as far as it has ended.

        Raises:
            DeliveryError: As `Sender.send`; a RefusedError is about the whole request.
        """
        ...

    def close(self) -> None:
        """Give connections and files back. Idempotent; never raises."""
        ...
