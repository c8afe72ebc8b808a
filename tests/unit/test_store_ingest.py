"""Records into rows: exactly once, in whatever order and cuts they come."""

from __future__ import annotations

import itertools
import json
import os
import re
import sqlite3
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inprocess import closed_later, dicts, losses, rows

from hush_otel import records
from hush_otel.errors import StoreError, StoreFenced
from hush_otel.model import Destination
from hush_otel.records import (
    FLAG_COMPLETE,
    FLAG_PROVISIONAL,
    Complete,
    End,
    Extra,
    Mark,
    Node,
    OriginRecord,
    Start,
)
from hush_otel.store import outbox
from hush_otel.store.arrivals import Arrival
from hush_otel.store.database import SCHEMA_VERSION, Database, load_migration, load_sql
from hush_otel.store.ingest import Ingest
from hush_otel.store.spans import SpanReader

ME, OTHER = b"m" * 16, b"o" * 16
ROOT = 1
LAB = Destination("otlp", name="lab", endpoint="http://lab")
PROD = Destination("otlp", name="prod", endpoint="http://prod")


def trace_bytes(number: int) -> bytes:
    """A trace id."""
    return number.to_bytes(16, "big")


def span_bytes(number: int) -> bytes:
    """A span id."""
    return number.to_bytes(8, "big")


def start(trace: int, span: int, parent: int | None = None, **attributes: Any) -> Start:
    """A span that began at its own number."""
    name = attributes.pop("name", f"span-{span}")
    parent_id = None if parent is None else span_bytes(parent)
    return Start(
        records.START,
        0,
        trace_bytes(trace),
        span_bytes(span),
        parent_id,
        0x101,
        name,
        1,
        span * 10,
        attributes,
    )


def end(
    trace: int,
    span: int,
    parent: int | None = None,
    *,
    flags: int = 0,
    error: str | None = None,
    **attributes: Any,
) -> End:
    """Its end, five nanoseconds later."""
    name = attributes.pop("name", f"span-{span}")
    return End(
        records.END,
        0,
        trace_bytes(trace),
        span_bytes(span),
        None if parent is None else span_bytes(parent),
        0x101 | flags,
        name,
        1,
        span * 10,
        span * 10 + 5,
        0 if error is None else 2,
        error,
        attributes,
        None,
    )


def llm(tokens: int, cost: float = 0.0) -> dict[str, Any]:
    """Attributes of a model call."""
    return {
        "openinference.span.kind": "LLM",
        "llm.token_count.prompt": tokens,
        "llm.token_count.completion": 1,
        "hush.cost_usd": cost,
    }


def node(request_id: str, name: str, parent: str | None = "root", **fields: Any) -> Node:
    """A node trace; `fields` by the seed's names."""
    at = {
        "context_id": 4,
        "start_time": 6,
        "end_time": 7,
        "model": 13,
        "prompt_tokens": 14,
        "completion_tokens": 15,
        "total_tokens": 16,
        "cost_usd": 17,
        "error": 21,
    }
    values: list[Any] = [request_id, "flow", name, parent, *[None] * 14, False, None, None, None]
    for field, value in fields.items():
        values[at[field]] = value
    return Node(records.NODE, 1_700_000_000_000_000_000, values)


def mark(request_id: str, tracer_type: str = "local", tags: list[Any] | None = None, **config: Any) -> Mark:
    """A completion mark."""
    return Mark(records.MARK, 1_700_000_000_000_000_000, request_id, tracer_type, config, tags)


class Store:
    """A database and an ingest, fed directly. Time is what the test says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = closed_later(Database(path))
        self.ingest = Ingest()
        self.now = 1000.0
        self._delivered: list[tuple[str, int, int, list[str]]] = []

    def take(
        self, *arrivals: records.Record, writer: bytes = ME, destinations: Sequence[Destination] = ()
    ) -> int:
        """One batch of one capture; gives the number of spans that ended."""
        self.now += 1

        def change(db: sqlite3.Connection) -> int:
            spooled = [destination.as_record() for destination in destinations]
            origin = OriginRecord(records.ORIGIN, 0, {"service.name": "s"}, "", "t", "", "", {}, spooled)
            place = self.ingest.place(db, origin, self.now)
            return self.ingest.ingest(db, [Arrival(record, writer, place) for record in arrivals], self.now)

        return self.database.write(change)

    def take_mixed(self, *captures: tuple[records.Record, Sequence[Destination]]) -> None:
        """One batch of several captures of this process."""
        self.now += 1

        def change(db: sqlite3.Connection) -> None:
            arrivals = []
            for record, destinations in captures:
                spooled = [destination.as_record() for destination in destinations]
                origin = OriginRecord(records.ORIGIN, 0, {}, "", "", "", "", {}, spooled)
                arrivals.append(Arrival(record, ME, self.ingest.place(db, origin, self.now)))
            self.ingest.ingest(db, arrivals, self.now)

        self.database.write(change)

    def die(self, writer: bytes = ME) -> int:
        """The writer's process is gone."""
        self.now += 1
        return self.database.write(lambda db: self.ingest.interrupt(db, writer, self.now))

    def queue(self, after_s: float = 0.0) -> None:
        """What is due gets its deliveries."""
        self.now += after_s
        self.database.write(lambda db: outbox.queue_due(db, self.now, self.now))

    def delivered(self) -> list[tuple[str, int, int, list[str]]]:
        """Deliver what is pending; every delivery so far: destination, from, to, names of its spans."""
        reader = SpanReader(self.path)
        for state in self.database.read(outbox.waiting):
            self._deliver(reader, state)
        reader.close()
        return self._delivered

    def _deliver(self, reader: SpanReader, state: outbox.DestinationState) -> None:
        # A delta is due when what it follows is delivered.
        while due := self.database.read(lambda db: outbox.due_deliveries(db, state.id, 1e12, 100)):
            for delivery in due:
                names = [span.name for span in reader.read([delivery])]
                self._delivered.append((state.config.name, delivery.from_seq, delivery.to_seq, names))
                self.database.write(lambda db, d=delivery: outbox.settle_delivered(db, [d], 0, "", self.now))  # type: ignore[misc]

    def requests(self) -> dict[str, dict[str, Any]]:
        """The view by request id."""
        return {row["request_id"]: row for row in dicts(self.path, "SELECT * FROM requests")}

    def spans(self) -> dict[str, dict[str, Any]]:
        """The view by span name."""
        return {row["name"]: row for row in dicts(self.path, "SELECT * FROM spans")}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "t.db")


