"""OpenInference: Phoenix and Arize, and many who read it.

Sources: OpenInference semantic conventions (spec/semantic_conventions.md, spec/multimodal_attributes.md).
``graph.node.*`` draws a workflow's nodes; tokens stand on model calls only, since Phoenix adds up what it
finds below a span. Images are parts of messages, so that only model calls can have them.
"""

from __future__ import annotations

from typing import Any, Final

from hush_otel.mapping.jsontext import json_text
from hush_otel.model import AttributeValue, SpanData

from .content import is_json
from .images import images_of
from .meaning import Meaning
from .messages import flat, input_messages, output_messages, with_images
from .tools import tools_of

_KINDS: Final = frozenset(
    {
        *("llm", "embedding", "tool", "agent", "retriever", "reranker"),
        *("guardrail", "evaluator", "prompt", "chain"),
    }
)
_MODEL_KEYS: Final = {"embedding": "embedding.model_name", "reranker": "reranker.model_name"}


def openinference(span: SpanData, meaning: Meaning) -> dict[str, AttributeValue]:
    """The attributes of OpenInference."""
    found: dict[str, Any] = {
        "openinference.span.kind": meaning.kind.upper() if meaning.kind in _KINDS else None,
        **_content("input", meaning.input),
        **_content("output", meaning.output),
        **_call(span, meaning),
        **_tool(span, meaning),
        **_graph(meaning),
        "user.id": meaning.user_id,
        "session.id": meaning.session_id,
        "metadata": json_text(meaning.metadata) if meaning.metadata else None,
        "tag.tags": list(meaning.own_tags) or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _content(side: str, text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    kind = "application/json" if is_json(text) else "text/plain"
    return {f"{side}.value": text, f"{side}.mime_type": kind}


def _call(span: SpanData, meaning: Meaning) -> dict[str, Any]:
    """What a model call has. Of a node trace that is none only what it counts."""
    found: dict[str, Any] = {}
    if meaning.counts:
        found[_MODEL_KEYS.get(meaning.kind, "llm.model_name")] = meaning.model
        found["llm.cost.total"] = meaning.cost_usd
        found.update(_tokens(meaning))
    if meaning.kind == "llm":
        found["llm.provider"] = meaning.provider
        found["llm.invocation_parameters"] = json_text(meaning.parameters) if meaning.parameters else None
        for number, tool in enumerate(tools_of(span.attributes)):
            found[f"llm.tools.{number}.tool.json_schema"] = json_text(tool)
        images = images_of(span)
        for prefix, messages in (
            (
                "llm.input_messages",
                with_images(input_messages(span.attributes, meaning), images.input, "user"),
            ),
            (
                "llm.output_messages",
                with_images(output_messages(span.attributes, meaning), images.output, "assistant"),
            ),
        ):
            if not any(key.startswith(prefix + ".") for key in span.attributes):
                found.update(flat(prefix, messages))
    return found


def _tokens(meaning: Meaning) -> dict[str, Any]:
    tokens = meaning.tokens
    if tokens is None:
        return {}
    return {
        "llm.token_count.prompt": tokens.input,
        "llm.token_count.completion": tokens.output,
        "llm.token_count.total": tokens.total,
        "llm.token_count.prompt_details.cache_read": tokens.cache_read or None,
        "llm.token_count.prompt_details.cache_write": tokens.cache_write or None,
        "llm.token_count.completion_details.reasoning": tokens.reasoning or None,
    }


def _tool(span: SpanData, meaning: Meaning) -> dict[str, Any]:
    if meaning.kind != "tool":
        return {}
    name = span.attributes.get("gen_ai.tool.name", span.name)
    return {"tool.name": name, "tool.description": span.attributes.get("gen_ai.tool.description")}


def _graph(meaning: Meaning) -> dict[str, Any]:
    name = meaning.node.get("node.name")
    if not isinstance(name, str):
        return {}
    return {
        "graph.node.id": name,
        "graph.node.name": name.rpartition(".")[2] or name,
        "graph.node.parent_id": meaning.node.get("node.parent_name"),
    }
