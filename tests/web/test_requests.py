"""The list, one request, its tree and its spans, as the page gets them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from inprocess import App, no_background
from pages import browser, serving
from searching import build
from store_rows import START_NS, StoreRows

from hush_otel.store.database import Database
from hush_otel.store.ingest import Ingest
from hush_otel.store.reading import Reader
from hush_otel.web import api_requests

TRACE = f"{1:032x}"


def rows_of(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a skeleton by column, their strings put back."""
    size = len(tree["columns"]["depth"])
    columns = {name: column or [None] * size for name, column in tree["columns"].items()}
    rows = [{name: column[at] for name, column in columns.items()} for at in range(size)]
    for row in rows:
        for column in tree["interned"]:
            row[column] = None if row[column] is None else tree["strings"][row[column]]
    return rows


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Two requests: a traced one with a running span, and a loop of node traces."""
    path = tmp_path / "traces.db"
    with StoreRows(path) as rows:
        first = rows.request("first/1", node_count=3, running_count=1)
        rows.span(first, 1, name="answer", start_ns=START_NS, end_ns=START_NS + 10_000_000)
        rows.span(first, 2, 1, name="fast", start_ns=START_NS + 1_000_000, end_ns=START_NS + 2_000_000)
        rows.span(
            first, 3, 1, name="slow", start_ns=START_NS + 1_500_000, end_ns=START_NS + 9_000_000,
            model="m-1", cost_usd=0.5, cost_source="table", status_code=2, status_message="boom",
        )  # fmt: skip
        rows.span(first, 4, 3, name="running", state=0, end_ns=None, end_seq=None)
        second = rows.request("second", workflow_name="loops")
        rows.node(second, 21, "loops", None, execution_order=0)
        rows.node(second, 22, "loops.each", "loops", execution_order=1)
        rows.node(second, 23, "loops.each.item", "loops.each", context_id="[0]", execution_order=2)
    return path


@pytest.fixture
def page(db: Path) -> Iterator[httpx.Client]:
    """A browser that is logged in."""
    with serving(db) as server, browser(server) as client:
        yield client


def test_the_list_has_the_newest_first_and_pages(page: httpx.Client) -> None:
    """A page says where the next one begins, and the last one that it is the last."""
    first = page.get("/api/requests", params={"limit": 1}).json()
    assert [request["request_id"] for request in first["requests"]] == ["second"]
    second = page.get("/api/requests", params={"limit": 1, "before": first["next"]}).json()
    assert [request["request_id"] for request in second["requests"]] == ["first/1"]
    assert second["next"] is None
    assert second["requests"][0]["running_count"] == 1
    assert second["requests"][0]["models"] == []


def test_filters_come_from_the_url(page: httpx.Client) -> None:
    """The names are those of the command line's options; what cannot be is said."""
    found = page.get("/api/requests", params={"workflow": "loops"}).json()
    assert [request["request_id"] for request in found["requests"]] == ["second"]
    wrong = page.get("/api/requests", params={"status": "odd"})
    assert wrong.status_code == 400
    assert "writing" in wrong.json()["error"]["hint"]