def recomputed(path: Path) -> dict[str, tuple[Any, ...]]:
    """The roll-ups of every request, from its rows alone."""
    counts = "s.repeats IS NULL"
    sql = f"""
        SELECT r.request_id,
               count(s.id),
               coalesce(sum(s.state = 0), 0),
               coalesce(sum(s.status_code = 2), 0),
               sum(s.prompt_tokens) FILTER (WHERE {counts}),
               sum(s.completion_tokens) FILTER (WHERE {counts}),
               sum(coalesce(s.total_tokens, s.prompt_tokens + s.completion_tokens)) FILTER (WHERE {counts}),
               round(sum(s.cost_usd) FILTER (WHERE {counts}), 6),
               min(s.start_ns),
               max(s.end_ns)
        FROM hush_requests r LEFT JOIN hush_spans s ON s.request = r.id
        GROUP BY r.id"""  # noqa: S608 - a condition of ours
    return {row[0]: row[1:] for row in rows(path, sql)}


def rolled_up(path: Path) -> dict[str, tuple[Any, ...]]:
    """The same as the store keeps it."""
    sql = """
        SELECT request_id, node_count, running_count, error_count, prompt_tokens, completion_tokens,
               total_tokens, round(cost_usd, 6), start_ns, end_ns
        FROM hush_requests"""
    return {row[0]: row[1:] for row in rows(path, sql)}


def assert_exact(store: Store) -> None:
    """Roll-ups equal what the rows say, and running spans are those that the table of them holds."""
    assert rolled_up(store.path) == recomputed(store.path)
    beyond = (
        """SELECT 1 FROM hush_spans s JOIN hush_requests r ON r.id = s.request WHERE s.end_seq > r.max_seq"""
    )
    assert not rows(store.path, beyond)
    running = rows(store.path, "SELECT id FROM hush_spans WHERE state = 0 ORDER BY id")
    assert running == rows(store.path, "SELECT span FROM hush_running ORDER BY span")
    assert models(store.path) == rows(store.path, MODELS_OF_SPANS)


MODELS_OF_SPANS = """
    SELECT DISTINCT r.request_id, s.model, r.created_at
    FROM hush_spans s JOIN hush_requests r ON r.id = s.request
    WHERE s.model IS NOT NULL ORDER BY r.request_id, s.model
"""


def models(path: Path) -> list[tuple[Any, ...]]:
    """Which requests are found by which models."""
    sql = """SELECT coalesce(r.request_id, 'nobody'), l.label, l.created_at
        FROM hush_request_labels l LEFT JOIN hush_requests r ON r.id = l.request
        WHERE l.kind = 0 ORDER BY r.request_id, l.label"""
    return rows(path, sql)


# ------------------------------------------------------------------ spans


def test_b15_the_first_end_wins_and_repeats_are_counted(store: Store) -> None:
    """Within a batch and across two, the first content stays; each repeat is a duplicate in the ledger."""
    store.take(end(1, ROOT, name="first"), end(1, ROOT, name="second"))
    store.take(end(1, ROOT, name="third"))
    assert list(store.spans()) == ["first"]
    assert losses(store.path) == {"duplicate": 2}
    assert_exact(store)


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
def test_a_start_runs_and_its_end_replaces_it(store: Store, together: bool) -> None:
    """A started span is running; its end takes the same row, with everything that only the end knows."""
    if together:
        store.take(start(1, ROOT, a=1), end(1, ROOT, a=1, b=2))
    else:
        store.take(start(1, ROOT, a=1))
        assert (store.spans()["span-1"]["state"], store.spans()["span-1"]["end_ns"]) == ("running", None)
        assert_exact(store)
        store.take(end(1, ROOT, a=1, b=2))
    row = store.spans()["span-1"]
    assert (row["state"], row["end_ns"], row["attributes"]) == ("ended", 15, '{"a":1,"b":2}')
    assert rows(store.path, "SELECT count(*) FROM hush_spans") == [(1,)]
    assert_exact(store)


def test_a_start_that_comes_after_its_end_says_nothing(store: Store) -> None:
    """Segments are read in any order: a late start neither changes the row nor counts."""
    store.take(end(1, ROOT))
    store.take(start(1, ROOT))
    store.take(start(1, ROOT), start(1, ROOT))
    assert store.spans()["span-1"]["state"] == "ended"
    assert losses(store.path) == {}
    assert_exact(store)


