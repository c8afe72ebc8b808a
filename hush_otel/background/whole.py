"""One attempt at requests that are sent whole, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hush_otel.errors import DeliveryError
from hush_otel.model import Outcome
from hush_otel.store.outbox import Delivery

from .attempt import NotTried, Report, SpansGone


def try_whole(send: Callable[[Delivery], Outcome | None], deliveries: Sequence[Delivery]) -> list[Report]:
    """Send each delivery's request; what became of every delivery.

    What follows a failure that others would only meet again is handed back.

    Args:
        send: One request; None when it has no rows. Raises DeliveryErrors only.
        deliveries: In the order in which they are sent.
    """
    reports: list[Report] = []
    for place, delivery in enumerate(deliveries, 1):
        reports.append(_report(send, delivery))
        if reports[-1].stops_others:
            if left := deliveries[place:]:
                reports.append(Report(left, Outcome(), NotTried("the one before it has failed")))
            break
    return reports


def _report(send: Callable[[Delivery], Outcome | None], delivery: Delivery) -> Report:
    try:
        outcome = send(delivery)
    except DeliveryError as exc:
        return Report([delivery], Outcome(), exc)
    if outcome is None:
        return Report([delivery], Outcome(), SpansGone("none of its spans is found"))
    return Report([delivery], outcome, None)
