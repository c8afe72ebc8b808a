"""What went into a span and what came out: the view, the dialects and the commands say the same."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from dialect_samples import node, span
from inprocess import App, no_background, rows

from hush_otel.cli.main import main
from hush_otel.mapping.dialects.catalogue import dialect_named, translated
from hush_otel.mapping.dialects.content import INPUT, INSTRUCTIONS, OUTPUT, input_of, output_of
from hush_otel.mapping.dialects.messages import messages_to
from hush_otel.mapping.dialects.remarks import remarks
from hush_otel.model import SpanData

TOLD = json.dumps([{"type": "text", "content": "Be brief."}])
ASKED = {"role": "user", "parts": [{"type": "text", "content": "Why?"}]}
SYSTEM = {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]}
TOOL = {"name": "temperature", "description": "°C", "parameters": {"type": "object"}}
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.input.messages": json.dumps([ASKED]),
    INSTRUCTIONS: TOLD,
    "gen_ai.tool.definitions": json.dumps([{"type": "function", **TOOL}]),
}


def keys_of_view(column: str) -> tuple[str, ...]:
    """The attributes that the view reads a column from, in their order."""
    schema = files("hush_otel.store").joinpath("schema.sql").read_text()
    (found,) = (
        part
        for part in re.split(r"AS (?:input|output)_data", schema)
        if ("gen_ai.prompt.[" if column == "input_data" else "gen_ai.completion.[") in part
    )
    return tuple(key for key in re.findall(r"a ->> '\$\.\"([^\"]+)\"'", found) if key != INSTRUCTIONS)


@pytest.mark.parametrize(("column", "keys"), [("input_data", INPUT), ("output_data", OUTPUT)])
def test_the_view_reads_what_dialects_read(column: str, keys: tuple[str, ...]) -> None:
    """The same keys in the same order: what a vendor is sent is what `node_traces` shows."""
    assert keys_of_view(column) == keys


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """An empty database."""
    no_background(monkeypatch, tmp_path)
    return App(tmp_path / "t.db")


LISTS = {
    "apart": (TOLD, json.dumps([ASKED])),
    "said already": (TOLD, json.dumps([SYSTEM, ASKED])),
    "said already as a text": (TOLD, json.dumps([{"role": "system", "content": "Be brief."}, ASKED])),
    "others beside them": (TOLD, json.dumps([{"role": "system", "content": "Be kind."}, ASKED])),
    "as a text": ("Be brief.", json.dumps([ASKED])),
    "as a text that was said": ("Be brief.", json.dumps([SYSTEM])),
    "of several parts": (json.dumps(["Be", {"content": "brief."}, 1]), json.dumps([ASKED])),
    "none at all": ("[]", json.dumps([ASKED])),
    "empty": ("", json.dumps([ASKED])),
    "no JSON": ("[", json.dumps([ASKED])),
    "an object": ('{"a":1}', json.dumps([ASKED])),
    "no messages": (TOLD, '{"q":"Why?"}'),
    "a text": (TOLD, "Why?"),
    "messages cut": (TOLD, json.dumps([ASKED])[:-3]),
    "an empty list": (TOLD, "[]"),
    "no roles": (TOLD, '[{"a":1}]'),
    "white space before": (TOLD, "\n\t [" + json.dumps(ASKED) + "]"),
    "odd messages": (TOLD, '[{"role":"system","parts":[{"content":{"a":1}},null,["x"]]}]'),
    "nothing else": (TOLD, None),
}


@pytest.mark.parametrize("case", LISTS)
def test_instructions_are_the_first_message_everywhere(app: App, case: str) -> None:
    """The view puts them where `input_of` does, whatever an application has written."""
    told, messages = LISTS[case]
    attributes = {INSTRUCTIONS: told} | ({} if messages is None else {"gen_ai.input.messages": messages})
    app.tracer.start_span("chat", attributes=attributes).end()
    app.drain()
    assert rows(app.db_path, "SELECT input_data FROM node_traces") == [(input_of(attributes),)]


@pytest.mark.parametrize("key", [*INPUT, *OUTPUT])
def test_every_key_is_read_by_the_view(app: App, key: str) -> None:
    """A text of any convention, one that lies apart too."""
    attributes = {key: "x" * 20_000}
    app.tracer.start_span("step", attributes=attributes).end()
    app.drain()
    stored = rows(app.db_path, "SELECT input_data, output_data FROM node_traces")
    assert stored == [(input_of(attributes), output_of(attributes))]
    assert "x" * 20_000 in stored[0]


def sent(dialect: str, one: SpanData) -> dict[str, Any]:
    """All attributes that leave for a vendor."""
    found = dialect_named(dialect)
    assert found is not None
    return translated(found, one).attributes


def test_phoenix_is_sent_instructions_and_tools() -> None:
    """As the first of `llm.input_messages`, as the first message of the input, and as `llm.tools`."""
    found = sent("openinference", span("chat gpt-4o", CHAT))
    assert found["llm.input_messages.0.message.role"] == "system"
    assert found["llm.input_messages.0.message.content"] == "Be brief."
    assert found["llm.input_messages.1.message.role"] == "user"
    assert json.loads(found["input.value"]) == [SYSTEM, ASKED]
    schema = json.loads(found["llm.tools.0.tool.json_schema"])
    assert schema == {"type": "function", "function": TOOL}


def test_mlflow_is_sent_instructions_and_tools() -> None:
    """As values: inputs, and `mlflow.chat.tools`."""
    found = sent("mlflow", span("chat gpt-4o", CHAT))
    assert found["mlflow.spanInputs"] == [SYSTEM, ASKED]
    assert found["mlflow.chat.tools"] == [{"type": "function", "function": TOOL}]


def test_langfuse_is_sent_instructions_and_has_no_field_for_tools() -> None:
    """The input of its observation has them; that the tools have no place is remarked."""
    one = span("chat gpt-4o", CHAT)
    found = sent("langfuse", one)
    assert json.loads(found["langfuse.observation.input"]) == [SYSTEM, ASKED]
    after = span("chat gpt-4o", found)
    assert "gen_ai.tool.definitions" in {remark.key for remark in remarks("langfuse", "langfuse", one, after)}


def test_langsmith_is_sent_instructions_as_metadata() -> None:
    """Its tables have no attribute for them, which is remarked."""
    one = span("chat gpt-4o", CHAT)
    found = sent("langsmith", one)
    assert found["langsmith.metadata.system_instructions"] == "Be brief."
    after = span("chat gpt-4o", found)
    assert INSTRUCTIONS in {remark.key for remark in remarks("langsmith", "langsmith", one, after)}


@pytest.mark.parametrize("dialect", ["genai", "logfire"])
def test_where_the_conventions_are_read_instructions_stay_apart(dialect: str) -> None:
    """They have an attribute there: messages that are made of another convention do not say them again."""
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "Why?",
        INSTRUCTIONS: TOLD,
    }
    assert json.loads(sent(dialect, span("chat", attributes))["gen_ai.input.messages"]) == [ASKED]


def test_tools_that_are_none_are_left_out() -> None:
    """What is no list offers none; what is no function stays as it is."""
    for odd in ("", "x", "{}", "[1]", '"a"'):
        assert "llm.tools.0.tool.json_schema" not in sent(
            "openinference", span("chat x", {**CHAT, "gen_ai.tool.definitions": odd})
        )
    nested = {"type": "function", "function": TOOL}
    search = {"type": "web_search"}
    attributes = {**CHAT, "gen_ai.tool.definitions": json.dumps([nested, search])}
    assert sent("mlflow", span("chat x", attributes))["mlflow.chat.tools"] == [nested, search]


def test_a_text_beside_instructions_is_the_users_message() -> None:
    """An input that is no list of messages follows them."""
    attributes = {"input.value": "Why?", INSTRUCTIONS: TOLD}
    found = [(one.role, one.content) for one in messages_to(attributes, input_of(attributes))]
    assert found == [("system", "Be brief."), ("user", "Why?")]


def test_show_says_instructions_once(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the messages, in `show --io` and in full."""
    app.tracer.start_span("chat gpt-4o", attributes={**CHAT, "hush.request_id": "r"}).end()
    app.drain()
    for options in (["--io"], ["--node", "chat gpt-4o"]):
        assert main(["--db", str(app.db_path), "show", "r", *options]) == 0
        out = capsys.readouterr().out
        assert out.count("Be brief.") == 1
        assert out.index("system") < out.index("Be brief.") < out.index("Why?")