def test_a_node_without_a_total_counts_what_it_has(store: Store) -> None:
    """The node is as it was given; the request's total is the sum of input and output."""
    store.take(
        node("r", "a", None, prompt_tokens=100, completion_tokens=10),
        node("r", "b", "a", prompt_tokens=5, completion_tokens=1, total_tokens=7),
        node("r", "c", "a", prompt_tokens=3),
    )
    assert [row[0] for row in rows(store.path, "SELECT total_tokens FROM node_traces ORDER BY id")] == [
        None,
        7,
        None,
    ]
    assert store.requests()["r"]["total_tokens"] == 117
    assert_exact(store)


def test_f35_spans_of_a_dead_process_are_interrupted(store: Store) -> None:
    """F35: status ERROR, hush.incomplete, an end; its requests are complete; another's spans go on."""
    store.take(start(1, ROOT), start(1, 2, ROOT), end(1, 2, ROOT))
    store.take(start(2, 3), writer=OTHER)
    assert store.die() == 1
    row = store.spans()["span-1"]
    assert (row["state"], row["status_code"], row["end_ns"] >= row["start_ns"]) == (
        "interrupted",
        "ERROR",
        True,
    )
    assert json.loads(row["attributes"])["hush.incomplete"] is True
    assert store.spans()["span-3"]["state"] == "running"
    request = store.requests()[f"{1:032x}"]
    assert (request["status"], request["completed_by"], request["error_count"]) == ("stored", "owner_died", 1)
    assert store.requests()[f"{2:032x}"]["status"] == "writing"
    assert_exact(store)


def test_f35_a_real_end_replaces_an_interrupted_span_and_is_delivered_again(store: Store) -> None:
    """F35: the owner was only slow: what it says at last is stored, and goes out as a delta."""
    store.take(start(1, ROOT), destinations=[LAB])
    store.die()
    store.queue()
    assert store.delivered() == [("lab", 0, 1, ["span-1"])]
    store.take(end(1, ROOT, b=2), destinations=[LAB])
    row = store.spans()["span-1"]
    assert (row["state"], row["status_code"], row["attributes"]) == ("ended", "UNSET", '{"b":2}')
    assert store.requests()[f"{1:032x}"]["error_count"] == 0
    store.queue(after_s=1.1)
    assert store.delivered()[1:] == [("lab", 1, 2, ["span-1"])]
    assert losses(store.path) == {}
    assert_exact(store)


def test_a_request_that_turned_out_well_keeps_no_error_of_its_owners_death(store: Store) -> None:
    """The message of an interruption goes with it when the real end is no error."""
    store.take(start(1, ROOT))
    store.die()
    assert store.requests()[f"{1:032x}"]["error_message"].startswith("interrupted")
    store.take(end(1, ROOT))
    assert store.requests()[f"{1:032x}"]["error_message"] is None


def test_f05_a_childs_end_is_used_only_when_the_owner_dies(store: Store) -> None:
    """F5: a forked child's end of its parent's span waits; the parent's own end wins."""
    store.take(start(1, ROOT), start(2, 2))
    store.take(end(1, ROOT, flags=FLAG_PROVISIONAL, name="child's"), writer=OTHER)
    store.take(end(2, 2, flags=FLAG_PROVISIONAL, name="child's two"), writer=OTHER)
    assert store.spans()["span-1"]["state"] == "running"
    store.take(end(1, ROOT, name="parent's"))
    store.die()
    assert {row["name"]: row["state"] for row in store.spans().values()} == {
        "parent's": "ended",
        "child's two": "ended",
    }
    assert_exact(store)


def test_the_rarer_parts_of_a_span_are_shown(store: Store) -> None:
    """Trace state, events, links and dropped counts, as the view documents them."""
    span = end(1, ROOT, f=float("nan"), b=b"\0")
    span.extra = Extra(
        "k=v",
        [["e", 5, {"x": 1}, 2]],
        [[trace_bytes(7), span_bytes(8), "s=t", 0x301, {"y": b"\1"}, 3]],
        4,
        5,
        6,
    )
    store.take(span)
    row = store.spans()["span-1"]
    assert (row["trace_state"], row["flags"], row["kind"]) == ("k=v", 0x101, "INTERNAL")
    assert json.loads(row["attributes"]) == {"f": "NaN", "b": "AA=="}
    assert json.loads(row["events"]) == [
        {"name": "e", "time_ns": 5, "attributes": {"x": 1}, "dropped_attributes": 2}
    ]
    assert json.loads(row["links"]) == [
        {
            "trace_id": f"{7:032x}",
            "span_id": f"{8:016x}",
            "trace_state": "s=t",
            "flags": 0x301,
            "attributes": {"y": "AQ=="},
            "dropped_attributes": 3,
        }
    ]
    assert (row["dropped_attributes"], row["dropped_events"], row["dropped_links"]) == (4, 5, 6)
    assert (row["resource"], json.loads(row["scope"])["name"]) == ('{"service.name":"s"}', "t")


# ------------------------------------------------------------------ identity


def test_a_request_is_named_by_its_trace_until_it_names_itself(store: Store) -> None:
    """The trace id in hex; from the first hush.request_id in the trace on, all of its spans have that name."""
    store.take(start(1, ROOT), end(1, 2, ROOT))
    assert list(store.requests()) == [f"{1:032x}"]
    store.take(end(1, 3, ROOT, **{"hush.request_id": "order-17"}))
    store.take(end(1, ROOT))
    assert list(store.requests()) == ["order-17"]
    assert {row["request_id"] for row in store.spans().values()} == {"order-17"}
    assert store.requests()["order-17"]["node_count"] == 3
    assert_exact(store)


