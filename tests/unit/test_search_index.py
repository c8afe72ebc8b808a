"""The full-text index: it follows the rows whatever becomes of them, and stands in nobody's way."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inprocess import App, no_background, owning, rows, settings_for
from pruning import Day, a_round, retention_of
from redacting import configure
from searching import assert_whole, build, found, words
from test_store_ingest import ME, ROOT, Store, end, start

from hush_otel.background import indexing
from hush_otel.background.indexing import Indexing
from hush_otel.mapping import searchtext
from hush_otel.store import search_index, search_upkeep
from hush_otel.store.pruning import Pruned, Pruning
from hush_otel.store.reading import Reader
from hush_otel.store.search import State, state
from hush_otel.store.search_upkeep import Phase


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with an index that is up to date."""
    store = Store(tmp_path / "t.db")
    build(store.database, store.ingest)
    return store


def more(store: Store) -> None:
    """The owner goes on: the same ingest, the same index."""
    build(store.database, store.ingest)


def named(request_id: str, **attributes: Any) -> dict[str, Any]:
    """Attributes of a span that names its request."""
    return {"hush.request_id": request_id} | attributes


def prune(store: Store, *request_ids: str) -> None:
    """Delete requests as retention does."""
    numbers = [
        number
        for number, one in rows(store.path, "SELECT id, request_id FROM hush_requests")
        if one in request_ids
    ]
    into = Pruned()

    def change(db: sqlite3.Connection) -> bool:
        return Pruning(db, into).delete(numbers)

    while not store.database.write(change):
        pass
    store.ingest.forget_pruned(into.trace_ids)


def test_found_by_what_a_span_says(store: Store) -> None:
    """Its name, its attributes and its error; the newest request first."""
    store.take(
        end(1, ROOT, **named("a", note="lost parcel")), end(2, ROOT, error="no parcel here", **named("b"))
    )
    more(store)
    assert found(store.path, "parcel") == ["b", "a"]
    assert found(store.path, '"lost parcel"') == found(store.path, "lost span-1") == ["a"]
    assert_whole(store.path)


def test_words_of_several_spans_find_their_request(store: Store) -> None:
    """The question is asked in one step, the error comes in another."""
    store.take(
        end(1, ROOT, **named("a", input="refund")), *(end(1, n, ROOT, note=f"step{n}") for n in range(2, 60))
    )
    store.take(end(2, ROOT, **named("b", input="refund")))
    more(store)
    assert found(store.path, "refund step59") == ["a"]
    assert found(store.path, "refund step60") == []


def test_a_span_that_runs_is_found_when_it_has_ended(store: Store) -> None:
    """Also where the index has passed it meanwhile."""
    store.take(start(1, ROOT, note="begun"), end(2, ROOT, note="other"))
    more(store)
    assert found(store.path, "begun") == []
    store.take(end(1, ROOT, note="ended"))
    more(store)
    assert len(found(store.path, "ended")) == 1
    assert_whole(store.path)


@pytest.mark.parametrize("restart", [True, False])
def test_the_real_end_replaces_the_words_of_an_interrupted_span(store: Store, restart: bool) -> None:
    """Only what stands in the row now is found; what else was in its document stays."""
    store.take(start(1, ROOT, note="provisional", **named("a")), start(1, 2, ROOT, note="neighbour"))
    store.die()
    more(store)
    assert found(store.path, "provisional interrupted neighbour") == ["a"]
    if restart:
        store.ingest.forget()
    store.take(end(1, ROOT, note="after", **named("a")))
    more(store)
    assert found(store.path, "after neighbour") == ["a"]
    assert found(store.path, "provisional") == []
    assert_whole(store.path)


def test_requests_that_become_one_are_found_as_one(store: Store) -> None:
    """Spans that were indexed under the request that is no more follow it."""
    store.take(end(1, ROOT, note="first", **named("order-7")))
    store.take(end(2, 2, ROOT, note="second"))
    more(store)
    store.take(end(2, ROOT, note="third", **named("order-7")))
    more(store)
    assert found(store.path, "first second third") == ["order-7"]
    assert_whole(store.path)


