"""Requests: the list, one of them, its tree."""

from __future__ import annotations

import time
from typing import Any, Final

from hush_otel.errors import PageError, StoreError
from hush_otel.presentation.filters import Filters
from hush_otel.presentation.listing import listed, page, shown
from hush_otel.presentation.ways import Place
from hush_otel.store.reading import Reader, find_request
from hush_otel.store.search import Search

from .answers import Answer, Question
from .skeleton import skeleton

LIST: Final = 50
LIST_MOST: Final = 500
HITS_S: Final = 0.2
LIST_S: Final = 0.2
"""Looking for the next ones that match; then the page shows what there is, and asks on."""


def requests(question: Question) -> Answer:
    """The newest requests that the filters let through."""
    limit = question.whole("limit", LIST, most=LIST_MOST)
    filters = Filters.from_query(question.query)
    before = Place.parse(question.query["before"]) if question.query.get("before") else None
    if not question.settings.db_path.exists():
        return {"requests": [], "next": None, "missing": True}
    with question.reader() as reader:
        found = page(reader, filters, limit=limit, before=before, budget_s=LIST_S)
        rows = found.requests if filters.text is None else _with_hits(reader, filters.text, found.requests)
    after = str(found.next) if found.next else None
    return {"requests": list(map(listed, rows)), "next": after, "missing": False}


def _with_hits(reader: Reader, words: str, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each with where it says what was searched for, as far as that is found in time."""
    search, deadline = Search(reader, words), time.monotonic() + HITS_S
    for request in requests:
        hit = search.hit(request["request_id"]) if time.monotonic() < deadline else None
        request["hit"] = None if hit is None else hit._asdict()
    return requests


def request(question: Question) -> Answer:
    """One request, what became of its deliveries, and its files."""
    with question.reader() as reader, reader.snapshot():
        found = request_id(reader, question)
        row = reader.row("request", request_id=found)
        progress = reader.row("request_progress", request_id=found)
        return {
            "request": (shown(row) if row else {}) | dict(progress or {}),
            "deliveries": [dict(each) for each in reader.each("request_deliveries", request_id=found)],
            "media": [dict(each) for each in reader.each("page_media", request_id=found)],
        }


def tree(question: Question) -> Answer:
    """The request's spans as a skeleton: no inputs, no outputs."""
    with question.reader() as reader, reader.snapshot():
        found = request_id(reader, question)
        progress = reader.row("request_progress", request_id=found)
        columns = reader.columns("request_skeleton", request_id=found)
    return {"request_id": found, "max_seq": progress["max_seq"] if progress else 0} | skeleton(columns)


def request_id(reader: Reader, question: Question) -> str:
    """The request that the path means. Raises as `meant`."""
    return meant(reader, question.path["id"])


def meant(reader: Reader, said: str) -> str:
    """A request by its id, the unique beginning of it, or a trace id.

    Raises:
        PageError: There is none, or there are several.
    """
    try:
        return find_request(reader, said)
    except StoreError as exc:
        if exc.__cause__ is not None:  # SQLite's own words: nothing was looked for
            raise
        raise PageError(404, exc.message, hint=exc.hint) from exc
