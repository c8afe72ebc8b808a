"""Lists of requests: every filter and every two of them, page by page, against a plain look at all rows."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from store_rows import START_NS, START_S, StoreRows

from hush_otel.errors import ConfigError
from hush_otel.presentation import listing, ways
from hush_otel.presentation.filters import Filters
from hush_otel.presentation.listing import Page, page
from hush_otel.presentation.ways import Place
from hush_otel.store import search_index, search_upkeep
from hush_otel.store.reading import Reader

REQUESTS = 120


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Requests with everything that a list is filtered by, each in another rhythm; several begin at once."""
    path = tmp_path_factory.mktemp("listing") / "traces.db"
    with StoreRows(path) as rows:
        there = rows.destination("there")
        for n in range(REQUESTS):
            request = rows.request(
                f"r{n}",
                workflow_name=("answer", "import")[n % 2],
                user_id=f"user-{n % 5}" if n % 3 else None,
                session_id=f"session-{n // 10}",
                error_count=int(n % 7 == 0),
                end_ns=START_NS + n * 1_000_000,
                created_at=START_S + n // 4,
                completed_by=None if n % 13 == 0 else "root",
                tags=json.dumps(["prod"]) if n % 4 == 0 else None,
            )
            rows.label(request, 0, "gpt-4o")
            if n % 6 == 0:
                rows.label(request, 0, "small")
            if n % 4 == 0:
                rows.label(request, 1, "prod")
            if n % 11 == 0:
                rows.delivery(request, there, "dead" if n % 2 else "pending")
                rows.delivery(request, there, "delivered")
            elif n % 17 == 0:
                rows.delivery(request, there, "delivered")
            rows.span(request, n, name=" ".join(words_of(n)))
            rows.span(request, n + REQUESTS, name="twice" if n % 9 else "once")
    index(path)
    with Reader(path) as opened:
        yield opened


def words_of(number: int) -> list[str]:
    """What a request says, in another rhythm than all else."""
    words = {"even": 2, "third": 3, "fifth": 5, "rare": 50}
    return ["common", *(word for word, rhythm in words.items() if number % rhythm == 0)]


def index(path: Path) -> None:
    """Build the full-text index of what stands there."""
    with sqlite3.connect(path) as db:
        search_upkeep.prepare(db, wanted=True)
        while search_index.index_some(db).more:
            pass


def number(request: dict[str, Any]) -> int:
    """Which one of the fixture's it is."""
    return int(request["request_id"][1:])


SAID: list[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
    ({"status": "failed"}, lambda one: one["status"] == "failed"),
    ({"status": "pending"}, lambda one: one["status"] == "pending"),
    ({"status": "writing"}, lambda one: one["status"] == "writing"),
    ({"status": "flushing"}, lambda one: one["status"] == "flushing"),
    ({"status": "flushed"}, lambda one: one["status"] == "flushed"),
    ({"status": "stored"}, lambda one: one["status"] == "stored"),
    ({"workflow": "import"}, lambda one: one["workflow_name"] == "import"),
    ({"user": "user-2"}, lambda one: one["user_id"] == "user-2"),
    ({"session": "session-3"}, lambda one: one["session_id"] == "session-3"),
    ({"model": "small"}, lambda one: "small" in one["models"]),
    ({"tag": "prod"}, lambda one: one["tags"] is not None),
    ({"errors": True}, lambda one: one["error_count"] > 0),
    ({"min_ms": 60.0}, lambda one: one["duration_ms"] >= 60),
    ({"text": "common"}, lambda _: True),
    ({"text": "rar* comm*"}, lambda one: number(one) % 50 == 0),
    ({"text": "common third"}, lambda one: number(one) % 3 == 0),
    ({"text": '"common fifth" twice'}, lambda one: number(one) % 30 in {5, 25} and number(one) % 9 > 0),
    ({"text": "once rare fifth absent"}, lambda _: False),
    ({"since": START_S + 10.0}, lambda one: one["created_at"] >= START_S + 10),
    ({"until": START_S + 20.0}, lambda one: one["created_at"] < START_S + 20),
]
PAIRS = [(one, other) for one, other in itertools.combinations(SAID, 2) if not set(one[0]) & set(other[0])]


def pages(reader: Reader, filters: Filters, **how: Any) -> Iterator[Page]:
    """One after the other, to the last."""
    before: Place | None = None
    while True:
        found = page(reader, filters, before=before, **how)
        yield found
        if found.next is None:
            return
        before = found.next


def everything(reader: Reader, filters: Filters, **how: Any) -> list[str]:
    """The ids on all pages, in order."""
    return ids([one for part in pages(reader, filters, **how) for one in part.requests])


def ids(found: list[dict[str, Any]]) -> list[str]:
    """In order."""
    return [one["request_id"] for one in found]


@pytest.mark.parametrize("small_set", [10, 1000])
@pytest.mark.parametrize(
    "chosen",
    [*((one,) for one in SAID), *PAIRS],
    ids=lambda chosen: "-".join(f"{key}_{value}" for said, _ in chosen for key, value in said.items()),
)
def test_pages_together_are_what_matches(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, chosen: Any, small_set: int
) -> None:
    """Whatever way is taken, in whatever steps: each request that matches once, the newest first."""
    monkeypatch.setattr(listing, "FIRST_STEP", 2)
    monkeypatch.setattr(listing, "LARGEST_STEP", 16)
    monkeypatch.setattr(ways, "SMALL_SET", small_set)
    everything = page(reader, Filters(), limit=REQUESTS).requests
    expected = [one for one in everything if all(matches(one) for _, matches in chosen)]
    filters = Filters(**{key: value for said, _ in chosen for key, value in said.items()})
    found = list(pages(reader, filters, limit=3))
    assert ids([one for part in found for one in part.requests]) == ids(expected)
    assert all(len(part.requests) == 3 for part in found[:-1])


