"""Retention: what goes, in which order, what stays, and that everything of a request goes with it."""

from __future__ import annotations

import dataclasses
import itertools
import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import ask
from inprocess import App, Owner, no_background, owning, rows, settings_for
from opentelemetry.trace import set_span_in_context
from pruning import DAY_S, TABLES, Day, a_round, amounts, balanced, names, request_ids, retention_of

from hush_otel.background import retention as module
from hush_otel.background.ageing import SEEN
from hush_otel.config import Settings
from hush_otel.errors import StoreError
from hush_otel.model import Destination
from hush_otel.store import pruning, search_upkeep, space


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A database that nobody works on."""
    no_background(monkeypatch, tmp_path)
    return settings_for(tmp_path / "traces.db")


@pytest.fixture
def owner(settings: Settings) -> Iterator[Owner]:
    """Who owns it."""
    owner = Owner(settings)
    yield owner
    owner.close()


@pytest.fixture
def app(settings: Settings) -> App:
    """An app that only stores."""
    return App(settings.db_path)


def _archive(settings: Settings) -> Destination:
    """A destination that is owed what is recorded."""
    return Destination("file", name="archive", path=str(settings.db_path.with_name("out.jsonl")))


def record(app: App, request_id: str, spans: int = 2, **attributes: Any) -> None:
    """One complete request."""
    with app.tracer.start_as_current_span("root", attributes={"hush.request_id": request_id} | attributes):
        for _ in range(spans - 1):
            app.tracer.start_span("inner").end()


def age(owner: Owner, days: float, *chosen: str) -> None:
    """Have requests, or all of them, arrived so long ago; somebody was there all the time."""
    then = time.time() - days * DAY_S
    with sqlite3.connect(owner.settings.db_path) as db:
        for one in chosen or request_ids(owner.settings.db_path):
            sql = "UPDATE hush_requests SET created_at = ?1, last_at = ?1 WHERE request_id = ?2"
            db.execute(sql, (then, one))
        db.execute("INSERT OR REPLACE INTO hush_meta (key, value) VALUES (?, ?)", (SEEN, time.time()))


def deliver(owner: Owner, state: str = "delivered") -> None:
    """What the deliveries have come to."""
    owner.service._relay.queue_due(time.time() + 60)
    with sqlite3.connect(owner.settings.db_path) as db:
        if state == "delivered":
            db.execute(
                "UPDATE hush_destinations AS x SET delivered = (SELECT coalesce(sum(span_count), 0) "
                "FROM hush_deliveries d WHERE d.destination = x.id)"
            )
        db.execute("UPDATE hush_deliveries SET state = ?", (state,))


# ------------------------------------------------------------------ by age


def test_requests_older_than_that_go_and_others_stay(owner: Owner, app: App, settings: Settings) -> None:
    """Age counts from a request's last record."""
    for one in "abc":
        record(app, one)
    owner.drain()
    age(owner, 31, "a", "b")
    with sqlite3.connect(settings.db_path) as db:
        db.execute("UPDATE hush_requests SET last_at = ? WHERE request_id = 'b'", (time.time(),))
    a_round(retention_of(owner, Day(time.time()), retention_days=30))
    assert request_ids(settings.db_path) == ["b", "c"]
    assert balanced(settings).received.pruned == 2


def test_everything_of_a_request_goes(owner: Owner, settings: Settings) -> None:
    """No table holds anything of it, payloads included, once nobody refers to them."""
    archive = _archive(settings)
    app = App(settings.db_path, destinations=[archive])
    text = "long text " * 5_000
    for one in "ab":
        record(app, one, text=text, own=f"of {one} " * 5_000, **{"hush.model": "m"})
        media = [{"bytes": b"of both"}, {"bytes": one.encode()}]
        app.store.insert_node_trace(one, "flow", "step", "root", *(None,) * 5, {"__media__": media}, None)
    owner.drain()
    deliver(owner)
    before = amounts(settings.db_path)
    assert before["hush_payloads"] == before["hush_media"] == 3
    assert all(before[table] for table in TABLES if table != "hush_running")
    age(owner, 31, "a")
    retention = retention_of(owner, Day(time.time()), retention_days=30)
    a_round(retention)
    after = amounts(settings.db_path)
    assert after["hush_payloads"] == after["hush_media"] == 2, "what b refers to stays"
    shared = {"hush_payloads": 4, "hush_media": 4}
    assert {table: 2 * number for table, number in after.items()} == before | shared
    balanced(settings)
    age(owner, 31)
    a_round(retention)
    assert set(amounts(settings.db_path).values()) == {0}
    found = balanced(settings)
    assert found.received.pruned == 6
    assert found.destinations[0].delivered == found.destinations[0].asked == 4


