"""Each vendor's documented rules, one test a rule. Sources stand in `hush_otel/mapping/dialects/*.py`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dialect_samples import CHAT, REQUEST, SAMPLES, node, span

from hush_otel.mapping.dialects.catalogue import dialect_named, translated
from hush_otel.model import RequestFacts, SpanData, SpanFacts
from hush_otel.presets import DIALECTS as ALL

DIALECTS = [name for name in ALL if name != "none"]
KIND = "openinference.span.kind"


def sent(dialect: str, one: SpanData) -> dict[str, Any]:
    """All attributes that leave for a vendor."""
    found = dialect_named(dialect)
    assert found is not None
    return translated(found, one).attributes


def langfuse(one: SpanData) -> dict[str, Any]:
    """Langfuse's view of a span's observation, JSON decoded."""
    attributes = sent("langfuse", one)
    prefix = "langfuse.observation."
    found = {key.removeprefix(prefix): value for key, value in attributes.items() if key.startswith(prefix)}
    for key in ("usage_details", "cost_details", "model.parameters"):
        if key in found:
            found[key] = json.loads(found[key])
    return found


# ------------------------------------------------------------------ Langfuse


@pytest.mark.parametrize("sample", SAMPLES)
def test_langfuse_every_span_has_an_observation_type(sample: str) -> None:
    """Else a span that names a model is taken for a generation."""
    types = {"span", "generation", "event", "embedding", "agent", "tool", "chain", "retriever", "guardrail"}
    assert langfuse(SAMPLES[sample])["type"] in types | {"evaluator"}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("LLM", "generation"),
        ("EMBEDDING", "embedding"),
        ("AGENT", "agent"),
        ("TOOL", "tool"),
        ("CHAIN", "chain"),
        ("RETRIEVER", "retriever"),
        ("GUARDRAIL", "guardrail"),
        ("EVALUATOR", "evaluator"),
        ("RERANKER", "span"),
        ("PROMPT", "span"),
    ],
)
def test_langfuse_openinference_kinds_are_observation_types(kind: str, expected: str) -> None:
    """Langfuse has ten types; what it has none for is a span."""
    assert langfuse(span("x", {KIND: kind}))["type"] == expected


def test_langfuse_a_type_that_was_set_stays() -> None:
    """An observation of Langfuse's own SDK is as its author said."""
    one = span("x", {"langfuse.observation.type": "event", KIND: "LLM"})
    assert langfuse(one)["type"] == "event"


def test_langfuse_usage_buckets_exclude_each_other() -> None:
    """Cached input and reasoning are not part of input and output; the total is the whole."""
    assert langfuse(SAMPLES["genai: chat"])["usage_details"] == {
        "input": 100,
        "input_cached_tokens": 200,
        "output": 20,
        "output_reasoning_tokens": 10,
        "total": 330,
    }


def test_langfuse_cache_writes_have_their_bucket() -> None:
    """As Langfuse names it."""
    one = span(
        "chat x",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 1,
            "gen_ai.usage.cache_creation.input_tokens": 60,
        },
    )
    assert langfuse(one)["usage_details"] == {
        "input": 40,
        "input_cache_creation": 60,
        "output": 1,
        "total": 101,
    }


def test_langfuse_an_agents_sum_is_taken_out() -> None:
    """Langfuse reads gen_ai.usage.* of any span: an empty usage of its own stands against it."""
    found = langfuse(SAMPLES["genai: agent with its calls' sum"])
    assert found["usage_details"] == {}
    assert found["cost_details"] == {}
    assert "model.name" not in found


def test_langfuse_a_plain_span_has_no_usage_at_all() -> None:
    """Nothing is taken out where nothing would be read."""
    assert "usage_details" not in langfuse(SAMPLES["plain: http"])


def test_langfuse_every_node_traces_tokens_count() -> None:
    """As in the seed's totals, whatever the node's type is."""
    one = node(node_type="code", prompt_tokens=3, completion_tokens=4, total_tokens=7, cost_usd=0.5)
    found = langfuse(one)
    assert found["usage_details"] == {"input": 3, "output": 4, "total": 7}
    assert found["cost_details"] == {"total": 0.5}


@pytest.mark.parametrize("sample", SAMPLES)
def test_langfuse_trace_keys_stand_on_every_span(sample: str) -> None:
    """Name, tags, user, session and metadata."""
    found = sent("langfuse", SAMPLES[sample])
    assert found["langfuse.trace.name"] == "digest"
    assert found["langfuse.trace.tags"] == ["prod", "team:search"]
    assert (found["user.id"], found["session.id"]) == ("ada", "session-1")
    assert found["langfuse.trace.metadata.request_id"] == "run-1"


