"""Span attributes of any instrumentation → the columns that rows are listed and summed by.

For each column the first convention that is present with a usable value wins; conventions are never added
up. Usable: non-empty text; integers from 0 to 2**63 - 1 that are no bool; amounts from 0 to 1e308. Anything
else is treated as absent; text with digits in it is no number.

Conventions (each key names its source): Hush's own; OpenTelemetry GenAI semantic conventions, also their
names of before v1.27; OpenInference; Langfuse; Traceloop's OpenLLMetry; logfire's ``operation.cost``. A
vendor's dialect that is more than other key names is a file of its own beside this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

import msgspec

from hush_otel.model import AttributeValue

MAX_INT: Final = 2**63 - 1
"""SQLite's and OTLP's integers are signed 64 bit."""
MAX_USD: Final = 1e308
"""Amounts beyond it are none: no column could hold the sum of two."""


class Promoted(msgspec.Struct, frozen=True):
    """Column values of one span; None where no convention says anything.

    Attributes:
        model: As requested, else as the response names it.
        prompt_tokens: Including cached ones.
        completion_tokens: Including reasoning.
        total_tokens: As given, else the sum of the two.
        cost_usd: US dollars.
        user_id: Who made the request.
        session_id: The conversation that it belongs to.
        node_type: Lower case: llm, embedding, chain, tool, agent, retriever, reranker, guardrail, …
        request_id: Only when the span names it (``hush.request_id``).
        workflow_name: Only when the span names it; the caller falls back on the root's name.
        cost_source: Where a computed cost comes from (`prices`); None: it was given, or there is none.
        tags: Of the span, by any convention.
        title: What a reader wants to see instead of the span's name: logfire names spans by their template,
            the span of a node trace is named by the last part of the node's name.
    """

    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cost_usd: float | None = None
    user_id: str | None = None
    session_id: str | None = None
    node_type: str | None = None
    request_id: str | None = None
    workflow_name: str | None = None
    cost_source: str | None = None
    tags: tuple[str, ...] = ()
    title: str | None = None


NOTHING: Final = Promoted()
"""Shared by all spans that carry none of the keys."""

_MODEL: Final = (
    "hush.model",
    "gen_ai.request.model",
    "gen_ai.response.model",
    "llm.model_name",  # OpenInference, LLM spans
    "embedding.model_name",  # OpenInference, EMBEDDING spans
    "reranker.model_name",  # OpenInference, RERANKER spans
    "langfuse.observation.model.name",
)
_ASSOCIATED: Final = "traceloop.association.properties."  # OpenLLMetry: what an application has told it
_USER: Final = ("user.id", "enduser.id", "langfuse.user.id", f"{_ASSOCIATED}user_id")
_SESSION: Final = (
    *("session.id", "gen_ai.conversation.id", "langfuse.session.id"),
    f"{_ASSOCIATED}session_id",
)
_REQUEST: Final = ("hush.request_id",)
_WORKFLOW: Final = ("hush.workflow_name", "gen_ai.workflow.name", "traceloop.workflow.name")

_TAGS: Final = ("langfuse.trace.tags", "tag.tags", "logfire.tags", "langsmith.span.tags")
_TAGS_IN_A_TEXT: Final = "langsmith.span.tags"
"""Separated by commas (LangSmith documentation, "Trace with OpenTelemetry"); the others are lists."""
MAX_TAG_CHARS: Final = 200
"""Langfuse's limit. A longer text is none that anybody filters by: it stays an attribute."""

_TITLE: Final = "logfire.msg"
_TEMPLATE: Final = "logfire.msg_template"
_NODE_NAME: Final = "hush.node.name"
"""On the span of a node trace, which may come back from where it was sent."""
MAX_TITLE_CHARS: Final = 255
"""One line; the whole message is an attribute."""

_TOKENS: Final = (
    # (prompt, completion)
    ("llm.token_count.prompt", "llm.token_count.completion"),  # OpenInference
    ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
    ("gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"),  # GenAI before v1.27
    ("llm.usage.prompt_tokens", "llm.usage.completion_tokens"),  # older OpenLLMetry
)
_TOTAL: Final = (
    "llm.token_count.total",  # OpenInference
    "llm.usage.total_tokens",  # OpenLLMetry, beside GenAI's names for the two
    "gen_ai.usage.total_tokens",  # the same, later
)
_COST: Final = ("hush.cost_usd", "llm.cost.total", "gen_ai.usage.cost", "operation.cost")
_COST_PARTS: Final = ("llm.cost.prompt", "llm.cost.completion")
LANGFUSE_USAGE: Final = "langfuse.observation.usage_details"
_LANGFUSE_COST: Final = "langfuse.observation.cost_details"

