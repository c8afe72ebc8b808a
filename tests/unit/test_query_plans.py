"""No query for people walks a whole table, unless this file says which and why."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_rows import StoreRows

from hush_otel.store import search_upkeep

QUERIES = Path(__file__).parents[2] / "hush_otel/store/queries"
LARGE = ("hush_spans", "hush_requests", "hush_deliveries", "hush_traces")

ALLOWED = {
    # The newest, and those in partial indexes that hold what is open or due; each stops at LIMIT.
    "changed_requests": {
        "hush_requests USING COVERING INDEX hush_requests_created",
        "hush_requests USING INDEX hush_requests_open",
        "hush_requests USING INDEX hush_requests_due",
    },
    # Stops at LIMIT, in no order.
    "set_failed": {"hush_deliveries USING INDEX hush_deliveries_dead"},
    "set_waiting": {
        "hush_deliveries USING INDEX hush_deliveries_due",
        "hush_requests USING INDEX hush_requests_awaited",
    },
    "set_writing": {
        "hush_requests USING INDEX hush_requests_open",
        "hush_requests USING INDEX hush_requests_writer",
    },
    # Newest first, stops at LIMIT.
    "facets": {"hush_requests USING INDEX hush_requests_created"},
    "complete_newest": {"hush_requests USING INDEX hush_requests_created"},
    "doctor_newest": {"hush_requests USING INDEX hush_requests_created"},
    "walk_errors": {"hush_requests USING INDEX hush_requests_failed"},
    "list_unsettled": {
        "hush_deliveries USING INDEX hush_deliveries_dead",
        "hush_deliveries USING INDEX hush_deliveries_due",
    },
    # Counts everything, over the narrowest index.
    "status_spans": {"hush_spans USING COVERING INDEX hush_spans_request"},
    # One pass without a sort; delivered deliveries have no index of their own.
    "status_deliveries": {"hush_deliveries"},
    # A handful, or something is wrong in the application.
    "status_awaited": {"hush_requests USING INDEX hush_requests_awaited"},
    # Open and dead ones are found in their partial indexes, and requests are counted.
    "status_requests": {
        "hush_requests USING INDEX hush_requests_awaited",
        "hush_deliveries USING INDEX hush_deliveries_dead",
        "hush_deliveries USING INDEX hush_deliveries_due",
        "hush_requests USING INDEX hush_requests_open",
        "hush_requests USING INDEX hush_requests_writer",
        "hush_requests USING COVERING INDEX hush_requests_created",
    },
    # What waits and what is dead, in the order of destinations. One pass back from the newest delivery to the first
    # that was accepted, where there is an error.
    "status_destinations": {
        "hush_deliveries",
        "hush_deliveries USING INDEX hush_deliveries_due",
        "hush_deliveries USING INDEX hush_deliveries_dead",
    },
    # Looks at everything: that is what an audit is for. Every request that owes something, too: audit_forgotten
    # walks hush_request_destinations.
    "audit_spans": {"hush_spans USING COVERING INDEX hush_spans_request"},
    "audit_destinations": {
        "hush_deliveries USING INDEX hush_deliveries_due",
        "hush_deliveries USING INDEX hush_deliveries_dead",
    },
}
"""Query to the scans of large tables that it may make. Only `status` and `audit` read what grows with history."""

SORTED = {
    *("audit_forgotten", "find_request", "request_media", "status_destinations", "status_requests"),
    *("list_unsettled", "earlier_outputs", "tail_ended"),
}
"""Queries that sort what they found: a handful of rows, or what somebody has to look at."""

GROUPED = {"stats_by_day", "stats_by_model", "stats_by_workflow", "stats_timeline"}
"""Queries that put many rows in order, :limit of them at most: statistics are for."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A database with some of everything, so that plans are those of a used one."""
    path = tmp_path_factory.mktemp("plans") / "traces.db"
    with StoreRows(path) as rows:
        there = rows.destination("there")
        for n in range(50):
            request = rows.request(f"r{n}", completed_by="root" if n % 10 else None)
            rows.delivery(request, there, "delivered" if n % 5 else "pending")
            for span in range(5):
                rows.span(request, n * 10 + span, n * 10 if span else None)
    connection = sqlite3.connect(path)
    search_upkeep.prepare(connection, wanted=True)
    yield connection
    connection.close()


