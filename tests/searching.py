"""The full-text index in tests: built to the end, compared with the rows, asked as people ask it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from inprocess import rows

from hush_otel.background.indexing import Indexing
from hush_otel.mapping.searchtext import APART, joined
from hush_otel.store import search_index
from hush_otel.store.database import Database
from hush_otel.store.ingest import Ingest
from hush_otel.store.reading import Reader
from hush_otel.store.search import Search

ALL = 1 << 40
"""Above every request's number."""


def build(database: Database, ingest: Ingest, *, wanted: bool = True) -> Indexing:
    """A new owner's index, up to now."""
    indexing = Indexing(database, ingest, wanted=wanted)
    indexing.finish()
    return indexing


def found(path: Path, text: str) -> list[str]:
    """Ids of the requests that hold it, the newest first."""
    with Reader(path) as reader:
        search = Search(reader, text)
        numbers = search.walk(search.terms[0], ALL, 1000)
        held = search.holding(numbers)
    ids = dict(rows(path, "SELECT id, request_id FROM hush_requests"))
    return [ids[number] for number in numbers if number in held and number in ids]


def words(path: Path) -> set[str]:
    """All words that the index holds."""
    return {word for (word,) in rows(path, "SELECT DISTINCT term FROM hush_search_words")}


def assert_whole(path: Path) -> None:
    """FTS5 finds no fault, and exactly the ended rows are in documents of their requests."""
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO hush_search (hush_search) VALUES ('integrity-check')")
    sql = """
        SELECT s.id, d.doc >> 20 FROM hush_spans s LEFT JOIN hush_search_docs d ON d.span = s.id
        WHERE s.state <> 0 ORDER BY s.id
    """
    assert rows(path, sql) == rows(path, "SELECT id, request FROM hush_spans WHERE state <> 0 ORDER BY id")
    assert not rows(
        path, "SELECT 1 FROM hush_search_docs WHERE span NOT IN (SELECT id FROM hush_spans WHERE state <> 0)"
    )
    assert words(path) == _words_of_rows(path)


def _words_of_rows(path: Path) -> set[str]:
    """What FTS5 makes of the rows, in an index of their own."""
    with sqlite3.connect(path) as db:
        numbers = [number for (number,) in db.execute("SELECT id FROM hush_spans")]
        db.execute("CREATE VIRTUAL TABLE temp.f USING fts5 (w, tokenize = 'unicode61 remove_diacritics 2')")
        db.execute("CREATE VIRTUAL TABLE temp.v USING fts5vocab (temp, f, row)")
        for row in search_index._rows(db, numbers):
            db.execute("INSERT INTO temp.f VALUES (?)", (joined(row.texts),))
        held = {word for (word,) in db.execute("SELECT term FROM temp.v")}
    return held | ({APART} & words(path))
