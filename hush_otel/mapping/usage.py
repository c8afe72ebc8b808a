"""What a model call consumed, of which provider's model: what a price is asked for by.

Counts include each other, as in the GenAI conventions: `input_tokens` holds cached and audio tokens,
`output_tokens` reasoning. `prices` takes them apart. For each bucket the first key that is present with a
usable count wins, as in `semconv`. Sources of the keys: OpenTelemetry GenAI (``cache_creation`` is the older
name of ``cache_write``), OpenInference, OpenLLMetry's older spellings, pydantic-ai's ``details``, Langfuse's
usage types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from hush_otel.model import AttributeValue

from .semconv import LANGFUSE_USAGE, json_details, token_count

_PROVIDER: Final = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
_RESPONSE_MODEL: Final = "gen_ai.response.model"

_DETAILS: Final = {
    # The names of genai-prices' units, and where conventions count them.
    "cache_read_tokens": (
        "llm.token_count.prompt_details.cache_read",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.details.cache_read_input_tokens",
    ),
    "cache_write_tokens": (
        "llm.token_count.prompt_details.cache_write",
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.details.cache_write_tokens",
        "gen_ai.usage.details.cache_creation_input_tokens",
    ),
    "input_audio_tokens": (
        "llm.token_count.prompt_details.audio",
        "gen_ai.usage.details.input_audio_tokens",
    ),
    "output_audio_tokens": (
        "llm.token_count.completion_details.audio",
        "gen_ai.usage.details.output_audio_tokens",
    ),
    "output_reasoning_tokens": (
        "llm.token_count.completion_details.reasoning",
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
    ),
}
_LANGFUSE: Final = {
    "cache_read_tokens": (
        *("input_cached_tokens", "input_cache_read", "cache_read_input_tokens"),
        "cached_tokens",
    ),
    "cache_write_tokens": ("input_cache_creation", "cache_creation_input_tokens"),
    "input_audio_tokens": ("input_audio_tokens", "input_audio"),
    "output_audio_tokens": ("output_audio_tokens", "output_audio"),
    "output_reasoning_tokens": ("output_reasoning_tokens", "output_reasoning", "reasoning_tokens"),
}
"""The same in ``langfuse.observation.usage_details``."""

KEYS: Final = frozenset((*_PROVIDER, _RESPONSE_MODEL, LANGFUSE_USAGE)).union(*_DETAILS.values())


class _Plan(NamedTuple):
    """Which of the keys a set of keys has: spans of one instrumentation have the same."""

    providers: tuple[str, ...]
    has_response_model: bool
    details: tuple[tuple[str, str], ...]
    has_langfuse: bool


_plans: dict[tuple[str, ...], _Plan] = {}
MAX_PLANS: Final = 1000
MAX_PLAN_KEYS: Final = 100
"""An app that composes its attributes at random must not fill the memory."""

_NOTHING: Final[dict[str, int]] = {}


class Usage(NamedTuple):
    """Whom to pay, and the parts of the token counts that may have prices of their own.

    Attributes:
        provider: As the span names it; None where it does not.
        response_model: What answered, where the span names it.
        details: Counts above 0 by genai-prices' unit: parts of the whole input and output.
    """

    provider: str | None
    response_model: str | None
    details: dict[str, int]


def usage_of(attributes: Mapping[str, AttributeValue]) -> Usage:
    """The usage that a span with these attributes speaks of."""
    keys = tuple(attributes)
    plan = _plans.get(keys) or _remember(keys)
    provider = model = None
    for key in plan.providers:
        value = attributes[key]
        if value and isinstance(value, str):
            provider = value
            break
    if plan.has_response_model:
        value = attributes[_RESPONSE_MODEL]
        model = value if value and isinstance(value, str) else None
    found = _NOTHING
    if plan.details:
        found = _first_counts(attributes, plan.details)
    if not found and plan.has_langfuse:
        usage = json_details(attributes[LANGFUSE_USAGE])
        for prefix in ("prompt", "completion"):  # OpenAI's own names, which Langfuse takes, too
            inner = usage.get(f"{prefix}_tokens_details")
            usage |= inner if isinstance(inner, dict) else {}
        pairs = tuple((unit, key) for unit, names in _LANGFUSE.items() for key in names if key in usage)
        found = _first_counts(usage, pairs)
    return Usage(provider, model, found)


def _first_counts(values: Mapping[str, object], pairs: tuple[tuple[str, str], ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for unit, key in pairs:
        number = token_count(values[key])
        if number and unit not in found:
            found[unit] = number
    return found


def _remember(attributes: tuple[str, ...]) -> _Plan:
    keys = KEYS.intersection(attributes)
    plan = _Plan(
        tuple(key for key in _PROVIDER if key in keys),
        _RESPONSE_MODEL in keys,
        tuple((unit, key) for unit, names in _DETAILS.items() for key in names if key in keys),
        LANGFUSE_USAGE in keys,
    )
    if len(_plans) >= MAX_PLANS:
        _plans.clear()
    if len(attributes) <= MAX_PLAN_KEYS:
        _plans[attributes] = plan
    return plan