def test_langfuse_the_roots_metadata_is_the_traces() -> None:
    """On every span, where the store shares it; on the root in any case."""
    found = sent("langfuse", SAMPLES["node: root"])
    assert found["langfuse.trace.metadata.tier"] == "gold"
    shared = SpanFacts(request=RequestFacts(metadata='{"tier":"gold","shape":{"w":1}}'))
    found = sent("langfuse", span("x", facts=shared))
    assert found["langfuse.trace.metadata.tier"] == "gold"
    assert found["langfuse.trace.metadata.shape"] == '{"w":1}'


def test_langfuse_errors_have_level_and_message() -> None:
    """The message is the node's error."""
    found = langfuse(SAMPLES["node: failed tool"])
    assert (found["level"], found["status_message"]) == ("ERROR", "TimeoutError: 5 s")
    assert "level" not in langfuse(SAMPLES["node: root"])


def test_langfuse_metadata_can_be_filtered_by() -> None:
    """One key each under langfuse.observation.metadata; what is nested is JSON."""
    found = langfuse(SAMPLES["node: root"])
    assert (found["metadata.tier"], found["metadata.shape"]) == ("gold", '{"w":1}')
    assert found["metadata.node.name"] == "digest"


def test_langfuse_input_and_output_of_any_convention() -> None:
    """OpenInference, GenAI messages and tools, OpenLLMetry."""
    assert langfuse(SAMPLES["openinference: llm"])["output"] == "Because."
    assert json.loads(langfuse(SAMPLES["genai: chat"])["input"])[0]["role"] == "user"
    assert langfuse(SAMPLES["genai: tool"])["output"] == "31 degrees"
    assert langfuse(SAMPLES["traceloop: workflow"])["input"] == '{"topic":"cats"}'


def test_langfuse_model_parameters() -> None:
    """From OpenInference's invocation parameters, or the GenAI request attributes."""
    assert langfuse(SAMPLES["openinference: llm"])["model.parameters"] == {"temperature": 0}
    assert langfuse(SAMPLES["genai: chat"])["model.parameters"] == {"temperature": 0.5}


# ------------------------------------------------------------------ OpenInference


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("chat", "LLM"),
        ("text_completion", "LLM"),
        ("generate_content", "LLM"),
        ("embeddings", "EMBEDDING"),
        ("execute_tool", "TOOL"),
        ("invoke_agent", "AGENT"),
        ("retrieval", "RETRIEVER"),
        ("invoke_workflow", "CHAIN"),
    ],
)
def test_openinference_genai_operations_are_kinds(operation: str, kind: str) -> None:
    """In capitals."""
    assert sent("openinference", span("x", {"gen_ai.operation.name": operation}))[KIND] == kind


def test_openinference_content_has_a_mime_type() -> None:
    """JSON objects and lists are application/json, all else text."""
    found = sent("openinference", SAMPLES["genai: tool"])
    assert (found["input.value"], found["input.mime_type"]) == ('{"city":"Hanoi"}', "application/json")
    assert (found["output.value"], found["output.mime_type"]) == ("31 degrees", "text/plain")


def test_openinference_genai_messages_become_flat_keys() -> None:
    """With tool calls; llm.input_messages.N.message.role and .content."""
    found = sent("openinference", SAMPLES["genai: chat"])
    assert found["llm.input_messages.0.message.content"] == "Weather in Hanoi?"
    call = "llm.output_messages.0.message.tool_calls.0.tool_call."
    assert found[call + "function.name"] == "weather"
    assert json.loads(found[call + "function.arguments"]) == {"city": "Hanoi"}
    assert found[call + "id"] == "c1"


def test_openinference_a_nodes_messages_are_messages() -> None:
    """{"messages": […]} as input; one message, a text, or an object with the text as its content, as output."""
    found = sent("openinference", SAMPLES["node: model call"])
    assert found["llm.input_messages.1.message.content"] == "Why?"
    assert found["llm.output_messages.0.message.role"] == "assistant"
    found = sent("openinference", node(node_type="llm", input_data="Why?", output_data="Because."))
    assert found["llm.input_messages.0.message.content"] == "Why?"
    assert found["llm.output_messages.0.message.content"] == "Because."
    content = {"content": "Because.", "model": "m"}
    found = sent("openinference", node(node_type="llm", input_data="Why?", output_data=content))
    assert found["llm.output_messages.0.message.role"] == "assistant"
    assert found["llm.output_messages.0.message.content"] == "Because."


