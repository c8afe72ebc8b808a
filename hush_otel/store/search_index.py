"""The full-text index: the words of spans, found by request. One writer, in its transactions.

A table of FTS5 (sqlite.org/fts5.html) that keeps no text. A document holds what up to DOC_SPANS spans of one
request say, each text once: in a workflow the output of one step is the input of the next. Its number begins
with the request's, so that the newest requests are the last documents. Which spans a document is made of
stands in hush_search_docs; to forget it, its words are computed from their rows once more, in the transaction
that changes or deletes one of them.

How far the index is: every span up to `UPTO`, and those of hush_search_again are to be looked at anew. It may
be behind, and be emptied and begun again at any time (`search_upkeep.py`); nothing else depends on it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

import msgspec

from hush_otel.mapping.searchtext import SPAN_CHARS, joined, texts_of

from . import notes
from .search_upkeep import SQL, UPTO, count, is_ready, telling_damage, upto

PLACE_BITS: Final = 20
"""Of a document's number: its place in its request. Spans beyond a million documents of one are not found."""
DOC_SPANS: Final = 16
"""A hit is one of so many spans; more of them would make it slow to tell which."""
READ_AT_ONCE: Final = 16
"""Rows that are read before their texts are counted."""
SPANS_AT_ONCE: Final = 256
"""However little they say: each takes some 20 µs."""
LOOKED_AT_ONCE: Final = 4_096
"""Spans, most of which may run still."""
CHARS_AT_ONCE: Final = 64 * 1024
"""Of texts: with the span that passes it 192 Ki at most. That takes 5 to 15 ms."""


class Indexed(NamedTuple):
    """What one step did.

    Attributes:
        spans: That are found now.
        upto: The highest number that was looked at.
        more: Whether others wait.
    """

    spans: int
    upto: int
    more: bool


class _Row(NamedTuple):
    id: int
    request: int
    texts: list[str]


# ------------------------------------------------------------------ words in


def index_some(db: sqlite3.Connection) -> Indexed:
    """Index the next spans, some milliseconds of work. In a transaction.

    Raises:
        IndexDamaged: See there.
    """
    reached = upto(db)
    changed = [number for (number,) in db.execute(SQL["changed"], (READ_AT_ONCE,))]
    with telling_damage():
        if changed:
            spans = _index_again(db, changed)
        else:
            spans, reached = _index_new(db, reached)
            notes.write(db, UPTO, reached)
    return Indexed(spans, reached, bool(changed) or reached < _last_span(db))


def behind(db: sqlite3.Connection) -> int:
    """How many spans wait, about: numbers are given one after the other, and those of deleted rows count."""
    (waiting,) = db.execute(SQL["count_again"]).fetchone()
    return max(_last_span(db) - upto(db), 0) + int(waiting)


def again(db: sqlite3.Connection, spans: Sequence[int]) -> None:
    """These have ended, or changed, after the index was past them. In a transaction."""
    db.execute(SQL["again"], (_json(spans),))


def again_of_request(db: sqlite3.Connection, request: int) -> None:
    """The spans of a request are about to belong to another one. In a transaction."""
    db.execute(SQL["again_of_request"], (request,))


def _index_again(db: sqlite3.Connection, changed: list[int]) -> int:
    rows, room, done = list[_Row](), CHARS_AT_ONCE, set[int]()
    for span in changed:
        if span not in done and room > 0:
            whole = {span, *(other for doc in _docs_of(db, [span]) for other in _spans_of(db, doc))}
            forget(db, [span])
            found = list(_rows(db, sorted(whole)))
            room -= sum(len(text) for row in found for text in row.texts)
            rows += found
            done |= whole
    _write(db, rows)
    db.execute(SQL["done"], (_json(sorted(done)),))
    return len(rows)


def _index_new(db: sqlite3.Connection, reached: int) -> tuple[int, int]:
    found, room = list[_Row](), CHARS_AT_ONCE
    for _ in range(0, LOOKED_AT_ONCE, READ_AT_ONCE):
        if room <= 0 or len(found) >= SPANS_AT_ONCE:
            break
        numbers = [number for (number,) in db.execute(SQL["next_spans"], (reached, READ_AT_ONCE))]
        known = {span for (span,) in db.execute(SQL["has_doc"], (_json(numbers),))}
        for row in _rows(db, [number for number in numbers if number not in known]):
            found.append(row)
            room -= sum(map(len, row.texts))
            if room <= 0:
                reached = row.id
                break
        else:
            reached = numbers[-1] if numbers else reached
        if len(numbers) < READ_AT_ONCE:
            break
    _write(db, found)
    return len(found), reached


