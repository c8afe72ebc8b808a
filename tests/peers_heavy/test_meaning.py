"""What a vendor shows is what the author meant: read back from the API of the real thing."""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from jaeger_server import Jaeger
from mlflow_server import Experiment
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from phoenix_server import Project
from processes import stop_background
from pydantic_ai import Agent
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.test import TestModel
from reading import post
from support import eventually

from hush_otel import Destination, HushSpanProcessor, TraceStore
from hush_otel.testing import value_of

TIMES = {"start_time": "2026-01-31T09:00:00Z", "end_time": "2026-01-31T09:00:01Z", "duration_ms": 1000.0}
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TraceStore]:
    """A store; its background process is stopped in the end."""
    yield TraceStore(tmp_path / "traces.db")
    stop_background(tmp_path / "traces.db")


def run_workflow(store: TraceStore, tracer_type: str, tracer_config: dict[str, Any]) -> None:
    """A workflow of the seed's users: a loop of two passes that each ask a model, a tool that fails.

    Ids follow from the request's, and a receiver takes a span once, whatever project it is for.
    """
    request_id = f"run-{uuid.uuid4().hex}"
    common = {"request_id": request_id, "workflow_name": "digest", **TIMES}
    for index in range(2):
        store.insert_node_trace(
            node_name="digest.each.ask",
            parent_name="digest.each",
            context_id=f"[{index}]",
            execution_order=2 + index,
            input_data={"messages": MESSAGES},
            output_data={"role": "assistant", "content": f"Because {index}."},
            model="gpt-4o",
            prompt_tokens=49,
            completion_tokens=19,
            total_tokens=68,
            cost_usd=0.25,
            node_type="llm",
            **common,
        )
    store.insert_node_trace(
        node_name="digest.each",
        parent_name="digest",
        context_id=None,
        execution_order=1,
        input_data={"item": ["a", "b"]},
        output_data={"out": ["x", "y"]},
        metadata={"each": ["item"]},
        **common,
    )
    store.insert_node_trace(
        node_name="digest.search",
        parent_name="digest",
        context_id=None,
        execution_order=4,
        input_data={"q": "cats"},
        output_data=None,
        node_type="tool",
        error="TimeoutError: 5 s",
        **common,
    )
    store.insert_node_trace(
        node_name="digest",
        parent_name=None,
        context_id=None,
        execution_order=0,
        input_data={"q": "Why?"},
        output_data={"a": 42},
        user_id="ada",
        session_id="session-1",
        metadata={"tier": "gold"},
        node_type="workflow",
        **common,
    )
    store.mark_request_complete(request_id, tracer_type, tracer_config, tags=["prod", "team:search"])
    assert store.wait_delivered(60_000)


def run_agent(store: TraceStore, destination: Destination) -> None:
    """An agent of pydantic-ai that calls its tool once."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(HushSpanProcessor(store.db_path, destinations=[destination]))
    agent = Agent(TestModel(), name="weather")
    agent.instrument = InstrumentationSettings(tracer_provider=provider)

    @agent.tool_plain
    def temperature(city: str) -> float:
        """Degrees Celsius in a city."""
        return 20.0 + len(city) / 2

    agent.run_sync("How warm is it?")
    assert store.wait_delivered(60_000)
    provider.shutdown()


def say_by_events(store: TraceStore, destination: Destination) -> None:
    """A model call whose messages are events of its span, as conventions before 1.37 have them."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(HushSpanProcessor(store.db_path, destinations=[destination]))
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
    with provider.get_tracer("app").start_as_current_span("chat gpt-4o", attributes=attributes) as span:
        span.add_event("gen_ai.system.message", {"content": "Be brief."})
        span.add_event("gen_ai.user.message", {"content": "Why?"})
        span.add_event("gen_ai.choice", {"index": 0, "message": "Because.", "finish_reason": "stop"})
    assert store.wait_delivered(60_000)
    provider.shutdown()


# ------------------------------------------------------------------ Phoenix

SUMS = """
query ($name: String!) {
  getProjectByName(name: $name) {
    tokenCountTotal
    costSummary { total { cost } }
    spans(first: 50) { edges { node {
      name spanKind tokenCountPrompt tokenCountTotal cumulativeTokenCountTotal
      trace { session { sessionId } }
    } } }
  }
}
"""


def summed(project: Project) -> dict[str, Any]:
    """What Phoenix counts."""
    answer = post(f"{project.endpoint}/graphql", {"query": SUMS, "variables": {"name": project.name}})
    found: dict[str, Any] = answer["data"]["getProjectByName"]
    return found