def test_openinference_each_answer_of_a_tool_is_a_message() -> None:
    """With the role tool and the id of its call, as OpenAI has it; the GenAI conventions put them into one."""
    answers = [
        {"type": "tool_call_response", "id": "c1", "result": 20.5},
        {"type": "tool_call_response", "id": "c2", "response": {"a": 1}},
        {"type": "text", "content": "Go on."},
    ]
    given = json.dumps([{"role": "user", "parts": answers}])
    found = sent("openinference", span("x", {KIND: "LLM", "gen_ai.input.messages": given}))
    at = "llm.input_messages"
    assert [found[f"{at}.{n}.message.role"] for n in range(3)] == ["tool", "tool", "user"]
    assert [found[f"{at}.{n}.message.content"] for n in range(3)] == ["20.5", '{"a":1}', "Go on."]
    assert [found.get(f"{at}.{n}.message.tool_call_id") for n in range(3)] == ["c1", "c2", None]


def test_openinference_messages_that_are_there_are_not_mixed_with_others() -> None:
    """A second list of messages would interleave with the first."""
    one = span(
        "x",
        {KIND: "LLM", "llm.input_messages.0.message.role": "user", "gen_ai.input.messages": json.dumps(CHAT)},
    )
    assert "llm.input_messages.1.message.role" not in sent("openinference", one)


def test_openinference_token_details() -> None:
    """cache_read, cache_write and reasoning are parts of prompt and completion."""
    found = sent("openinference", SAMPLES["genai: chat"])
    assert found["llm.token_count.prompt"] == 300
    assert found["llm.token_count.total"] == 330
    assert found["llm.token_count.prompt_details.cache_read"] == 200
    assert found["llm.token_count.completion_details.reasoning"] == 10


def test_openinference_an_agents_sum_gets_no_token_counts() -> None:
    """Phoenix adds up what it finds below a span."""
    found = sent("openinference", SAMPLES["genai: agent with its calls' sum"])
    assert not [key for key in found if key.startswith("llm.")]


def test_openinference_nodes_make_a_graph() -> None:
    """graph.node.id, name and parent_id are the node's."""
    found = sent("openinference", SAMPLES["node: model call"])
    assert (found["graph.node.id"], found["graph.node.name"]) == ("digest.ask", "ask")
    assert found["graph.node.parent_id"] == "digest"


def test_openinference_embeddings_have_their_own_model_key() -> None:
    """embedding.model_name."""
    one = span("embeddings e", {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e"})
    assert sent("openinference", one)["embedding.model_name"] == "e"


def test_openinference_user_session_and_tags() -> None:
    """user.id, session.id and tag.tags, a list."""
    found = sent("openinference", SAMPLES["plain: http"])
    assert (found["user.id"], found["session.id"]) == ("ada", "session-1")
    assert found["tag.tags"] == ["prod", "team:search"]


# ------------------------------------------------------------------ MLflow


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("LLM", "CHAT_MODEL"),
        ("CHAIN", "CHAIN"),
        ("TOOL", "TOOL"),
        ("AGENT", "AGENT"),
        ("RETRIEVER", "RETRIEVER"),
        ("RERANKER", "RERANKER"),
        ("EMBEDDING", "EMBEDDING"),
        ("GUARDRAIL", "GUARDRAIL"),
        ("EVALUATOR", "EVALUATOR"),
    ],
)
def test_mlflow_kinds_are_span_types(kind: str, expected: str) -> None:
    """mlflow.entities.SpanType."""
    assert sent("mlflow", span("x", {KIND: kind}))["mlflow.spanType"] == expected


def test_mlflow_inputs_and_outputs_are_values() -> None:
    """The server encodes each attribute as JSON: a JSON text would be encoded twice."""
    found = sent("mlflow", SAMPLES["node: root"])
    assert found["mlflow.spanInputs"] == {"q": "Why?"}
    assert found["mlflow.spanOutputs"] == {"a": 42}
    assert sent("mlflow", SAMPLES["genai: tool"])["mlflow.spanOutputs"] == "31 degrees"


@pytest.mark.parametrize("text", ["1.10", "null", "true", " 12 ", "[1]"])
def test_mlflow_a_text_stays_one(text: str) -> None:
    """What a model has answered is no number, and is not lost, because it reads like JSON."""
    plain = {"input.mime_type": "text/plain", "output.mime_type": "text/plain"}
    found = sent("mlflow", span("x", {"input.value": text, "output.value": text} | plain))
    assert (found["mlflow.spanInputs"], found["mlflow.spanOutputs"]) == (text, text)