def test_a_late_name_of_a_request_that_exists_merges_the_two(store: Store) -> None:
    """What a trace held under its own name moves to the request that it names, and the sums stay exact."""
    store.take(node("order-17", "root", None, prompt_tokens=3), node("order-17", "step", prompt_tokens=4))
    store.take(end(1, 2, ROOT, **llm(10, 0.5)), end(1, 3, ROOT, error="boom"), start(1, ROOT))
    store.take(end(1, 4, ROOT, **{"hush.request_id": "order-17"}))
    store.take(end(1, ROOT))
    request = store.requests()
    assert list(request) == ["order-17"]
    assert (request["order-17"]["node_count"], request["order-17"]["prompt_tokens"]) == (6, 17)
    assert (request["order-17"]["error_count"], request["order-17"]["error_message"]) == (1, "boom")
    assert_exact(store)


def test_i5_rows_that_join_a_delivered_request_are_delivered_too(store: Store) -> None:
    """A merge into a request that was queued already leaves none of the moved spans behind."""
    store.take(end(1, 5, ROOT, name="early", x=1), destinations=[LAB])
    store.take(end(2, 6, flags=FLAG_COMPLETE, name="whole", **{"hush.request_id": "r"}), destinations=[LAB])
    store.queue()
    assert [(d[0], d[3]) for d in store.delivered()] == [("lab", ["whole"])]
    store.take(end(1, 7, ROOT, name="names it", **{"hush.request_id": "r"}), destinations=[LAB])
    store.queue(after_s=1.1)
    assert list(store.requests()) == ["r"]
    sent = {name for delivery in store.delivered() for name in delivery[3]}
    assert sent == {"early", "whole", "names it"}
    assert_exact(store)


def test_a_second_name_in_a_trace_is_a_request_of_its_own(store: Store) -> None:
    """The first name is the trace's; a span that names another goes there alone."""
    store.take(end(1, 2, ROOT, **{"hush.request_id": "a"}))
    store.take(end(1, 3, ROOT, **{"hush.request_id": "b"}), end(1, 4, ROOT))
    counts = {name: row["node_count"] for name, row in store.requests().items()}
    assert counts == {"a": 2, "b": 1}
    assert_exact(store)


def test_a_span_that_moves_takes_its_counts_along(store: Store) -> None:
    """Started unnamed in a named trace, ended or interrupted, then ended under another name."""
    store.take(end(1, 2, ROOT, **{"hush.request_id": "a"}), start(1, 3, ROOT), start(1, 4, ROOT))
    store.take(end(1, 3, ROOT, **{"hush.request_id": "b"}))
    store.die()
    store.take(end(1, 4, ROOT, **{"hush.request_id": "b"}))
    counts = {name: (row["node_count"], row["error_count"]) for name, row in store.requests().items()}
    assert counts == {"a": (1, 0), "b": (2, 0)}
    assert_exact(store)


def test_two_traces_of_one_request(store: Store) -> None:
    """Several traces may name the same request: it has all of their spans."""
    for trace in (1, 2, 3):
        store.take(end(trace, trace * 10, **{"hush.request_id": "r"}))
    assert store.requests()["r"]["node_count"] == 3
    assert_exact(store)


# ------------------------------------------------------------------ nodes


def test_node_ids_are_deterministic_and_occurrences_append(tmp_path: Path) -> None:
    """The same nodes give the same ids anywhere; a repeated node gets its own, and overwrites nothing."""
    found = []
    for name in ("a.db", "b.db"):
        store = Store(tmp_path / name)
        for _ in range(3):
            store.take(node("r", "step"), node("r", "step", context_id="[0]"), node("r", "root", None))
        found.append(rows(store.path, "SELECT span_id FROM spans ORDER BY span_id"))
        assert store.requests()["r"]["node_count"] == 9
        assert losses(store.path) == {}
        assert_exact(store)
    assert found[0] == found[1]
    assert len(set(found[0])) == 9


def test_node_parents_are_found_when_the_request_is_queued(store: Store) -> None:
    """Children come first: the parent's id is there once the request is complete."""
    store.take(node("r", "root.step"), node("r", "root.step.inner", "root.step"), node("r", "root", None))
    store.take(mark("r"))
    store.queue()
    by_id = {row["span_id"]: row for row in store.spans().values()}
    parents = {
        row["name"]: by_id[row["parent_span_id"]]["name"] if row["parent_span_id"] else None
        for row in by_id.values()
    }
    assert parents == {"flow": None, "step": "flow", "inner": "step"}


def test_a_mark_before_its_nodes(store: Store) -> None:
    """The request exists, complete; nodes that follow belong to it and are delivered."""
    store.take(mark("r", "otlp", ["early"], endpoint="http://x"))
    assert store.requests()["r"]["status"] == "pending"
    store.queue()
    store.take(node("r", "root", None))
    store.queue(after_s=1.1)
    assert [d[3] for d in store.delivered()] == [["flow"]]
    assert (store.requests()["r"]["tags"], store.requests()["r"]["trace_id"] is None) == ('["early"]', False)
    assert_exact(store)


def test_a_mark_of_an_unknown_request_is_a_request(store: Store) -> None:
    """Nothing was recorded for it, and that shows."""
    store.take(mark("nobody", "local"))
    row = store.requests()["nobody"]
    assert (row["status"], row["completed_by"], row["node_count"], row["trace_id"]) == (
        "stored",
        "mark",
        0,
        None,
    )


def test_a_mark_by_the_trace_id(store: Store) -> None:
    """OTel spans without a request id are marked by their trace id in hex, before or after them."""
    store.take(mark(f"{1:032x}"), end(1, ROOT))
    store.take(end(2, ROOT))
    store.take(mark(f"{2:032x}"))
    assert {name: row["node_count"] for name, row in store.requests().items()} == {
        f"{n:032x}": 1 for n in (1, 2)
    }


