"""The full-text index: whether there is one, how far it is, and whether all of it can be read."""

from __future__ import annotations

from collections.abc import Iterator

from hush_otel.background.asking import Asking
from hush_otel.config import Settings
from hush_otel.errors import HushError, StoreError
from hush_otel.presentation import text
from hush_otel.store.reading import Reader
from hush_otel.store.search import is_available, state

from .finding import Finding, note, ok, wrong


def look(settings: Settings) -> Iterator[Finding]:
    """Nothing of it where there is no database that can be read."""
    if not settings.db_path.exists():
        return
    try:
        with Reader(settings.db_path) as reader:
            yield _searching(settings, reader)
    except StoreError:
        return  # the look at the database has said so


def _searching(settings: Settings, reader: Reader) -> Finding:
    found = state(reader)
    if not is_available(reader):
        return note("search", "this Python's SQLite has no FTS5: nothing is found by words")
    if found.phase == "off":
        why = "it is made with the next spans" if settings.search else "HUSH_SEARCH is off"
        return ok("search", f"there is no full-text index: {why}")
    if found.phase == "emptying":
        return note("search", "the full-text index is made anew, or removed, in the background")
    try:
        reader.row("search_check")
    except StoreError as exc:
        words = f"the full-text index is damaged: {exc.message}"
        mend = "--fix has it made anew; spans and deliveries are not concerned"
        return wrong("search", words, mend, lambda: _make_anew(settings))
    behind = f"{text.plural(found.behind, 'span')} behind" if found.behind else "up to date"
    return ok("search", f"the full-text index can be read, and is {behind}")


def _make_anew(settings: Settings) -> str:
    with Reader(settings.db_path) as reader, Asking(settings, reader) as asking:
        asked = asking.send("reindex", {})
        try:
            asking.answer(asked, "reindex")
        except HushError as exc:
            return f"asked for; {exc.hint or exc.message}"
    return "the full-text index is made anew, in the background"
