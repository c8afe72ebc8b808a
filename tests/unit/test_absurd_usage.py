"""Tokens and costs that no model call can have: kept on their row, and in nobody's way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from inprocess import App, dicts, no_background

from hush_otel.cli.main import main
from hush_otel.mapping.iterations import IterationNode, group_iterations
from hush_otel.presentation.sessions import sessions
from hush_otel.presentation.statistics import Window, timeline
from hush_otel.store.reading import Reader

MOST = 2**63 - 1
"""What a row can hold."""
MAX_USD = 1e308
"""Two of them are infinite."""
START_NS, START = 1_769_850_000_000_000_000, "2026-01-31T09:00:00Z"
"""Of everything: it is all of one day."""
SUMS = ("prompt_tokens", "completion_tokens", "total_tokens", "cost_usd")


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """An app whose background process is this one."""
    no_background(monkeypatch, tmp_path)
    return App(tmp_path / "t.db")


def call(app: App, session: str = "s") -> None:
    """A model call of a trace of its own that reports as much as a row can hold."""
    attributes: dict[str, str | int] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": MOST,
        "gen_ai.usage.output_tokens": MOST,
        "llm.usage.total_tokens": MOST,
        "session.id": session,
    }
    with app.tracer.start_as_current_span("flow", start_time=START_NS):
        for _ in range(2):
            app.tracer.start_span("chat m", attributes=attributes, start_time=START_NS).end()


def node(
    app: App,
    name: str,
    *counts: float | None,
    request: str = "r",
) -> None:
    """A node with these prompt, completion and total tokens and this cost."""
    prompt, completion, total, usd = counts
    app.store.insert_node_trace(
        *(request, "flow", name, None, None, None, START, START, None, None, None),
        session_id="s",
        model="m",
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=total,
        cost_usd=usd,
    )


def of(row: dict[str, Any]) -> tuple[Any, ...]:
    """Tokens and cost of a row."""
    return tuple(row[name] for name in SUMS)


def shown(app: App, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What a command says with --json."""
    capsys.readouterr()
    assert main(["--db", str(app.db_path), *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_sums_beyond_64_bit_are_stored_with_their_batch(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """A sum that no column can hold is as large as one can be; no record has to be tried by itself."""
    call(app)
    app.drain()
    assert not caplog.records
    (request,) = dicts(app.db_path, "SELECT prompt_tokens, completion_tokens, total_tokens FROM requests")
    assert set(request.values()) == {MOST}


@pytest.mark.parametrize("by", ["workflow", "model", "day"])
def test_statistics_add_them_up(app: App, capsys: pytest.CaptureFixture[str], by: str) -> None:
    """One call that reports nonsense does not take the figures of all others away."""
    for _ in range(2):
        call(app)
    app.drain()
    assert main(["--db", str(app.db_path), "stats", "--by", by, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)[by]["rows"]
    assert {row["prompt_tokens"], row["completion_tokens"], row["total_tokens"]} == {MOST}


@pytest.mark.parametrize(("prompt", "completion"), [(-1000, 10), (10, -1000), (-1, -1)])
def test_a_negative_count_has_no_price(app: App, prompt: int, completion: int) -> None:
    """A node keeps what it was given; nobody is paid for it, and nothing is earned."""
    nothing = (None,) * 7
    app.store.insert_node_trace(
        *("r", "flow", "flow", None, *nothing),
        model="gpt-4o",
        node_type="llm",
        prompt_tokens=prompt,
        completion_tokens=completion,
    )
    app.drain()
    (node,) = dicts(app.db_path, "SELECT prompt_tokens, completion_tokens, cost_usd FROM node_traces")
    assert tuple(node.values()) == (prompt, completion, None)


def test_a_negative_count_lowers_no_sum(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    """A row keeps what it was given; what is no count is added to no request, no pass and no figure."""
    for number, (prompt, completion, total, usd) in enumerate([(100, 10, 110, 0.5), (-1000, -1, -1, -2.5)]):
        node(app, f"n{number}", prompt, completion, total, usd)
    app.drain()
    (request,) = dicts(app.db_path, "SELECT * FROM requests")
    assert of(request) == (100, 10, 110, 0.5)
    given = [of(row) for row in dicts(app.db_path, "SELECT * FROM node_traces ORDER BY id")]
    assert given == [(100, 10, 110, 0.5), (-1000, -1, -1, -2.5)]
    for by in ("workflow", "model", "day"):
        (row,) = shown(app, capsys, "stats", "--by", by)[by]["rows"]
        assert of(row) == (100, 10, 110, 0.5)


def test_a_negative_total_is_none(app: App) -> None:
    """Where the total is no count, a request has the sum of the two that are."""
    node(app, "n", 100, 10, -1, None)
    app.drain()
    assert dicts(app.db_path, "SELECT total_tokens FROM requests") == [{"total_tokens": 110}]


def test_a_negative_count_is_nothing_that_vendors_count(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    """It goes under a key of its own, beside the conventions' keys; no dialect says it."""
    node(app, "n", -1000, 10, -1, -2.5)
    app.drain()
    attributes = json.loads(app.span("flow")["attributes"])
    refused = {
        "hush.invalid.prompt_tokens": -1000,
        "hush.invalid.total_tokens": -1,
        "hush.invalid.cost_usd": -2.5,
    }
    assert {key: value for key, value in attributes.items() if type(value) in (int, float)} == refused | {
        "llm.token_count.completion": 10,
        "gen_ai.usage.output_tokens": 10,
    }
    (explained,) = shown(app, capsys, "explain", "--to", "langfuse", "r")["spans"]
    assert json.loads(explained["attributes"]["langfuse.observation.usage_details"]) == {"output": 10}
    assert "langfuse.observation.cost_details" not in explained["attributes"]


def test_costs_beyond_a_float_stay_at_the_largest(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    """Sums in the batch, across batches, of a session, of a pass and of all requests; each is valid JSON."""
    for request in ("one", "two"):
        for number in range(2):
            node(app, f"n{number}", 1, 1, 2, MAX_USD, request=request)
        app.drain()
        node(app, "n2", 1, 1, 2, MAX_USD, request=request)
        app.drain()
    assert dicts(app.db_path, "SELECT DISTINCT cost_usd FROM requests") == [{"cost_usd": MAX_USD}]
    for by in ("workflow", "model", "day"):
        (row,) = shown(app, capsys, "stats", "--by", by)[by]["rows"]
        assert row["cost_usd"] == MAX_USD
    with Reader(app.db_path) as reader:
        (session,) = sessions(reader, limit=5).requests
        assert session["cost_usd"] == MAX_USD
        assert {it["cost_usd"] for it in timeline(reader, Window())["buckets"]} == {MAX_USD}


def test_an_absurd_cost_leaves_a_table_readable(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    """A number that nobody reads digit by digit is written in short."""
    node(app, "n", 1, 1, 2, MAX_USD)
    app.drain()
    assert main(["--db", str(app.db_path), "ls"]) == 0
    assert "$1e+308" in capsys.readouterr().out


@pytest.mark.parametrize("ms", [1e308, -1e308, 1e-300, 2**63 - 1])
def test_an_absurd_duration_can_be_looked_at(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str], ms: float
) -> None:
    """By every command that draws it or writes it down; some lengths are infinite in nanoseconds, or none."""
    second = "2026-01-31T09:00:00.000000001Z"
    for name in ("flow", "flow.a"):
        app.store.insert_node_trace(*("r", "flow", name, None, None, None, second, second, ms, None, None))
    app.drain()
    page = str(tmp_path / "r.html")
    for command in (
        ["show", "r"],
        ["share", "r", page],
        ["diff", "r", "r"],
        ["export", f"{page}.csv"],
    ):
        assert main(["--db", str(app.db_path), *command]) == 0, capsys.readouterr().err


def test_whole_numbers_too_large_for_a_float_are_exported(app: App, tmp_path: Path) -> None:
    """A duration or cost is a float there; the nearest one is written."""
    parquet = pytest.importorskip("pyarrow.parquet")
    app.store.insert_node_trace(*("r", "flow", "flow", None, None, None, None, None, MOST, None, None))
    app.drain()
    out = tmp_path / "rows.parquet"
    assert main(["--db", str(app.db_path), "export", "--rows", "node_traces", str(out)]) == 0
    assert parquet.read_table(out).column("duration_ms").to_pylist() == [2.0**63]


def test_passes_of_loops_add_up_what_counts() -> None:
    """A pass with a negative count and absurd ones is as large as a span can say, and never infinite."""
    loop = IterationNode(b"loop", None, "loop", None, None, 0, 9, 9)
    below = [
        IterationNode(b"%d" % number, b"loop", f"n{number}", "loop", "[0]", 0, 1, number, *counts)
        for number, counts in enumerate([(MOST, MOST, MOST, MAX_USD)] * 2 + [(-5, -5, -5, -5.0)])
    ]
    group = group_iterations([loop, *below]).of_node[b"0"]
    assert (group.prompt_tokens, group.completion_tokens, group.total_tokens) == (MOST,) * 3
    assert group.cost_usd == MAX_USD
