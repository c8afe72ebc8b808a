"""OpenTelemetry's own semantic conventions for generative AI: for everybody who reads no other.

Source: OpenTelemetry semantic conventions, gen-ai (status: development). They have no attribute for cost or
for the total of tokens.
"""

from __future__ import annotations

import re
from typing import Any, Final

from hush_otel.model import AttributeValue, SpanData

from .meaning import Meaning
from .messages import as_json, input_messages, instructions, output_messages

OPERATIONS: Final = {
    "llm": "chat",
    "embedding": "embeddings",
    "tool": "execute_tool",
    "agent": "invoke_agent",
    "retriever": "retrieval",
}
WORKFLOW: Final = "invoke_workflow"
"""Of a chain without a parent."""

_CLASS: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*)(?::|$)")
OTHER_ERROR: Final = "_OTHER"
"""The conventions' word for an error of no known class (attribute ``error.type``)."""


def genai(span: SpanData, meaning: Meaning) -> dict[str, AttributeValue]:
    """The attributes of the GenAI conventions."""
    found: dict[str, Any] = {
        "gen_ai.operation.name": _operation(span, meaning),
        "gen_ai.conversation.id": meaning.session_id if meaning.kind else None,
        "user.id": meaning.user_id,
        "session.id": meaning.session_id,
        "error.type": None if meaning.error is None else error_type(meaning.error),
    }
    if meaning.counts and (meaning.model or meaning.tokens):
        found["gen_ai.request.model"] = meaning.model
        found["gen_ai.provider.name"] = meaning.provider
        found.update(_usage(meaning))
    if meaning.kind == "llm":
        found.update(_messages(span, meaning))
    elif meaning.kind == "tool":
        found["gen_ai.tool.name"] = _name(span, "execute_tool ")
        found["gen_ai.tool.call.arguments"] = meaning.input
        found["gen_ai.tool.call.result"] = meaning.output
    elif meaning.kind == "agent":
        found["gen_ai.agent.name"] = _name(span, "invoke_agent ")
    if meaning.kind:
        found["gen_ai.workflow.name"] = meaning.workflow_name
    return {key: value for key, value in found.items() if value is not None}


def _name(span: SpanData, operation: str) -> str:
    """The conventions name such spans ``{operation} {name}``."""
    return span.name.removeprefix(operation) or span.name


def _operation(span: SpanData, meaning: Meaning) -> str | None:
    if meaning.kind == "chain" and span.parent_span_id is None:
        return WORKFLOW
    return OPERATIONS.get(meaning.kind)


def _usage(meaning: Meaning) -> dict[str, Any]:
    tokens = meaning.tokens
    if tokens is None:
        return {}
    return {
        "gen_ai.usage.input_tokens": tokens.input,
        "gen_ai.usage.output_tokens": tokens.output,
        "gen_ai.usage.cache_read.input_tokens": tokens.cache_read or None,
        "gen_ai.usage.cache_write.input_tokens": tokens.cache_write or None,
        "gen_ai.usage.reasoning.output_tokens": tokens.reasoning or None,
    }


def _messages(span: SpanData, meaning: Meaning) -> dict[str, Any]:
    given, answered = input_messages(span.attributes, meaning), output_messages(span.attributes, meaning)
    if given and given[0] == instructions(span.attributes):
        given = given[1:]  # they are an attribute of their own, here as there
    return {
        "gen_ai.input.messages": as_json(given) if given else None,
        "gen_ai.output.messages": as_json(answered) if answered else None,
    }


def error_type(message: str) -> str:
    """The class that an error's text begins with: ``ValueError`` of ``ValueError: too long``."""
    found = _CLASS.match(message)
    return found[1] if found and found[1].rpartition(".")[2][:1].isupper() else OTHER_ERROR
