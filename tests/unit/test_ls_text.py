"""`hush-otel ls --text`: requests by words, with where they stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from searching import build
from test_store_ingest import ROOT, Store, end

from hush_otel.cli import ls, main
from hush_otel.errors import ConfigError
from hush_otel.presentation.filters import Filters
from hush_otel.presentation.listing import page
from hush_otel.store.reading import Reader


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Three requests with texts, indexed."""
    store = Store(tmp_path / "t.db")
    for number, (name, said) in enumerate(
        [("rome", "Weather in Rome today"), ("oslo", "weather\x1b[31m in\nOslo"), ("other", "nothing of it")],
        start=1,
    ):
        attributes = {"hush.request_id": name, "input.value": said}
        store.take(
            end(number, ROOT, None, name="ask", error="boom" if name == "oslo" else None, **attributes)
        )
    build(store.database, store.ingest)
    return store.path


def run(db: Path, *args: str) -> Result:
    """One command in this process."""
    return CliRunner().invoke(main.cli, ["--db", str(db), "ls", *args], catch_exceptions=False)


def test_words_find_requests_and_show_where(db: Path) -> None:
    """The newest first, the span and what stands around the words, harmless."""
    head, *lines = run(db, "--text", "weather").stdout.splitlines()
    assert head.split() == ["request", "workflow", "started", "duration", "found"]
    assert [line.split()[0] for line in lines] == ["oslo", "rome"]
    assert lines[0].endswith("ask  weather in↵Oslo")
    assert lines[1].endswith("ask  Weather in Rome today")


def test_words_go_with_other_filters(db: Path) -> None:
    """All of them must hold."""
    found = [
        json.loads(line) for line in run(db, "--text", "weather", "--errors", "--json").stdout.splitlines()
    ]
    assert [one["request_id"] for one in found] == ["oslo"]
    assert found[0]["hit"]["name"] == "ask"
    assert run(db, "--text", "weather snow").stdout == "no requests match\n"


def test_a_text_without_words_is_refused(db: Path) -> None:
    """Not taken for no filter."""
    with pytest.raises(ConfigError):
        run(db, "--text", "?!")


def test_what_was_found_fits_the_terminal(db: Path) -> None:
    """It is cut, nothing else wraps."""
    out = Console(width=60, force_terminal=True, color_system=None)
    with Reader(db) as reader, out.capture() as captured:
        requests = page(reader, Filters(text="weather"), limit=5).requests
        ls._add_hits(reader, "weather", requests)
        out.print(ls._table(requests, narrow=True))
    lines = captured.get().splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) <= 60