def in_phoenix(project: Project, count: int) -> dict[str, dict[str, Any]]:
    """Its spans by name, once so many have arrived."""
    eventually(lambda: len(project.raw_spans()) == count, what=f"{count} spans")
    return {span["name"]: span for span in project.raw_spans()}


@pytest.fixture
def workflow_in_phoenix(store: TraceStore, project: Project) -> dict[str, dict[str, Any]]:
    """The workflow, as it arrived."""
    run_workflow(store, "phoenix", {"endpoint": project.endpoint, "project": project.name})
    return in_phoenix(project, 7)


def test_phoenix_shows_kinds_errors_and_the_tree(workflow_in_phoenix: dict[str, dict[str, Any]]) -> None:
    """Each node's kind; a pass of the loop between the loop and its node."""
    spans = workflow_in_phoenix
    assert {name: span["span_kind"] for name, span in spans.items()} == {
        "digest": "CHAIN",
        "each": "CHAIN",
        "iteration[0]": "CHAIN",
        "iteration[1]": "CHAIN",
        "ask": "LLM",
        "search": "TOOL",
    }
    assert (spans["search"]["status_code"], spans["search"]["status_message"]) == (
        "ERROR",
        "TimeoutError: 5 s",
    )
    ids = {span["context"]["span_id"]: name for name, span in spans.items()}
    assert ids[spans["iteration[1]"]["parent_id"]] == "each"
    assert ids[spans["ask"]["parent_id"]].startswith("iteration[")
    assert spans["digest"]["parent_id"] is None


def test_phoenix_shows_model_messages_and_tags(workflow_in_phoenix: dict[str, dict[str, Any]]) -> None:
    """In its own fields."""
    ask = workflow_in_phoenix["ask"]["attributes"]
    assert ask["llm.model_name"] == "gpt-4o"
    assert (ask["llm.token_count.prompt"], ask["llm.token_count.total"]) == (49, 68)
    assert ask["llm.cost.total"] == 0.25
    assert ask["llm.input_messages.1.message.content"] == "Why?"
    assert ask["llm.output_messages.0.message.content"].startswith("Because ")
    assert ask["tag.tags"] == ["prod", "team:search"]
    assert workflow_in_phoenix["digest"]["attributes"]["metadata.tier"] == "gold"
    assert json.loads(workflow_in_phoenix["iteration[1]"]["attributes"]["input.value"]) == {"item": "b"}


IMAGE = random.Random(5).randbytes(512 * 1024)
"""The largest that is sent."""
IMAGE_URL = "data:image/jpeg;base64," + base64.b64encode(IMAGE).decode()


def ask_about_image(store: TraceStore, tracer_type: str, tracer_config: dict[str, Any]) -> None:
    """One model call."""
    request_id = f"run-{uuid.uuid4().hex}"
    store.insert_node_trace(
        request_id=request_id,
        workflow_name="look",
        node_name="look.ask",
        parent_name=None,
        context_id=None,
        execution_order=0,
        input_data={
            "messages": MESSAGES,
            "__media__": {"photo": {"bytes": IMAGE, "content_type": "image/jpeg"}},
        },
        output_data={"role": "assistant", "content": "A cat."},
        model="gpt-4o",
        node_type="llm",
        **TIMES,
    )
    store.mark_request_complete(request_id, tracer_type, tracer_config)
    assert store.wait_delivered(60_000)


def test_phoenix_keeps_images_whole(store: TraceStore, project: Project) -> None:
    """In the message where its interface draws it."""
    ask_about_image(store, "phoenix", {"endpoint": project.endpoint, "project": project.name})
    (span,) = in_phoenix(project, 1).values()
    parts = "llm.input_messages.1.message.contents."
    assert span["attributes"][parts + "0.message_content.text"] == "Why?"
    assert span["attributes"][parts + "1.message_content.type"] == "image"
    assert span["attributes"][parts + "1.message_content.image.image.url"] == IMAGE_URL


def test_phoenix_counts_tokens_once_and_groups_sessions(store: TraceStore, project: Project) -> None:
    """Two calls of 68: the passes of the loop add nothing. Costs are Phoenix's own."""
    run_workflow(store, "phoenix", {"endpoint": project.endpoint, "project": project.name})
    in_phoenix(project, 7)
    found = eventually(
        lambda: (
            (it := summed(project))["tokenCountTotal"] == 136 and it["costSummary"]["total"]["cost"] and it
        ),
        60.0,
        what="Phoenix's sums",
    )
    assert 0 < found["costSummary"]["total"]["cost"] < 0.5
    spans = [edge["node"] for edge in found["spans"]["edges"]]
    assert {span["name"]: span["cumulativeTokenCountTotal"] for span in spans} == {
        "digest": 136,
        "each": 136,
        "iteration[0]": 68,
        "iteration[1]": 68,
        "ask": 68,
        "search": 0,
    }
    assert {span["trace"]["session"]["sessionId"] for span in spans} == {"session-1"}