def test_words_go_with_their_rows(store: Store) -> None:
    """Nothing is left of them, of those neither that many spans share; what stays is found."""
    text = "shared document " * 2000
    store.take(end(1, ROOT, text=text, **named("a", note="alone")), end(1, 2, ROOT, text=text))
    store.take(end(2, ROOT, text=text, **named("b")))
    more(store)
    prune(store, "a")
    assert (found(store.path, "alone"), found(store.path, "shared document")) == ([], ["b"])
    more(store)
    assert_whole(store.path)
    assert "alone" not in words(store.path)


def test_a_unit_of_pruning_forgets_no_more_than_it_has_time_for(store: Store) -> None:
    """Long texts are forgotten in units of their own, before their rows go."""
    store.take(*(end(1, n, note=f"{n} " + "word " * 20_000, **named("a")) for n in range(1, 6)))
    more(store)
    units = 0

    def change(db: sqlite3.Connection) -> bool:
        return Pruning(db, Pruned()).delete([1])

    while not store.database.write(change):
        units += 1
    assert units > 1
    assert rows(
        store.path, "SELECT count(*) FROM hush_spans UNION SELECT count(*) FROM hush_search_docs"
    ) == [(0,)]


def test_what_a_prune_that_is_broken_off_leaves_is_found(store: Store) -> None:
    """Spans whose neighbours in a document are gone have one of their own; of those that are gone nothing waits."""
    store.take(*(end(1, n, note=f"step{n}", **named("a")) for n in range(1, 41)))
    more(store)
    ((number,),) = rows(store.path, "SELECT id FROM hush_requests")
    store.database.write(lambda db: Pruning(db, Pruned()).delete([number], 20))
    more(store)
    assert found(store.path, "step40") == ["a"]
    assert_whole(store.path)
    prune(store, "a")
    assert rows(store.path, "SELECT * FROM hush_search_again") == []


def test_numbers_that_are_given_again(store: Store) -> None:
    """The rows after a pruning of the newest have their numbers, and are found."""
    store.take(end(1, ROOT, note="old", **named("a")))
    more(store)
    prune(store, "a")
    store.take(end(2, ROOT, note="new", **named("b")))
    more(store)
    assert (found(store.path, "old"), found(store.path, "new")) == ([], ["b"])
    assert_whole(store.path)


def test_another_processors_copy_changes_no_words(store: Store) -> None:
    """A repeat only changes where a span goes."""
    store.take(end(1, ROOT, note="once", **named("a")))
    more(store)
    store.take(end(1, ROOT, note="once", **named("a")))
    more(store)
    assert_whole(store.path)


# ------------------------------------------------------------------ made, removed, made anew


def test_switched_off_it_goes_and_comes_again(store: Store) -> None:
    """HUSH_SEARCH=off gives the room back; switched on, everything is found once more."""
    store.take(end(1, ROOT, note="here", **named("a")))
    more(store)
    assert build(store.database, store.ingest, wanted=False)._phase is Phase.OFF
    assert rows(
        store.path, "SELECT name FROM sqlite_schema WHERE name LIKE 'hush_search%' ORDER BY name"
    ) == [
        ("hush_search_again",),
        ("hush_search_docs",),
        ("hush_search_docs_doc",),
    ]
    store.take(end(2, ROOT, note="there", **named("b")))
    prune(store, "a")
    more(store)
    assert found(store.path, "there") == ["b"]
    assert_whole(store.path)


