"""Requests that become one, marks that come late, destinations that join: nothing goes astray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inprocess import losses, rows
from test_store_ingest import (
    LAB,
    ME,
    OTHER,
    PROD,
    ROOT,
    Store,
    assert_exact,
    end,
    mark,
    node,
    start,
    trace_bytes,
)

from hush_otel.model import Destination
from hush_otel.records import FLAG_COMPLETE, FLAG_PROVISIONAL
from hush_otel.store import outbox
from hush_otel.store.delivered import DeliveryWatch
from hush_otel.store.spans import SpanReader


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "t.db")


def named(request_id: str) -> dict[str, Any]:
    """The attribute that names a span's request."""
    return {"hush.request_id": request_id}


def request_of(store: Store, name: str) -> str:
    """The request of a span."""
    ((found,),) = rows(store.path, "SELECT request_id FROM spans WHERE name = ?", name)
    return str(found)


# ------------------------------------------------------------------ merges


@pytest.mark.parametrize("restart", [True, False])
def test_a_merge_takes_every_trace_of_a_request_along(store: Store, restart: bool) -> None:
    """A trace that named another's request follows it; a stranger's new request gets none of its spans."""
    parent = trace_bytes(2).hex()
    store.take(end(1, ROOT, **named("order-7")))
    store.take(start(2, ROOT, name="parent-job"))
    store.take(end(3, ROOT, name="sub-job", **named(parent)))
    store.take(end(2, 2, ROOT, name="step", **named("order-7")))
    if restart:
        store.ingest.forget()
    store.take(end(4, ROOT, name="stranger", **named("customer-2")))
    store.take(end(3, 5, ROOT, name="late"))
    assert {request_of(store, name) for name in ("sub-job", "step", "late", "parent-job")} == {"order-7"}
    assert request_of(store, "stranger") == "customer-2"
    assert_exact(store)


def test_a_merged_requests_number_is_given_to_nobody_else(store: Store) -> None:
    """Whoever still knows the old number must not meet a stranger's request under it."""
    store.take(end(1, ROOT, **named("order-7")))
    store.take(start(2, ROOT))
    ((gone,),) = rows(store.path, "SELECT id FROM hush_requests WHERE request_id = ?", trace_bytes(2).hex())
    store.take(end(2, 2, ROOT, **named("order-7")))
    store.take(end(3, ROOT))
    numbers = [number for (number,) in rows(store.path, "SELECT id FROM hush_requests")]
    assert gone not in numbers
    assert len(numbers) == 2


def test_a_merge_keeps_tags_and_tracer(store: Store) -> None:
    """What a mark said of either stays."""
    hexed = trace_bytes(2).hex()
    store.take(end(1, ROOT, **named("order-7")))
    store.take(end(2, ROOT), mark(hexed, tags=["vip"]))
    store.take(end(2, 2, ROOT, **named("order-7")))
    request = store.requests()["order-7"]
    assert (request["tags"], request["tracer_type"]) == ('["vip"]', "local")


def test_a_delivery_that_is_merged_after_it_was_claimed_sends_its_spans(store: Store) -> None:
    """The rows are looked up when they are sent, not by the request that was claimed."""
    store.take(end(1, ROOT, **named("order-7"), flags=FLAG_COMPLETE))
    store.take(end(2, ROOT, name="victim", flags=FLAG_COMPLETE), destinations=[LAB])
    store.queue()
    (state,) = store.database.read(outbox.waiting)
    (claimed,) = store.database.read(lambda db: outbox.due_deliveries(db, state.id, 1e12, 10))
    store.take(end(2, 2, ROOT, **named("order-7")))
    reader = SpanReader(store.path)
    assert "victim" in [span.name for span in reader.read([claimed])]
    reader.close()