_KINDS: Final = {
    # Every source's words, lower case. A word that is missing here says nothing.
    "openinference.span.kind": {
        kind: kind
        for kind in (
            *("llm", "chain", "tool", "agent", "retriever", "embedding"),
            *("reranker", "guardrail", "evaluator", "prompt"),
        )
    },
    "gen_ai.operation.name": {
        "chat": "llm",
        "text_completion": "llm",
        "generate_content": "llm",
        "embeddings": "embedding",
        "execute_tool": "tool",
        "invoke_agent": "agent",
        "create_agent": "agent",
        "retrieval": "retriever",
        "invoke_workflow": "chain",
        "plan": "chain",
    },
    "langfuse.observation.type": {
        "generation": "llm",
        **{
            kind: kind
            for kind in (
                *("event", "embedding", "agent", "tool"),
                *("chain", "retriever", "guardrail", "evaluator"),
            )
        },
    },
    "traceloop.span.kind": {"workflow": "chain", "task": "chain", "agent": "agent", "tool": "tool"},
    # OpenLLMetry marks its model calls by this key instead.
    "llm.request.type": {
        "chat": "llm",
        "completion": "llm",
        "embedding": "embedding",
        "rerank": "reranker",
    },
}
_NODE_TYPE: Final = "hush.node.type"
COUNTED: Final = frozenset({"llm", "generation", "embedding"})
"""Node types of model calls."""

_TOKEN_KEYS: Final = frozenset((*_TOTAL, LANGFUSE_USAGE)).union(*_TOKENS)
_COST_KEYS: Final = frozenset((*_COST, *_COST_PARTS, _LANGFUSE_COST))
_KEYS: Final = (
    frozenset((*_MODEL, *_USER, *_SESSION, *_REQUEST, *_WORKFLOW, *_TAGS, _TITLE, _TEMPLATE, _NODE_NAME))
    | _TOKEN_KEYS
    | _COST_KEYS
    | {*_KINDS, _NODE_TYPE}
)


def promote(attributes: Mapping[str, AttributeValue], name: str) -> Promoted:
    """The columns of a span with these attributes.

    Args:
        attributes: As decoded from the spool.
        name: The span's name: ``chat gpt-4o`` tells the kind of a GenAI span that does not (GenAI
            semantic conventions: a span is named ``{operation} {model}``).
    """
    keys = tuple(attributes)
    plan = _plans.get(keys) or _remember(keys)
    if not plan.has_any:
        return NOTHING
    prompt = completion = total = cost = None
    if plan.has_tokens:
        prompt, completion, total = _tokens(attributes, plan)
    if plan.has_cost:
        cost = _cost(attributes)
    model = _first_text(attributes, plan.model)
    return Promoted(
        model,
        prompt,
        completion,
        total,
        cost,
        _first_text(attributes, plan.user),
        _first_text(attributes, plan.session),
        _node_type(attributes, plan.kinds, name) if plan.kinds or model is not None else None,
        _first_text(attributes, plan.request),
        _first_text(attributes, plan.workflow),
        tags=tags_of(attributes, plan.tags) if plan.tags else (),
        title=_title(attributes, name) if plan.has_title else None,
    )


class _Plan(msgspec.Struct, frozen=True):
    """Which keys of each column a set of keys has, in the order of preference.

    Spans of one instrumentation have the same keys: to look only at those takes a third of the time.
    """

    model: tuple[str, ...]
    user: tuple[str, ...]
    session: tuple[str, ...]
    request: tuple[str, ...]
    workflow: tuple[str, ...]
    tokens: tuple[tuple[str, str], ...]
    totals: tuple[str, ...]
    tags: tuple[str, ...]
    has_title: bool
    has_tokens: bool
    kinds: tuple[str, ...]
    has_cost: bool
    has_any: bool


_plans: dict[tuple[str, ...], _Plan] = {}
"""By a span's keys in their order: to find the tuple here takes less time than to look at each."""
MAX_PLANS: Final = 1000
MAX_PLAN_KEYS: Final = 100
"""An app that composes its attributes at random must not fill the memory."""


def _remember(attributes: tuple[str, ...]) -> _Plan:
    plan = _plan(_KEYS.intersection(attributes))
    if len(_plans) >= MAX_PLANS:
        _plans.clear()
    if len(attributes) <= MAX_PLAN_KEYS:
        _plans[attributes] = plan
    return plan


