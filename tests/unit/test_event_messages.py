"""Messages that stand in a span's events: the view, the dialects and the commands read them alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dialect_samples import span
from inprocess import App, no_background, rows

from hush_otel.cli.main import main
from hush_otel.mapping.dialects.catalogue import dialect_named, translated
from hush_otel.mapping.dialects.content import INSTRUCTIONS, input_of, output_of
from hush_otel.mapping.dialects.event_messages import told
from hush_otel.mapping.dialects.messages import Message, ToolCall, messages_from, messages_to
from hush_otel.model import EventData

Event = tuple[str, dict[str, Any]]
ASKED = {"role": "user", "content": "Why?"}
ANSWERED = {"role": "assistant", "content": "Because.", "finish_reason": "stop"}
CALLS = [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"city":"Oslo"}'}}]


def body(**fields: Any) -> dict[str, Any]:
    """A message whose fields are the JSON of one attribute."""
    return {"gen_ai.system": "openai", "gen_ai.event.content": json.dumps(fields)}


WRITTEN: dict[str, tuple[list[Event], Any, Any]] = {
    "up to 1.27": (
        [
            ("gen_ai.content.prompt", {"gen_ai.prompt": json.dumps([ASKED])}),
            ("gen_ai.content.completion", {"gen_ai.completion": "Because."}),
        ],
        [ASKED],
        "Because.",
    ),
    "from 1.37 on": (
        [
            (
                "gen_ai.client.inference.operation.details",
                {
                    INSTRUCTIONS: '[{"type":"text","content":"Be brief."}]',
                    "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Why?"}]}]',
                    "gen_ai.output.messages": '[{"role":"assistant","parts":[]}]',
                },
            )
        ],
        [
            {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Why?"}]},
        ],
        [{"role": "assistant", "parts": []}],
    ),
    "an event for each message": (
        [
            ("gen_ai.system.message", {"content": "Be brief."}),
            ("gen_ai.user.message", {"content": "Why?", "gen_ai.system": "openai"}),
            ("gen_ai.choice", {"index": 0, "message": "Because.", "finish_reason": "stop"}),
        ],
        [{"role": "system", "content": "Be brief."}, ASKED],
        [ANSWERED],
    ),
    "the body as JSON": (
        [
            ("gen_ai.user.message", body(role="user", content="Why?")),
            ("gen_ai.choice", body(message={"content": "Because."}, finish_reason="stop")),
        ],
        [ASKED],
        [ANSWERED],
    ),
    "parts as JSON": (
        [
            ("gen_ai.user.message", {"content": '[{"text": "Why?"}]'}),
            ("gen_ai.choice", {"message": ' [{"text": "Because."}]', "finish_reason": "stop"}),
        ],
        [{"role": "user", "content": [{"text": "Why?"}]}],
        [{"role": "assistant", "content": [{"text": "Because."}], "finish_reason": "stop"}],
    ),
    "calls of a tool, and its answer": (
        [
            ("gen_ai.assistant.message", {"tool_calls": json.dumps(CALLS)}),
            ("gen_ai.tool.message", {"content": "21 °C", "id": "c1"}),
            ("gen_ai.choice", {"message": json.dumps({"role": "assistant", "tool_calls": CALLS})}),
        ],
        [
            {"role": "assistant", "tool_calls": CALLS},
            {"role": "tool", "content": "21 °C", "tool_call_id": "c1"},
        ],
        [{"role": "assistant", "tool_calls": CALLS}],
    ),
    "two choices": (
        [("gen_ai.choice", {"content": "a", "index": 0}), ("gen_ai.choice", {"content": "b", "index": 1})],
        None,
        [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}],
    ),
    "one side alone": ([("gen_ai.user.message", {"content": "Why?"})], [ASKED], None),
    "an object that is no message": (
        [("gen_ai.choice", {"message": '{"answer": 42}'})],
        None,
        [{"role": "assistant", "content": {"answer": 42}}],
    ),
    "odd ones": (
        [
            ("gen_ai.user.message", {}),
            ("gen_ai.user.message", {"role": 3, "content": 1.5}),
            ("gen_ai.user.message", {"content": "[1", "gen_ai.event.content": "[1]"}),
            ("gen_ai.user.message", {"content": "{}", "gen_ai.event.content": "{"}),
            ("gen_ai.user.message", {"content": ["a", "b"], "id": "not told"}),
            ("gen_ai.user.message", {"content": '"quoted" \\ \n', "gen_ai.event.content": "null"}),
            ("gen_ai.assistant.message", {"role": "model", "content": "42", "tool_calls": "none"}),
            ("gen_ai.choice", {"message": "", "finish_reason": "[]"}),
            ("gen_ai.choice", {"message": "3"}),
            ("gen_ai.choice", {"message": '{"content": null}'}),
            ("gen_ai.choice", body(message=None, content="said")),
            ("gen_ai.choice", body(message=7)),
        ],
        [
            {"role": "user"},
            {"role": "user", "content": 1.5},
            {"role": "user", "content": "[1"},
            {"role": "user", "content": {}},
            {"role": "user", "content": ["a", "b"]},
            {"role": "user", "content": '"quoted" \\ \n'},
            {"role": "model", "content": "42", "tool_calls": "none"},
        ],
        [
            {"role": "assistant", "content": "", "finish_reason": "[]"},
            {"role": "assistant", "content": "3"},
            {"role": "assistant"},
            {"role": "assistant", "content": "said"},
            {"role": "assistant", "content": 7},
        ],
    ),
    "none of messages": (
        [
            ("exception", {"exception.message": "gen_ai.prompt", "gen_ai.prompt": "no"}),
            ("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "toxic"}),
            ("gen_ai.content.prompt", {"prompt": "unknown"}),
        ],
        None,
        None,
    ),
}
"""Events, and what must be read from them."""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """An empty database."""
    no_background(monkeypatch, tmp_path)
    return App(tmp_path / "t.db")


def record(app: App, events: list[Event], attributes: dict[str, Any] | None = None) -> None:
    """One span with these events."""
    one = app.tracer.start_span("chat gpt-4o", attributes={"hush.request_id": "r", **(attributes or {})})
    for name, said in events:
        one.add_event(name, said)
    one.end()
    app.drain()


def value(text: str | None) -> Any:
    """What a text holds; the text where it is no JSON."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text


