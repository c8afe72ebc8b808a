"""Spans as the relay reads them, of each convention: what dialects are tried with."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from hush_otel.mapping.nodes import node_from_record, promoted_of, span_fields
from hush_otel.mapping.semconv import promote
from hush_otel.model import Origin, RequestFacts, SpanData, SpanFacts

ORIGIN = Origin(resource={"service.name": "shop"}, scope_name="test")
TAGS = ("prod", "team:search")
REQUEST = RequestFacts("digest", TAGS, "ada", "session-1", marked_tags=TAGS)

BASE = SpanData(
    trace_id=bytes(15) + b"\x01",
    span_id=bytes(7) + b"\x02",
    parent_span_id=bytes(7) + b"\x01",
    flags=0x101,
    trace_state="",
    name="step",
    kind=1,
    start_ns=1_000,
    end_ns=2_000,
    status_code=0,
    status_message="",
    attributes={},
    events=[],
    links=[],
    dropped_attributes=0,
    dropped_events=0,
    dropped_links=0,
    origin=ORIGIN,
    request_id="run-1",
)


def span(name: str = "step", attributes: dict[str, Any] | None = None, **fields: Any) -> SpanData:
    """An OTel span, with what the store would know of it."""
    attributes = attributes or {}
    promoted = promote(attributes, name)
    facts = SpanFacts(
        node_type=promoted.node_type,
        model=promoted.model,
        prompt_tokens=promoted.prompt_tokens,
        completion_tokens=promoted.completion_tokens,
        total_tokens=promoted.total_tokens,
        cost_usd=promoted.cost_usd,
        user_id=promoted.user_id,
        session_id=promoted.session_id,
        request=REQUEST,
        repeats=fields.pop("repeats", False),
    )
    values = {"name": name, "attributes": attributes, "facts": facts, **fields}
    return msgspec.structs.replace(BASE, **values)


def node(name: str = "digest.ask", **fields: Any) -> SpanData:
    """A node trace as its span; `fields` are arguments of `insert_node_trace`."""
    parent = fields.pop("parent_name", "digest")
    order = (
        *("context_id", "execution_order", "start_time", "end_time", "duration_ms", "input_data"),
        *("output_data", "user_id", "session_id", "model", "prompt_tokens", "completion_tokens"),
        *("total_tokens", "cost_usd", "contain_generation", "metadata", "node_type", "error"),
    )
    values = [fields.get(field, False if field == "contain_generation" else None) for field in order]
    given = node_from_record(["run-1", "digest", name, parent, *values])
    made, promoted = span_fields(given, 2_000), promoted_of(given)
    return msgspec.structs.replace(
        BASE,
        name=made.name,
        kind=made.kind,
        status_code=made.status_code,
        status_message=made.status_message,
        attributes=made.attributes,
        parent_span_id=BASE.parent_span_id if parent else None,
        facts=SpanFacts(
            is_node=True,
            node_type=promoted.node_type,
            model=promoted.model,
            prompt_tokens=promoted.prompt_tokens,
            completion_tokens=promoted.completion_tokens,
            total_tokens=promoted.total_tokens,
            cost_usd=promoted.cost_usd,
            user_id=promoted.user_id,
            session_id=promoted.session_id,
            request=REQUEST,
        ),
    )


CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
GENAI_INPUT = [{"role": "user", "parts": [{"type": "text", "content": "Weather in Hanoi?"}]}]
GENAI_OUTPUT = [
    {
        "role": "assistant",
        "parts": [{"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Hanoi"}}],
        "finish_reason": "tool_call",
    }
]

SAMPLES = {
    "node: root": node(
        "digest",
        parent_name=None,
        input_data={"q": "Why?"},
        output_data={"a": 42},
        metadata={"tier": "gold", "shape": {"w": 1}},
        node_type="workflow",
    ),
    "node: model call": node(
        input_data={"messages": CHAT},
        output_data={"role": "assistant", "content": "Because."},
        model="gpt-4o",
        prompt_tokens=49,
        completion_tokens=19,
        total_tokens=68,
        cost_usd=0.0003,
        user_id="ada",
        session_id="session-1",
        node_type="llm",
        context_id="[0]",
        execution_order=3,
    ),
    "node: failed tool": node(
        "digest.search", node_type="tool", input_data="cats", error="TimeoutError: 5 s"
    ),
    "node: type of its own": node("digest.rank", node_type="code", input_data=[1, 2], output_data=[2, 1]),
    "genai: agent with its calls' sum": span(
        "invoke_agent helper",
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 300,
            "gen_ai.usage.output_tokens": 30,
        },
        parent_span_id=None,
        repeats=True,
    ),
    "genai: chat": span(
        "chat gpt-4o",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.request.temperature": 0.5,
            "gen_ai.usage.input_tokens": 300,
            "gen_ai.usage.output_tokens": 30,
            "gen_ai.usage.cache_read.input_tokens": 200,
            "gen_ai.usage.reasoning.output_tokens": 10,
            "gen_ai.input.messages": json.dumps(GENAI_INPUT),
            "gen_ai.output.messages": json.dumps(GENAI_OUTPUT),
        },
        kind=3,
    ),
    "genai: tool": span(
        "execute_tool weather",
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "weather",
            "gen_ai.tool.call.arguments": '{"city":"Hanoi"}',
            "gen_ai.tool.call.result": "31 degrees",
        },
    ),
    "openinference: llm": span(
        "ChatCompletion",
        {
            "openinference.span.kind": "LLM",
            "input.value": json.dumps({"messages": CHAT}),
            "input.mime_type": "application/json",
            "output.value": "Because.",
            "llm.model_name": "gpt-4o-mini",
            "llm.provider": "openai",
            "llm.invocation_parameters": '{"temperature":0}',
            "llm.token_count.prompt": 20,
            "llm.token_count.completion": 5,
            "llm.token_count.total": 25,
            "llm.token_count.prompt_details.cache_read": 8,
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "Why?",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c9",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "look",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"at":1}',
        },
    ),
    "traceloop: workflow": span(
        "joke.workflow",
        {
            "traceloop.span.kind": "workflow",
            "traceloop.entity.input": '{"topic":"cats"}',
            "traceloop.entity.output": '"Meow"',
        },
        parent_span_id=None,
    ),
    "langfuse: generation": span(
        "generation",
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.input": '{"q":1}',
            "langfuse.observation.model.name": "gpt-4o",
            "langfuse.observation.usage_details": '{"input":10,"output":5}',
        },
    ),
    "plain: http": span("GET /", {"http.request.method": "GET", "url.path": "/"}, kind=2),
}
