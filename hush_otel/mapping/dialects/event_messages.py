"""Messages that a span's events hold, for spans that have none among their attributes.

Three ways to write them, all of them in use: the event ``gen_ai.content.prompt`` with the attribute
``gen_ai.prompt`` (GenAI semantic conventions up to 1.27), and ``gen_ai.client.inference.operation.details``
with those of a span (from 1.37 on); an event for each message, ``gen_ai.user.message`` and the like,
``gen_ai.choice`` for an answer (1.28 to 1.36), whose fields are attributes or, as JSON, the attribute
``gen_ai.event.content``.

The views `hush_event_texts` and `hush_event_messages` (store/schema.sql) read the same; a test holds them
against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from hush_otel.mapping.jsontext import json_text
from hush_otel.model import AttributeValue, SpanData

from .content import INPUT, INSTRUCTIONS, OUTPUT, SYSTEM, is_json, parsed

Event: TypeAlias = tuple[str, Mapping[str, AttributeValue]]
"""Its name and its attributes."""

ROLES: Final = {
    "gen_ai.system.message": SYSTEM,
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": "assistant",
}
"""Who speaks in an event, unless it says so itself."""
CHOICE: Final = "gen_ai.choice"
BODY: Final = "gen_ai.event.content"
PREFIX: Final = "gen_ai."
"""Of every event that is looked at."""

_SIDES: Final = (
    (INPUT, "gen_ai.prompt.", ("gen_ai.input.messages", "gen_ai.prompt")),
    (OUTPUT, "gen_ai.completion.", ("gen_ai.output.messages", "gen_ai.completion")),
)
"""Where a span has a side of the conversation itself, whole or in parts; where an event has it whole."""


def told(attributes: dict[str, AttributeValue], events: Iterable[Event]) -> dict[str, AttributeValue]:
    """The attributes, and beside them what only the events say of input, output and instructions.

    Args:
        attributes: A span's. What they say is not asked of events. They are not changed: these very ones come
            back where events say nothing more.
        events: In their order.
    """
    saying = [(name, said) for name, said in events if name.startswith(PREFIX)]
    if not saying:
        return attributes
    found: dict[str, AttributeValue] = {}
    for keys, parts, whole in _SIDES:
        if not _says(attributes, keys, parts):
            found.update(_whole(saying, whole) or _messages(saying, whole[0], answers=keys is OUTPUT))
    if attributes.get(INSTRUCTIONS) is None:
        found.update(_whole(saying, (INSTRUCTIONS,)))
    return {**attributes, **found} if found else attributes


def attributes_told(span: SpanData) -> dict[str, AttributeValue]:
    """The same of a stored span."""
    return told(span.attributes, ((event.name, event.attributes) for event in span.events))


def _says(attributes: Mapping[str, AttributeValue], keys: tuple[str, ...], parts: str) -> bool:
    return any(attributes.get(key) is not None for key in keys) or any(
        key.startswith(parts) and key[len(parts) : len(parts) + 1].isdigit() for key in attributes
    )


def _whole(events: list[Event], keys: tuple[str, ...]) -> dict[str, AttributeValue]:
    """The first of these attributes that any event has."""
    for key in keys:
        for _, said in events:
            if said.get(key) is not None:
                return {key: said[key]}
    return {}


def _messages(events: list[Event], key: str, *, answers: bool) -> dict[str, AttributeValue]:
    found = [_message(name, said) for name, said in events if name in ROLES and (name == CHOICE) is answers]
    return {key: json_text(found)} if found else {}


def _message(name: str, attributes: Mapping[str, AttributeValue]) -> dict[str, Any]:
    body = _body(attributes)
    said = _answer(body) if name == CHOICE else body
    role = said.get("role")
    fields = {
        "role": role if isinstance(role, str) else ROLES[name],
        "content": _value(said.get("content")),
        "tool_calls": _value(said.get("tool_calls")),
        "tool_call_id": body.get("id") if ROLES[name] == "tool" else None,
        "finish_reason": body.get("finish_reason"),
    }
    return {field: value for field, value in fields.items() if value is not None}


def _body(attributes: Mapping[str, AttributeValue]) -> Mapping[str, Any]:
    text = attributes.get(BODY)
    body = parsed(text) if isinstance(text, str) else None
    return body if isinstance(body, Mapping) else attributes


def _answer(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message in a choice: an object of its own, or what was said."""
    inner = _value(body.get("message"))
    if inner is None:
        return body
    is_message = isinstance(inner, Mapping) and ("content" in inner or "tool_calls" in inner)
    return inner if is_message else {"content": inner}


def _value(value: Any) -> Any:
    """What a text holds if it is a JSON object or list; else the value."""
    return parsed(value) if isinstance(value, str) and is_json(value) else value
