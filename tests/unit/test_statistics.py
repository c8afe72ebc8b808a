"""What many requests have in common: counted by hand, and bounded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from store_rows import START_NS, START_S, StoreRows

from hush_otel.presentation import statistics
from hush_otel.presentation.statistics import Window, grouped, latency, percentile, timeline
from hush_otel.store.reading import Reader

MS = 1_000_000


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[StoreRows]:
    """An empty database."""
    with StoreRows(tmp_path / "traces.db") as opened:
        yield opened


def reader(rows: StoreRows) -> Reader:
    """What was written until now."""
    rows.commit()
    return Reader(rows.path)


def by_key(found: dict[str, Any]) -> dict[str | None, dict[str, Any]]:
    """Its rows."""
    return {row["key"]: row for row in found["rows"]}


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 50.0), (95, 95.0), (99, 99.0), (1, 1.0), (100, 100.0)]
)
def test_percentiles_are_values_that_were_there(percent: int, expected: float) -> None:
    """Nearest rank: of 1 to 100 the p-th is p."""
    assert percentile([float(n) for n in range(1, 101)], percent) == expected


def test_percentiles_of_few() -> None:
    """Of one it is that one, of nothing nothing."""
    assert percentile([7.0], 99) == percentile([7.0], 50) == 7.0
    assert percentile([], 50) is None


def test_by_workflow(rows: StoreRows) -> None:
    """The most frequent first, with durations, errors, tokens and dollars; no workflow is a key of its own."""
    for ms in (10, 20, 30):
        rows.request(
            f"a{ms}", workflow_name="a", end_ns=START_NS + ms * MS, total_tokens=ms, error_count=ms // 30
        )
    rows.request("b", workflow_name=None, end_ns=None, cost_usd=0.5, computed_usd=0.25)
    with reader(rows) as opened:
        found = grouped(opened, "workflow", Window())
    assert [row["key"] for row in found["rows"]] == ["a", None]
    a, none = found["rows"]
    assert (a["count"], a["error_count"], a["p50_ms"], a["p99_ms"], a["total_tokens"]) == (
        3,
        1,
        20.0,
        30.0,
        60,
    )
    assert (none["count"], none["p50_ms"], none["cost_usd"], none["computed_usd"]) == (1, None, 0.5, 0.25)
    assert (found["looked_at"], found["complete"]) == (4, True)


def test_by_model_counts_calls(rows: StoreRows) -> None:
    """Calls that ended, nodes and model calls alike; what repeats another, runs, or is no call is left out."""
    request = rows.request("r")
    rows.label(request, 0, "m")
    for n, columns in enumerate(
        (
            {"node_type": "llm", "cost_usd": 0.1, "prompt_tokens": 5, "end_ns": START_NS + 2 + 10 * MS},
            {"node_type": "llm", "cost_usd": 0.2, "cost_source": "table", "status_code": 2},
            {"node_type": "llm", "repeats": 1},
            {"node_type": "agent"},
            {"node_type": "llm", "state": 0, "end_seq": None, "end_ns": None},
        ),
        start=2,
    ):
        rows.span(request, n, model="m", **columns)
    rows.node(request, 9, "step", None)
    rows.span(rows.request("other"), 10, node_type="llm", model=None)
    with reader(rows) as opened:
        (m,) = grouped(opened, "model", Window())["rows"]
    assert (m["key"], m["count"], m["error_count"], m["prompt_tokens"]) == ("m", 2, 1, 5)
    assert m["cost_usd"] == pytest.approx(0.3)
    assert m["computed_usd"] == 0.2
    assert (m["p50_ms"], m["p99_ms"]) == (10.0, 12.3)


def test_by_day_of_local_time(rows: StoreRows, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day begins where the person is; a time beyond the calendar has no day."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        for name, start_s in (("a", 1_700_060_400), ("b", 1_700_060_399)):  # 2023-11-15 15:00 UTC
            rows.request(name, start_ns=start_s * 1_000_000_000)
        rows.request("c", start_ns=2**62 + 2**61)
        with reader(rows) as opened:
            keys = [row["key"] for row in grouped(opened, "day", Window())["rows"]]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert keys[:2] == ["2023-11-15", "2023-11-16"]
    assert len(keys) == 3


def test_a_window_is_what_was_stored_in_it(rows: StoreRows) -> None:
    """From since on, before until, of one workflow."""
    for n in range(4):
        rows.request(f"r{n}", created_at=START_S + n, workflow_name="even" if n % 2 == 0 else "odd")
    with reader(rows) as opened:
        window = Window(since=START_S + 1, until=START_S + 3)
        assert {key: row["count"] for key, row in by_key(grouped(opened, "workflow", window)).items()} == {
            "odd": 1,
            "even": 1,
        }
        only = Window(workflow="even")
        assert {key: row["count"] for key, row in by_key(grouped(opened, "workflow", only)).items()} == {
            "even": 2
        }
        assert [point[3] for point in latency(opened, only)["points"]] == ["r2", "r0"]


def test_more_than_is_looked_at_is_said(rows: StoreRows, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest are looked at, and the answer says that they are not all."""
    monkeypatch.setattr(statistics, "MOST_REQUESTS", 3)
    for n in range(5):
        rows.request(f"r{n}", workflow_name=f"w{n}")
    with reader(rows) as opened:
        found = grouped(opened, "workflow", Window())
        assert sorted(by_key(found)) == ["w2", "w3", "w4"]
        assert (found["looked_at"], found["complete"]) == (3, False)
        assert timeline(opened, Window())["complete"] is False