@pytest.mark.parametrize("known", ["before", "in the same batch"])
def test_a_trace_that_names_a_request_at_once_joins_it_without_a_move(store: Store, known: str) -> None:
    """The usual case of spans beside node traces: one request, exact counts, no empty request left."""
    first = [node("run-1", "a", None)]
    second = [end(7, ROOT, name="span", **named("run-1"), flags=FLAG_COMPLETE)]
    if known == "before":
        store.take(*first)
        store.take(*second)
    else:
        store.take(*second, *first)
    assert list(store.requests()) == ["run-1"]
    assert store.requests()["run-1"]["node_count"] == 2
    assert_exact(store)


# ------------------------------------------------------------------ marks


def test_a_mark_gets_all_of_a_request_whose_destination_had_a_share(store: Store) -> None:
    """The node traces beside a delivered span are sent when a mark asks for the whole."""
    store.take(end(1, ROOT, name="http", **named("run-1"), flags=FLAG_COMPLETE), destinations=[LAB])
    store.take(node("run-1", "a", None), node("run-1", "b", "a"))
    store.queue(after_s=6)
    assert [names for *_, names in store.delivered()] == [["http"]]
    lab = {"endpoint": "http://lab"}
    ask = Destination("otlp", endpoint="http://lab")
    store.take(end(2, ROOT, name="other", **named("run-2"), flags=FLAG_COMPLETE), destinations=[ask])
    store.take(node("run-2", "c", None))
    store.queue(after_s=6)
    store.delivered().clear()
    store.take(mark("run-2", "otlp", **lab))
    store.queue()
    assert [sorted(names) for *_, names in store.delivered()] == [["flow", "other"]]


def test_the_same_mark_twice_sends_nothing_twice(store: Store) -> None:
    """Asking again for what is delivered as a whole is no new delivery."""
    store.take(node("run-1", "a", None), mark("run-1", "otlp", endpoint="http://lab"))
    store.queue()
    store.take(mark("run-1", "otlp", endpoint="http://lab"))
    store.queue()
    assert len(store.delivered()) == 1


def test_a_mark_by_trace_id_finds_a_request_that_has_a_name(store: Store) -> None:
    """The trace id in hex stands for the request of its spans, also for wait_delivered."""
    hexed = trace_bytes(1).hex()
    store.take(end(1, ROOT, name="root", **named("order-7")))
    store.take(mark(hexed, "otlp", endpoint="http://lab"))
    store.queue()
    with DeliveryWatch(store.path, [], hexed, 60.0) as watch:
        assert watch.look() is None
        assert [names for *_, names in store.delivered()] == [["root"]]
        assert watch.look() is True
    assert list(store.requests()) == ["order-7"]


# ------------------------------------------------------------------ destinations


def test_a_destination_with_keys_that_are_no_text_stops_nobody(store: Store) -> None:
    """Its options are written as text; it is its receiver's or its type's business what becomes of them."""
    bad = Destination("otlp", name="bad")
    bad.config = {"headers": {1: "x", "b": "secret"}, "odd": {(1, 2): 3, None: 4}}  # type: ignore[dict-item]
    store.take(end(1, ROOT, flags=FLAG_COMPLETE), destinations=[bad])
    store.take(end(2, ROOT, flags=FLAG_COMPLETE), destinations=[LAB])
    store.queue()
    names = {state.config.name for state in store.database.read(outbox.waiting)}
    assert names == {"bad", "lab"}
    assert losses(store.path) == {}


def test_attributes_with_keys_that_are_no_text_are_sent_as_text(store: Store) -> None:
    """One odd span must not keep its destination's others waiting."""
    odd = end(1, ROOT, name="odd", flags=FLAG_COMPLETE)
    odd.attributes = {1: "a", "b": b"bytes"}
    store.take(odd, destinations=[LAB])
    store.queue()
    assert [names for *_, names in store.delivered()] == [["odd"]]


def ends_of_a_child(*flags: int) -> Iterator[Any]:
    """The end of a parent's span, as each of two processors in a forked child sees it."""
    for flag in flags:
        yield end(1, ROOT, name="daemonize", flags=flag)