def test_phoenix_understands_pydantic_ai(store: TraceStore, project: Project) -> None:
    """GenAI spans: agent, model calls with their messages, tool; the agent's sum is not added."""
    run_agent(store, Destination("phoenix", endpoint=project.endpoint, project=project.name))
    spans = in_phoenix(project, 4)
    assert [spans[name]["span_kind"] for name in AGENT_SPANS] == ["AGENT", "LLM", "TOOL"]
    chat = spans["chat test"]["attributes"]
    assert (chat["llm.model_name"], chat["llm.provider"]) == ("test", "test")
    assert chat["llm.token_count.prompt"] == chat["gen_ai.usage.input_tokens"]
    assert chat["llm.input_messages.0.message.content"] == "How warm is it?"
    assert "Degrees Celsius" in chat["llm.tools.0.tool.json_schema"]
    assert spans["execute_tool temperature"]["attributes"]["output.value"] == "20.5"
    assert chat["session.id"] == chat["gen_ai.conversation.id"]
    calls = [span for span in project.raw_spans() if span["span_kind"] == "LLM"]
    total = sum(call["attributes"]["llm.token_count.total"] for call in calls)
    eventually(lambda: summed(project)["tokenCountTotal"] == total, 60.0, what="Phoenix's sum")


def test_phoenix_shows_messages_of_events(store: TraceStore, project: Project) -> None:
    """As those of attributes: role and content of each."""
    say_by_events(store, Destination("phoenix", endpoint=project.endpoint, project=project.name))
    shown = in_phoenix(project, 1)["chat gpt-4o"]["attributes"]
    kinds = ("input_messages.0", "input_messages.1", "output_messages.0")
    said = [(shown[f"llm.{at}.message.role"], shown[f"llm.{at}.message.content"]) for at in kinds]
    assert said == [("system", "Be brief."), ("user", "Why?"), ("assistant", "Because.")]


AGENT_SPANS = ("invoke_agent weather", "chat test", "execute_tool temperature")


# ------------------------------------------------------------------ MLflow


def in_mlflow(experiment: Experiment, count: int) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The one trace's info, and its spans' attributes by name."""

    def look() -> dict[str, Any] | None:
        traces = experiment.traces()
        return traces[0] if traces and len(traces[0]["spans"]) == count else None

    trace = eventually(look, what=f"{count} spans")
    spans = {span["name"]: _attributes(span) for span in trace["spans"]}
    return trace["trace_info"], spans


def _attributes(span: dict[str, Any]) -> dict[str, Any]:
    parsed = ParseDict(span, Span())
    return {one.key: value_of(one.value) for one in parsed.attributes}


def test_mlflow_shows_types_inputs_and_outputs(store: TraceStore, experiment: Experiment) -> None:
    """As values, not as quoted JSON."""
    run_workflow(
        store, "mlflow", {"endpoint": experiment.endpoint, "experiment_id": experiment.experiment_id}
    )
    _, spans = in_mlflow(experiment, 7)
    assert {name: span["mlflow.spanType"] for name, span in spans.items()} == {
        "digest": "CHAIN",
        "each": "CHAIN",
        "iteration[0]": "CHAIN",
        "iteration[1]": "CHAIN",
        "ask": "CHAT_MODEL",
        "search": "TOOL",
    }
    assert spans["digest"]["mlflow.spanInputs"] == {"q": "Why?"}
    assert spans["digest"]["mlflow.spanOutputs"] == {"a": 42}
    assert spans["iteration[1]"]["mlflow.spanInputs"] == {"item": "b"}
    assert spans["ask"]["mlflow.spanInputs"] == {"messages": MESSAGES}
    assert spans["ask"]["mlflow.llm.model"] == "gpt-4o"


def test_mlflow_keeps_images_whole(store: TraceStore, experiment: Experiment) -> None:
    """A part of the user's message, as its documentation has it, with the data URL."""
    ask_about_image(
        store, "mlflow", {"endpoint": experiment.endpoint, "experiment_id": experiment.experiment_id}
    )
    (span,) = in_mlflow(experiment, 1)[1].values()
    assert span["mlflow.spanInputs"]["messages"][1] == {
        "role": "user",
        "content": [
            {"type": "text", "text": "Why?"},
            {"type": "image_url", "image_url": {"url": IMAGE_URL}},
        ],
    }