def test_what_is_not_complete_stays(owner: Owner, app: App, settings: Settings) -> None:
    """A span that runs keeps its request, however old; so does a request whose end nobody has seen."""
    running = app.tracer.start_span("running", attributes={"hush.request_id": "runs"})
    app.tracer.start_span("done", context=set_span_in_context(running)).end()
    app.store.insert_node_trace("open", "flow", "step", "root", *(None,) * 7)
    record(app, "complete")
    owner.drain()
    age(owner, 100)
    retention = retention_of(owner, Day(time.time()), retention_days=30, retention_undelivered=True)
    a_round(retention)
    assert request_ids(settings.db_path) == ["open", "runs"]
    running.end()
    owner.drain()
    owner.service._relay.queue_due(time.time() + 60)
    age(owner, 100)
    a_round(retention)
    assert request_ids(settings.db_path) == [], "the one that nothing was heard of is complete by its timeout"
    balanced(settings)


@pytest.mark.parametrize("state", ["pending", "paused", "dead", "sending"])
def test_what_was_not_delivered_stays_unless_told(owner: Owner, settings: Settings, state: str) -> None:
    """With the setting it goes, too, and is counted as pruned at its destination; never what is being sent."""
    archive = _archive(settings)
    app = App(settings.db_path, destinations=[archive])
    record(app, "a", 3)
    owner.drain()
    deliver(owner, state)
    age(owner, 31)
    a_round(retention_of(owner, Day(time.time()), retention_days=30))
    assert request_ids(settings.db_path) == ["a"]
    a_round(retention_of(owner, Day(time.time()), retention_days=30, retention_undelivered=True))
    found = balanced(settings)
    if state == "sending":
        assert request_ids(settings.db_path) == ["a"]
    else:
        assert set(amounts(settings.db_path).values()) == {0}
        assert (found.destinations[0].asked, found.destinations[0].pruned) == (3, 3)


def test_an_interrupted_span_leaves_the_ledger_as_it_came(owner: Owner, app: App, settings: Settings) -> None:
    """No record stands for it: it is not among those that were received and pruned."""
    app.tracer.start_span("lost", attributes={"hush.request_id": "a"})
    owner.drain()
    ids = rows(settings.db_path, "SELECT writer_id FROM hush_running")[0][0]
    database, ingest = owner.service._database, owner.service._drain.ingest
    database.write(lambda db: ingest.interrupt(db, ids, time.time()))
    owner.service._relay.queue_due(time.time() + 60)
    assert balanced(settings).received.interrupted == 1
    age(owner, 31)
    a_round(retention_of(owner, Day(time.time()), retention_days=30))
    found = balanced(settings).received
    assert (found.stored, found.interrupted, found.pruned) == (0, 0, 0)


# ------------------------------------------------------------------ by workflow, by size


def test_the_newest_of_each_workflow_stay(owner: Owner, app: App, settings: Settings) -> None:
    """As many as the setting says, whatever other workflows have."""
    for workflow, count in (("big", 5), ("small", 2)):
        for number in range(count):
            record(app, f"{workflow}-{number}", **{"hush.workflow": workflow})
    owner.drain()
    with sqlite3.connect(settings.db_path) as db:
        db.execute("UPDATE hush_requests SET workflow_name = substr(request_id, 1, 3)")
        db.execute("UPDATE hush_requests SET created_at = created_at + id")
    a_round(retention_of(owner, Day(time.time()), retention_requests=3))
    assert request_ids(settings.db_path) == ["big-2", "big-3", "big-4", "small-0", "small-1"]
    balanced(settings)