def test_mlflow_usage_and_cost_are_maps() -> None:
    """An OTLP kvlist each."""
    found = sent("mlflow", SAMPLES["node: model call"])
    assert found["mlflow.chat.tokenUsage"] == {"input_tokens": 49, "output_tokens": 19, "total_tokens": 68}
    assert found["mlflow.llm.cost"] == {"total_cost": 0.0003}
    assert found["mlflow.llm.model"] == "gpt-4o"


def test_mlflow_an_agents_sum_is_taken_out() -> None:
    """A usage of its own keeps the server from reading gen_ai.usage.*."""
    assert sent("mlflow", SAMPLES["genai: agent with its calls' sum"])["mlflow.chat.tokenUsage"] == {}


def test_mlflow_tags_stand_on_the_root() -> None:
    """mlflow.traceTag.KEY; of a tag with a colon the part before it is the key."""
    found = sent("mlflow", SAMPLES["node: root"])
    assert found["mlflow.traceTag.prod"] == "true"
    assert found["mlflow.traceTag.team"] == "search"
    assert found["mlflow.traceTag.mlflow.traceName"] == "digest"
    child = sent("mlflow", SAMPLES["node: model call"])
    assert not [key for key in child if key.startswith("mlflow.traceTag.")]


# ------------------------------------------------------------------ LangSmith


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("LLM", "llm"),
        ("CHAIN", "chain"),
        ("TOOL", "tool"),
        ("RETRIEVER", "retriever"),
        ("EMBEDDING", "embedding"),
        ("PROMPT", "prompt"),
        ("AGENT", "chain"),
        ("RERANKER", "chain"),
    ],
)
def test_langsmith_kinds_are_run_types(kind: str, expected: str) -> None:
    """Seven run types; an agent is a chain."""
    assert sent("langsmith", span("x", {KIND: kind}))["langsmith.span.kind"] == expected


def test_langsmith_tags_are_one_text() -> None:
    """Comma-separated; a comma within a tag would make two of it."""
    found = sent("langsmith", SAMPLES["node: root"])
    assert found["langsmith.span.tags"] == "prod,team:search"


TAGGED = RequestFacts("digest", ("own", "sister's", "prod"), marked_tags=("prod",))


@pytest.mark.parametrize(
    ("dialect", "key", "text"),
    [
        ("openinference", "tag.tags", False),
        ("langsmith", "langsmith.span.tags", True),
        ("logfire", "logfire.tags", False),
    ],
)
def test_a_spans_tags_are_its_own_and_the_marks(dialect: str, key: str, text: bool) -> None:
    """Where a vendor has tags of spans, another span's are none of it; the root has the request's."""
    facts = SpanFacts(request=TAGGED)
    inner = sent(dialect, span("step", {"langfuse.trace.tags": ["own"]}, facts=facts))[key]
    root = sent(dialect, span("step", {}, facts=facts, parent_span_id=None))[key]
    assert (inner.split(",") if text else inner) == ["own", "prod"]
    assert (root.split(",") if text else root) == ["own", "sister's", "prod"]


def test_tags_of_traces_are_the_requests() -> None:
    """On every span, as Langfuse expects it."""
    inner = span("step", {}, facts=SpanFacts(request=TAGGED))
    assert sent("langfuse", inner)["langfuse.trace.tags"] == ["own", "sister's", "prod"]


def test_langsmith_a_message_is_the_runs_name() -> None:
    """Where the span is named by its template; any other name stays."""
    message = {"logfire.msg_template": "ask {who}", "logfire.msg": "ask ada"}
    assert sent("langsmith", span("ask {who}", message))["langsmith.trace.name"] == "ask ada"
    assert "langsmith.trace.name" not in sent("langsmith", span("ask", message))


def test_langsmith_threads_are_grouped_by_metadata() -> None:
    """langsmith.metadata.session_id, on every run."""
    for one in SAMPLES.values():
        found = sent("langsmith", one)
        assert found["langsmith.metadata.session_id"] == "session-1"
        assert found["langsmith.metadata.user_id"] == "ada"


def test_langsmith_usage_in_the_names_that_it_reads() -> None:
    """gen_ai.usage.input_tokens, output_tokens, total_tokens and the details' reasoning_tokens."""
    found = sent("langsmith", SAMPLES["genai: chat"])
    assert found["gen_ai.usage.input_tokens"] == 300
    assert found["gen_ai.usage.total_tokens"] == 330
    assert found["gen_ai.usage.details.reasoning_tokens"] == 10
    assert found["gen_ai.system"] == "openai"