@lru_cache(MAX_PLANS)
def _plan(keys: frozenset[str]) -> _Plan:
    def present(candidates: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(key for key in candidates if key in keys)

    return _Plan(
        present(_MODEL),
        present(_USER),
        present(_SESSION),
        present(_REQUEST),
        present(_WORKFLOW),
        tuple(pair for pair in _TOKENS if not keys.isdisjoint(pair)),
        present(_TOTAL),
        present(_TAGS),
        {_TITLE, _TEMPLATE} <= keys or _NODE_NAME in keys,
        not _TOKEN_KEYS.isdisjoint(keys),
        present((_NODE_TYPE, *_KINDS)),
        not _COST_KEYS.isdisjoint(keys),
        bool(keys),
    )


def _first_text(attributes: Mapping[str, AttributeValue], keys: tuple[str, ...]) -> str | None:
    for key in keys:
        value = attributes[key]
        if value and isinstance(value, str):
            return value
    return None


def _title(attributes: Mapping[str, AttributeValue], name: str) -> str | None:
    """That of a node is its whole name, of which its span's is the last part."""
    node_name = attributes.get(_NODE_NAME)
    if node_name and isinstance(node_name, str):
        return node_name[:MAX_TITLE_CHARS]
    return title_of(attributes, name)


def title_of(attributes: Mapping[str, AttributeValue], name: str) -> str | None:
    """Logfire's message, where the span is named by its template. Other names were chosen, and stay."""
    title = attributes.get(_TITLE)
    if not isinstance(title, str) or attributes.get(_TEMPLATE) != name or title == name:
        return None
    return title[:MAX_TITLE_CHARS] or None


def tags_of(attributes: Mapping[str, AttributeValue], keys: tuple[str, ...] = _TAGS) -> tuple[str, ...]:
    """A span's tags of all conventions, each once, in their order."""
    found: dict[str, None] = {}
    for key in keys:
        value = attributes.get(key)
        if isinstance(value, str):
            value = value.split(",") if key == _TAGS_IN_A_TEXT else [value]
        for tag in value if isinstance(value, (list, tuple)) else ():
            text = tag.strip() if isinstance(tag, str) else ""
            if 0 < len(text) <= MAX_TAG_CHARS:
                found[text] = None
    return tuple(found)


def token_count(value: object) -> int | None:
    """The value, where it can be a count: an integer from 0 to `MAX_INT`, no bool."""
    return value if type(value) is int and 0 <= value <= MAX_INT else None


def amount(value: object) -> float | None:
    """The value, where it can be a number of dollars: from 0 to `MAX_USD`, no bool."""
    if type(value) is float:
        return value if 0 <= value <= MAX_USD else None
    count = token_count(value)
    return None if count is None else float(count)


def _sum_of(*counts: int | None) -> int | None:
    """The sum of those that are known; None when none is, or when 64 bit do not hold it."""
    known = [count for count in counts if count is not None]
    return token_count(sum(known)) if known else None


def _tokens(
    attributes: Mapping[str, AttributeValue], plan: _Plan
) -> tuple[int | None, int | None, int | None]:
    """Prompt, completion and total tokens; the first two by the first convention that gives either."""
    prompt = completion = None
    for prompt_key, completion_key in plan.tokens:
        prompt, completion = (
            token_count(attributes.get(prompt_key)),
            token_count(attributes.get(completion_key)),
        )
        if prompt is not None or completion is not None:
            break
    for key in plan.totals:
        total = token_count(attributes[key])
        if total is not None:
            return prompt, completion, total
    if prompt is None and completion is None:
        return _langfuse_tokens(json_details(attributes.get(LANGFUSE_USAGE)))
    if prompt is None or completion is None:
        return prompt, completion, completion if prompt is None else prompt
    return prompt, completion, token_count(prompt + completion)


def _langfuse_tokens(usage: dict[str, object]) -> tuple[int | None, int | None, int | None]:
    """Langfuse's buckets exclude each other: all whose names include ``input`` make up the prompt.

    OpenAI's names are accepted by Langfuse too; there ``prompt_tokens`` is the sum already.
    """
    prompt = _bucket_sum(usage, "input", "prompt_tokens")
    completion = _bucket_sum(usage, "output", "completion_tokens")
    total = token_count(usage.get("total", usage.get("total_tokens")))
    return prompt, completion, _sum_of(prompt, completion) if total is None else total


def _bucket_sum(usage: dict[str, object], word: str, openai_name: str) -> int | None:
    buckets = _sum_of(*(token_count(usage[key]) for key in usage if word in key))
    return token_count(usage.get(openai_name)) if buckets is None else buckets


def _cost(attributes: Mapping[str, AttributeValue]) -> float | None:
    """US dollars by the first convention that says a total, else the parts' sum."""
    for key in _COST:
        usd = amount(attributes.get(key))
        if usd is not None:
            return usd
    parts = _sum_of_amounts(attributes.get(key) for key in _COST_PARTS)
    return _langfuse_cost(json_details(attributes.get(_LANGFUSE_COST))) if parts is None else parts


def _langfuse_cost(details: dict[str, object]) -> float | None:
    total = amount(details.pop("total", None))
    return _sum_of_amounts(details.values()) if total is None else total


def _sum_of_amounts(values: Iterable[object]) -> float | None:
    known = [usd for value in values if (usd := amount(value)) is not None]
    return amount(sum(known)) if known else None


def json_details(value: object) -> dict[str, object]:
    """Langfuse's JSON object in an attribute; empty when it is none."""
    if not isinstance(value, str):
        return {}
    try:
        return msgspec.json.decode(value, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return {}


def _node_type(attributes: Mapping[str, AttributeValue], keys: tuple[str, ...], name: str) -> str | None:
    """By the first of `keys` whose word is known; the node's own key knows every word."""
    for key in keys:
        word = attributes[key]
        if not word or not isinstance(word, str):
            continue
        if key == _NODE_TYPE:
            return word.strip().lower() or None
        if (kind := _KINDS[key].get(word.lower())) is not None:
            return kind
    if "gen_ai.request.model" in attributes:
        return _KINDS["gen_ai.operation.name"].get(name.partition(" ")[0])
    return None
