"""Pydantic Logfire: the GenAI conventions, which its panels read, and its own message, level and tags.

Source: logfire's _internal/constants.py (``logfire.*``); Logfire documentation, "Alternative clients".
``operation.cost`` is what logfire's own SDK computes by genai-prices, the table that is used here.
``logfire.json_schema`` says which texts are JSON, so that they are shown as what they hold.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hush_otel.model import AttributeValue, SpanData

from .content import parsed
from .genai import genai
from .meaning import Meaning

ERROR_LEVEL: Final = 17
"""OpenTelemetry's severity number of ERROR."""

_JSON_KEYS: Final = (
    *("input.value", "output.value", "metadata", "gen_ai.input.messages", "gen_ai.output.messages"),
    *("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
)


def logfire(span: SpanData, meaning: Meaning) -> dict[str, AttributeValue]:
    """The attributes that Logfire reads."""
    found: dict[str, Any] = {
        **genai(span, meaning),
        "logfire.msg": span.name,
        "logfire.tags": list(meaning.own_tags) or None,
        "logfire.level_num": ERROR_LEVEL if meaning.error is not None else None,
        "operation.cost": _cost(meaning),
    }
    found["logfire.json_schema"] = _schema({**found, **span.attributes})
    return {key: value for key, value in found.items() if value is not None}


def _cost(meaning: Meaning) -> float | None:
    if not meaning.counts:
        return None
    return meaning.computed_usd if meaning.cost_usd is None else meaning.cost_usd


def _schema(attributes: dict[str, Any]) -> str | None:
    kinds = {}
    for key in _JSON_KEYS:
        text = attributes.get(key)
        if isinstance(text, str) and text[:1] in {"{", "["}:
            value = parsed(text)
            if not isinstance(value, str):
                kinds[key] = {"type": "object" if isinstance(value, dict) else "array"}
    if not kinds:
        return None
    return msgspec.json.encode({"type": "object", "properties": kinds}).decode()
