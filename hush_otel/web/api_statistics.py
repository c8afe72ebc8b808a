"""Figures over many requests."""

from __future__ import annotations

import math
from typing import Final, cast

from hush_otel.errors import PageError
from hush_otel.presentation import statistics
from hush_otel.presentation.moments import moment
from hush_otel.presentation.statistics import By, Window

from .answers import Answer, Question

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


def _window(question: Question) -> Window:
    query = question.query
    return Window(
        since=moment(query["since"]) if query.get("since") else 0.0,
        until=moment(query["until"]) if query.get("until") else math.inf,
        workflow=query.get("workflow") or None,
    )