def fill(owner: Owner, app: App, requests: int, prefix: str = "r") -> None:
    """So many requests of about 12 KB, each a second younger than the one before."""
    for number in range(requests):
        record(app, f"{prefix}-{number:03}", text="x" * 12_000)
    owner.drain()
    owner.service._relay.queue_due(time.time() + 60)
    with sqlite3.connect(owner.settings.db_path) as db:
        db.execute("UPDATE hush_requests SET created_at = created_at + id, last_at = last_at + id")


def test_above_its_bound_the_oldest_go_and_the_file_shrinks(
    owner: Owner, app: App, settings: Settings
) -> None:
    """The file itself, with its WAL, is no larger than it may be."""
    fill(owner, app, 400)
    before = request_ids(settings.db_path)
    limit = owner.service._database.read(space.look).used // 2
    a_round(retention_of(owner, Day(time.time()), max_db_bytes=limit))
    left = request_ids(settings.db_path)
    assert 100 < len(left) < 200
    assert left == before[-len(left) :]
    assert settings.db_path.stat().st_size <= limit
    assert settings.db_path.with_name("traces.db-wal").stat().st_size == 0
    assert rows(settings.db_path, "PRAGMA integrity_check") == [("ok",)]
    balanced(settings)


def _write(owner: Owner, app: App, count: int) -> int:
    """So many requests of text that repeats as language does; how many bytes they take with their index."""
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmno", k=chance.randint(3, 9))) for _ in range(3_000)]
    for number in range(count):
        record(
            app, f"r{number:03}", 1, text=" ".join(words[int(3_000 ** chance.random())] for _ in range(800))
        )
    owner.drain()
    return int(owner.service._database.read(space.look).used)


@pytest.mark.parametrize("share", [0.7, 0.4])
@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("search", ["ready", "emptied", "switched off"])
def test_a_size_is_met_and_no_more_is_deleted_than_it_takes(
    settings: Settings, app: App, search: str, asked: bool, share: float
) -> None:
    """The full-text index grows by what it has to forget, until that is merged: no request goes for it."""
    with owning(settings) as owner:
        size = _write(owner, app, 300)
        if search == "emptied":
            ask(owner, "reindex")
    target = int(size * share)
    settings = dataclasses.replace(
        settings, search=search != "switched off", max_db_bytes=None if asked else target
    )
    with owning(settings) as owner:
        if asked:
            ask(owner, "prune", "--to-size", str(target))
        owner.drain()
        used = owner.service._database.read(space.look).used
        rest = len(request_ids(settings.db_path))
        index = owner.service._database.read(search_upkeep.count_parts)
    assert used <= target
    assert rest >= 300 * (share - 0.15), (rest, used / size, index)


def test_an_index_that_nobody_wants_makes_room_before_storing_is_paused(settings: Settings) -> None:
    """Nothing may be deleted, since nothing was delivered; without the index there is room."""
    app = App(settings.db_path, destinations=[_archive(settings)])
    with owning(settings) as owner:
        size = _write(owner, app, 60)
        deliver(owner, "dead")
    record(app, "later")
    settings = dataclasses.replace(settings, search=False, max_db_bytes=int(size * 0.9))
    with owning(settings) as owner:
        for _ in range(200):
            owner.service._retention._next = owner.service._retention._next_round = 0.0
            owner.step()
    assert len(request_ids(settings.db_path)) == 61


