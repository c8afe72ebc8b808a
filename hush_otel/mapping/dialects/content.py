"""What went into a span and what came out of it, as text: whichever convention says it, the first of them.

The view `node_traces` (store/schema.sql) reads the same keys in the same order; a test holds the two against
each other. Instructions stand apart from the messages (GenAI semantic conventions: the attribute
``gen_ai.system_instructions`` has the parts of a system message): they go before them, as the model got them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from hush_otel.mapping.jsontext import json_text
from hush_otel.model import AttributeValue

INPUT: Final = (
    *("input.value", "gen_ai.input.messages", "gen_ai.tool.call.arguments", "langfuse.observation.input"),
    *("traceloop.entity.input", "mlflow.spanInputs", "gen_ai.prompt", "pydantic_ai.all_messages"),
    "tool_arguments",
)
OUTPUT: Final = (
    *("output.value", "gen_ai.output.messages", "gen_ai.tool.call.result", "langfuse.observation.output"),
    *("traceloop.entity.output", "mlflow.spanOutputs", "gen_ai.completion", "final_result"),
    "tool_response",
)
INSTRUCTIONS: Final = "gen_ai.system_instructions"
SYSTEM: Final = "system"
"""The role of a message that instructs the model."""


def content_key(keys: Iterable[str], wanted: tuple[str, ...]) -> str | None:
    """The attribute that a span's input or output stands in: the first of `wanted` that is there."""
    there = set(keys)
    return next((key for key in wanted if key in there), None)


def input_of(attributes: Mapping[str, AttributeValue]) -> str | None:
    """What went in; None when nobody says it. Instructions are the first of its messages."""
    return with_instructions(_first(attributes, INPUT), attributes)


def output_of(attributes: Mapping[str, AttributeValue]) -> str | None:
    """What came out; None when nobody says it."""
    return _first(attributes, OUTPUT)


def _first(attributes: Mapping[str, AttributeValue], keys: tuple[str, ...]) -> str | None:
    return next((_text(attributes[key]) for key in keys if attributes.get(key) is not None), None)


def with_instructions(content: str | None, attributes: Mapping[str, AttributeValue]) -> str | None:
    """A list of messages with the span's instructions first, unless it begins with them; else as it is."""
    parts, words = _parts(attributes), instructions_of(attributes)
    if parts is None or words is None:
        return content
    message = f'{{"role":"{SYSTEM}","parts":{parts}}}'
    if content is None:
        return f"[{message}]"
    messages = parsed(content)
    if not isinstance(messages, list) or not messages or not isinstance(messages[0], Mapping):
        return content
    first = messages[0]
    if not isinstance(first.get("role"), str) or _begins_with(first, words):
        return content
    return f"[{message},{content.lstrip()[1:]}"


def instructions_of(attributes: Mapping[str, AttributeValue]) -> str | None:
    """The words of the instructions; None when there are none."""
    text = _text(attributes.get(INSTRUCTIONS))
    if text is None:
        return None
    parts = parsed(text)
    return _words(parts if isinstance(parts, list) else text)


def _parts(attributes: Mapping[str, AttributeValue]) -> str | None:
    """The instructions as the JSON text of a message's parts."""
    text = _text(attributes.get(INSTRUCTIONS))
    if text is None:
        return None
    return text if isinstance(parsed(text), list) else json_text([{"type": "text", "content": text}])


def _text(value: AttributeValue | None) -> str | None:
    return value if value is None or isinstance(value, str) else json_text(value)


def _words(parts: Any) -> str | None:
    if not isinstance(parts, list):
        return parts if isinstance(parts, str) and parts else None
    texts = [part if isinstance(part, str) else _said(part) for part in parts]
    return "\n".join(text for text in texts if isinstance(text, str)) or None


def _said(part: Any) -> Any:
    return part.get("content") if isinstance(part, Mapping) else None


def _begins_with(message: Mapping[str, Any], words: str) -> bool:
    return message["role"] == SYSTEM and _words(message.get("parts", message.get("content"))) == words


def parsed(text: str) -> Any:
    """The value of a JSON text; the text itself when it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text


def is_json(text: str) -> bool:
    """Whether a text is a JSON object or list: a bare number or word is text to a reader."""
    return text.lstrip()[:1] in {"{", "["} and not isinstance(parsed(text), str)
