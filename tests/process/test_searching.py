"""The full-text index with a real background process: killed or failing at each step of it."""

from __future__ import annotations

import signal

import pytest
from bench import Bench, names
from searching import assert_whole, found
from support import eventually

from hush_otel.failpoints import SEARCH

SPANS = 1_000
EXTERNAL = {"HUSH_BACKGROUND": "external"}
OFF = {"HUSH_SEARCH": "off"}
TABLES = "SELECT count(*) FROM sqlite_schema WHERE name = 'hush_search'"


def recorded(bench: Bench) -> None:
    """An application has left requests in the spool, and is gone."""
    app = bench.obedient(**EXTERNAL)
    app.ask(f"end s {SPANS}")
    app.kill()


def is_complete(bench: Bench) -> bool:
    """Whether every span is found."""
    return bench.value("SELECT count(*) FROM hush_search_docs") == SPANS


@pytest.mark.parametrize("name", [name for name in SEARCH if name != "search.emptied"])
def test_f11_killed_while_it_builds_the_index_the_next_process_goes_on(bench: Bench, name: str) -> None:
    """How far the index is stands in the transaction of its words: none is missing, none there twice."""
    recorded(bench)
    assert bench.hush("run", HUSH_FAILPOINT=f"{name}:kill").wait() == -signal.SIGKILL
    bench.hush("run")
    eventually(lambda: is_complete(bench), 60, what="a complete index")
    assert_whole(bench.db)
    assert len(found(bench.db, max(names("s", SPANS)))) == 1


def test_f11_killed_while_it_empties_the_index_the_next_process_goes_on(bench: Bench) -> None:
    """Half an index is asked by nobody; it goes, or is built anew."""
    recorded(bench)
    assert bench.hush("drain").wait() == 0
    assert bench.hush("run", HUSH_FAILPOINT="search.emptied:kill", **OFF).wait() == -signal.SIGKILL
    assert bench.value(TABLES) == 1
    assert bench.hush("drain").wait() == 0
    assert is_complete(bench)
    assert_whole(bench.db)
    assert bench.hush("drain", **OFF).wait() == 0
    assert bench.value(TABLES) == 0


@pytest.mark.parametrize("name", SEARCH)
def test_f11_an_error_at_a_step_of_the_index_is_got_over(bench: Bench, name: str) -> None:
    """The same process tries again; rows are stored meanwhile."""
    recorded(bench)
    if name == "search.emptied":
        assert bench.hush("drain").wait() == 0
    bench.hush("run", HUSH_FAILPOINT=f"{name}:error", **(OFF if name == "search.emptied" else {}))
    whole = (lambda: bench.value(TABLES) == 0) if name == "search.emptied" else (lambda: is_complete(bench))
    eventually(whole, 60, what="a complete index, or none")
    assert bench.value("SELECT count(*) FROM spans") == SPANS