def test_delivered_ones_go_before_older_ones_that_are_not(owner: Owner, settings: Settings) -> None:
    """Told to delete undelivered ones, too, it begins with the others."""
    archive = _archive(settings)
    fill(owner, App(settings.db_path, destinations=[archive]), 60, "owed")
    deliver(owner, "pending")
    fill(owner, App(settings.db_path, destinations=["local"]), 60, "free")
    limit = int(owner.service._database.read(space.look).used * 0.6)
    a_round(retention_of(owner, Day(time.time()), max_db_bytes=limit, retention_undelivered=True))
    left = request_ids(settings.db_path)
    owed = [one for one in left if one.startswith("owed")]
    assert owed
    if len(owed) < 60:
        assert len(left) == len(owed), "no delivered one is left"
    balanced(settings)


# ------------------------------------------------------------------ steps


def test_a_step_is_one_unit_when_time_is_over_at_once(owner: Owner, app: App, settings: Settings) -> None:
    """However large a request is, no unit deletes more than so many rows; each is committed by itself."""
    record(app, "huge", 5 * pruning.ROWS_AT_ONCE)
    for number in range(60):
        record(app, f"r{number}", 10)
    owner.drain()
    age(owner, 31)
    retention = retention_of(owner, Day(time.time(), look_s=module.STEP_S), retention_days=30)
    left = [amounts(settings.db_path)["hush_spans"]]
    a_round(retention, lambda: left.append(amounts(settings.db_path)["hush_spans"]))
    taken = [before - after for before, after in itertools.pairwise(left)]
    assert max(taken) == pruning.ROWS_AT_ONCE
    assert set(amounts(settings.db_path).values()) == {0}
    assert len([one for one in taken if one]) >= 11
    balanced(settings)


@pytest.mark.parametrize("files", [False, True])
def test_a_unit_deletes_few_bytes_though_texts_and_files_are_long(
    owner: Owner, app: App, settings: Settings, files: bool
) -> None:
    """Giving pages back takes its time, wherever they are: the drain waits for it."""
    for number in range(40):
        text = f"{number}" + "x" * 300_000
        if files:
            value = {"__media__": {"f": {"bytes": text.encode(), "content_type": "text/plain"}}}
            app.store.insert_node_trace(
                "r", "flow", f"n{number}", None, None, 1, None, None, 1.0, None, value
            )
        else:
            record(app, f"r{number}", 1, text=text)
    if files:
        app.store.mark_request_complete("r", "local", {})
    owner.step()
    age(owner, 2)
    units, into, numbers = list[int](), pruning.Pruned(), list(range(1, 41))
    while not owner.service._database.write(lambda db: pruning.Pruning(db, into).delete(numbers)):
        units.append(into.spans - sum(units))
    assert units
    assert max(units) <= 4
    assert amounts(settings.db_path)["hush_media" if files else "hush_payloads"] == 0


def test_the_ledger_balances_after_every_step(owner: Owner, settings: Settings) -> None:
    """Whoever is killed between two steps leaves nothing that is missed."""
    archive = _archive(settings)
    app = App(settings.db_path, destinations=[archive])
    record(app, "huge", 250)
    for number in range(30):
        record(app, f"r{number}", 10, text="long " * 5_000)
    owner.drain()
    deliver(owner, "dead")
    age(owner, 31)
    day = Day(time.time(), look_s=module.STEP_S)
    steps = a_round(
        retention_of(owner, day, retention_days=30, retention_undelivered=True), lambda: balanced(settings)
    )
    assert steps > 5
    assert set(amounts(settings.db_path).values()) == {0}


def test_the_audit_balances_between_two_units_of_one_request(settings: Settings) -> None:
    """A request whose deliveries at one of three destinations are gone owes that one nothing any more."""
    three = [
        Destination("file", name=f"d{n}", path=str(settings.db_path.with_name(f"o{n}"))) for n in range(3)
    ]
    app = App(settings.db_path, destinations=three)
    with owning(settings) as owner:
        fill(owner, app, 60)
        deliver(owner)
        age(owner, 31)
        retention = retention_of(owner, Day(time.time(), look_s=1.0), retention_days=30)
        assert a_round(retention, lambda: balanced(settings)) > 3