def plan(store: sqlite3.Connection, sql: str) -> list[str]:
    """The steps that SQLite would take."""
    params = dict.fromkeys(re.findall(r":(\w+)", sql), "x") | {"limit": 5}
    return [row[3] for row in store.execute(f"EXPLAIN QUERY PLAN {sql}", params)]


def tables_behind(name: str, sql: str) -> set[str]:
    """The large tables that a name in the plan of `sql` may mean, there or in the views that it reads."""
    schema = (QUERIES.parent / "schema.sql").read_text(encoding="utf-8")
    found = re.findall(r"(?:FROM|JOIN)\s+(hush_\w+)(?:\s+(?!ON\b|WHERE\b)([a-z]\w*))?", sql + schema)
    return {table for table, alias in found if name in (alias, table) and table in LARGE}


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize("query", sorted(QUERIES.glob("*.sql")), ids=lambda path: path.stem)
def test_no_unexpected_scan(store: sqlite3.Connection, query: Path, analyzed: bool) -> None:
    """Every SCAN of a large table is one that this file allows, with and without SQLite's statistics."""
    sql = query.read_text(encoding="utf-8")
    if analyzed:
        store.execute("ANALYZE")
    allowed = ALLOWED.get(query.stem, set())
    for step in plan(store, sql):
        if scanned := re.match(r"SCAN (\w+)(.*)", step):
            scans = {table + scanned[2] for table in tables_behind(scanned[1], sql)}
            assert not scans or scans & allowed, step


def test_a_scan_would_be_seen(store: sqlite3.Connection) -> None:
    """The check itself recognizes a walk over a large table behind the alias of a view."""
    sql = "SELECT * FROM node_traces WHERE model = :model"
    scans = [re.match(r"SCAN (\w+)", step) for step in plan(store, sql)]
    assert any(tables_behind(scan[1], sql) for scan in scans if scan)


@pytest.mark.parametrize("query", sorted(QUERIES.glob("*.sql")), ids=lambda path: path.stem)
def test_no_unexpected_sort(store: sqlite3.Connection, query: Path) -> None:
    """Rows come out as they are found, so that a large result streams."""
    steps = plan(store, query.read_text(encoding="utf-8"))
    assert query.stem in SORTED | GROUPED or not any("TEMP B-TREE FOR" in step for step in steps)


@pytest.mark.parametrize("query", ["request_nodes", "request_skeleton", "request_tree"])
def test_rows_of_a_request_come_from_their_index(store: sqlite3.Connection, query: str) -> None:
    """The spans of one request are found by hush_spans_request, and by nothing else."""
    steps = plan(store, (QUERIES / f"{query}.sql").read_text(encoding="utf-8"))
    assert any(step.startswith("SEARCH s USING INDEX hush_spans_request (request=?)") for step in steps)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("walk_all", "hush_requests_created"),
        ("walk_workflow", "hush_requests_workflow"),
        ("walk_user", "hush_requests_user"),
        ("walk_session", "hush_requests_session"),
        ("walk_errors", "hush_requests_failed"),
        ("walk_label", "hush_request_labels_label"),
        ("set_slow", "hush_requests_slow"),
    ],
)
@pytest.mark.parametrize("analyzed", [False, True])
def test_every_way_through_the_list_has_its_index(
    store: sqlite3.Connection, query: str, index: str, analyzed: bool
) -> None:
    """Candidates of a list are found in the index that is for them, and in no other."""
    if analyzed:
        store.execute("ANALYZE")
    (step,) = plan(store, (QUERIES / f"{query}.sql").read_text(encoding="utf-8"))
    assert f" INDEX {index} " in step


def test_every_query_names_what_it_is_for() -> None:
    """The first line of each file is a comment."""
    for query in QUERIES.glob("*.sql"):
        assert query.read_text(encoding="utf-8").startswith("-- "), query