def test_a_childs_end_goes_to_the_destinations_of_all_its_processors(store: Store) -> None:
    """Two processors, two destinations, and the parent dies without ending its span: both get it."""
    begun = start(1, ROOT, name="daemonize")
    store.take_mixed((begun, [LAB]), (begun, [PROD]))
    first, second = ends_of_a_child(FLAG_PROVISIONAL, FLAG_PROVISIONAL)
    store.take(first, writer=OTHER, destinations=[LAB])
    store.take(second, writer=OTHER, destinations=[PROD])
    store.die()
    store.queue()
    assert sorted((name, names) for name, _, _, names in store.delivered()) == [
        ("lab", ["daemonize"]),
        ("prod", ["daemonize"]),
    ]
    assert store.spans()["daemonize"]["state"] == "ended"


def test_a_childs_late_end_replaces_the_interrupted_one_everywhere(store: Store) -> None:
    """After the parent's death was noticed: both destinations get the real end as a delta."""
    begun = start(1, ROOT, name="daemonize")
    store.take_mixed((begun, [LAB]), (begun, [PROD]))
    store.die()
    store.queue()
    assert len(store.delivered()) == 2
    first, second = ends_of_a_child(FLAG_PROVISIONAL, FLAG_PROVISIONAL)
    store.take(first, writer=OTHER, destinations=[LAB])
    store.take(second, writer=OTHER, destinations=[PROD])
    store.queue(after_s=6)
    assert sorted(name for name, *_ in store.delivered()[2:]) == ["lab", "prod"]


# ------------------------------------------------------------------ orphans


def test_an_orphan_whose_parent_comes_is_none_any_more(store: Store) -> None:
    """The flag of a node without a parent goes when the parent is there before it is sent."""
    store.take(node("run-1", "root", None), node("run-1", "child", "late-parent"))
    store.database.write(lambda db: store.ingest.complete_idle(db, store.now + 100, 1))
    store.queue(after_s=200)
    assert "hush.orphan" in store.spans()["child"]["attributes"]
    store.take(node("run-1", "late-parent", "root"), mark("run-1", "otlp", endpoint="http://lab"))
    store.queue()
    attributes = {span["name"]: span["attributes"] for span in store.spans().values()}
    assert "hush.orphan" not in attributes["child"]


def test_what_another_process_asked_for_is_no_concern_of_wait_delivered(store: Store) -> None:
    """The same request, refused where another process sent it, accepted where this one did."""
    store.take(node("run-1", "a", None), mark("run-1", "otlp", endpoint="http://refuses"), writer=OTHER)
    store.queue()
    (state,) = store.database.read(outbox.waiting)
    (refused,) = store.database.read(lambda db: outbox.due_deliveries(db, state.id, 1e12, 10))
    store.database.write(lambda db: outbox.settle_dead(db, refused, "400", store.now))
    store.take(mark("run-1", "otlp", endpoint="http://accepts"))
    store.queue()
    with (
        DeliveryWatch(store.path, [ME], None, 60.0) as mine,
        DeliveryWatch(store.path, [OTHER], None, 60.0) as theirs,
    ):
        assert mine.look() is None
        store.delivered()
        assert mine.look() is True
        assert theirs.look() is False


def test_what_a_batch_asked_for_survives_a_trace_that_joins_a_request_later_in_it(store: Store) -> None:
    """Spans that ended before a node trace in the same batch are delivered all the same."""
    store.take(mark("run-1"))
    store.take(end(1, ROOT, name="span", flags=FLAG_COMPLETE), node("run-1", "a", None), destinations=[LAB])
    store.queue()
    assert [names for *_, names in store.delivered()] == [["span"]]


def test_two_spellings_of_one_id_in_a_batch_lose_no_node(store: Store) -> None:
    """A UUID and its 32 hex digits are one trace: whichever request each joins, every row has one."""
    spelled = "12345678-1234-5678-1234-567812345678"
    store.take(mark(spelled))
    store.take(node(spelled.replace("-", ""), "a", None), node(spelled, "b", None))
    assert rows(store.path, "SELECT node_name FROM node_traces ORDER BY node_name") == [("a",), ("b",)]
    assert_exact(store)