def _write(db: sqlite3.Connection, rows: list[_Row]) -> None:
    """Documents in the order of their numbers: FTS5 keeps them in memory as long as they grow."""
    chars = 0
    rows.sort(key=lambda row: (row.request, row.id))
    for request, spans in groupby(rows, lambda row: row.request):
        first, last = request << PLACE_BITS, (request + 1 << PLACE_BITS) - 1
        (before,) = db.execute(SQL["last_doc"], (first, last)).fetchone()
        number = first if before is None else before + 1
        for some in _documents(spans):
            if number > last:
                break
            words = _words(some)
            db.execute(SQL["insert_doc"], (number, words))
            db.executemany(SQL["note_span"], [(row.id, number) for row in some])
            number, chars = number + 1, chars + len(words)
    count(db, live=chars)


def _documents(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    some, chars = list[_Row](), 0
    for row in rows:
        more = sum(map(len, row.texts))
        if some and (len(some) == DOC_SPANS or chars + more > SPAN_CHARS):
            yield some
            some, chars = [], 0
        some.append(row)
        chars += more
    if some:
        yield some


# ------------------------------------------------------------------ words out


def forget(db: sqlite3.Connection, spans: Sequence[int], chars_at_most: int | None = None) -> bool:
    """The documents of these spans go, before their rows do or change. In a transaction.

    The other spans of these documents are looked at again: until then they are not found either.

    Args:
        db: In a transaction.
        spans: Numbers of rows.
        chars_at_most: After so much text no further document is begun.

    Returns:
        Whether none is left.

    Raises:
        IndexDamaged: See there.
    """
    if not is_ready(db):
        return True
    chars, docs, those = 0, _docs_of(db, spans), set(spans)
    with telling_damage():
        while docs and (chars_at_most is None or chars < chars_at_most):
            doc = docs.pop(0)
            held = _spans_of(db, doc)
            words = _words(_rows(db, held))
            again(db, [span for span in held if span not in those])
            db.execute(SQL["forget_doc"], (doc, words))
            db.execute(SQL["forget_spans_of_doc"], (doc,))
            chars += len(words)
    count(db, live=-chars, dead=chars)
    return not docs


def forget_changed(db: sqlite3.Connection, span: int) -> None:
    """A row is about to be replaced: its document goes, and all of it is indexed again. In a transaction."""
    if is_ready(db):
        again(db, [span])
        forget(db, [span])


def spans_gone(db: sqlite3.Connection, spans: Sequence[int]) -> None:
    """These rows were deleted: the number of the last one may come again. In a transaction."""
    db.execute(SQL["done"], (_json(spans),))
    db.execute(SQL["lower_upto"])


# ------------------------------------------------------------------ rows and their words


def _rows(db: sqlite3.Connection, spans: Sequence[int]) -> Iterator[_Row]:
    values = {"spans": _json(spans), "chars": 2 * SPAN_CHARS}
    for number, request, name, error, attributes, events, large in db.execute(SQL["rows"], values):
        long = _long_texts(db, number) if large else ()
        yield _Row(number, request, texts_of(name, error, attributes, events, long))


def _long_texts(db: sqlite3.Connection, span: int) -> Iterator[str]:
    """Their beginnings, without reading the rest."""
    for (payload,) in db.execute(SQL["long_texts"], (span,)):
        with db.blobopen("hush_payloads", "json", payload, readonly=True) as blob:
            yield blob.read(2 * SPAN_CHARS).decode("utf-8", "ignore")


def _words(rows: Iterable[_Row]) -> str:
    return joined(text for row in rows for text in row.texts)


def _docs_of(db: sqlite3.Connection, spans: Sequence[int]) -> list[int]:
    return [doc for (doc,) in db.execute(SQL["docs_of"], (_json(spans),))]


def _spans_of(db: sqlite3.Connection, doc: int) -> list[int]:
    return [span for (span,) in db.execute(SQL["spans_of_doc"], (doc,))]


def _last_span(db: sqlite3.Connection) -> int:
    (last,) = db.execute(SQL["last_span"]).fetchone()
    return int(last)


def _json(numbers: Sequence[int]) -> str:
    encoded: Any = msgspec.json.encode(list(numbers))
    return str(encoded, "utf-8")
