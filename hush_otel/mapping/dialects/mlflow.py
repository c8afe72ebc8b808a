"""MLflow: span types, inputs and outputs as values, and the trace's tags on the root.

Sources: MLflow's mlflow/tracing/constant.py, tracing/otel/translation, the OTLP path of its tracking store;
MLflow documentation, "Multimodal Content": images are parts ``image_url`` of chat messages, with data URLs.
The server encodes every attribute that it receives as JSON once more: a JSON text would show as a quoted
string, so inputs, outputs, usage and cost go as OTLP lists and maps. It adds up a trace's usage itself, and
reads ``gen_ai.usage.*`` and ``llm.token_count.*`` of any span without a usage of its own.
"""

from __future__ import annotations

from typing import Any, Final

from hush_otel.model import AttributeValue, SpanData

from .content import parsed
from .images import Images, images_of, in_chat
from .meaning import Meaning
from .tools import tools_of

TYPES: Final = {
    "llm": "CHAT_MODEL",
    "embedding": "EMBEDDING",
    "tool": "TOOL",
    "agent": "AGENT",
    "retriever": "RETRIEVER",
    "reranker": "RERANKER",
    "guardrail": "GUARDRAIL",
    "evaluator": "EVALUATOR",
    "chain": "CHAIN",
}
TAG: Final = "mlflow.traceTag."
PLAIN_TAG: Final = "true"
"""MLflow's tags have a key and a value; of a tag like ``env:prod`` the part before the colon is the key."""


def mlflow(span: SpanData, meaning: Meaning) -> dict[str, AttributeValue]:
    """The attributes that MLflow's server reads."""
    images = images_of(span) if meaning.kind == "llm" else Images([], [])
    found: dict[str, Any] = {
        "mlflow.spanType": TYPES.get(meaning.kind),
        "mlflow.spanInputs": in_chat(_value(span, "input", meaning.input), images.input, "user"),
        "mlflow.spanOutputs": in_chat(_value(span, "output", meaning.output), images.output, "assistant"),
        **_call(meaning),
        "mlflow.chat.tools": (tools_of(span.attributes) or None) if meaning.kind == "llm" else None,
        "user.id": meaning.user_id,
        "session.id": meaning.session_id,
    }
    if span.parent_span_id is None:
        found.update(_trace(meaning))
    return {key: value for key, value in found.items() if value is not None}


def _value(span: SpanData, side: str, text: str | None) -> Any:
    """What a text holds, unless it says that it is no more than text: an answer ``1.10`` is no number."""
    if text is None or span.attributes.get(f"{side}.mime_type") == "text/plain":
        return text
    return parsed(text)


def _call(meaning: Meaning) -> dict[str, Any]:
    if not meaning.counts:
        return {"mlflow.chat.tokenUsage": {}} if meaning.tokens is not None else {}
    cost = meaning.cost_usd
    return {
        "mlflow.llm.model": meaning.model,
        "mlflow.llm.provider": meaning.provider,
        "mlflow.chat.tokenUsage": _usage(meaning),
        "mlflow.llm.cost": None if cost is None else {"total_cost": cost},
    }


def _usage(meaning: Meaning) -> dict[str, int] | None:
    tokens = meaning.tokens
    if tokens is None:
        return None
    counts = {
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "total_tokens": tokens.total,
        "cache_read_input_tokens": tokens.cache_read or None,
        "cache_creation_input_tokens": tokens.cache_write or None,
    }
    return {name: count for name, count in counts.items() if count is not None}


def _trace(meaning: Meaning) -> dict[str, Any]:
    found: dict[str, Any] = {TAG + "mlflow.traceName": meaning.workflow_name}
    for tag in meaning.tags:
        key, colon, value = tag.partition(":")
        found[TAG + key] = value if colon else PLAIN_TAG
    return found
