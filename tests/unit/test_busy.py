"""Who waits for a command sees that something happens: whatever it reads that has no bound, it reads meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click.testing
import pytest
from click.testing import CliRunner
from inprocess import no_background
from rich.progress import Progress
from store_rows import StoreRows

from hush_otel.cli import main, output
from hush_otel.model import SpanData
from hush_otel.store.history import HistoryReader
from hush_otel.store.reading import Reader

QUICK = frozenset(
    (
        "schema_version",
        "find_request",
        "request_number",
        "destination",
        "destination_names",
        "columns",
        "space",
    )
)
"""Look-ups of one row, and of what there are few of."""

COMMANDS = (
    ("ls",),
    ("show", "one"),
    ("show", "one", "--io"),
    ("show", "one", "--json"),
    ("show", "one", "--node", "answer"),
    ("stats", "--since", "2000-01-01"),
    ("diff", "one", "two"),
    ("diff", "one", "two", "--io"),
    ("diff", "one", "two", "--json"),
    ("share", "one", "-"),
    ("share", "one", "-", "--markdown"),
    ("share", "one", "-", "--json"),
    ("status",),
    ("deliveries",),
    ("explain", "--to", "phoenix", "one"),
    ("explain", "--to", "phoenix", "one", "--json"),
    ("export", "-"),
    ("export", "-", "--format", "jsonl"),
    ("redact", "--check"),
    ("redact", "one", "--check"),
    ("audit",),
    ("doctor",),
    ("prune", "--older-than", "1d", "--dry-run"),
    ("replay", "--since", "all", "--to", "there", "--dry-run"),
    ("reprice", "--dry-run"),
    ("drain",),
)


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two requests, one of which has another input, and a delivery."""
    no_background(monkeypatch, tmp_path)
    path = tmp_path / "traces.db"
    with StoreRows(path) as rows:
        there = rows.destination("there")
        for name, first in (("one", 1), ("two", 11)):
            request = rows.request(name)
            rows.span(request, first, name="answer", attributes=f'{{"input.value":"{name}"}}')
            rows.delivery(request, there, "delivered", settled_at=1.0)
    return path


class Watch:
    """What was read while nothing moved, and what moved while something was written."""

    def __init__(self) -> None:
        self.moving = 0
        self.moved = 0
        self.read_in_silence = set[str]()
        self.written_meanwhile = list[str]()

    def start(self, *_: object) -> None:
        """It moves."""
        self.moving += 1
        self.moved += 1

    def stop(self, *_: object) -> None:
        """It does no more."""
        self.moving = 0

    def reads(self, query: str) -> None:
        """A query was asked."""
        if not self.moving and query not in QUICK:
            self.read_in_silence.add(query)

    def writes(self, words: str) -> None:
        """Something went to standard output."""
        if self.moving and words:
            self.written_meanwhile.append(words)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """At every spinner and bar, and every query."""
    watch, cursor, spans_of = Watch(), Reader._cursor, HistoryReader.spans_of

    @contextmanager
    def asked(reader: Reader, name: str, params: dict[str, Any]) -> Iterator[Any]:
        watch.reads(name)
        with cursor(reader, name, params) as found:
            yield found

    def spans(reader: HistoryReader, request: int) -> Iterator[SpanData]:
        watch.reads("spans_of_request")
        yield from spans_of(reader, request)

    for kind in (output.Spinner, Progress):
        monkeypatch.setattr(kind, "start", watch.start)
        monkeypatch.setattr(kind, "stop", watch.stop)
    monkeypatch.setattr(Reader, "_cursor", asked)
    monkeypatch.setattr(HistoryReader, "spans_of", spans)
    return watch


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_what_has_no_bound_is_read_while_something_moves(
    db: Path, watch: Watch, args: tuple[str, ...]
) -> None:
    """In a pipe, where it moves until all is written."""
    result = CliRunner().invoke(main.cli, ["--db", str(db), *args], catch_exceptions=False)
    assert result.exit_code in (0, 1), result.output
    assert watch.read_in_silence == set()
    assert watch.moved
    assert not watch.moving


TO_A_TERMINAL = [args for args in COMMANDS if "-" not in args]


@pytest.mark.parametrize("args", TO_A_TERMINAL, ids=" ".join)
def test_nothing_moves_beside_words_in_a_terminal(
    db: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    """What moves has gone when the first word comes."""
    stream = click.testing._NamedTextIOWrapper
    write = stream.write

    def written(self: Any, words: str) -> int:
        if self is sys.stdout:
            watch.writes(words)
        return write(self, words)

    monkeypatch.setattr(stream, "isatty", lambda _: True, raising=False)
    monkeypatch.setattr(stream, "write", written, raising=False)
    result = CliRunner().invoke(main.cli, ["--db", str(db), *args], catch_exceptions=False)
    assert result.exit_code in (0, 1), result.output
    assert watch.written_meanwhile == []
