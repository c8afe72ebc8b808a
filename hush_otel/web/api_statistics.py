"""Figures over many requests, and two requests side by side."""

from __future__ import annotations

import math
from typing import Final, cast

from hush_otel.errors import PageError
from hush_otel.presentation import statistics
from hush_otel.presentation.compare import compare as compared
from hush_otel.presentation.listing import shown
from hush_otel.presentation.moments import moment
from hush_otel.presentation.statistics import By, Window
from hush_otel.store.reading import Reader

from .answers import Answer, Question
from .api_requests import meant

BY: Final = ("workflow", "model", "day")


def stats(question: Question) -> Answer:
    """Figures by workflow, model or day."""
    by = question.query.get("by", BY[0])
    if by not in BY:
        raise PageError(400, f"by: nothing is grouped by {by[:40]!r}", hint=f"one of {', '.join(BY)}")
    with question.reader() as reader:
        return statistics.grouped(reader, cast("By", by), _window(question))


def latency(question: Question) -> Answer:
    """Points of a scatter."""
    with question.reader() as reader:
        return statistics.latency(reader, _window(question))


def timeline(question: Question) -> Answer:
    """Requests, tokens and dollars over time."""
    with question.reader() as reader:
        return statistics.timeline(reader, _window(question))


def compare(question: Question) -> Answer:
    """The steps of two requests, aligned."""
    said = [question.query.get(side, "") for side in ("a", "b")]
    if not all(said):
        raise PageError(400, "a and b: two requests are compared", hint="give the ids of both")
    with question.reader() as reader, reader.snapshot():
        a, b = (meant(reader, each) for each in said)
        rows = [pair.as_json() for pair in compared(reader, a, b)]
        return {"a": _request(reader, a), "b": _request(reader, b), "rows": rows}


def _request(reader: Reader, request_id: str) -> dict[str, object]:
    row = reader.row("request", request_id=request_id)
    return shown(row) if row else {}


def _window(question: Question) -> Window:
    query = question.query
    return Window(
        since=moment(query["since"]) if query.get("since") else 0.0,
        until=moment(query["until"]) if query.get("until") else math.inf,
        workflow=query.get("workflow") or None,
    )