def test_langsmith_content_is_not_sent_twice() -> None:
    """It reads input.value, GenAI messages and Traceloop's entity input by itself."""
    found = sent("langsmith", SAMPLES["genai: chat"])
    assert "input.value" not in found
    assert sent("langsmith", SAMPLES["langfuse: generation"])["input.value"] == '{"q":1}'


def test_langsmith_cost_is_metadata() -> None:
    """There is no attribute for it."""
    assert sent("langsmith", SAMPLES["node: model call"])["langsmith.metadata.cost_usd"] == 0.0003


# ------------------------------------------------------------------ GenAI, Logfire


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        ("LLM", "chat"),
        ("EMBEDDING", "embeddings"),
        ("TOOL", "execute_tool"),
        ("AGENT", "invoke_agent"),
        ("RETRIEVER", "retrieval"),
        ("CHAIN", None),
    ],
)
def test_genai_kinds_are_operations(kind: str, operation: str | None) -> None:
    """gen_ai.operation.name; a chain within a workflow has none."""
    assert sent("genai", span("x", {KIND: kind})).get("gen_ai.operation.name") == operation


def test_genai_a_root_chain_is_a_workflow() -> None:
    """invoke_workflow, with the workflow's name."""
    found = sent("genai", SAMPLES["node: root"])
    assert found["gen_ai.operation.name"] == "invoke_workflow"
    assert found["gen_ai.workflow.name"] == "digest"


def test_genai_messages_have_parts() -> None:
    """The JSON schema of the conventions, from OpenInference's flat keys and from a node's input."""
    found = sent("genai", SAMPLES["node: model call"])
    assert json.loads(found["gen_ai.input.messages"])[1] == {
        "role": "user",
        "parts": [{"type": "text", "content": "Why?"}],
    }
    found = sent("genai", SAMPLES["openinference: llm"])
    assert json.loads(found["gen_ai.output.messages"])[0]["parts"] == [
        {"type": "tool_call", "id": "c9", "name": "look", "arguments": {"at": 1}}
    ]


def test_genai_tools_and_agents_are_named() -> None:
    """Without the operation that their span's name begins with."""
    assert sent("genai", SAMPLES["node: failed tool"])["gen_ai.tool.name"] == "search"
    assert sent("genai", SAMPLES["genai: agent with its calls' sum"])["gen_ai.agent.name"] == "helper"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("ValueError: too long", "ValueError"),
        ("openai.RateLimitError: slow", "openai.RateLimitError"),
        ("TimeoutError", "TimeoutError"),
        ("it broke", "_OTHER"),
        ("", "_OTHER"),
    ],
)
def test_genai_errors_have_a_type(message: str, expected: str) -> None:
    """error.type is the class, or the conventions' word for none."""
    one = span("x", {KIND: "TOOL"}, status_code=2, status_message=message)
    assert sent("genai", one)["error.type"] == expected


def test_genai_an_agents_sum_is_not_repeated() -> None:
    """An OpenInference agent that carries its calls' tokens gets no gen_ai.usage."""
    tokens = {"llm.token_count.prompt": 5, "llm.token_count.completion": 5}
    one = span("x", {KIND: "AGENT", **tokens}, repeats=True)
    assert not [key for key in sent("genai", one) if key.startswith("gen_ai.usage.")]


PRICED = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 9}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_computed_cost_is_no_given_one(dialect: str) -> None:
    """Vendors have prices of their own; logfire's SDK computes by the same table."""
    facts = SpanFacts(
        node_type="llm",
        model="gpt-4o",
        prompt_tokens=9,
        cost_usd=0.125,
        cost_is_computed=True,
        request=REQUEST,
    )
    attributes = sent(dialect, span("chat gpt-4o", PRICED, facts=facts))
    assert [key for key in attributes if "cost" in key] == (
        ["operation.cost"] if dialect == "logfire" else []
    )


def test_logfire_message_level_tags_and_cost() -> None:
    """logfire.msg, logfire.level_num of an error, logfire.tags, operation.cost."""
    found = sent("logfire", SAMPLES["node: failed tool"])
    assert (found["logfire.msg"], found["logfire.level_num"]) == ("search", 17)
    assert found["logfire.tags"] == ["prod", "team:search"]
    assert sent("logfire", SAMPLES["node: model call"])["operation.cost"] == 0.0003


def test_logfire_says_which_texts_are_json() -> None:
    """logfire.json_schema."""
    schema = json.loads(sent("logfire", SAMPLES["node: root"])["logfire.json_schema"])
    assert schema["properties"]["input.value"] == {"type": "object"}
