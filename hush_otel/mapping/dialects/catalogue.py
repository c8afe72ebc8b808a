"""The dialects by name, and the one way in which they are applied: what is there already stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec

from hush_otel.model import AttributeValue, SpanData

from .event_messages import attributes_told
from .genai import genai
from .langfuse import langfuse
from .langsmith import langsmith
from .logfire import logfire
from .meaning import Meaning, meaning_of
from .mlflow import mlflow
from .openinference import openinference

Dialect: TypeAlias = Callable[[SpanData, Meaning], Mapping[str, AttributeValue]]
"""What to add to a span. Keys that the span has already may be among it: they are left out."""

_DIALECTS: Final[Mapping[str, Dialect | None]] = {
    "langfuse": langfuse,
    "openinference": openinference,
    "mlflow": mlflow,
    "langsmith": langsmith,
    "logfire": logfire,
    "genai": genai,
    "none": None,
}


def dialect_named(name: str) -> Dialect | None:
    """A dialect of `presets.DIALECTS`; None for ``none``."""
    return _DIALECTS[name]


def additions(dialect: Dialect, span: SpanData) -> dict[str, AttributeValue]:
    """What a dialect adds to a span, without what the span has already."""
    said = _with_events(span)
    added = dialect(said, meaning_of(said))
    return {key: value for key, value in added.items() if key not in span.attributes}


def _with_events(span: SpanData) -> SpanData:
    """The span as a dialect reads it: what only its events say is among its attributes."""
    attributes = attributes_told(span)
    return span if attributes is span.attributes else msgspec.structs.replace(span, attributes=attributes)


def translated(dialect: Dialect, span: SpanData) -> SpanData:
    """A copy of the span with its own attributes first, then what the dialect adds."""
    added = additions(dialect, span)
    return msgspec.structs.replace(span, attributes={**span.attributes, **added}) if added else span
