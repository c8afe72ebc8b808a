"""Deliveries: the list, and the one thing that the page changes: that some are sent again."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Final

import msgspec

from hush_otel.background.asking import Asking
from hush_otel.errors import PageError
from hush_otel.presentation.deliveries import NEWEST, STATES, newest
from hush_otel.presentation.status import destinations

from .answers import Answer, Question

LIST: Final = 50
LIST_MOST: Final = 500
ANSWER_S: Final = 10.0
"""How long to wait for what came of a retry; it is in the spool by then, and will be applied."""


class Retry(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked: these, or what is dead or paused at a destination.

    Attributes:
        ids: Numbers of deliveries.
        destination: Its name.
        states: dead alone leaves out what is paused or waits.
    """

    ids: Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=NEWEST)]], msgspec.Meta(max_length=1000)] = []
    destination: str | None = None
    states: tuple[str, ...] = ("dead", "paused")


def deliveries(question: Question) -> Answer:
    """The newest deliveries, and how each destination is."""
    limit = question.whole("limit", LIST, most=LIST_MOST)
    states = [state for state in question.query.get("state", "").split(",") if state]
    if not set(STATES).issuperset(states):
        raise PageError(400, "state: no delivery is ever in that", hint=f"one of {', '.join(STATES)}")
    with question.reader() as reader:
        found = newest(
            reader,
            states=states,
            destination=question.query.get("destination"),
            limit=limit + 1,
            before=question.whole("before", NEWEST, most=NEWEST),
        )
        shown = [dict(row) for row in found[:limit]]
        return {
            "deliveries": shown,
            "next": str(shown[-1]["id"]) if len(found) > limit else None,
            "destinations": [asdict(each) for each in destinations(reader, time.time())],
        }


def retry(question: Question) -> Answer:
    """Have deliveries sent again, by the background process."""
    asked = _asked(question)
    with question.reader() as reader:
        if asked.destination is not None and reader.row("destination", name=asked.destination) is None:
            raise PageError(404, f"no destination {asked.destination[:100]!r}")
        arguments = {
            "ids": asked.ids,
            "destination": asked.destination,
            "only_dead": not asked.ids and asked.states == ("dead",),
        }
        with Asking(question.settings, reader) as asking:
            found = asking.answer(asking.send("retry", arguments), "retry", ANSWER_S)
    return {"retried": found["deliveries"], "resumed": found["resumed"]}


def _asked(question: Question) -> Retry:
    try:
        asked = msgspec.convert(question.body, Retry)
    except msgspec.ValidationError as exc:
        raise PageError(400, f"retry: {exc}") from None
    if bool(asked.ids) == (asked.destination is not None):
        raise PageError(400, "retry: give ids or a destination")
    if not {"dead", "paused"}.issuperset(asked.states):
        raise PageError(400, "retry: states are dead and paused")
    return asked
