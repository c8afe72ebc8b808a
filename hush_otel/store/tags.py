"""Tags of requests: those that their spans say, in the order in which they come, then those of the last mark.

A request is found by all of them (hush_request_labels). Spans of one request often repeat the same tags: a
request is read once for all that a batch says of it, and written only for what is new.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from hush_otel.mapping.semconv import tags_of

from .statements import load_statements

SQL: Final = load_statements("ingest")

TAG: Final = 1
"""The kind of tags in hush_request_labels."""
MAX_SPAN_TAGS: Final = 100
"""Of one request. Where each span has a tag of its own, a longer list would cost more with every span, and
tags that people filter by are few. All stay attributes of their spans."""

_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_LIST: Final = msgspec.json.Decoder(list[str])


class _Tags(NamedTuple):
    """What is stored of a request."""

    of_spans: list[str]
    marked: list[str]


def say_tags(db: sqlite3.Connection, request: int, tags: Iterable[str]) -> None:
    """Spans of a request that is a row say these.

    Args:
        db: In a transaction.
        request: Its number.
        tags: In their order.
    """
    before = _tags(db, request)
    known = set(before.of_spans)
    new = [tag for tag in dict.fromkeys(tags) if tag not in known][: MAX_SPAN_TAGS - len(before.of_spans)]
    if new:
        _set(db, request, before._replace(of_spans=before.of_spans + new))


def mark_tags(db: sqlite3.Connection, request: int, tags: Iterable[str]) -> None:
    """A mark says these, and the last mark counts. What spans have said stays."""
    _set(db, request, _tags(db, request)._replace(marked=list(dict.fromkeys(tags))))


def join_tags(db: sqlite3.Connection, old: int, new: int) -> None:
    """Two requests become one."""
    one, other = _tags(db, new), _tags(db, old)
    joined = list(dict.fromkeys((*one.of_spans, *other.of_spans)))[:MAX_SPAN_TAGS]
    _set(db, new, _Tags(joined, one.marked or other.marked))


def mend_tags(db: sqlite3.Connection, request: int) -> None:
    """A span has moved away: what spans say is taken from the rows again."""
    found: dict[str, None] = {}
    for (attributes,) in db.execute(SQL["rows_with_tags"], (request,)):
        found.update(dict.fromkeys(tags_of(_OBJECT.decode(attributes))))
        if len(found) >= MAX_SPAN_TAGS:
            break
    before = _tags(db, request)
    _set(db, request, before._replace(of_spans=list(found)[:MAX_SPAN_TAGS]))


def _tags(db: sqlite3.Connection, request: int) -> _Tags:
    row = db.execute(SQL["tags_of_request"], (request,)).fetchone()
    return _Tags([], []) if row is None else _Tags(_LIST.decode(row[0]), _LIST.decode(row[1]))


def _set(db: sqlite3.Connection, request: int, tags: _Tags) -> None:
    shown = list(dict.fromkeys((*tags.of_spans, *tags.marked)))
    db.execute(SQL["set_tags"], (_json(tags.of_spans), _json(tags.marked), _json(shown), request))
    db.execute(SQL["forget_tags"], (request,))
    db.executemany(SQL["label_request"], [(request, TAG, tag) for tag in shown])


def _json(tags: Sequence[str]) -> str | None:
    return msgspec.json.encode(tags).decode() if tags else None
