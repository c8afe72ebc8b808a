"""The application dies: nothing that on_end returned for is lost (I1, I2)."""

from __future__ import annotations

import json
import random
import signal

import pytest
from bench import App, Bench, names
from support import eventually

from hush_otel.testing import OtlpReceiver

SPANS = 5_000
KILLS = 10
SEED = 20_260_101


@pytest.mark.parametrize(
    ("way", "code"),
    [
        ("sigkill", -signal.SIGKILL),
        ("os_exit", 7),
        ("sigterm", -signal.SIGTERM),
        ("segfault", -signal.SIGSEGV),
    ],
)
def test_f01_f02_all_ended_spans_are_rows_after_any_death(bench: Bench, way: str, code: int) -> None:
    """5,000 spans end, the process dies at once, and all of them become rows without anyone's help."""
    bench.run("count_then_die", SPANS, way, code=code)
    bench.expect(names("n", SPANS))


def test_f01_every_acknowledged_span_survives_sigkill_at_random_moments(bench: Bench) -> None:
    """Whatever moment SIGKILL hits, each acknowledged span is a row, and at most one more."""
    chance = random.Random(SEED)
    acknowledged: list[set[str]] = []
    for run in range(KILLS):
        app = bench.start("acknowledge", f"run{run}")
        said = app.read(20.0) + app.read_for(chance.uniform(0.0, 0.12))
        app.kill()
        said += app.read_all()
        acknowledged.append({line.decode() for line in said.split(b"\n")[:-1]})

    def stored(run: int) -> set[str]:
        sql = "SELECT span_id FROM spans WHERE state = 'ended' AND name LIKE ?"
        return {span_id for (span_id,) in bench.rows(sql, f"run{run}-%")}

    for run, ids in enumerate(acknowledged):
        eventually(lambda ids=ids, run=run: ids <= stored(run), what=f"all spans of run {run}")
    for run, ids in enumerate(acknowledged):
        assert len(stored(run) - ids) <= 1
    assert bench.losses() == {}


def open_two(app: App) -> str:
    """A root and a child that stay open beside a child that ends; gives the trace id."""
    trace = app.ask("open root")
    app.ask("open inner root")
    app.ask("child done root")
    return trace


def test_f35_spans_open_at_death_are_stored_as_interrupted_and_delivered(bench: Bench) -> None:
    """SIGKILL with spans open: they are stored with status ERROR and hush.incomplete, and delivered."""
    with OtlpReceiver() as receiver:
        app = bench.obedient(receiver.endpoint)
        trace = open_two(app)
        eventually(lambda: bench.names("running") == {"root": 1, "inner": 1}, what="running spans in view")
        app.kill()
        received = receiver.wait_for(3, 20.0)
        rows = bench.rows("SELECT name, state, status_code, attributes FROM spans ORDER BY name")
        assert [row[:3] for row in rows] == [
            ("done", "ended", "UNSET"),
            ("inner", "interrupted", "ERROR"),
            ("root", "interrupted", "ERROR"),
        ]
        assert [json.loads(row[3]).get("hush.incomplete") for row in rows] == [None, True, True]
        assert bench.rows("SELECT trace_id, completed_by FROM requests") == [(trace, "owner_died")]
        assert sorted(span.name for span in received) == ["done", "inner", "root"]
        assert {s.name: s.attributes.get("hush.incomplete") for s in received}["root"] is True
        eventually(
            lambda: bench.value("SELECT status FROM requests") == "flushed", what="the request's delivery"
        )


def test_f35_open_spans_of_a_killed_app_are_interrupted_by_drain_alone(bench: Bench) -> None:
    """With nobody in the background, `hush-otel drain` ends the spans of a dead process, too."""
    app = bench.obedient(HUSH_BACKGROUND="external")
    open_two(app)
    app.kill()
    bench.drain()
    assert bench.names() == {"done": 1}
    assert bench.names("interrupted") == {"root": 1, "inner": 1}