def test_a_search_says_where_the_words_stand(
    db: Path, page: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In which span, with what is around them; without an index it says that there is none."""
    monkeypatch.setattr(api_requests, "HITS_S", 60.0)  # a busy machine has the time
    missing = page.get("/api/requests", params={"text": "slow"})
    assert missing.status_code == 503
    assert "index" in missing.json()["error"]["message"]
    with closing(Database(db)) as database:
        build(database, Ingest())
    (found,) = page.get("/api/requests", params={"text": "slow"}).json()["requests"]
    hit = found["hit"]
    assert (found["request_id"], hit["span_id"]) == ("first/1", f"{3:016x}")
    assert hit["text"][hit["start"] : hit["end"]] == "slow"
    assert page.get("/api/requests", params={"text": "--"}).status_code == 400


def test_a_request_is_found_by_id_prefix_and_trace_id(page: httpx.Client) -> None:
    """An id with a slash is one piece of the path, and the answer has the real id."""
    for said in ("first%2F1", "fir", TRACE):
        assert page.get(f"/api/requests/{said}").json()["request"]["request_id"] == "first/1"
    nowhere = page.get("/api/requests/nowhere")
    assert nowhere.status_code == 404
    assert "nowhere" in nowhere.json()["error"]["message"]


def test_the_tree_is_depth_first_with_times_from_its_beginning(page: httpx.Client) -> None:
    """Parents are indexes, running spans have no duration, the critical path is marked."""
    rows = rows_of(page.get("/api/requests/first%2F1/tree").json())
    places = [(row["name"], row["depth"], row["parent"]) for row in rows]
    assert places == [("answer", 0, -1), ("fast", 1, 0), ("slow", 1, 0), ("running", 2, 2)]
    assert [row["start_ms"] for row in rows[:3]] == [0.0, 1.0, 1.5]
    assert [row["duration_ms"] for row in rows] == [10.0, 1.0, 7.5, None]
    assert [row["critical"] for row in rows] == [1, 0, 1, 0]
    assert (rows[2]["status"], rows[2]["error"], rows[2]["computed"]) == ("error", "boom", 1)
    assert (rows[3]["status"], rows[3]["trace_id"], rows[3]["span_id"]) == ("running", TRACE, f"{4:016x}")


def test_a_pass_of_a_loop_is_a_row_of_its_own(page: httpx.Client) -> None:
    """It is synthetic: no span stands behind it."""
    rows = rows_of(page.get("/api/requests/second/tree").json())
    assert [(row["node_name"], row["synthetic"]) for row in rows] == [
        ("loops", 0),
        ("loops.each", 0),
        ("iteration[0]", 1),
        ("loops.each.item", 0),
    ]


def test_parents_that_have_not_ended_are_rows_without_a_span(tmp_path: Path) -> None:
    """Synthetic like the pass of a loop, and told apart from it; no number of theirs is made up."""
    with StoreRows(tmp_path / "t.db") as rows:
        rows.node(rows.request("r", completed_by=None, workflow_name="w"), 1, "w.ask", "w")
    with serving(tmp_path / "t.db") as server, browser(server) as page:
        parent, child = rows_of(page.get("/api/requests/r/tree").json())
    shown = [parent[name] for name in ("node_name", "status", "notes", "synthetic", "duration_ms")]
    assert shown == ["w", "awaited", "not ended yet", 2, None]
    assert (child["node_name"], child["parent"], child["synthetic"]) == ("w.ask", 0, 0)


def test_the_skeletons_rows_are_those_of_the_tree(tmp_path: Path) -> None:
    """The page and `show` ask two queries, which say the same, ids aside."""
    tokens = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    times = {"start_time": "2023-11-14T22:13:20Z", "end_time": "2023-11-14T22:13:21Z"}
    with StoreRows(tmp_path / "t.db") as rows:
        request = rows.request("r")
        rows.span(
            request, 1, 9, flags=512, title="told", node_type="llm", model="m", kind=3, cost_usd=0.5,
            cost_source="table", status_code=2, status_message="boom", **tokens,
        )  # fmt: skip
        rows.span(request, 2, 1, state=0, end_ns=None, end_seq=None)
        rows.node(request, 3, "w.ask", "w", context_id="[0]", execution_order=7, node_type="tool")
        rows.node(request, 4, "w", None, duration_ms=None, **times)
    with Reader(tmp_path / "t.db") as reader:
        tree = reader.columns("request_tree", request_id="r")
        found = reader.columns("request_skeleton", request_id="r")
    for name in ("trace_id", "span_id", "parent_span_id"):
        found[name] = [one and one.hex() for one in found[name]]
    assert found == tree


def test_a_request_without_spans_has_an_empty_tree(tmp_path: Path) -> None:
    """It was marked, and nothing of it has come."""
    with StoreRows(tmp_path / "t.db") as rows:
        rows.request("r")
    with serving(tmp_path / "t.db") as server, browser(server) as page:
        assert rows_of(page.get("/api/requests/r/tree").json()) == []


def test_a_span_comes_with_everything_that_it_has(tmp_path: Path) -> None:
    """Input, output, messages, attributes in their types, events, links, resource."""
    messages = [{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]
    attributes = {"gen_ai.input.messages": json.dumps(messages), "n": 3, "f": 0.5, "yes": True, "list": [1]}
    events = [{"name": "e", "time_ns": START_NS, "attributes": {"k": "v"}}]
    links = [{"trace_id": "ab" * 16, "span_id": "cd" * 8}]
    with StoreRows(tmp_path / "t.db") as rows:
        columns = {"attributes": attributes, "events": events, "links": links}
        rows.span(rows.request("r"), 1, **{name: json.dumps(value) for name, value in columns.items()})
    with serving(tmp_path / "t.db") as server, browser(server) as page:
        found = page.get(f"/api/requests/r/spans/{TRACE}/{1:016x}").json()
    assert found["span"]["name"] == "span-1"
    assert found["input"] == {
        "text": json.dumps(messages), "size": len(json.dumps(messages)), "json": True, "cut": False,
    }  # fmt: skip
    (message,) = found["input_messages"]
    assert (message["role"], message["content"]) == ("user", "hello")
    said = {key: each["text"] for key, each in found["attributes"]}
    assert said == {
        "gen_ai.input.messages": json.dumps(messages),
        "n": "3",
        "f": "0.5",
        "yes": "true",
        "list": "[1]",
    }
    assert found["events"][0]["time"] == "2023-11-14T22:13:20.000000Z"
    assert found["events"][0]["attributes"]["text"] == '{"k":"v"}'
    assert found["links"] == [{"trace_id": "ab" * 16, "span_id": "cd" * 8, "attributes": None}]
    assert found["resource"] == {"service.name": "shop"}


def test_messages_of_events_are_a_conversation(tmp_path: Path) -> None:
    """Of a span that has none among its attributes, which are shown as they are; the whole can be fetched."""
    said = {"gen_ai.user.message": {"content": "Why?"}, "gen_ai.choice": {"message": "Because."}}
    events = [{"name": name, "time_ns": START_NS, "attributes": each} for name, each in said.items()]
    with StoreRows(tmp_path / "t.db") as rows:
        columns = {"attributes": {"gen_ai.request.model": "m"}, "events": events}
        rows.span(rows.request("r"), 1, **{name: json.dumps(value) for name, value in columns.items()})
    path = f"/api/requests/r/spans/{TRACE}/{1:016x}"
    with serving(tmp_path / "t.db") as server, browser(server) as page:
        found = page.get(path).json()
        whole = page.get(f"{path}/payload?of=input").text
    assert json.loads(found["input"]["text"]) == [{"role": "user", "content": "Why?"}]
    assert [(one["role"], one["content"]) for one in found["input_messages"]] == [("user", "Why?")]
    assert [(one["role"], one["content"]) for one in found["output_messages"]] == [("assistant", "Because.")]
    assert [key for key, _ in found["attributes"]] == ["gen_ai.request.model"]
    assert whole == found["input"]["text"]


def test_a_conversation_of_events_that_is_too_long_is_cut(tmp_path: Path) -> None:
    """Nobody reads a megabyte as messages; how long it is is said."""
    events = [
        {"name": "gen_ai.user.message", "time_ns": START_NS, "attributes": {"content": "x" * 1_100_000}}
    ]
    with StoreRows(tmp_path / "t.db") as rows:
        rows.span(rows.request("r"), 1, events=json.dumps(events))
    with serving(tmp_path / "t.db") as server, browser(server) as page:
        found = page.get(f"/api/requests/r/spans/{TRACE}/{1:016x}").json()
    assert found["input"]["cut"]
    assert found["input"]["size"] == len('[{"role":"user","content":""}]') + 1_100_000
    assert found["input_messages"] == []


def test_an_answer_that_is_no_message_stands_in_the_conversation(tmp_path: Path) -> None:
    """Beside what the model was sent."""
    said = {"input.value": '{"messages":[{"role":"user","content":"Why?"}]}', "output.value": '{"n":1}'}
    with StoreRows(tmp_path / "t.db") as rows:
        rows.span(rows.request("r"), 1, attributes=json.dumps(said))
    with serving(tmp_path / "t.db") as server, browser(server) as page:
        found = page.get(f"/api/requests/r/spans/{TRACE}/{1:016x}").json()
    assert [(one["role"], one["content"]) for one in found["input_messages"]] == [("user", "Why?")]
    assert [(one["role"], one["content"]) for one in found["output_messages"]] == [("assistant", '{"n":1}')]


@pytest.mark.parametrize("told", ["Be brief.", "Be brief. " * 20_000], ids=["short", "long"])
def test_instructions_are_the_first_of_a_conversation(
    told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the messages, of the input that is shown, and of the one that is downloaded."""
    no_background(monkeypatch, tmp_path)
    system = {"role": "system", "parts": [{"type": "text", "content": told}]}
    asked = {"role": "user", "parts": [{"type": "text", "content": "Why?"}]}
    attributes = {
        "hush.request_id": "r",
        "gen_ai.input.messages": json.dumps([asked]),
        "gen_ai.system_instructions": json.dumps(system["parts"]),
    }
    app = App(tmp_path / "t.db")
    app.tracer.start_span("chat", attributes=attributes).end()
    app.drain()
    path = f"/api/requests/r/spans/{app.span('chat')['trace_id']}/{app.span('chat')['span_id']}"
    with serving(tmp_path / "t.db") as server, browser(server) as page:
        found = page.get(path).json()
        whole = page.get(f"{path}/payload?of=input").text
    assert [one["role"] for one in found["input_messages"]] == ["system", "user"]
    assert told.startswith(found["input_messages"][0]["content"])
    assert found["input_messages"][0]["size"] == len(told)
    assert found["input"]["text"].startswith(
        '[{"role":"system","parts":[{"type": "text", "content": "Be brief.'
    )
    assert json.loads(whole) == [system, asked]


LONG = ["x" * 200_000, '"\n' * 100_000, "\U0001f600" * 100_000, "\0" * 100_000, "ab\u00e4" * 50_000]


@pytest.mark.parametrize("text", LONG, ids=["plain", "escapes", "beyond 16 bits", "NUL", "umlauts"])
@pytest.mark.parametrize("apart", [True, False], ids=["apart", "inline"])
def test_a_long_text_is_cut_and_says_how_long_it_is(tmp_path: Path, text: str, apart: bool) -> None:
    """Its beginning comes, whatever it is cut amid, and no more."""
    with StoreRows(tmp_path / "t.db") as rows:
        request = rows.request("r")
        if apart:
            rows.long_span(request, 1, "input.value", text)
        else:
            rows.span(request, 1, attributes=json.dumps({"input.value": text}))
    with serving(tmp_path / "t.db") as server, browser(server) as page:
        found = page.get(f"/api/requests/r/spans/{TRACE}/{1:016x}").json()["input"]
    assert found["cut"]
    assert found["size"] >= len(text)
    assert text.startswith(found["text"])
    assert 5_000 < len(found["text"]) <= 65_536


def test_a_span_with_megabytes_inline_is_cut_by_sqlite(tmp_path: Path) -> None:
    """What nobody would decode whole: a list of ten megabytes, beside texts, numbers and flags."""
    attributes = {"list": ["0123456789"] * 900_000, "text": "t" * 70_000, "n": 3, "f": 0.5, "no": False}
    with StoreRows(tmp_path / "t.db") as rows:
        rows.span(rows.request("r"), 1, attributes=json.dumps(attributes))
    with serving(tmp_path / "t.db") as server, browser(server) as page:
        answer = page.get(f"/api/requests/r/spans/{TRACE}/{1:016x}")
    found = dict(answer.json()["attributes"])
    assert len(answer.content) < 500_000
    assert [key for key, each in found.items() if each["cut"]] == ["list", "text"]
    assert [found[key]["text"] for key in ("n", "f", "no")] == ["3", "0.5", "false"]
    assert found["list"]["json"]


def test_without_a_database_the_list_is_empty_and_says_so(tmp_path: Path) -> None:
    """It fills as soon as there is one, without a new start."""
    path = tmp_path / "traces.db"
    with serving(path) as server, browser(server) as page:
        assert page.get("/api/requests").json() == {"requests": [], "next": None, "missing": True}
        missing = page.get("/api/status")
        assert missing.status_code == 503
        assert "nothing has been recorded" in missing.json()["error"]["hint"]
        with StoreRows(path) as rows:
            rows.request("r")
        assert [each["request_id"] for each in page.get("/api/requests").json()["requests"]] == ["r"]
