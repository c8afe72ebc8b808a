"""Node traces that carry the sums of those below them: counted once, whatever comes first."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest
from inprocess import rows
from node_request import Request

from hush_otel.cli.main import main
from hush_otel.store.history import HistoryReader

TOOK = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11, "cost_usd": 0.25}
CALL = {**TOOK, "node_type": "llm", "model": "m"}
SUM = {**{name: 2 * value for name, value in TOOK.items()}, "node_type": "agent"}
ONCE = (20, 2, 22, 0.5)

Step = tuple[str, str | None, dict[str, Any]]
WORKFLOW: tuple[Step, ...] = (
    ("flow", None, SUM | {"node_type": "workflow"}),
    ("flow.agent", "flow", SUM),
    ("flow.agent.one", "flow.agent", CALL),
    ("flow.agent.two", "flow.agent", CALL),
)


def sums(request: Request) -> tuple[Any, ...]:
    """Of the one request."""
    sql = "SELECT prompt_tokens, completion_tokens, total_tokens, cost_usd FROM requests"
    (found,) = rows(request.app.db_path, sql)
    return found


def repeats(request: Request) -> list[str]:
    """The names of those that are in no sum."""
    sql = "SELECT node ->> 'node_name' FROM hush_spans WHERE repeats = 1 ORDER BY 1"
    return [name for (name,) in rows(request.app.db_path, sql)]


@pytest.mark.parametrize("order", ["0123", "3210", "2031", "1230", "0321", "2103"])
@pytest.mark.parametrize("late", [0, 1, 2, 3])
def test_each_call_is_counted_once_in_any_order(request_: Request, order: str, late: int) -> None:
    """Parents first or children first, all at once or the last ones after the request was queued."""
    for place, index in enumerate(order):
        if place == 4 - late:
            request_.queue()
        name, parent, values = WORKFLOW[int(index)]
        request_.record(name, parent, **values)
    request_.queue()
    assert sums(request_) == ONCE
    assert repeats(request_) == ["flow", "flow.agent"]


@pytest.mark.parametrize("queue_between", [True, False])
def test_a_sum_counts_where_nothing_below_it_does(request_: Request, queue_between: bool) -> None:
    """Of several sums around each other the innermost."""
    request_.record("flow.agent.look", "flow.agent", node_type="tool")
    request_.record("flow.agent", "flow", **SUM)
    if queue_between:
        request_.queue()
    request_.record("flow", None, **SUM)
    request_.queue()
    assert sums(request_) == ONCE
    assert repeats(request_) == ["flow"]


@pytest.mark.parametrize("outermost", [0, 1])
def test_of_calls_around_calls_the_innermost_of_a_type_counts(request_: Request, outermost: int) -> None:
    """As for spans: another type is another call."""
    inner = ("flow.ask.again", "flow.ask", CALL)
    outer = ("flow.ask", "flow", CALL)
    vectors = ("flow.ask.again.embed", "flow.ask.again", CALL | {"node_type": "embedding"})
    steps = [inner, vectors, outer]
    for name, parent, values in reversed(steps) if outermost else steps:
        request_.record(name, parent, **values)
    request_.queue()
    assert sums(request_) == ONCE
    assert repeats(request_) == ["flow.ask"]


def test_an_occurrence_without_calls_counts(request_: Request) -> None:
    """Of two nodes with the same name only the one around calls repeats them."""
    one = {"start_time": "2026-01-31T09:00:00Z", "end_time": "2026-01-31T09:00:01Z"}
    two = {"start_time": "2026-01-31T09:00:02Z", "end_time": "2026-01-31T09:00:03Z"}
    request_.record("flow.agent.one", "flow.agent", **CALL, **one)
    request_.record("flow.agent", "flow", **TOOK, **one)
    request_.record("flow.agent", "flow", **TOOK, **two)
    request_.record("flow", None)
    request_.queue()
    assert sums(request_) == ONCE
    assert repeats(request_) == ["flow.agent"]


def test_a_call_without_anything_to_count_takes_no_sum_away(request_: Request) -> None:
    """Zeros are what recorders say where they do not know."""
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost_usd": 0.0}
    request_.record("flow.ask", "flow", node_type="llm", **nothing)
    request_.record("flow", None, **SUM)
    request_.queue()
    assert sums(request_) == ONCE
    assert repeats(request_) == []


def test_a_request_that_is_queued_again_gives_nothing_back_twice(request_: Request) -> None:
    """A late node that says nothing changes no sum."""
    for name, parent, values in WORKFLOW:
        request_.record(name, parent, **values)
    request_.queue()
    request_.record("flow.agent.late", "flow.agent")
    request_.queue()
    request_.record("flow.agent.sum", "flow.agent", prompt_tokens=0)
    request_.queue()
    assert sums(request_) == ONCE


def test_passes_of_loops_sum_calls_once(request_: Request, capsys: pytest.CaptureFixture[str]) -> None:
    """A pass's sum is over what counts, in what is sent and in what is shown."""
    request_.record("flow.loop.agent.ask", "flow.loop.agent", context_id="[0]", **CALL)
    request_.record("flow.loop.agent", "flow.loop", context_id="[0]", **(TOOK | {"node_type": "agent"}))
    request_.record("flow.loop", "flow")
    request_.record("flow", None)
    request_.queue()
    assert sums(request_) == tuple(TOOK.values())
    with closing(HistoryReader(request_.app.db_path)) as history:
        (one,) = (span for span in history.spans_of(1) if span.name == "iteration[0]")
    assert one.attributes["hush.iteration.total_tokens"] == TOOK["total_tokens"]
    assert main(["--db", str(request_.app.db_path), "show", "r"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "iteration[0]" in line)
    assert "10→1" in line


def explained(request: Request, to: str, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """By name what each span would look like there."""
    assert main(["--db", str(request.app.db_path), "explain", "--to", to, "r", "--json"]) == 0
    return {span["name"]: span for span in json.loads(capsys.readouterr().out)["spans"]}


def test_vendors_are_given_each_call_once(request_: Request, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty usage stands against a sum where a vendor has a key for it; where none has, it is remarked."""
    for name, parent, values in WORKFLOW:
        request_.record(name, parent, **values)
    request_.queue()
    langfuse = explained(request_, "langfuse", capsys)
    for name in ("flow", "agent"):
        assert langfuse[name]["attributes"]["langfuse.observation.usage_details"] == "{}"
        assert langfuse[name]["attributes"]["langfuse.observation.cost_details"] == "{}"
    assert json.loads(langfuse["one"]["attributes"]["langfuse.observation.usage_details"])["total"] == 11
    mlflow = explained(request_, "mlflow", capsys)
    assert [mlflow[name]["attributes"]["mlflow.chat.tokenUsage"] for name in ("flow", "agent")] == [{}, {}]
    phoenix = explained(request_, "phoenix", capsys)
    assert {name for name, span in phoenix.items() for one in span["remarks"] if one["kind"] == "double"} == {
        "flow",
        "agent",
    }


def test_statistics_and_repricing_leave_repeats_out(
    request_: Request, capsys: pytest.CaptureFixture[str]
) -> None:
    """By model, too: the sums name one."""
    for name, parent, values in WORKFLOW:
        request_.record(name, parent, **(values | {"model": "m"}))
    request_.queue()
    assert main(["--db", str(request_.app.db_path), "stats", "--by", "model", "--json"]) == 0
    found = capsys.readouterr().out
    assert '"total_tokens": 22' in found or '"total_tokens":22' in found