def test_other_texts_make_a_new_index(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was indexed by other rules could not be forgotten."""
    store.take(end(1, ROOT, note="here", **named("a")))
    more(store)
    monkeypatch.setattr(search_upkeep, "FORMAT", searchtext.FORMAT + 1)
    store.database.write(lambda db: db.execute("DELETE FROM hush_search_docs"))
    more(store)
    assert_whole(store.path)


def test_without_fts5_all_else_works(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are stored and deleted; a process whose SQLite has FTS5 makes a new index later."""
    store.take(end(1, ROOT, note="one", **named("a")), end(2, ROOT, note="two", **named("b")))
    more(store)
    with monkeypatch.context() as patch:
        patch.setattr(search_upkeep, "is_available", lambda _: False)
        assert build(store.database, store.ingest)._phase is Phase.UNAVAILABLE
        prune(store, "a")
        store.take(end(3, ROOT, note="three", **named("c")))
    more(store)
    assert (found(store.path, "one"), found(store.path, "two"), found(store.path, "three")) == (
        [],
        ["b"],
        ["c"],
    )
    assert_whole(store.path)


# ------------------------------------------------------------------ damage


def _structure(db: sqlite3.Connection) -> None:
    db.execute("UPDATE hush_search_data SET block = x'ffffffffffff' WHERE id = 10")


def _settings(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM hush_search_config")


def _tables(db: sqlite3.Connection) -> None:
    db.execute("DROP TABLE hush_search_idx")


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """An app that only stores."""
    no_background(monkeypatch, tmp_path)
    return App(tmp_path / "traces.db")


def record(app: App, request_id: str, **attributes: Any) -> None:
    """One complete request."""
    app.tracer.start_span("root", attributes={"hush.request_id": request_id} | attributes).end()


def _parts(db: sqlite3.Connection) -> None:
    """So many that FTS5 takes no more: made while nobody had time to merge them, of several sizes."""
    with pytest.raises(sqlite3.OperationalError, match="full"):  # noqa: PT012 - it is not known when
        for number in range(3_000):
            values = (10**12 + number, f"word w{number}")
            db.execute("INSERT INTO hush_search (rowid, words) VALUES (?, ?)", values)
            if number in range(10, 400, 10):
                search_upkeep.merge(db)
            db.commit()
    db.rollback()


@pytest.mark.parametrize(
    ("damage", "how"),
    [*product([_structure, _settings, _tables], ["drain", "prune"]), (_parts, "prune")],
)
def test_a_damaged_index_is_built_anew(
    app: App, damage: Callable[[sqlite3.Connection], None], how: str
) -> None:
    """The drain and retention go on, no row is touched, and after a while everything is found."""
    for number in range(20):
        record(app, f"r{number}", note=f"word{number}")
    app.drain()
    with sqlite3.connect(app.db_path) as db:
        damage(db)
    settings = settings_for(app.db_path, retention_requests=5 if how == "prune" else None)
    record(app, "last", note="afterwards")
    with owning(settings) as owner:
        retention = retention_of(owner, Day(1.0), **({"retention_requests": 5} if how == "prune" else {}))
        for _ in range(3):
            retention._next = retention._next_round = 0.0
            owner.step()
        owner.drain()
    assert found(app.db_path, "afterwards") == ["last"]
    assert len(found(app.db_path, "word*")) == rows(app.db_path, "SELECT count(*) FROM requests")[0][0] - 1
    assert_whole(app.db_path)
    assert not list(app.db_path.parent.glob("*.damaged-*"))


def test_what_is_redacted_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index is made of what is stored."""
    no_background(monkeypatch, tmp_path)
    configure(monkeypatch, tmp_path, keys=["password"])
    app = App(tmp_path / "traces.db")
    record(app, "a", password="hunter2", note="visible", input='{"password": "hunter2"}')  # noqa: S106
    app.drain()
    assert found(app.db_path, "visible") == ["a"]
    assert found(app.db_path, "hunter*") == []


# ------------------------------------------------------------------ behind the drain


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def test_spans_are_gathered_for_a_second(store: Store) -> None:
    """A quiet application does not cost a commit for every span; many do not wait."""
    clock = Clock()
    index = Indexing(store.database, store.ingest, wanted=True, monotonic=clock)
    while index.is_busy():
        index.step()
    store.take(end(1, ROOT))
    index.step(drained=1)
    assert index.wait_s() == indexing.GATHER_S
    clock.now += indexing.GATHER_S
    index.step()
    assert rows(store.path, "SELECT count(*) FROM hush_search_docs") == [(1,)]
    index.step(drained=indexing.ENOUGH_SPANS, behind=True)
    assert index.wait_s() == 0


def test_what_is_new_is_found_though_much_is_to_be_merged(store: Store) -> None:
    """Some steps of merging after one that has indexed, then the next spans."""
    index = Indexing(store.database, store.ingest, wanted=True)
    index.finish()
    index._merging, index._merges_left = True, -1
    index._merge = lambda: None  # type: ignore[method-assign] - it takes for ever
    store.take(end(1, ROOT, note="new"))
    index.step(drained=indexing.ENOUGH_SPANS)
    assert len(rows(store.path, "SELECT * FROM hush_search_docs")) == 1


@pytest.mark.parametrize("state", ["changed", "running"])
def test_a_step_looks_at_few_texts_and_rows(
    store: Store, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever came: spans that have changed with long texts, or many that still run."""
    monkeypatch.setattr(search_index, "CHARS_AT_ONCE", 1_000)
    monkeypatch.setattr(search_index, "LOOKED_AT_ONCE", 32)
    if state == "changed":
        store.take(*(end(n, ROOT, note="word " * 180) for n in range(1, 11)))
        more(store)
        store.database.write(lambda db: search_index.again(db, range(1, 11)))
    else:
        store.take(*(start(1, n) for n in range(1, 101)))
    done = store.database.write(search_index.index_some)
    assert done.more
    assert done.spans <= 2
    assert done.upto <= 48
    more(store)
    assert_whole(store.path)


def test_it_waits_while_the_drain_is_behind(store: Store) -> None:
    """Nothing is done, however much waits; how much can be seen."""
    index = Indexing(store.database, store.ingest, wanted=True)
    store.take(*(end(1, n) for n in range(1, 301)))
    for _ in range(10):
        index.step(drained=300, behind=True)
    with Reader(store.path) as reader:
        assert state(reader) == State("ready", 300)
    index.finish()
    with Reader(store.path) as reader:
        assert state(reader) == State("ready", 0)


def test_a_locked_database_is_tried_again_later(store: Store) -> None:
    """The step fails, is said, and the drain goes on."""
    clock = Clock()
    index = Indexing(store.database, store.ingest, wanted=True, monotonic=clock)
    store.database.read(lambda db: db.execute("PRAGMA busy_timeout = 0"))
    with sqlite3.connect(store.path) as other:
        other.execute("BEGIN IMMEDIATE")
        index.step()
    assert index.wait_s() == indexing.FAILED_S
    clock.now += indexing.FAILED_S
    index.finish()
    assert index._phase is Phase.READY


@pytest.mark.parametrize("left", [30, 150])
def test_much_that_was_forgotten_is_merged_away(app: App, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retention leaves no index that is larger than its rows."""
    monkeypatch.setattr(search_upkeep, "DEAD_CHARS", 1000)
    for number in range(300):
        record(app, f"r{number}", note=" ".join(f"w{number}x{n}" for n in range(100)))
    app.drain()
    (before,) = rows(app.db_path, "SELECT sum(length(block)) FROM hush_search_data")[0]
    with owning(settings_for(app.db_path)) as owner:
        a_round(retention_of(owner, Day(1.0), retention_requests=left))
        owner.service._indexing._waiting = 1
        owner.service._indexing.finish()
    (after,) = rows(app.db_path, "SELECT sum(length(block)) FROM hush_search_data")[0]
    assert after < before * left / 300 * 1.5
    assert_whole(app.db_path)


def count_parts(path: Path) -> int:
    """Of the index, in which each transaction has made one until they were merged."""
    return int(rows(path, "SELECT count(DISTINCT segid) FROM hush_search_idx")[0][0])


def test_what_is_forgotten_meanwhile_does_not_begin_a_compaction_again(store: Store) -> None:
    """It goes on where it was, and ends; another one follows when it is worth it."""
    text = " ".join(f"w{n}" for n in range(2_000))
    for number in range(60):
        store.take(end(1, number + 1, **named(f"r{number}", note=f"{text} x{number}")))
        more(store)
    for number in range(60):
        store.take(end(2, number + 1, **named(f"s{number}", note=f"{text} y{number}")))
        store.database.write(search_index.index_some)
    prune(store, *(f"s{number}" for number in range(10)))
    before = count_parts(store.path)
    for number in range(50):
        store.database.write(search_upkeep.compact)
        prune(store, f"r{number}")
    assert count_parts(store.path) < before
    steps = 0
    while store.database.write(search_upkeep.compact):
        steps += 1
        assert steps < 200
    assert_whole(store.path)


@pytest.mark.parametrize("version", [b"", bytes.fromhex("ff000001")], ids=["old", "new"])
def test_its_parts_are_counted_by_what_fts5_has_written(store: Store, version: bytes) -> None:
    """After a cookie, and in newer versions of SQLite a mark: levels, and parts on all of them."""
    for number in range(5):
        store.take(end(1, number + 1))
        store.database.write(search_index.index_some)
    assert store.database.read(search_upkeep.count_parts) == count_parts(store.path) == 5
    with sqlite3.connect(store.path) as db:
        record = bytes(4) + version + bytes.fromhex("03 8f50 01")
        db.execute("UPDATE hush_search_data SET block = ? WHERE id = 10", (record,))
    assert store.database.read(search_upkeep.count_parts) == 15 * 128 + 80


@pytest.mark.parametrize("phase", [Phase.READY, Phase.EMPTYING])
@pytest.mark.parametrize("behind", [True, False])
def test_it_is_merged_before_it_has_too_many_parts_whatever_waits(
    store: Store, behind: bool, phase: Phase
) -> None:
    """What the drain and retention forget makes parts too; an index that is to go has none that matter."""
    index = Indexing(store.database, store.ingest, wanted=True)
    index.finish()
    if phase is Phase.EMPTYING:
        index.begin_anew(search_upkeep.IndexDamaged())
    with sqlite3.connect(store.path) as db:
        for number in range(search_upkeep.MANY_PARTS):
            db.execute("INSERT INTO hush_search (rowid, words) VALUES (?, ?)", (number, f"word w{number}"))
            db.commit()
    before = count_parts(store.path)
    index.step(behind=behind)
    assert (count_parts(store.path) < before) is (phase is Phase.READY)


# ------------------------------------------------------------------ whatever happens


@st.composite
def _events(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    trace, span = st.integers(1, 3), st.integers(1, 4)
    name = st.sampled_from([None, None, "a", "b"])
    kinds = st.one_of(
        st.tuples(st.just("start"), trace, span),
        st.tuples(st.just("end"), trace, span, name),
        st.tuples(st.just("die")),
        st.tuples(st.just("index")),
        st.tuples(st.just("prune"), st.integers(0, 5)),
        st.tuples(st.just("restart")),
    )
    return draw(st.lists(kinds, max_size=25))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=_events())
def test_the_index_is_that_of_the_rows(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[Any, ...]]
) -> None:
    """Spans begin, end, are interrupted, turn up, move and go, in any order around the index's steps."""
    store = Store(tmp_path_factory.mktemp("model") / "t.db")
    index = build(store.database, store.ingest)
    for turn, event in enumerate(events):
        _happens(store, index, turn, event)
        if event[0] == "restart":
            store.ingest.forget()
            index = build(store.database, store.ingest)
    index.step(drained=1)
    index.finish()
    assert_whole(store.path)
    store.database.close()


def _happens(store: Store, index: Indexing, turn: int, event: tuple[Any, ...]) -> None:
    kind, *what = event
    if kind == "start":
        store.take(start(*what, note=f"begun{turn}"))
    elif kind == "end":
        trace, span, name = what
        attributes = {"note": f"ended{turn}"} | ({} if name is None else {"hush.request_id": name})
        store.take(end(trace, span, **attributes))
    elif kind == "die":
        store.die(ME)
    elif kind == "index":
        index.step(drained=1)
        index._since = -1.0
        index.step()
    elif kind == "prune":
        ids = [
            one
            for (one,) in rows(
                store.path, "SELECT request_id FROM hush_requests WHERE running_count = 0 ORDER BY id"
            )
        ]
        if ids:
            prune(store, ids[what[0] % len(ids)])