def test_mlflow_counts_tokens_and_cost_once(store: TraceStore, experiment: Experiment) -> None:
    """Of the trace, with its tags, name, user and session."""
    run_workflow(
        store, "mlflow", {"endpoint": experiment.endpoint, "experiment_id": experiment.experiment_id}
    )
    info, spans = in_mlflow(experiment, 7)
    metadata = info["trace_metadata"]
    assert json.loads(metadata["mlflow.trace.tokenUsage"]) == {
        "input_tokens": 98,
        "output_tokens": 38,
        "total_tokens": 136,
    }
    assert json.loads(metadata["mlflow.trace.cost"])["total_cost"] == 0.5
    assert (metadata["mlflow.trace.user"], metadata["mlflow.trace.session"]) == ("ada", "session-1")
    assert {key: info["tags"][key] for key in ("prod", "team", "mlflow.traceName")} == {
        "prod": "true",
        "team": "search",
        "mlflow.traceName": "digest",
    }
    assert spans["ask"]["mlflow.chat.tokenUsage"]["total_tokens"] == 68


def test_mlflow_understands_pydantic_ai(store: TraceStore, experiment: Experiment) -> None:
    """Agent, model calls and tool; tokens are those of the calls."""
    run_agent(
        store,
        Destination("mlflow", endpoint=experiment.endpoint, experiment_id=experiment.experiment_id),
    )
    info, spans = in_mlflow(experiment, 4)
    assert [spans[name]["mlflow.spanType"] for name in AGENT_SPANS] == ["AGENT", "CHAT_MODEL", "TOOL"]
    (offered,) = spans["chat test"]["mlflow.chat.tools"]
    assert (offered["type"], offered["function"]["name"]) == ("function", "temperature")
    assert spans["execute_tool temperature"]["mlflow.spanOutputs"] == 20.5
    agent = spans["invoke_agent weather"]
    usage = json.loads(info["trace_metadata"]["mlflow.trace.tokenUsage"])
    assert usage["input_tokens"] == agent["gen_ai.aggregated_usage.input_tokens"]
    assert usage["output_tokens"] == agent["gen_ai.aggregated_usage.output_tokens"]


def test_mlflow_shows_messages_of_events(store: TraceStore, experiment: Experiment) -> None:
    """As the inputs and outputs of its model call."""
    say_by_events(
        store, Destination("mlflow", endpoint=experiment.endpoint, experiment_id=experiment.experiment_id)
    )
    (span,) = in_mlflow(experiment, 1)[1].values()
    assert [one["content"] for one in span["mlflow.spanInputs"]] == ["Be brief.", "Why?"]
    assert [one["content"] for one in span["mlflow.spanOutputs"]] == ["Because."]


# ------------------------------------------------------------------ Jaeger


def tags_of(span: dict[str, Any]) -> dict[str, Any]:
    """By key."""
    return {tag["key"]: tag["value"] for tag in span["tags"]}


def test_jaeger_shows_tags_errors_and_the_tree(store: TraceStore, jaeger: Jaeger) -> None:
    """No dialect: a node's columns as tags, its error as Jaeger's own, each pass between the loop and its node."""
    run_workflow(store, "jaeger", {"endpoint": jaeger.endpoint})
    spans = eventually(lambda: found if len(found := jaeger.shown()) == 7 else None, what="7 spans")
    names = {span["spanID"]: span["operationName"] for span in spans}
    edges = [
        (
            span["operationName"],
            *(names[one["spanID"]] for one in span["references"] if one["refType"] == "CHILD_OF"),
        )
        for span in spans
    ]
    assert sorted(edges) == [
        ("ask", "iteration[0]"),
        ("ask", "iteration[1]"),
        ("digest",),
        ("each", "digest"),
        ("iteration[0]", "each"),
        ("iteration[1]", "each"),
        ("search", "digest"),
    ]
    by_name = {span["operationName"]: tags_of(span) for span in spans}
    assert {name: tags.get("error") for name, tags in by_name.items() if "error" in tags} == {"search": True}
    assert by_name["search"]["otel.status_description"] == "TimeoutError: 5 s"
    ask, root = by_name["ask"], by_name["digest"]
    assert (ask["span.kind"], ask["gen_ai.request.model"], ask["gen_ai.usage.input_tokens"]) == (
        "client",
        "gpt-4o",
        49,
    )
    assert ask["hush.node.name"] == "digest.each.ask"
    assert json.loads(ask["input.value"]) == {"messages": MESSAGES}
    assert (root["user.id"], root["session.id"]) == ("ada", "session-1")
    assert json.loads(root["output.value"]) == {"a": 42}
