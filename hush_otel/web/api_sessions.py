"""Sessions, and what there is to filter by."""

from __future__ import annotations

from typing import Final

from hush_otel.presentation import sessions as shared
from hush_otel.presentation.ways import Place

from .answers import Answer, Question

LIST: Final = 50
LIST_MOST: Final = 200
LIST_S: Final = 0.3
REQUESTS: Final = 500
"""Of a session: the newest."""


def sessions(question: Question) -> Answer:
    """The sessions that were active last."""
    limit = question.whole("limit", LIST, most=LIST_MOST)
    before = Place.parse(question.query["before"]) if question.query.get("before") else None
    with question.reader() as reader:
        found = shared.sessions(reader, limit=limit, before=before, budget_s=LIST_S)
    return {"sessions": found.requests, "next": str(found.next) if found.next else None}


def session(question: Question) -> Answer:
    """The requests of one session, the oldest first."""
    session_id = question.path["id"]
    with question.reader() as reader:
        found = shared.requests_of(reader, session_id, limit=question.whole("limit", REQUESTS, most=REQUESTS))
    return {"session_id": session_id, "requests": found}


def facets(question: Question) -> Answer:
    """What the newest requests have that one can filter by."""
    with question.reader() as reader:
        return shared.facets(reader)
