"""The full-text index: the words of spans, found by request. One writer, in its transactions.

A table of FTS5 (sqlite.org/fts5.html) that keeps no text. A document holds what up to DOC_SPANS spans of one
request say, each text once: in a workflow the output of one step is the input of the next. Its number begins
with the request's, so that the newest requests are the last documents. Which spans a document is made of
stands in hush_search_docs; to forget it, its words are computed from their rows once more, in the transaction
that changes or deletes one of them.

How far the index is: every span up to `UPTO`, and those of hush_search_again are to be looked at anew. It may
be behind, and be emptied and begun again at any time; nothing else depends on it.
"""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Final, NamedTuple

import msgspec

from hush_otel.mapping.searchtext import FORMAT, SPAN_CHARS, joined, texts_of

from . import notes
from .statements import load_statements

SQL: Final = load_statements("search")

PLACE_BITS: Final = 20
"""Of a document's number: its place in its request. Spans beyond a million documents of one are not found."""
DOC_SPANS: Final = 16
"""A hit is one of so many spans; more of them would make it slow to tell which."""
READ_AT_ONCE: Final = 16
"""Rows that are read before their texts are counted."""
SPANS_AT_ONCE: Final = 256
"""However little they say: each takes some 20 µs."""
CHARS_AT_ONCE: Final = 64 * 1024
"""Of texts: with the span that passes it 192 Ki at most. That takes 5 to 15 ms."""
MERGE_PAGES: Final = 16
"""Of one merge: about 2 ms. FTS5 stops between two words only: the commonest one of a million spans takes 0.1
s, when the largest parts of the index are merged, which is seldom."""
DEAD_SHARE: Final = 0.5
"""Of the texts that are found, so much as was forgotten may lie in the index, until all is merged. FTS5
writes down what is forgotten as it does what is found, and drops both where they meet."""
DEAD_CHARS: Final = 1024 * 1024
"""So much in any case."""
ANEW_SHARE: Final = 8
"""Where so many times more was forgotten than is found, a merge would read long for a page that it writes."""
CHAR_BYTES: Final = 0.6
"""What a character takes in the index, about."""
EMPTY_ROWS: Final = 500
"""Pages of an index that nobody asks any more, or notes of its documents, deleted at once: milliseconds."""

STATE: Final = "search_state"
UPTO: Final = "search_upto"
_LIVE: Final = "search_live"
_DEAD: Final = "search_dead"
"""Characters of the texts that are found, and of those that were forgotten since all was merged."""
_FORMAT: Final = "search_format"
_READY: Final = "ready"
_EMPTYING: Final = "emptying"


class Phase(enum.Enum):
    """What is to be done with the index."""

    OFF = "off"
    UNAVAILABLE = "this Python's SQLite has no FTS5"
    EMPTYING = "emptying"
    READY = "ready"


class IndexDamaged(sqlite3.DatabaseError):
    """FTS5 cannot work on the index; the rows are not concerned."""


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


# ------------------------------------------------------------------ made, emptied, made anew


def prepare(db: sqlite3.Connection, *, wanted: bool) -> Phase:
    """Make the index where there is none, or find out what stands in the way. In a transaction."""
    exists = db.execute(SQL["exists"]).fetchone() is not None
    if not is_available(db):
        if exists:  # its documents cannot be forgotten with their rows: it is of no use any more
            notes.write(db, STATE, _EMPTYING)
        return Phase.UNAVAILABLE
    if exists and wanted and is_ready(db) and notes.number(db, _FORMAT) == FORMAT:
        return Phase.READY
    if exists:
        notes.write(db, STATE, _EMPTYING)
        return Phase.EMPTYING
    if not wanted:
        return Phase.OFF
    _create(db)
    return Phase.READY


def is_available(db: sqlite3.Connection) -> bool:
    """Whether this SQLite was built with FTS5."""
    try:
        db.execute("SELECT fts5_source_id()")
    except sqlite3.OperationalError:
        return False
    return True


def is_ready(db: sqlite3.Connection) -> bool:
    """Whether what is done to rows has to be done to the index."""
    return notes.text(db, STATE) == _READY


def upto(db: sqlite3.Connection) -> int:
    """The highest number that was looked at; 0 where there is no index."""
    return int(notes.number(db, UPTO) or 0) if is_ready(db) else 0


def give_up(db: sqlite3.Connection) -> None:
    """From now on nobody asks or changes it; it is emptied and made anew. In a transaction."""
    if is_ready(db):
        notes.write(db, STATE, _EMPTYING)


def empty_some(db: sqlite3.Connection) -> bool:
    """Delete some of an index that is to go; True when nothing is left of it. In a transaction.

    Its pages go as rows of the table in which FTS5 keeps them: dropped at once, a large one would take long.
    """
    for statement in ("empty_pages", "empty_docs"):
        try:
            if db.execute(SQL[statement], (EMPTY_ROWS,)).rowcount > 0:
                return False
        except sqlite3.OperationalError as exc:
            if "no such table" not in str(exc):
                raise
    db.execute(SQL["empty_again"])
    _drop(db)
    for note in (STATE, UPTO, _FORMAT, _LIVE, _DEAD):
        notes.forget(db, note)
    return True


def _create(db: sqlite3.Connection) -> None:
    db.execute(SQL["create"])
    db.execute(SQL["create_words"])
    # Merged by steps of our own, none of which is long.
    for option, value in (("automerge", 0), ("crisismerge", 1_000_000)):
        db.execute(SQL["set_option"], (option, value))
    notes.write(db, STATE, _READY)
    notes.write(db, UPTO, 0)
    notes.write(db, _FORMAT, FORMAT)