def test_the_same_mark_twice_is_one(store: Store) -> None:
    """Same request, type and configuration: one delivery; key order does not matter."""
    store.take(node("r", "root", None), mark("r", "otlp", endpoint="http://x", a=1))
    store.take(mark("r", "otlp", a=1, endpoint="http://x"))
    store.queue()
    assert len(store.delivered()) == 1
    store.take(mark("r", "otlp", a=1, endpoint="http://x"))
    store.queue()
    assert len(store.delivered()) == 1


def test_two_tracers_get_the_whole_request_each(store: Store) -> None:
    """A mark's tracer receives everything, whoever captured it; the last mark is shown, secrets masked."""
    store.take(end(1, ROOT, **{"hush.request_id": "r"}), node("r", "step"))
    store.take(mark("r", "otlp", ["t"], endpoint="http://x"))
    store.take(mark("r", "LangfuseTracer", secret_key="canary"))  # noqa: S106 - the canary
    store.queue()
    state = [s for s in store.database.read(outbox.waiting) if s.config.type == "langfuse"]
    assert state[0].config.config == {"secret_key": "canary"}
    assert sorted(len(delivery[3]) for delivery in store.delivered()) == [2, 2]
    row = store.requests()["r"]
    assert (row["tracer_type"], row["tags"]) == ("LangfuseTracer", '["t"]')
    assert "canary" not in row["tracer_config"]
    assert row["completed_by"] == "mark"


def test_marks_of_different_secrets_are_different_destinations(store: Store) -> None:
    """The name carries a hash of the whole configuration, not of its masked form."""
    store.take(node("r", "root", None), mark("r", "otlp", api_key="one"), mark("r", "otlp", api_key="two"))
    store.queue()
    assert len({delivery[0] for delivery in store.delivered()}) == 2


# ------------------------------------------------------------------ routes and deliveries


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
def test_two_processors_with_different_destinations(store: Store, together: bool) -> None:
    """One row, to the destinations of both, even when the first was queued before the second came."""
    first, second = (end(1, ROOT, flags=FLAG_COMPLETE), [LAB]), (end(1, ROOT, flags=FLAG_COMPLETE), [PROD])
    if together:
        store.take_mixed(first, second)
    else:
        store.take_mixed(first)
        store.queue()
        assert store.delivered() == [("lab", 0, 1, ["span-1"])]
        store.take_mixed(second)
    store.queue(after_s=1.1)
    sent = {(delivery[0], tuple(delivery[3])) for delivery in store.delivered()}
    assert sent == {("lab", ("span-1",)), ("prod", ("span-1",))}
    assert rows(store.path, "SELECT count(*) FROM hush_spans") == [(1,)]
    assert losses(store.path) == {"duplicate": 1}
    assert_exact(store)


def test_i5_a_late_second_processor_misses_no_span(store: Store) -> None:
    """When a destination was queued for other spans already, a span that joins it is sent, too."""
    a, b = end(1, 2, ROOT, name="a"), end(1, ROOT, flags=FLAG_COMPLETE, name="b")
    store.take_mixed((a, [LAB]), (a, [PROD]), (b, [LAB]))
    store.queue()
    assert [delivery[3] for delivery in store.delivered() if delivery[0] == "prod"] == [["a"]]
    store.take_mixed((b, [PROD]))
    store.queue(after_s=1.1)
    prod = [name for delivery in store.delivered() if delivery[0] == "prod" for name in delivery[3]]
    assert sorted(prod) == ["a", "b"]


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
def test_an_interrupted_span_goes_to_the_destinations_of_both_processors(
    store: Store, together: bool
) -> None:
    """The starts of two processors are one row, owed to both."""
    if together:
        store.take_mixed((start(1, ROOT), [LAB]), (start(1, ROOT), [PROD]))
    else:
        store.take_mixed((start(1, ROOT), [LAB]))
        store.take_mixed((start(1, ROOT), [PROD]))
    store.die()
    store.queue()
    assert {(delivery[0], tuple(delivery[3])) for delivery in store.delivered()} == {
        ("lab", ("span-1",)),
        ("prod", ("span-1",)),
    }


def test_a_processors_destinations_get_what_it_captured(store: Store) -> None:
    """Spans of another capture in the same request are not sent there."""
    store.take(end(1, 2, ROOT, name="for lab"), destinations=[LAB])
    store.take(end(1, 3, ROOT, name="for none"))
    store.take(end(1, ROOT, flags=FLAG_COMPLETE, name="for prod"), destinations=[PROD])
    store.queue()
    assert {(d[0], tuple(d[3])) for d in store.delivered()} == {
        ("lab", ("for lab",)),
        ("prod", ("for prod",)),
    }


def test_f34_what_comes_after_completion_is_a_delta(store: Store) -> None:
    """F34: (from_seq, to_seq] holds exactly the rows that came after the last queueing."""
    store.take(end(1, 2, ROOT), end(1, ROOT, flags=FLAG_COMPLETE), destinations=[LAB])
    store.queue()
    store.take(end(1, 3, ROOT), destinations=[LAB])
    assert store.requests()[f"{1:032x}"]["status"] == "pending"
    store.queue()
    assert len(store.delivered()) == 1, "a second of quiet has not passed"
    store.take(end(1, 4, ROOT), destinations=[LAB])
    store.queue(after_s=1.1)
    assert store.delivered() == [
        ("lab", 0, 2, ["span-2", "span-1"]),
        ("lab", 2, 4, ["span-3", "span-4"]),
    ]