@pytest.mark.parametrize("way", WRITTEN)
def test_messages_are_read_from_events(way: str) -> None:
    """Input and output, whichever way an instrumentation has written them."""
    events, asked, answered = WRITTEN[way]
    attributes = told({"gen_ai.request.model": "m"}, events)
    assert value(input_of(attributes)) == asked
    assert value(output_of(attributes)) == answered


@pytest.mark.parametrize("way", WRITTEN)
def test_the_view_reads_the_same(app: App, way: str) -> None:
    """`node_traces` shows what vendors are sent."""
    events, asked, answered = WRITTEN[way]
    record(app, events)
    ((given, came),) = rows(app.db_path, "SELECT input_data, output_data FROM node_traces")
    assert (value(given), value(came)) == (asked, answered)


@pytest.mark.parametrize(
    "attributes",
    [
        {"input.value": "in", "output.value": "out"},
        {"gen_ai.prompt.0.content": "in", "gen_ai.completion.0.content": "out"},
    ],
    ids=["whole", "in parts"],
)
def test_what_attributes_say_is_not_asked_of_events(app: App, attributes: dict[str, str]) -> None:
    """A span that has both says the same twice: the attributes are read."""
    events, _, _ = WRITTEN["an event for each message"]
    record(app, events, attributes)
    assert told(attributes, events) is attributes
    ((given, came),) = rows(app.db_path, "SELECT input_data, output_data FROM node_traces")
    assert ("in" in given, "Why?" in given, "out" in came, "Because." in came) == (True, False, True, False)