def _drop(db: sqlite3.Connection) -> None:
    db.execute(SQL["drop_words"])
    try:
        db.execute(SQL["drop"])
    except sqlite3.DatabaseError:
        # FTS5 opens a table before it drops it, and cannot: out of the schema with it, and with what it kept.
        db.execute("PRAGMA writable_schema = ON")
        try:
            db.execute(SQL["drop_by_force"])
        finally:
            db.execute("PRAGMA writable_schema = RESET")
        for part in ("data", "idx", "content", "docsize", "config"):
            db.execute(f"DROP TABLE IF EXISTS hush_search_{part}")


# ------------------------------------------------------------------ words in


def index_some(db: sqlite3.Connection) -> Indexed:
    """Index the next spans, some milliseconds of work. In a transaction.

    Raises:
        IndexDamaged: See there.
    """
    reached = upto(db)
    changed = [number for (number,) in db.execute(SQL["changed"], (READ_AT_ONCE,))]
    with _telling_damage():
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


def merge(db: sqlite3.Connection) -> bool:
    """Some of the work that keeps the index fast; False when there is nothing to do. In a transaction."""
    before = db.total_changes
    with _telling_damage():
        db.execute(SQL["merge"], (MERGE_PAGES,))
    return db.total_changes - before > 1  # (sqlite.org/fts5.html#the_merge_command)


def dead_bytes(db: sqlite3.Connection) -> int:
    """What `compact` gives back, about."""
    return int(CHAR_BYTES * (notes.number(db, _DEAD) or 0)) if is_ready(db) else 0


def must_compact(db: sqlite3.Connection) -> bool:
    """Whether much of the index was forgotten."""
    dead, live = _dead_and_live(db)
    return dead > max(DEAD_SHARE * live, DEAD_CHARS)


def is_mostly_dead(db: sqlite3.Connection) -> bool:
    """Whether it is sooner made anew than merged: FTS5 counts what it writes, not what it reads for it."""
    dead, live = _dead_and_live(db)
    return dead > max(ANEW_SHARE * live, DEAD_CHARS)


def _dead_and_live(db: sqlite3.Connection) -> tuple[float, float]:
    if not is_ready(db):
        return 0, 0
    return notes.number(db, _DEAD) or 0, notes.number(db, _LIVE) or 0


def compact(db: sqlite3.Connection) -> bool:
    """Some of the work that merges all of the index; False when it is done. In a transaction."""
    if not dead_bytes(db):
        return False
    before = db.total_changes
    with _telling_damage():
        db.execute(SQL["merge"], (-MERGE_PAGES,))
    if db.total_changes - before > 1:
        return True
    notes.write(db, _DEAD, 0)
    return False


def _count(db: sqlite3.Connection, *, live: int, dead: int = 0) -> None:
    for name, more in ((_LIVE, live), (_DEAD, dead)):
        notes.write(db, name, (notes.number(db, name) or 0) + more)


def _index_again(db: sqlite3.Connection, changed: list[int]) -> int:
    known = {span for doc in _docs_of(db, changed) for span in _spans_of(db, doc)}
    forget(db, changed)
    rows = list(_rows(db, sorted(known.union(changed))))
    _write(db, rows)
    db.execute(SQL["done"], (_json(changed),))
    return len(rows)


def _index_new(db: sqlite3.Connection, reached: int) -> tuple[int, int]:
    found, room = list[_Row](), CHARS_AT_ONCE
    while room > 0 and len(found) < SPANS_AT_ONCE:
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
    _count(db, live=chars)


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

    The other spans of these documents are not found either until `again` says so.

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
    chars, docs = 0, _docs_of(db, spans)
    with _telling_damage():
        while docs and (chars_at_most is None or chars < chars_at_most):
            doc = docs.pop(0)
            words = _words(_rows(db, _spans_of(db, doc)))
            db.execute(SQL["forget_doc"], (doc, words))
            db.execute(SQL["forget_spans_of_doc"], (doc,))
            chars += len(words)
    _count(db, live=-chars, dead=chars)
    return not docs


def forget_changed(db: sqlite3.Connection, span: int) -> None:
    """A row is about to be replaced: its document goes, and all of it is indexed again. In a transaction."""
    if is_ready(db):
        again(db, [span, *(other for doc in _docs_of(db, [span]) for other in _spans_of(db, doc))])
        forget(db, [span])


def spans_gone(db: sqlite3.Connection) -> None:
    """Rows were deleted: the number of the last one may come again. In a transaction."""
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


@contextmanager
def _telling_damage() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as exc:
        if is_index_damage(exc):
            raise IndexDamaged(f"the full-text index is damaged: {exc}") from exc
        raise


def is_index_damage(exc: sqlite3.Error) -> bool:
    """Whether FTS5 says it, also at a commit; SQLite's own SQLITE_CORRUPT concerns the rows.

    A table of the index that is missing or unreadable is SQLITE_ERROR (sqlite.org/rescode.html).
    """
    if isinstance(exc, IndexDamaged):
        return True
    code, said = getattr(exc, "sqlite_errorcode", None), str(exc)
    # What SQLite's parser finds wrong has words of its own: a virtual table that gives none fails so.
    of_fts5 = "hush_search" in said or "fts5" in said or said == "SQL logic error"
    return code == sqlite3.SQLITE_CORRUPT_VTAB or (code == sqlite3.SQLITE_ERROR and of_fts5)


def _json(numbers: Sequence[int]) -> str:
    encoded: Any = msgspec.json.encode(list(numbers))
    return str(encoded, "utf-8")
