"""Langfuse: observations, and the trace's keys on every span.

Sources: Langfuse documentation, "OpenTelemetry, Property mapping"; Langfuse's OtelIngestionProcessor and
ObservationTypeMapper. Its rules that matter here:

- Without ``langfuse.observation.type`` a span is a generation as soon as it names a model.
- Usage and cost count on whatever observation carries them, and ``gen_ai.usage.*`` and ``llm.token_count.*``
  are read from any span: an agent's sum would be added to its calls'. A usage that is given wins: an empty
  one takes the sum out.
- Usage buckets exclude each other: cached input and reasoning are not part of ``input`` and ``output``.
- Only ``langfuse.trace.metadata.*`` and ``langfuse.observation.metadata.*`` can be filtered by.
- Keys of the trace are expected on every span.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from hush_otel.mapping.jsontext import json_text
from hush_otel.model import AttributeValue, SpanData

from .meaning import Meaning

TYPES: Final = {
    "llm": "generation",
    "embedding": "embedding",
    "tool": "tool",
    "agent": "agent",
    "retriever": "retriever",
    "guardrail": "guardrail",
    "evaluator": "evaluator",
    "chain": "chain",
    "event": "event",
}
"""Kinds that Langfuse has a type for; all others are ``span``."""

_BUCKETS: Final = {
    "input": "input",
    "cache_read": "input_cached_tokens",
    "cache_write": "input_cache_creation",
    "output": "output",
    "reasoning": "output_reasoning_tokens",
}
_OBSERVATION: Final = "langfuse.observation."
NO_USAGE: Final = "{}"


def langfuse(span: SpanData, meaning: Meaning) -> dict[str, AttributeValue]:
    """The attributes that Langfuse reads."""
    found: dict[str, Any] = {
        **_trace(span, meaning),
        _OBSERVATION + "type": TYPES.get(meaning.kind, "span"),
        _OBSERVATION + "input": meaning.input,
        _OBSERVATION + "output": meaning.output,
        _OBSERVATION + "model.name": meaning.model if meaning.counts else None,
        _OBSERVATION + "model.parameters": _parameters(meaning),
        **_usage(span, meaning),
    }
    if meaning.error is not None:
        found[_OBSERVATION + "level"] = "ERROR"
        found[_OBSERVATION + "status_message"] = meaning.error or None
    for key, value in {**meaning.node, **meaning.metadata}.items():
        found[f"{_OBSERVATION}metadata.{key}"] = _plain(value)
    return {key: value for key, value in found.items() if value is not None}


def _trace(span: SpanData, meaning: Meaning) -> dict[str, Any]:
    of_root = meaning.metadata if span.parent_span_id is None else {}
    metadata = {**meaning.trace_metadata, **of_root}
    return {
        **{f"langfuse.trace.metadata.{key}": _plain(value) for key, value in metadata.items()},
        "langfuse.trace.name": meaning.workflow_name,
        "langfuse.trace.tags": list(meaning.tags) or None,
        "langfuse.trace.metadata.request_id": span.request_id,
        "user.id": meaning.user_id,
        "session.id": meaning.session_id,
    }


def _usage(span: SpanData, meaning: Meaning) -> dict[str, Any]:
    if not meaning.counts:
        repeats = meaning.tokens is not None or any(_is_usage(key) for key in span.attributes)
        taken_out = {_OBSERVATION + "usage_details": NO_USAGE, _OBSERVATION + "cost_details": NO_USAGE}
        return taken_out if repeats or meaning.cost_usd is not None else {}
    found: dict[str, Any] = {}
    if meaning.tokens is not None:
        found[_OBSERVATION + "usage_details"] = _json(_buckets(meaning))
    if meaning.cost_usd is not None:
        found[_OBSERVATION + "cost_details"] = _json({"total": meaning.cost_usd})
    return found


def _is_usage(key: str) -> bool:
    return key.startswith(("gen_ai.usage.", "llm.token_count"))


def _buckets(meaning: Meaning) -> dict[str, int]:
    tokens = meaning.tokens
    if tokens is None:
        return {}
    buckets = {_BUCKETS[name]: count for name, count in tokens.exclusive().items()}
    if tokens.total is not None:
        buckets["total"] = tokens.total
    return buckets


def _parameters(meaning: Meaning) -> str | None:
    return _json(meaning.parameters) if meaning.counts and meaning.parameters else None


def _plain(value: object) -> AttributeValue:
    """Metadata can be filtered by where it is plain; the rest is JSON text."""
    return value if isinstance(value, (str, bool, int, float)) else json_text(value)


def _json(value: Mapping[str, Any]) -> str:
    return json_text(msgspec.to_builtins(dict(value)))