def test_instructions_of_the_span_go_before_messages_of_its_events(app: App) -> None:
    """The view and the dialects put them there."""
    attributes = {INSTRUCTIONS: '[{"type":"text","content":"Be brief."}]'}
    events: list[Event] = [("gen_ai.user.message", {"content": "Why?"})]
    record(app, events, attributes)
    expected = [{"role": "system", "parts": [{"type": "text", "content": "Be brief."}]}, ASKED]
    assert value(input_of(told(attributes, events))) == expected
    ((given,),) = rows(app.db_path, "SELECT input_data FROM node_traces")
    assert value(given) == expected


CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
SENT = {
    "langfuse": ("langfuse.observation.input", "langfuse.observation.output"),
    "openinference": ("input.value", "output.value"),
    "mlflow": ("mlflow.spanInputs", "mlflow.spanOutputs"),
    "genai": ("gen_ai.input.messages", "gen_ai.output.messages"),
}


@pytest.mark.parametrize("dialect", SENT)
def test_vendors_are_sent_messages_of_events(dialect: str) -> None:
    """Each in its own attributes; those of the span stay, and none is added that only stands in for events."""
    events, _, _ = WRITTEN["an event for each message"]
    one = span("chat gpt-4o", dict(CHAT), events=[EventData(name, 1, said) for name, said in events])
    found = dialect_named(dialect)
    assert found is not None
    sent = translated(found, one)
    given, came = (sent.attributes[key] for key in SENT[dialect])
    assert "Be brief." in str(given)
    assert "Why?" in str(given)
    assert "Because." in str(came)
    assert sent.events == one.events
    if dialect != "genai":
        assert "gen_ai.input.messages" not in sent.attributes
    if dialect == "openinference":
        roles = [sent.attributes[f"llm.input_messages.{number}.message.role"] for number in (0, 1)]
        assert roles == ["system", "user"]


def test_show_has_the_conversation(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    """As of attributes: who said what, in its order."""
    events, _, _ = WRITTEN["an event for each message"]
    record(app, events, CHAT)
    assert main(["--db", str(app.db_path), "show", "r", "--io"]) == 0
    out = capsys.readouterr().out
    assert out.index("system") < out.index("Be brief.") < out.index("user") < out.index("Why?")
    assert out.index("Why?") < out.index("assistant") < out.index("Because.")


def test_calls_as_bedrock_writes_them_are_calls() -> None:
    """Its Converse API says by the key of a part what it is; frameworks pass these on."""
    use = {"toolUse": {"toolUseId": "c1", "name": "look", "input": {"city": "Oslo"}}}
    result = {"toolResult": {"toolUseId": "c1", "status": "success", "content": [{"text": "22.0"}]}}
    events: list[Event] = [
        ("gen_ai.assistant.message", {"content": json.dumps([{"text": "Wait."}, use])}),
        ("gen_ai.tool.message", {"content": json.dumps([result])}),
        ("gen_ai.choice", {"message": json.dumps([{"text": "22 °C."}, {"toolUse": "odd"}])}),
    ]
    attributes = told({}, events)
    asked, answered = messages_to(attributes, None), messages_from(attributes, None)
    assert asked == [
        Message("assistant", "Wait.", (ToolCall("c1", "look", '{"city":"Oslo"}'),)),
        Message("tool", '[{"text":"22.0"}]', answers="c1"),
    ]
    assert answered == [Message("assistant", '22 °C.\n{"toolUse":"odd"}')]


def as_deep(levels: int) -> str:
    """A JSON text of so many lists."""
    return "[" * levels + "]" * levels


@pytest.mark.parametrize("levels", range(1_995, 2_003))
def test_no_depth_of_a_text_breaks_the_view(app: App, levels: int) -> None:
    """SQLite reads 2,000 levels of JSON: what is at the border, inside of another or not, leaves the row readable."""
    texts = [as_deep(levels), f'{{"content":{as_deep(levels)}}}', f'{{"message":{as_deep(levels)}}}']
    for text in texts:
        for key in ("content", "message", "tool_calls", "gen_ai.event.content"):
            record(app, [("gen_ai.user.message", {key: text}), ("gen_ai.choice", {key: text})])
    found = rows(app.db_path, "SELECT input_data, output_data FROM node_traces")
    assert len(found) == 12
    assert all(given.startswith('[{"role":"user"') for given, _ in found)
