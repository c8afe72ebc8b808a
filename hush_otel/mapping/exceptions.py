"""What a recorded exception says (OpenTelemetry semantic conventions, exceptions/exceptions-spans.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from .jsontext import json_text

EVENT: Final = "exception"
"""The name of such an event."""


def words_of(attributes: Mapping[str, Any]) -> str:
    """``KeyError: 'sku'``, of the event's attributes; empty where it says neither.

    Some instrumentations say what failed by this alone. The view `node_traces` has it likewise.
    """
    return ": ".join(filter(None, (part_of(attributes, part) for part in ("type", "message"))))


def words_in(events: str | None) -> str:
    """The same of the first one among a span's events, as they are stored."""
    recorded = msgspec.json.decode(events) if events else ()
    return next((words_of(event["attributes"]) for event in recorded if event["name"] == EVENT), "")


def part_of(attributes: Mapping[str, Any], part: str) -> str:
    """Its ``type``, ``message`` or ``stacktrace``; empty is what nobody said."""
    value = attributes.get(f"exception.{part}")
    return "" if value is None else value if isinstance(value, str) else json_text(value)