def test_a_node_has_no_instructions_apart() -> None:
    """Its input is its author's: nothing goes before it."""
    one = node(input_data=[ASKED], node_type="llm")
    assert json.loads(sent("langfuse", one)["langfuse.observation.input"]) == [ASKED]


def test_a_node_whose_span_comes_back_has_its_columns(app: App) -> None:
    """Sent as OTLP and recorded again: name, context and order are those of the node."""
    attributes = {
        "hush.request_id": "r",
        "hush.node.name": "digest.each.ask",
        "hush.context_id": "[0]",
        "hush.execution_order": 2,
    }
    with app.tracer.start_as_current_span("each", attributes={"hush.node.name": "digest.each"}):
        app.tracer.start_span("ask", attributes=attributes).end()
    app.tracer.start_span("other", attributes={"hush.context_id": "[1]"}).end()
    app.drain()
    sql = "SELECT node_name, parent_name, context_id, execution_order FROM node_traces ORDER BY id"
    assert rows(app.db_path, sql) == [
        ("digest.each.ask", "digest.each", "[0]", 2),
        ("digest.each", None, None, None),
        ("other", None, None, None),
    ]


def test_openllmetrys_association_properties_say_who_asked(app: App) -> None:
    """User and session, as an application has told it; OpenTelemetry's own names go before them."""
    said = {f"traceloop.association.properties.{key}": f"{key}!" for key in ("user_id", "session_id")}
    app.tracer.start_span("chat", attributes={**said, "hush.request_id": "r"}).end()
    app.tracer.start_span("chat", attributes={**said, "hush.request_id": "s", "user.id": "ada"}).end()
    app.drain()
    assert rows(app.db_path, "SELECT user_id, session_id FROM requests ORDER BY request_id") == [
        ("user_id!", "session_id!"),
        ("ada", "session_id!"),
    ]
