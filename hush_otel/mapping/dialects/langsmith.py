"""LangSmith: run types, metadata and tags; the rest by the GenAI conventions, which it reads.

Source: LangSmith documentation, "Trace with OpenTelemetry", the tables of attributes. Threads are grouped by
the metadata ``session_id``. It reads ``input.value`` and ``output.value`` as they are, so that no content is
sent twice. It has no attribute for cost, and none for instructions that stand apart from the messages: those
are metadata. ``gen_ai.tool.definitions`` is what its own SDK writes (langsmith/_internal/otel).
"""

from __future__ import annotations

from typing import Any, Final

from hush_otel.mapping.jsontext import json_text
from hush_otel.mapping.semconv import title_of
from hush_otel.model import AttributeValue, SpanData

from .content import instructions_of
from .genai import OPERATIONS
from .meaning import Meaning

KINDS: Final = {
    "llm": "llm",
    "embedding": "embedding",
    "tool": "tool",
    "retriever": "retriever",
    "prompt": "prompt",
}
"""Kinds that LangSmith has a run type for; all others that are known are ``chain``."""

_METADATA: Final = "langsmith.metadata."
_READS_INPUT: Final = ("input.value", "gen_ai.input.messages", "traceloop.entity.input", "gen_ai.prompt")
_READS_OUTPUT: Final = (
    "output.value",
    "gen_ai.output.messages",
    "traceloop.entity.output",
    "gen_ai.completion",
)


def langsmith(span: SpanData, meaning: Meaning) -> dict[str, AttributeValue]:
    """The attributes that LangSmith reads."""
    metadata = {
        **meaning.node,
        **meaning.metadata,
        "request_id": span.request_id,
        "user_id": meaning.user_id,
        "session_id": meaning.session_id,
        "workflow_name": meaning.workflow_name,
        "cost_usd": meaning.cost_usd if meaning.counts else None,
        "system_instructions": instructions_of(span.attributes),
    }
    found: dict[str, Any] = {
        "langsmith.trace.name": title_of(span.attributes, span.name),
        "langsmith.span.kind": KINDS.get(meaning.kind, "chain") if meaning.kind else None,
        "langsmith.span.tags": ",".join(tag.replace(",", " ") for tag in meaning.own_tags) or None,
        **{_METADATA + key: _plain(value) for key, value in metadata.items()},
        **_content(span, meaning),
        **_call(meaning),
    }
    return {key: value for key, value in found.items() if value is not None}


def _content(span: SpanData, meaning: Meaning) -> dict[str, Any]:
    """Only where LangSmith would find nothing."""
    keys = span.attributes
    return {
        "input.value": None if any(key in keys for key in _READS_INPUT) else meaning.input,
        "output.value": None if any(key in keys for key in _READS_OUTPUT) else meaning.output,
    }


def _call(meaning: Meaning) -> dict[str, Any]:
    if not meaning.counts:
        return {}
    tokens = meaning.tokens
    return {
        "gen_ai.operation.name": OPERATIONS.get(meaning.kind),
        "gen_ai.system": meaning.provider,
        "gen_ai.request.model": meaning.model,
        "gen_ai.usage.input_tokens": tokens.input if tokens else None,
        "gen_ai.usage.output_tokens": tokens.output if tokens else None,
        "gen_ai.usage.total_tokens": tokens.total if tokens else None,
        "gen_ai.usage.details.reasoning_tokens": (tokens.reasoning or None) if tokens else None,
    }


def _plain(value: object) -> AttributeValue:
    return value if value is None or isinstance(value, (str, bool, int, float)) else json_text(value)