def test_while_the_drain_is_behind_it_rests_longer(owner: Owner, app: App) -> None:
    """A step is followed by a rest of its own length, or of four times that."""
    record(app, "a", 5 * pruning.ROWS_AT_ONCE)
    owner.drain()
    age(owner, 31)
    day = Day(time.time(), look_s=module.STEP_S)
    retention = retention_of(owner, day, retention_days=30)
    shares = []
    for behind in (False, True):
        retention._next = 0.0
        retention.step(behind=behind)
        shares.append(retention.wait_s())
        retention._next = 0.0
        retention.step()  # what that has written is brought into the file
    assert shares[1] > 3 * shares[0] > 0


def test_what_begins_to_run_amid_its_deletion_stays(owner: Owner, app: App, settings: Settings) -> None:
    """Between two steps a span of it may start: what is left is kept until that one has ended."""
    with app.tracer.start_as_current_span("root", attributes={"hush.request_id": "a"}) as root:
        for _ in range(5 * pruning.ROWS_AT_ONCE):
            app.tracer.start_span("inner").end()
    owner.drain()
    age(owner, 31)
    retention = retention_of(owner, Day(time.time(), look_s=module.STEP_S), retention_days=30)
    retention.step()
    late = app.tracer.start_span("late", context=set_span_in_context(root))
    owner.drain()
    left = amounts(settings.db_path)["hush_spans"]
    assert left > pruning.ROWS_AT_ONCE
    a_round(retention)
    assert amounts(settings.db_path)["hush_spans"] == left
    late.end()
    owner.drain()
    owner.service._relay.queue_due(time.time() + 60)
    age(owner, 31)
    a_round(retention)
    assert set(amounts(settings.db_path).values()) == {0}
    balanced(settings)


@pytest.mark.parametrize(("pages", "order"), [(1, "dfdfdfdf"), (10**6, "dfddfddd")], ids=["each", "seldom"])
def test_a_step_deletes_or_brings_into_the_file_what_was_deleted(
    owner: Owner, app: App, monkeypatch: pytest.MonkeyPatch, pages: int, order: str
) -> None:
    """The drain waits for one of them; bringing in comes after as many others as write about so many pages."""
    monkeypatch.setattr(module, "CHECKPOINT_PAGES", pages)
    record(app, "a", 5 * pruning.ROWS_AT_ONCE)
    owner.drain()
    age(owner, 31)
    retention = retention_of(owner, Day(time.time(), look_s=module.STEP_S), retention_days=30)
    steps = [""]

    def trace(sql: str) -> None:
        said = {"COMMIT": "d", "PRAGMA wal_checkpoint(PASSIVE)": "f"}.get(sql, "")
        steps[-1] += said if said not in steps[-1] else ""

    owner.connection.set_trace_callback(trace)
    a_round(retention, after=lambda: steps.append(""))
    owner.connection.set_trace_callback(None)
    assert "".join(steps)[:8] == order
    assert set(steps) <= {"", "d", "f"}


def test_on_a_full_disk_each_step_deletes(owner: Owner, app: App, settings: Settings) -> None:
    """What the step before has written was brought into the file to make room: no other step is spent on it."""
    record(app, "a", 5 * pruning.ROWS_AT_ONCE)
    owner.drain()
    age(owner, 31)
    retention = retention_of(owner, Day(time.time(), look_s=module.STEP_S), retention_days=30)
    retention.step()
    left = amounts(settings.db_path)["hush_spans"]
    retention.step_on_full_disk()
    assert 0 < amounts(settings.db_path)["hush_spans"] < left


def test_as_many_go_as_come(owner: Owner, app: App, settings: Settings) -> None:
    """What the drain has stored since the last deletion is what the next deletes, at once, within its overtime."""
    record(app, "a", 12 * pruning.ROWS_AT_ONCE)
    owner.drain()
    age(owner, 31)
    day = Day(time.time(), look_s=module.STEP_S / 2)
    retention = retention_of(owner, day, retention_days=30)
    retention.step()
    stored = amounts(settings.db_path)["hush_spans"]
    assert retention.wait_s() > 0
    retention.step(drained=2 * pruning.ROWS_AT_ONCE)  # brings into the file what the first has written
    retention.step()
    assert stored - amounts(settings.db_path)["hush_spans"] == 2 * pruning.ROWS_AT_ONCE
    retention.step(drained=10**6)
    retention.step()
    after = amounts(settings.db_path)["hush_spans"]
    assert 2 * pruning.ROWS_AT_ONCE < stored - after < 8 * pruning.ROWS_AT_ONCE, "it is bounded all the same"