def test_points_are_sampled_evenly(rows: StoreRows, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of every so many, the newest first, and how many there are in all."""
    monkeypatch.setattr(statistics, "MOST_POINTS", 4)
    for n in range(12):
        rows.request(f"r{n}", error_count=n % 2)
    with reader(rows) as opened:
        found = latency(opened, Window())
    assert [point[3] for point in found["points"]] == ["r11", "r8", "r5", "r2"]
    assert found["points"][0] == [float(START_S), 1240.0, 1, "r11", "answer"]
    assert found["sampled"] == {"shown": 4, "of": 12}


@pytest.mark.parametrize(("apart_s", "bucket_s"), [(1, 1), (100, 10), (86_400, 10_800)])
def test_buckets_are_as_narrow_as_fits(rows: StoreRows, apart_s: int, bucket_s: int) -> None:
    """At most 120 of them, of a width that people can read; what is in them adds up."""
    for n in range(12):
        counted = {"total_tokens": 10, "error_count": n % 2, "cost_usd": 0.5, "computed_usd": 0.25}
        rows.request(f"r{n}", created_at=START_S + n * apart_s, **counted)
    with reader(rows) as opened:
        found = timeline(opened, Window())
    assert found["bucket_s"] == bucket_s
    assert all(bucket["at"] % bucket_s == 0 for bucket in found["buckets"])
    assert sum(bucket["count"] for bucket in found["buckets"]) == found["looked_at"] == 12
    assert sum(bucket["error_count"] for bucket in found["buckets"]) == 6
    assert sum(bucket["total_tokens"] for bucket in found["buckets"]) == 120
    assert sum(bucket["cost_usd"] for bucket in found["buckets"]) == 6.0
    assert sum(bucket["computed_usd"] for bucket in found["buckets"]) == 3.0


def test_a_clock_that_was_set_back_leaves_every_bucket_once(rows: StoreRows) -> None:
    """By when requests began to be stored, in order of time, whatever order they came in."""
    for n, second in enumerate((300, 330, 20, 31, 25, 301)):
        rows.request(f"r{n}", created_at=START_S + second)
    with reader(rows) as opened:
        found = timeline(opened, Window(since=START_S + 20))
    assert found["bucket_s"] == 10
    counted = [(bucket["at"] - START_S, bucket["count"]) for bucket in found["buckets"]]
    assert counted == [(20, 2), (30, 1), (300, 2), (330, 1)]


@pytest.mark.parametrize("by", ["workflow", "model", "day"])
def test_of_nothing_there_is_nothing(rows: StoreRows, by: Any) -> None:
    """An empty database is no error."""
    with reader(rows) as opened:
        assert grouped(opened, by, Window()) == {"rows": [], "looked_at": 0, "complete": True}
        assert latency(opened, Window()) == {"points": [], "sampled": {"shown": 0, "of": 0}}
        assert timeline(opened, Window())["buckets"] == []