def test_f34_a_delta_waits_five_seconds_at_most(store: Store) -> None:
    """F34: with a row every second there is no quiet, and it is sent all the same."""
    store.take(end(1, ROOT, flags=FLAG_COMPLETE), destinations=[LAB])
    store.queue()
    for span in range(2, 9):
        store.take(end(1, span, ROOT), destinations=[LAB])
        store.queue()
    assert len(store.delivered()) >= 2


def test_without_destinations_a_complete_request_is_stored(store: Store) -> None:
    """Nothing is owed, nothing is queued."""
    store.take(start(1, ROOT))
    assert store.requests()[f"{1:032x}"]["status"] == "writing"
    store.take(end(1, ROOT, flags=FLAG_COMPLETE))
    store.queue()
    assert store.requests()[f"{1:032x}"]["status"] == "stored"
    assert store.delivered() == []


def test_a_completion_record_completes(store: Store) -> None:
    """What a process says when its last span was not its root."""
    store.take(end(1, ROOT), end(1, 2, ROOT))
    store.take(Complete(records.COMPLETE, trace_bytes(1)))
    assert store.requests()[f"{1:032x}"]["completed_by"] == "root"


def test_completed_by_keeps_the_first_reason(store: Store) -> None:
    """root, then mark, then death: root."""
    store.take(end(1, ROOT, flags=FLAG_COMPLETE), start(2, 5))
    store.take(mark(f"{1:032x}"), mark(f"{2:032x}"))
    store.die()
    assert [row["completed_by"] for row in store.requests().values()] == ["root", "mark"]


def test_an_idle_request_completes_by_timeout_but_not_while_spans_run(store: Store) -> None:
    """From the last record on; never with a running span."""
    store.take(end(1, 2, ROOT), start(2, 3))
    store.database.write(lambda db: store.ingest.complete_idle(db, store.now + 59, 60))
    assert {row["completed_by"] for row in store.requests().values()} == {None}
    store.database.write(lambda db: store.ingest.complete_idle(db, store.now + 61, 60))
    assert [row["completed_by"] for row in store.requests().values()] == ["timeout", None]


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (["delivered"], "flushed"),
        (["delivered", "pending"], "pending"),
        (["delivered", "paused"], "pending"),
        (["pending", "sending"], "flushing"),
        (["pending", "sending", "dead"], "failed"),
        (["delivered", "dead"], "failed"),
    ],
)
def test_status_is_the_first_rule_that_applies(store: Store, states: list[str], status: str) -> None:
    """writing, failed, flushing, pending, flushed, stored."""
    targets = [Destination("otlp", name=f"d{n}", endpoint="http://x") for n in range(len(states))]
    store.take(end(1, ROOT, flags=FLAG_COMPLETE), destinations=targets)
    store.queue()

    def settle(db: sqlite3.Connection) -> None:
        for (number,), state in zip(
            db.execute("SELECT id FROM hush_deliveries").fetchall(), states, strict=True
        ):
            db.execute("UPDATE hush_deliveries SET state = ? WHERE id = ?", (state, number))

    store.database.write(settle)
    assert store.requests()[f"{1:032x}"]["status"] == status


def test_workflow_and_user_come_from_the_spans(store: Store) -> None:
    """The root's name, unless a span names the workflow; user and session from the first that has them."""
    store.take(end(1, 2, ROOT, **{"user.id": "u", "session.id": "s"}), end(1, ROOT, name="GET /"))
    row = store.requests()[f"{1:032x}"]
    assert (row["workflow_name"], row["user_id"], row["session_id"]) == ("GET /", "u", "s")


@pytest.mark.parametrize("last", ["root", "remote"])
def test_the_real_root_names_the_workflow(store: Store, last: str) -> None:
    """Of a trace through two services, the root's name stands, whichever of them ends last."""
    remote = end(1, 5, ROOT, name="worker")
    remote.flags |= 0x200
    ends = [end(1, ROOT, name="checkout"), remote]
    for record in ends if last == "remote" else reversed(ends):
        store.take(record)
    assert store.requests()[f"{1:032x}"]["workflow_name"] == "checkout"


def test_a_local_root_names_the_workflow_until_then(store: Store) -> None:
    """A service that sees only its own part shows the name of that part."""
    remote = end(1, 5, ROOT, name="worker")
    remote.flags |= 0x200
    store.take(end(1, 6, 5, name="inside"), remote)
    assert store.requests()[f"{1:032x}"]["workflow_name"] == "worker"


def test_tokens_are_summed_over_model_calls_only(store: Store) -> None:
    """Frameworks repeat the sums on chains; of node traces every row counts, as in the seed."""
    chain = {**llm(100, 1.0), "openinference.span.kind": "CHAIN"}
    store.take(end(1, 2, ROOT, **llm(10, 0.25)), end(1, 3, ROOT, **llm(5, 0.25)), end(1, ROOT, **chain))
    store.take(node("n", "root", None, prompt_tokens=7), node("n", "step", prompt_tokens=3))
    assert [(row["prompt_tokens"], row["cost_usd"]) for row in store.requests().values()] == [
        (15, 0.5),
        (10, None),
    ]


# ------------------------------------------------------------------ any order, any cut

LATE_NAME = {"hush.request_id": "named"}


