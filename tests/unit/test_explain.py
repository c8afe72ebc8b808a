"""`hush-otel explain`: what a vendor would get, what it would lose, count twice or cut; nothing is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dialect_samples import SAMPLES, span
from inprocess import App, no_background, rows
from test_iterations import loop

from hush_otel.cli.explain import SHOWN
from hush_otel.cli.main import main
from hush_otel.mapping.dialects.catalogue import dialect_named, translated
from hush_otel.mapping.dialects.remarks import Remark, remarks
from hush_otel.model import SpanFacts
from hush_otel.presets import PRESETS


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration file but the test's own."""
    no_background(monkeypatch, tmp_path)
    monkeypatch.setenv("HUSH_CONFIG", str(tmp_path / "hush.toml"))
    (tmp_path / "hush.toml").write_text("")


@pytest.fixture
def app(tmp_path: Path) -> App:
    """A database with one loop of two passes, and one span of a web server."""
    app = App(tmp_path / "t.db")
    loop(app, 2)
    app.store.mark_request_complete("run-1", "local", {}, tags=["prod"])
    app.tracer.start_span("GET /", attributes={"hush.request_id": "web", "url.path": "/"}).end()
    app.drain()
    return app


Capture = pytest.CaptureFixture[str]


def explained(app: App, capsys: Capture, to: str, request: str = "run-1") -> dict[str, Any]:
    """The JSON document."""
    assert main(["--db", str(app.db_path), "explain", "--to", to, request, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_it_shows_what_each_span_will_look_like(app: App, capsys: Capture) -> None:
    """With all attributes, and which were added; passes of loops among them."""
    found = explained(app, capsys, "langfuse")
    assert found["request_id"] == "run-1"
    assert found["to"] == {
        "name": "langfuse",
        "type": "langfuse",
        "vendor": "Langfuse",
        "dialect": "langfuse",
        "evidence": "documented",
        "takes": None,
    }
    names = [one["name"] for one in found["spans"]]
    assert names == ["iteration[0]", "ask", "iteration[1]", "ask", "each", "flow"]
    ask = found["spans"][1]
    assert ask["attributes"]["langfuse.observation.type"] == "generation"
    assert "langfuse.observation.type" in ask["added"]
    assert ask["parent_span_id"] == found["spans"][0]["span_id"]
    assert ask["attributes"]["langfuse.trace.tags"] == ["prod"]


def test_people_read_it_too(app: App, capsys: Capture) -> None:
    """Name, kind, model, tokens, what is added, what is remarked, and that nothing is sent."""
    assert main(["--db", str(app.db_path), "explain", "--to", "langsmith", "run-1"]) == 0
    out = capsys.readouterr().out
    assert "run-1 → langsmith  LangSmith, documented; dialect langsmith; nothing is sent" in out
    assert "ask  llm  m  2→1  $0.50" in out
    assert "  + langsmith.span.kind llm" in out
    assert "  ! not kept cost: LangSmith has no field for a given cost" in out
    assert "4 nodes and 2 passes are 6 spans; 2 not kept" in out


def test_show_and_explain_count_alike(app: App, capsys: Capture) -> None:
    """What is stored, and the passes of the loop that are sent beside it."""
    assert main(["--db", str(app.db_path), "show", "run-1"]) == 0
    assert "4 spans and 2 passes" in capsys.readouterr().out
    assert main(["--db", str(app.db_path), "explain", "--to", "otlp", "web"]) == 0
    assert "\n1 span; nothing to remark" in capsys.readouterr().out


def test_people_are_not_shown_thousands_of_attributes(app: App, capsys: Capture) -> None:
    """Of metadata with many keys the first ones, and how many more there are; programs get all."""
    metadata = {f"key{number}": number for number in range(5_000)}
    app.store.insert_node_trace("wide", "flow", "flow", None, *(None,) * 7, metadata=metadata)
    app.drain()
    everything = explained(app, capsys, "langfuse", "wide")["spans"][0]["added"]
    assert main(["--db", str(app.db_path), "explain", "--to", "langfuse", "wide"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  + ")]
    assert len(lines) == SHOWN + 1
    assert lines[-1] == f"  + {len(everything) - SHOWN:,} more (--json has them)"


def test_a_computed_cost_stays_here(app: App, capsys: Capture) -> None:
    """It is shown as what it is, and no vendor is told it as given."""
    call = {
        "hush.request_id": "priced",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
    }
    app.tracer.start_span("chat gpt-4o", attributes=call).end()
    app.drain()
    (found,) = explained(app, capsys, "langfuse", "priced")["spans"]
    assert "langfuse.observation.usage_details" in found["attributes"]
    assert "langfuse.observation.cost_details" not in found["attributes"]
    assert main(["--db", str(app.db_path), "explain", "--to", "langfuse", "priced"]) == 0
    assert "chat gpt-4o  llm  gpt-4o  1000→100  ~$0.00" in capsys.readouterr().out


def test_nothing_is_sent(app: App, capsys: Capture) -> None:
    """No destination is made, and no delivery."""
    explained(app, capsys, "langfuse")
    assert rows(app.db_path, "SELECT count(*) FROM hush_deliveries") == [(0,)]
    assert rows(app.db_path, "SELECT count(*) FROM hush_destinations") == [(0,)]


@pytest.mark.parametrize("kind", [*PRESETS, "otlp", "LangfuseTracer", "OTELTracer"])
def test_every_type_can_be_explained_unconfigured(kind: str, app: App, capsys: Capture) -> None:
    """Without keys and without address, by the seed's names, too."""
    assert len(explained(app, capsys, kind)["spans"]) == 6


def test_a_destination_of_the_file_has_its_own_dialect(app: App, capsys: Capture, tmp_path: Path) -> None:
    """As it would be sent."""
    (tmp_path / "hush.toml").write_text(
        '[destination.edge]\ntype = "otlp"\nendpoint = "http://x"\ndialect = "mlflow"\n'
    )
    found = explained(app, capsys, "edge")
    assert (found["to"]["type"], found["to"]["dialect"]) == ("otlp", "mlflow")
    assert "mlflow.spanType" in found["spans"][1]["attributes"]


def test_a_destination_of_the_database_is_known(app: App, capsys: Capture) -> None:
    """By the name that `hush-otel status` shows."""
    app.store.mark_request_complete("web", "langfuse", {"public_key": "p", "secret_key": "s"})
    app.drain()
    ((name,),) = rows(app.db_path, "SELECT name FROM hush_destinations")
    assert explained(app, capsys, name)["to"]["type"] == "langfuse"


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("mine", "a tracer: gets the whole request as flush_data"),
        ("theirs", "an installed exporter: gets spans as they were recorded"),
        ("otel:zipkin", "an installed exporter: gets spans as they were recorded"),
    ],
)
def test_code_of_others_gets_what_was_recorded(
    to: str, said: str, app: App, capsys: Capture, tmp_path: Path
) -> None:
    """With its spans, and without a word on what it makes of them."""
    (tmp_path / "hush.toml").write_text(
        '[destination.mine]\ntype = "MyTracer"\n[destination.theirs]\ntype = "otel:zipkin"\n'
    )
    found = explained(app, capsys, to)
    assert found["to"]["takes"].startswith(said)
    assert len(found["spans"]) == 6
    assert {tuple(one["added"]) for one in found["spans"]} == {()}
    assert main(["--db", str(app.db_path), "explain", "--to", to, "run-1"]) == 0
    out = capsys.readouterr().out
    assert said in " ".join(out.split())
    assert "6 spans; nothing to remark" in out


@pytest.mark.parametrize(
    ("to", "request_id", "said"),
    [
        ("nowhere", "run-1", "'nowhere' is neither a destination nor a type of one (types: "),
        ("local", "run-1", "local is the store itself: nothing is sent there"),
        ("langfuse", "nothing", "no request 'nothing' in"),
    ],
)
def test_what_is_unknown_is_said(to: str, request_id: str, said: str, app: App, capsys: Capture) -> None:
    """In one line, with what there is instead."""
    assert main(["--db", str(app.db_path), "explain", "--to", to, request_id]) == 1
    found = capsys.readouterr().err
    assert said in found
    assert found.count("\n") == 1


def test_a_span_above_the_limit_is_remarked(app: App, capsys: Capture, tmp_path: Path) -> None:
    """It would be refused before it is sent."""
    (tmp_path / "hush.toml").write_text('[destination.small]\ntype = "otlp"\nmax_request_bytes = 1024\n')
    app.tracer.start_span("big", attributes={"hush.request_id": "large", "x": "y" * 2000}).end()
    app.drain()
    found = explained(app, capsys, "small", "large")
    assert found["remarks"] == {"drop": 1, "double": 0, "cut": 0}
    assert "above what one request may have (1024)" in found["spans"][0]["remarks"][0]["words"]


# ------------------------------------------------------------------ remarks


def noted(kind: str, one: Any, dialect: str | None = None) -> list[Remark]:
    """What is remarked of a span that goes to a type."""
    name = dialect or PRESETS[kind].dialect
    found = dialect_named(name)
    return remarks(kind, name, one, one if found is None else translated(found, one))


AGENT = SAMPLES["genai: agent with its calls' sum"]


@pytest.mark.parametrize("kind", ["langfuse", "mlflow"])
def test_a_sum_that_is_taken_out_is_no_remark(kind: str) -> None:
    """The dialect has seen to it."""
    assert [one for one in noted(kind, AGENT) if one.kind == "double"] == []


@pytest.mark.parametrize("kind", ["langsmith", "logfire", "braintrust", "jaeger"])
def test_a_sum_that_stays_is_remarked(kind: str) -> None:
    """No key of these receivers stands against it."""
    assert [one.key for one in noted(kind, AGENT) if one.kind == "double"] == ["gen_ai.usage.input_tokens"]


def test_a_usage_that_an_author_set_on_an_agent_is_remarked() -> None:
    """It stays, and is counted beside its calls'."""
    one = span(
        "invoke_agent x",
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.usage.input_tokens": 5,
            "langfuse.observation.usage_details": '{"input":5}',
        },
        repeats=True,
    )
    assert [one.kind for one in noted("langfuse", one)] == ["double"]


def test_a_usage_of_langfuses_own_that_repeats_calls_is_remarked() -> None:
    """Langfuse's SDK around an instrumented client: it stands there under no other key."""
    details = {"langfuse.observation.usage_details": '{"input":5}'}
    one = span("ask", {"langfuse.observation.type": "generation"} | details)
    one.facts = SpanFacts(node_type="llm", prompt_tokens=5, repeats=True)
    assert [(one.kind, one.key) for one in noted("langfuse", one)] == [("double", *details)]


@pytest.mark.parametrize("value", [b"x", float("nan"), [1.0, float("inf")], {"a": [b"x"]}])
def test_phoenix_loses_bytes_and_what_is_not_finite(value: Any) -> None:
    """It answers 200 all the same."""
    assert [one.kind for one in noted("phoenix", span("x", {"k": value}))] == ["drop"]
    assert noted("jaeger", span("x", {"k": value})) == []


def test_attributes_that_langfuse_cannot_filter_by_are_remarked() -> None:
    """Once a span, with some of their names."""
    (found,) = noted("langfuse", SAMPLES["plain: http"])
    assert found == Remark("drop", "", "2 attributes cannot be filtered by: http.request.method, url.path")


@pytest.mark.parametrize("kind", ["langfuse", "phoenix", "jaeger"])
def test_files_that_stay_here_are_remarked(kind: str) -> None:
    """Their references are sent; what was never stored is no file."""
    files = [{"name": "a", "size": 1, "sha256": "00"}, {"name": "b", "missing": "too large"}]
    (found,) = noted(kind, span("x", {"hush.media": json.dumps(files)}))
    assert (found.kind, found.key) == ("drop", "hush.media")
    assert found.words.startswith("1 attached file is not sent")


def test_what_is_cut_is_remarked() -> None:
    """Deep nesting and wide integers by OTLP, long texts by a receiver."""
    deep: Any = "x"
    for _ in range(40):
        deep = [deep]
    found = noted("jaeger", span("x", {"deep": deep, "wide": 2**70}))
    assert [(one.kind, one.key) for one in found] == [("cut", "deep"), ("cut", "wide")]
    assert [one.key for one in noted("newrelic", span("x", {"long": "x" * 5000}))] == ["long"]