# ------------------------------------------------------------------ what comes after


def test_a_late_span_begins_its_request_anew(owner: Owner, app: App, settings: Settings) -> None:
    """By the same ids; nothing of the old rows is taken for its own, and all of it is counted."""
    with app.tracer.start_as_current_span("root", attributes={"hush.request_id": "a"}) as root:
        pass
    owner.drain()
    age(owner, 31)
    retention = retention_of(owner, Day(time.time()), retention_days=30)
    a_round(retention)
    assert request_ids(settings.db_path) == []
    app.tracer.start_span("late", context=set_span_in_context(root)).end()
    record(app, "b")
    owner.drain()
    trace_id = f"{root.get_span_context().trace_id:032x}"
    assert rows(settings.db_path, "SELECT trace_id, name FROM spans WHERE name = 'late'") == [
        (trace_id, "late")
    ]
    assert names(settings.db_path) == {"late": 1, "root": 1, "inner": 1}
    found = balanced(settings).received
    assert (found.received, found.stored, found.pruned) == (4, 3, 1)


def test_a_trace_outlives_the_request_that_it_began_with(owner: Owner, app: App, settings: Settings) -> None:
    """Its spans may belong to several: those that are left keep it, and what is late joins them."""
    with app.tracer.start_as_current_span("root", attributes={"hush.request_id": "a"}) as root:
        app.tracer.start_span("other", attributes={"hush.request_id": "b"}).end()
    for one in "ab":
        app.store.mark_request_complete(one, "local")
    owner.drain()
    owner.service._relay.queue_due(time.time() + 60)
    assert request_ids(settings.db_path) == ["a", "b"]
    age(owner, 31, "a")
    retention = retention_of(owner, Day(time.time()), retention_days=30)
    a_round(retention)
    assert names(settings.db_path) == {"other": 1}
    app.tracer.start_span("late", context=set_span_in_context(root)).end()
    owner.drain()
    assert rows(settings.db_path, "SELECT request_id, name FROM spans ORDER BY name") == [
        ("b", "late"),
        ("b", "other"),
    ]
    balanced(settings)


def test_a_trace_without_its_request_is_no_trap(owner: Owner, app: App, settings: Settings) -> None:
    """One that was left behind is made anew by the next span of it."""
    with app.tracer.start_as_current_span("root") as root:
        pass
    owner.drain()
    with sqlite3.connect(settings.db_path) as db:
        db.execute("DELETE FROM hush_requests")
        db.execute("DELETE FROM hush_spans")
    owner.service._drain.forget()
    app.tracer.start_span("late", context=set_span_in_context(root)).end()
    owner.drain()
    assert names(settings.db_path) == {"late": 1}
    assert len(request_ids(settings.db_path)) == 1


# ------------------------------------------------------------------ clocks


def test_f30_a_clock_that_leaps_ahead_deletes_nothing(owner: Owner, app: App, settings: Settings) -> None:
    """F30: ten years ahead, nothing is too old until a day has passed by that clock; then it is."""
    record(app, "a")
    owner.drain()
    day = Day(time.time())
    retention = retention_of(owner, day, retention_days=30)
    a_round(retention)
    day.wall_s += 3650 * DAY_S
    for _ in range(3):
        day.wall_s += 0.3 * DAY_S
        a_round(retention)
        assert request_ids(settings.db_path) == ["a"]
    day.wall_s += 0.5 * DAY_S
    a_round(retention)
    assert request_ids(settings.db_path) == []