@st.composite
def histories(draw: st.DrawFn) -> list[records.Record]:
    """What three traces, two node requests and their marks may publish, in any order."""
    history: list[records.Record] = []
    for trace in range(1, draw(st.integers(1, 3)) + 1):
        named = draw(st.booleans())
        for span in range(1, draw(st.integers(1, 4)) + 1):
            parent = None if span == ROOT else ROOT
            number = trace * 100 + span
            extra = draw(st.sampled_from([{}, llm(span, 0.125), {"user.id": f"user-{trace}"}]))
            if named and draw(st.booleans()):
                extra = {**extra, **LATE_NAME}
            key = trace, number, None if parent is None else trace * 100 + parent
            if draw(st.booleans()):
                history.append(start(*key))
            if draw(st.integers(0, 4)):
                error = draw(st.sampled_from([None, f"error-{number}"]))
                history += [end(*key, error=error, **extra)] * draw(st.sampled_from([1, 1, 1, 2]))
        if draw(st.booleans()):
            history.append(Complete(records.COMPLETE, trace_bytes(trace)))
    for request in draw(st.sets(st.sampled_from(["named", "nodes"]))):
        for index in range(draw(st.integers(1, 4))):
            name = draw(st.sampled_from(["step", "loop"]))
            history.append(
                node(
                    request,
                    name,
                    prompt_tokens=draw(st.sampled_from([None, 1, 2])),
                    error=draw(st.sampled_from([None, f"bad-{index}"])),
                )
            )
        history.append(node(request, "root", None))
        if draw(st.booleans()):
            history.append(mark(request, "local"))
    return history


TABLES = (
    """SELECT s.trace_id, s.span_id, s.request_id, s.name, s.state, s.status_code, s.attributes
       FROM spans s ORDER BY 1, 2""",
    """SELECT request_id, node_count, error_count, prompt_tokens, completion_tokens, total_tokens,
              round(cost_usd, 6), start_time, end_time, duration_ms, user_id,
              completed_by IS NULL, status
       FROM requests ORDER BY 1""",
    "SELECT node_name, context_id, request_id, prompt_tokens, status FROM node_traces ORDER BY 1, 2, 3, 4, 5",
    "SELECT reason, count FROM hush_losses",
)


def tables(path: Path) -> list[list[tuple[Any, ...]]]:
    """Everything that must not depend on how records were cut into batches."""
    return [rows(path, sql) for sql in TABLES]


@settings(max_examples=60, deadline=None)
@given(histories(), st.data())
def test_any_cut_into_batches_gives_the_same_store(
    tmp_path_factory: pytest.TempPathFactory, history: list[records.Record], data: st.DataObject
) -> None:
    """The same records in one batch or in many: the same tables, and roll-ups that the rows confirm."""
    path = tmp_path_factory.mktemp("cuts")
    whole, cut = Store(path / "whole.db"), Store(path / "cut.db")
    order = list(history)
    whole.take(*order)
    assert_exact(whole)
    rest = list(order)
    while rest:
        size = data.draw(st.integers(1, len(rest)), label="batch")
        cut.take(*rest[:size])
        rest = rest[size:]
        if data.draw(st.booleans(), label="caches forgotten"):
            cut.ingest.forget()
        assert_exact(cut)
    assert tables(cut.path) == tables(whole.path)
    for store in (whole, cut):
        store.database.close()


@settings(max_examples=40, deadline=None)
@given(histories(), st.data())
def test_any_order_and_any_death_keeps_the_sums(
    tmp_path_factory: pytest.TempPathFactory, history: list[records.Record], data: st.DataObject
) -> None:
    """Shuffled, with the writer dying in between and rolled-back batches: sums are what the rows say."""
    store = Store(tmp_path_factory.mktemp("orders") / "t.db")
    rest = data.draw(st.permutations(history), label="order")
    while rest:
        size = data.draw(st.integers(1, len(rest)), label="batch")
        what = data.draw(st.sampled_from(["take", "take", "die", "fail"]), label="what")
        if what == "die":
            store.die()
        if what == "fail":
            fail(store, rest[:size])
        store.take(*rest[:size])
        rest = rest[size:]
        assert_exact(store)
    ended = {(r.trace_id, r.span_id) for r in history if r.type == records.END}
    found = {
        (bytes.fromhex(t), bytes.fromhex(s))
        for t, s in rows(store.path, "SELECT trace_id, span_id FROM spans WHERE state = 'ended'")
    }
    assert ended <= found
    store.database.close()


def fail(store: Store, batch: Iterable[records.Record]) -> None:
    """A batch that is rolled back after it was written."""

    class FullError(Exception):
        pass

    def change(db: sqlite3.Connection) -> None:
        place = store.ingest.place(db, OriginRecord(records.ORIGIN, 0, {}, "", "", "", "", {}, []), store.now)
        store.ingest.ingest(db, [Arrival(record, ME, place) for record in batch], store.now)
        raise FullError

    with pytest.raises(FullError):
        store.database.write(change)
    store.ingest.forget()


# ------------------------------------------------------------------ the database

DESIGN_VIEWS = {
    "requests": """request_id, trace_id, workflow_name, status, completed_by, tracer_type, tracer_config, tags,
        user_id, session_id, start_time, end_time, duration_ms, node_count, error_count, prompt_tokens,
        completion_tokens, total_tokens, cost_usd, error_message, retry_count, created_at, completed_at,
        flushed_at""",
    "node_traces": """id, request_id, workflow_name, node_name, node_type, parent_name, context_id,
        execution_order, start_time, end_time, duration_ms, input_data, output_data, user_id, session_id, model,
        prompt_tokens, completion_tokens, total_tokens, cost_usd, contain_generation, metadata, status, error,
        trace_id, span_id, created_at""",
    "spans": """trace_id, span_id, parent_span_id, parent_is_remote, trace_state, flags, name, kind, start_ns,
        end_ns, state, status_code, status_message, attributes, events, links, dropped_attributes,
        dropped_events, dropped_links, resource, resource_schema_url, scope, request_id""",
    "deliveries": """id, request_id, destination, state, attempts, next_attempt_at, last_error, span_count,
        created_at, settled_at""",
}


