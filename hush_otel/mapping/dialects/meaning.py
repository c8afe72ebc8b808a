"""What a span means, in whatever convention it was written: read once, for all dialects.

Sources of the keys: OpenTelemetry GenAI semantic conventions and their older names; OpenInference; Langfuse;
OpenLLMetry (``traceloop.*``, ``gen_ai.prompt.N``); pydantic-ai. Where a span has several, the first wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from hush_otel.mapping import exceptions
from hush_otel.mapping.semconv import COUNTED, Promoted, amount, promote, tags_of, token_count
from hush_otel.mapping.usage import Usage, usage_of
from hush_otel.model import NO_FACTS, AttributeValue, SpanData, SpanFacts

from .content import input_of, output_of, parsed

_KINDS: Final = frozenset(
    {
        *("llm", "embedding", "tool", "agent", "retriever", "reranker"),
        *("guardrail", "evaluator", "prompt", "chain", "event"),
    }
)
_WORDS: Final = {"generation": "llm", "retrieval": "retriever", "workflow": "chain"}
"""What people write as a node type, by the word for it here."""

_PARAMETERS: Final = "llm.invocation_parameters"
_REQUEST: Final = "gen_ai.request."
_OURS: Final = "hush."
_SAID_ELSEWHERE: Final = frozenset(
    f"hush.{name}"
    for name in (
        *("request_id", "workflow_name", "start_time", "end_time", "duration_ms"),
        *("contain_generation", "cost_usd"),
    )
)
"""Kept verbatim on a span; vendors have a place of their own for it."""


class Tokens(msgspec.Struct, frozen=True):
    """Counts of a model call; the details are parts of `input` and `output`.

    Attributes:
        input: Including cached ones.
        output: Including reasoning.
    """

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0

    def exclusive(self) -> dict[str, int]:
        """Parts that exclude each other: uncached input, reads, writes, output without reasoning, reasoning.

        A detail that exceeds its whole was not counted in it: some instrumentations of Anthropic's API report
        cached tokens apart. Then the whole is taken for the rest.
        """
        cached, reasoning = self.cache_read + self.cache_write, self.reasoning
        parts = {
            "input": _rest(self.input, cached),
            "cache_read": self.cache_read or None,
            "cache_write": self.cache_write or None,
            "output": _rest(self.output, reasoning),
            "reasoning": reasoning or None,
        }
        return {name: count for name, count in parts.items() if count is not None}


def _rest(whole: int | None, part: int) -> int | None:
    return whole if whole is None or part > whole else whole - part


class Meaning(msgspec.Struct, frozen=True):
    """What is known of a span.

    Attributes:
        kind: llm, embedding, tool, agent, retriever, reranker, guardrail, evaluator, prompt, chain, event;
            empty where nothing tells.
        counts: Whether its tokens and cost count: it is a model call, a node trace, or says what was taken
            where nothing below it does. What only repeats others does not: calls, and what is around them.
        tokens: None when there are none.
        cost_usd: As given. `computed_usd` is by the price table, where none was given.
        input: As text; `output` alike. What is no text is JSON.
        tags: The request's. `own_tags` are the span's, and those that a mark gave to all of the request; the
            root has the request's.
        parameters: Temperature and the like.
        metadata: The user's; `trace_metadata` is the request's, where it is not long.
        node: What only node traces have and no vendor has a place for: ``hush.*`` without the prefix.
        error: None when it has not failed.
    """

    kind: str
    counts: bool
    model: str | None
    provider: str | None
    tokens: Tokens | None
    cost_usd: float | None
    computed_usd: float | None
    user_id: str | None
    session_id: str | None
    workflow_name: str | None
    tags: tuple[str, ...]
    own_tags: tuple[str, ...]
    input: str | None
    output: str | None
    parameters: dict[str, Any]
    metadata: dict[str, Any]
    trace_metadata: dict[str, Any]
    node: dict[str, AttributeValue]
    error: str | None


def meaning_of(span: SpanData) -> Meaning:
    """What a span means; never raises for what is in it."""
    attributes = span.attributes
    facts = span.facts if span.facts is not NO_FACTS else _facts(promote(attributes, span.name))
    kind, usage = _kind(facts, attributes), usage_of(attributes)
    usd, tokens = amount(facts.cost_usd), _tokens(facts, usage)
    says_usage = tokens is not None or usd is not None
    return Meaning(
        kind=kind,
        counts=not facts.repeats and (facts.is_node or kind in COUNTED or says_usage),
        model=facts.model,
        provider=usage.provider,
        tokens=tokens,
        cost_usd=None if facts.cost_is_computed else usd,
        computed_usd=usd if facts.cost_is_computed else None,
        user_id=facts.user_id or facts.request.user_id,
        session_id=facts.session_id or facts.request.session_id,
        workflow_name=facts.request.workflow_name,
        tags=facts.request.tags or tags_of(attributes),
        own_tags=_own_tags(span),
        input=input_of(attributes),
        output=output_of(attributes),
        parameters=_parameters(attributes),
        metadata=_object(attributes.get("metadata")),
        trace_metadata=_object(facts.request.metadata),
        node=_node(attributes),
        error=_error(span),
    )


def _facts(promoted: Promoted) -> SpanFacts:
    """For a span that no store has seen."""
    return SpanFacts(
        node_type=promoted.node_type,
        model=promoted.model,
        prompt_tokens=promoted.prompt_tokens,
        completion_tokens=promoted.completion_tokens,
        total_tokens=promoted.total_tokens,
        cost_usd=promoted.cost_usd,
        user_id=promoted.user_id,
        session_id=promoted.session_id,
    )


def _kind(facts: SpanFacts, attributes: Mapping[str, AttributeValue]) -> str:
    word = facts.node_type or ""
    word = _WORDS.get(word, word)
    if word not in _KINDS:  # a node type of the author's own: the span's kind says what it comes nearest to
        word = str(attributes.get("openinference.span.kind", "")).lower()
    return word if word in _KINDS else ""


def _tokens(facts: SpanFacts, usage: Usage) -> Tokens | None:
    prompt, completion = token_count(facts.prompt_tokens), token_count(facts.completion_tokens)
    total = token_count(facts.total_tokens)
    if prompt is None and completion is None and total is None:
        return None
    return Tokens(
        prompt,
        completion,
        total,
        usage.details.get("cache_read_tokens", 0),
        usage.details.get("cache_write_tokens", 0),
        usage.details.get("output_reasoning_tokens", 0),
    )


def _own_tags(span: SpanData) -> tuple[str, ...]:
    request = span.facts.request
    if span.parent_span_id is None and request.tags:
        return request.tags
    return tuple(dict.fromkeys((*tags_of(span.attributes), *request.marked_tags)))


def _parameters(attributes: Mapping[str, AttributeValue]) -> dict[str, Any]:
    """Temperature and the like."""
    if _PARAMETERS in attributes:
        return _object(attributes[_PARAMETERS])
    return {
        key.removeprefix(_REQUEST): value
        for key, value in attributes.items()
        if key.startswith(_REQUEST) and key != "gen_ai.request.model"
    }


def _object(value: object) -> dict[str, Any]:
    """A JSON object, as text or as it is; empty for anything else."""
    found = parsed(value) if isinstance(value, str) else value
    return dict(found) if isinstance(found, Mapping) else {}


def _node(attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    return {
        key.removeprefix(_OURS): value
        for key, value in attributes.items()
        if key.startswith(_OURS) and key not in _SAID_ELSEWHERE
    }


def _error(span: SpanData) -> str | None:
    if span.status_code != ERROR:
        return None
    recorded = (
        exceptions.words_of(event.attributes) for event in span.events if event.name == exceptions.EVENT
    )
    return span.status_message or next(recorded, "")


ERROR: Final = 2
"""OTLP's status code."""