def test_all_are_listed_the_newest_first(reader: Reader) -> None:
    """By time, and by number where several began at once; nothing twice across pages."""
    found = [one for part in pages(reader, Filters(), limit=7) for one in part.requests]
    assert ids(found) == [f"r{n}" for n in reversed(range(REQUESTS))]


def test_the_last_page_says_so(reader: Reader) -> None:
    """No page is empty because the one before it was exactly full."""
    assert page(reader, Filters(), limit=REQUESTS).next is None
    assert page(reader, Filters(), limit=REQUESTS - 1).next is not None


def test_when_the_time_is_up_a_page_says_where_to_go_on(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two common filters that rarely meet: short pages, and all of it in the end."""
    monkeypatch.setattr(listing, "FIRST_STEP", 5)
    filters = Filters(user="user-2", tag="prod", errors=True)
    found = list(pages(reader, filters, limit=3, budget_s=0.0))
    assert len(found) > 1
    assert ids([one for part in found for one in part.requests]) == ids(
        page(reader, filters, limit=REQUESTS).requests
    )


@pytest.mark.parametrize("status", ["writing", "failed", "pending", "flushed"])
def test_a_status_that_few_have_is_found_in_one_step(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """However many requests lie between: among millions the time would be up before."""
    monkeypatch.setattr(listing, "FIRST_STEP", 2)
    found = page(reader, Filters(status=status), limit=20, budget_s=0.0)
    assert len(found.requests) > 3
    assert found.next is None


def test_a_place_is_text_and_back() -> None:
    """A URL carries it without losing a digit; anything else is refused."""
    for place in (Place(1_700_000_000.1234567, 42), Place(None, 42)):
        assert Place.parse(str(place)) == place
    for other in ("x", "nan,1", "inf,1", "1.0", "1.0,-1", f"1.0,{2**63}", "1,2,3"):
        with pytest.raises(ConfigError, match=f"before: '{other}' is no place in a list"):
            Place.parse(other)


SET_BACK = [0, 10, 20, 5, 6, 15, 2, 2, 30, 1, 29]
"""Seconds at which requests begin, in the order of their numbers: the clock is set back four times."""


@pytest.fixture(scope="module")
def set_back(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Requests that a clock which was set back says to be older than those before them."""
    path = tmp_path_factory.mktemp("set-back") / "traces.db"
    with StoreRows(path) as rows:
        for n, second in enumerate(SET_BACK):
            request = rows.request(f"r{n}", created_at=START_S + second, session_id="one", error_count=n % 2)
            rows.label(request, 0, "gpt-4o")
            rows.span(request, n, name="common even" if n % 2 == 0 else "common")
    index(path)
    with Reader(path) as opened:
        yield opened


@pytest.mark.parametrize("small_set", [2, 1000])
@pytest.mark.parametrize("words", [None, "common", "even", "comm* even"])
@pytest.mark.parametrize("since", [None, START_S + 2.0])
@pytest.mark.parametrize("until", [None, START_S + 29.0])
@pytest.mark.parametrize(
    "also",
    [{}, {"session": "one"}, {"model": "gpt-4o"}, {"errors": True}],
    ids=["", "session", "model", "errors"],
)
def test_a_clock_that_was_set_back_hides_no_request(
    set_back: Reader,
    monkeypatch: pytest.MonkeyPatch,
    small_set: int,
    words: str | None,
    since: float | None,
    until: float | None,
    also: dict[str, Any],
) -> None:
    """Each that matches is on one page, and on one only: by time, or by number where words are looked for."""
    monkeypatch.setattr(listing, "FIRST_STEP", 2)
    monkeypatch.setattr(ways, "SMALL_SET", small_set)
    matching = [
        (n if words else (second, n), f"r{n}")
        for n, second in enumerate(SET_BACK)
        if (since is None or START_S + second >= since) and (until is None or START_S + second < until)
        if not ("errors" in also and n % 2 == 0) and not (words and "even" in words and n % 2)
    ]
    found = everything(set_back, Filters(text=words, since=since, until=until, **also), limit=2)
    assert found == [name for _, name in sorted(matching, reverse=True)]


@pytest.mark.parametrize("words", [None, "common"])
def test_a_place_of_another_list_is_refused(set_back: Reader, words: str | None) -> None:
    """Going on from there would leave requests out without a word."""
    first = page(set_back, Filters(text=words), limit=2)
    with pytest.raises(ConfigError, match=f"before: '{first.next}' is a place in another list"):
        page(set_back, Filters(text=None if words else "common"), limit=2, before=first.next)


def test_models_are_a_list(reader: Reader) -> None:
    """Beside what a price table says and what still runs."""
    (found,) = page(reader, Filters(model="small"), limit=1).requests
    assert found["models"] == ["gpt-4o", "small"]
    assert found["running_count"] == 0
    assert "id" not in found