@pytest.mark.parametrize("view", DESIGN_VIEWS)
def test_the_views_have_exactly_their_documented_columns(view: str, store: Store) -> None:
    """The public read contract, in order."""
    columns = [row[1] for row in rows(store.path, f"PRAGMA table_info({view})")]
    assert columns == re.split(r",\s*", DESIGN_VIEWS[view])


def test_the_schema_is_its_migrations_applied() -> None:
    """schema.sql and the migrations from nothing give the same objects."""
    found = []
    for scripts in ([load_sql("schema.sql")], [load_migration(n) for n in range(1, SCHEMA_VERSION + 1)]):
        db = sqlite3.connect(":memory:")
        for script in scripts:
            db.executescript(script)
        found.append(
            sorted(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall(), key=str)
        )
    assert found[0] == found[1]


def test_a_seeds_table_in_the_same_file_is_left_untouched(tmp_path: Path) -> None:
    """The seed's `traces` keep their schema and rows; ours stand beside them."""
    path = tmp_path / "traces.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 7")
        db.execute("CREATE TABLE traces (id INTEGER PRIMARY KEY, request_id TEXT, data JSON)")
        db.execute("INSERT INTO traces VALUES (1, 'old', '{}')")
    db.close()
    Store(path).take(end(1, ROOT))
    assert rows(path, "SELECT * FROM traces") == [(1, "old", "{}")]
    assert rows(path, "PRAGMA user_version") == [(7,)]
    assert rows(path, "SELECT name FROM spans") == [("span-1",)]


def test_f29_a_newer_schema_is_refused_untouched(tmp_path: Path) -> None:
    """F29: "upgrade hush-otel", and not a byte of the file has changed."""
    path = tmp_path / "t.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE hush_meta (key TEXT PRIMARY KEY, value NOT NULL)")
        db.execute("INSERT INTO hush_meta VALUES ('schema_version', ?)", (SCHEMA_VERSION + 1,))
    db.close()
    path.chmod(0o600)
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"newer than .*upgrade hush-otel"):
            Database(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.db"]


def test_s01_the_database_is_private_under_any_umask(tmp_path: Path) -> None:
    """S1: file, WAL and shared memory 0600, every directory that was made 0700."""
    before = os.umask(0)
    try:
        store = Store(tmp_path / "a" / "b" / "t.db")
        store.take(end(1, ROOT))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*")}
        modes["a"] = stat.S_IMODE((tmp_path / "a").stat().st_mode)
    finally:
        os.umask(before)
    assert modes == {"a": 0o700, "b": 0o700, "t.db": 0o600, "t.db-wal": 0o600, "t.db-shm": 0o600}


def test_s01_a_database_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    """S1: an existing file of ours becomes 0600; a symlink or a directory in its place is refused."""
    path = tmp_path / "t.db"
    path.touch(mode=0o644)
    path.chmod(0o644)
    Database(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with pytest.raises(StoreError, match="HUSH_TRACES_DB"):
        Database(link)
    (tmp_path / "dir.db").mkdir()
    with pytest.raises(StoreError, match="HUSH_TRACES_DB"):
        Database(tmp_path / "dir.db")


def test_f16_an_older_owner_is_fenced(tmp_path: Path) -> None:
    """F16: whoever opened first and wakes up again changes nothing more."""
    old, new = Store(tmp_path / "t.db"), Store(tmp_path / "t.db")
    with pytest.raises(StoreFenced, match="taken over"):
        old.take(end(1, ROOT))
    new.take(end(2, ROOT))
    assert rows(new.path, "SELECT trace_id FROM spans") == [(f"{2:032x}",)]


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    """Rows, sequence and schema survive; the epoch alone grows."""
    first = Store(tmp_path / "t.db")
    first.take(end(1, ROOT))
    first.database.close()
    first.database.close()
    again = Store(tmp_path / "t.db")
    again.take(end(1, 2, ROOT))
    assert [row[0] for row in rows(again.path, "SELECT end_seq FROM hush_spans ORDER BY id")] == [1, 2]


def test_f11_a_migration_that_was_killed_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F11: the schema appears whole or not at all."""
    from hush_otel.store import database

    script = load_sql("schema.sql") + "\nINSERT INTO no_such_table VALUES (1);"
    monkeypatch.setattr(database, "load_sql", lambda _name: script)
    with pytest.raises(StoreError, match="no_such_table"):
        Database(tmp_path / "t.db")
    monkeypatch.undo()
    assert rows(tmp_path / "t.db", "SELECT name FROM sqlite_schema") == []
    Store(tmp_path / "t.db").take(end(1, ROOT))


def test_sequences_never_repeat(store: Store) -> None:
    """Each row that ended has a number of its own, growing across rollbacks and reopenings."""
    for trace in range(1, 4):
        fail(store, [end(trace, 1)])
        store.take(end(trace, 1), node(f"r{trace}", "root", None))
    found = [row[0] for row in rows(store.path, "SELECT end_seq FROM hush_spans ORDER BY end_seq")]
    assert found == sorted(set(found))
    assert list(itertools.accumulate(found, max)) == found