def test_f30_a_clock_that_is_set_right_again_has_deleted_nothing(
    owner: Owner, app: App, settings: Settings
) -> None:
    """F30: ahead, back, and a second time, in new processes each time."""
    record(app, "a")
    owner.drain()
    day = Day(time.time())
    for years in (10, 0, 10, -10, 0, 10):
        a_round(retention_of(owner, Day(day.wall_s + years * 365 * DAY_S), retention_days=30))
        assert request_ids(settings.db_path) == ["a"], years
    balanced(settings)


def test_f30_a_clock_that_leaps_again_deletes_nothing(owner: Owner, app: App, settings: Settings) -> None:
    """Years, and two days more a moment later: nobody was absent in between."""
    day = Day(time.time())
    retention = retention_of(owner, day, retention_days=30)
    record(app, "young")
    owner.drain()
    a_round(retention)
    for days in (3650, 2, 2):
        day.wall_s += days * DAY_S
        a_round(retention)
    assert request_ids(settings.db_path) == ["young"]


def test_f30_records_of_a_wrong_time_do_not_confirm_it(owner: Owner, app: App, settings: Settings) -> None:
    """F30: nor where retention has never looked before, and they are stored before it does."""
    record(app, "a")
    owner.drain()
    wrong = 3650 * DAY_S
    retention = retention_of(owner, Day(time.time() + wrong), retention_days=30)
    record(app, "b")
    owner.drain()
    with sqlite3.connect(settings.db_path) as db:
        moved = "UPDATE hush_requests SET created_at = created_at + ?1, last_at = last_at + ?1"
        db.execute(f"{moved} WHERE request_id = 'b'", (wrong,))
    a_round(retention)
    assert request_ids(settings.db_path) == ["a", "b"]


# ------------------------------------------------------------------ bounds without room


def test_drain_says_that_there_is_no_room(settings: Settings) -> None:
    """`hush-otel drain` cannot wait for it: it ends with an error, and the spool keeps the rest."""
    app = App(settings.db_path, destinations=[_archive(settings)])
    with owning(settings) as owner:
        fill(owner, app, 30)
        deliver(owner, "dead")
        limit = int(owner.service._database.read(space.look).used * 0.8)
    record(app, "later")
    small = dataclasses.replace(settings, max_db_bytes=limit)
    with owning(small) as owner, pytest.raises(StoreError, match="HUSH_MAX_DB_BYTES"):
        owner.drain()
    assert len(request_ids(settings.db_path)) == 30
    with owning(dataclasses.replace(small, retention_undelivered=True)) as owner:
        owner.drain()
    assert "later" in request_ids(settings.db_path)
    balanced(settings)


def test_with_undelivered_data_alone_the_drain_waits_and_commands_do_not(
    owner: Owner, settings: Settings
) -> None:
    """Nothing undelivered is deleted; the spool keeps what comes; it goes on when there is room."""
    archive = _archive(settings)
    app = App(settings.db_path, destinations=[archive])
    fill(owner, app, 100)
    deliver(owner, "dead")
    limit = int(owner.service._database.read(space.look).used * 0.8)
    day = Day(time.time())
    retention = retention_of(owner, day, max_db_bytes=limit)
    record(app, "later")
    for _ in range(6):
        day.monotonic_s += 10
        owner.step()
    assert "later" not in request_ids(settings.db_path)
    assert len(request_ids(settings.db_path)) == 100
    assert rows(settings.db_path, "SELECT value FROM hush_meta WHERE key = 'storing_paused'")
    status = ask(owner, "status", HUSH_MAX_DB_BYTES=str(limit))
    assert "nothing is stored" in status.stdout
    assert "HUSH_MAX_DB_BYTES" in status.stdout
    day.look_s = 0.01
    ask(owner, "prune", "--per-workflow", "70", "--undelivered")
    assert not retention.is_full()
    for _ in range(30):
        owner.step()
    left = request_ids(settings.db_path)
    assert "later" in left
    assert 50 < len(left) <= 72
    assert balanced(settings).destinations[0].pruned == 60
    assert not retention.is_full()
    assert not rows(settings.db_path, "SELECT value FROM hush_meta WHERE key = 'storing_paused'")
