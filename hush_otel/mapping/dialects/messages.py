"""Chat messages: from any convention, to OpenInference's flat keys or to the GenAI conventions' JSON.

Sources: OpenInference semantic conventions (``llm.input_messages.N.message.…``); GenAI semantic conventions,
"input messages JSON schema" (``parts``); OpenLLMetry (``gen_ai.prompt.N.role``); OpenAI's and Anthropic's
request bodies, and those of Bedrock's Converse API, which applications log as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from hush_otel.mapping.jsontext import json_text
from hush_otel.model import AttributeValue

from .content import SYSTEM, instructions_of, parsed
from .meaning import Meaning

MAX_MESSAGES: Final = 1000
"""Of one span: each becomes several attributes, and the key of each is a text of its own."""

_FLAT: Final = re.compile(r"([0-9]{1,6})\.(?:message\.)?(.+)")
_CALL: Final = re.compile(r"tool_calls\.([0-9]{1,6})\.(?:tool_call\.)?(?:function\.)?(id|name|arguments)")


class ToolCall(NamedTuple):
    """A model's wish to call a tool; `arguments` as JSON text."""

    id: str | None
    name: str
    arguments: str


class Message(NamedTuple):
    """One message. `answers` is the id of the tool call that it answers, `images` are URLs."""

    role: str
    content: str | None
    calls: tuple[ToolCall, ...] = ()
    answers: str | None = None
    finish_reason: str | None = None
    images: tuple[str, ...] = ()


def input_messages(attributes: Mapping[str, AttributeValue], meaning: Meaning) -> list[Message]:
    """What a model was sent, its instructions first; empty where no messages can be told apart."""
    return messages_to(attributes, meaning.input)


def output_messages(attributes: Mapping[str, AttributeValue], meaning: Meaning) -> list[Message]:
    """What a model answered."""
    return messages_from(attributes, meaning.output)


def messages_to(attributes: Mapping[str, AttributeValue], content: str | None) -> list[Message]:
    """The same as `input_messages`, where the input is known and nothing else of the meaning is."""
    keys = ("gen_ai.input.messages", "llm.input_messages.", "gen_ai.prompt.")
    found = _messages(attributes, keys, content, "user")
    told = instructions(attributes)
    if told is None or (found and found[0][:2] == told[:2]):
        return found
    return [told, *(found or ([] if content is None else [Message("user", content)]))]


def instructions(attributes: Mapping[str, AttributeValue]) -> Message | None:
    """Those that stand apart from the messages."""
    words = instructions_of(attributes)
    return None if words is None else Message(SYSTEM, words)


def messages_from(attributes: Mapping[str, AttributeValue], content: str | None) -> list[Message]:
    """The same for the output."""
    keys = ("gen_ai.output.messages", "llm.output_messages.", "gen_ai.completion.")
    return _messages(attributes, keys, content, "assistant")


def with_both_sides(
    given: list[Message], answered: list[Message], content: tuple[str | None, str | None]
) -> tuple[list[Message], list[Message]]:
    """Both sides of a conversation: what is no messages is the one message of its side."""
    to_model, from_model = content
    return (
        given or ([] if to_model is None else [Message("user", to_model)]),
        answered or ([] if from_model is None else [Message("assistant", from_model)]),
    )


def _messages(
    attributes: Mapping[str, AttributeValue], keys: tuple[str, str, str], content: str | None, role: str
) -> list[Message]:
    whole = attributes.get(keys[0])
    if whole is not None:
        return _from_value(parsed(whole) if isinstance(whole, str) else whole)
    for prefix in keys[1:]:
        found = _from_flat(attributes, prefix)
        if found:
            return found
    if content is None:
        return []
    value = parsed(content)
    found = _from_value(value)
    said = value.get("content") if isinstance(value, Mapping) else value
    return found or ([Message(role, said)] if isinstance(said, str) else [])


def _from_flat(attributes: Mapping[str, AttributeValue], prefix: str) -> list[Message]:
    fields: dict[int, dict[str, AttributeValue]] = {}
    for key, value in attributes.items():
        if key.startswith(prefix) and (at := _FLAT.fullmatch(key, len(prefix))) is not None:
            fields.setdefault(int(at[1]), {})[at[2]] = value
    return [_flat_message(fields[number]) for number in sorted(fields)[:MAX_MESSAGES]]


def _flat_message(fields: Mapping[str, AttributeValue]) -> Message:
    calls: dict[int, dict[str, Any]] = {}
    texts = []
    for key, value in fields.items():
        if (call := _CALL.fullmatch(key)) is not None:
            calls.setdefault(int(call[1]), {})[call[2]] = value
        elif key.endswith("message_content.text"):
            texts.append(str(value))
    content = fields.get("content", "\n".join(texts) or None)
    return Message(
        str(fields.get("role", "user")),
        None if content is None else _text(content),
        tuple(_call(calls[number]) for number in sorted(calls)),
        _optional(fields.get("tool_call_id")),
        _optional(fields.get("finish_reason")),
    )


def _from_value(value: Any) -> list[Message]:
    """Messages of a JSON value: a list of them, an object that holds such a list, or one message."""
    if isinstance(value, Mapping):
        inner = value.get("messages", value.get("message"))
        if inner is not None and inner is not value:
            return _from_value(inner)
        value = [value]
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)) or not value:
        return []
    if not all(isinstance(item, Mapping) and isinstance(item.get("role"), str) for item in value):
        return []
    return [message for item in value[:MAX_MESSAGES] for message in _of_one(item)]


def _of_one(value: Mapping[str, Any]) -> Iterator[Message]:
    """One message as others have it: an answer of a tool is a message of its own there."""
    role, texts = value["role"], list[str]()
    calls = [_call(call) for call in _list(value.get("tool_calls"))]
    answered = False
    for part in map(_typed, _parts(value.get("parts", value.get("content")))):
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in _ANSWERS:
            answered = True
            yield _answer(part)
        elif kind in _CALLS:
            calls.append(_call({**part, "arguments": part.get("arguments", part.get("input"))}))
        else:
            texts.append(_text_of(part))
    if texts or calls or not answered:
        content = "\n".join(texts) if texts else None
        id_of_call, finish = _optional(value.get("tool_call_id")), _optional(value.get("finish_reason"))
        yield Message(role, content, tuple(calls), id_of_call, finish)


_CALLS: Final = frozenset({"tool_call", "tool_use"})
_ANSWERS: Final = frozenset({"tool_call_response", "tool_result"})
TOOL: Final = "tool"
"""The role of a tool's answer."""


_CONVERSE: Final = {"toolUse": "tool_use", "toolResult": "tool_result"}
"""Keys of Bedrock's Converse API, which says by a part's one key what others say by its type."""


def _typed(part: Any) -> Any:
    """A part that says by `type` what it is."""
    if not isinstance(part, Mapping) or len(part) != 1:
        return part
    ((key, inner),) = part.items()
    if key not in _CONVERSE or not isinstance(inner, Mapping):
        return part
    return {**inner, "type": _CONVERSE[key], "id": inner.get("toolUseId")}


def _parts(content: Any) -> Sequence[Any]:
    if isinstance(content, (list, tuple)):
        return content
    return () if content is None else (content,)


def _answer(part: Mapping[str, Any]) -> Message:
    result = part.get("result", part.get("response", part.get("content", "")))
    return Message(TOOL, _text(result), answers=_optional(part.get("id", part.get("tool_use_id"))))


def _text_of(part: Any) -> str:
    if isinstance(part, Mapping):
        return _text(part.get("content", part.get("text", dict(part))))
    return _text(part)


def _call(value: Any) -> ToolCall:
    fields = dict(value) if isinstance(value, Mapping) else {}
    function = fields.get("function")
    named = function if isinstance(function, Mapping) else fields
    arguments = named.get("arguments")
    return ToolCall(
        _optional(fields.get("id")),
        str(named.get("name", "")),
        "{}" if arguments is None else _text(arguments),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)


def _optional(value: Any) -> str | None:
    return None if value is None else str(value)


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()


def with_images(messages: Sequence[Message], images: Sequence[str], role: str) -> list[Message]:
    """The messages with images on the last one of this role; on one of their own where there is none."""
    found = list(messages)
    if not images:
        return found
    of_role = [number for number, message in enumerate(found) if message.role == role]
    if not of_role:
        return [*found, Message(role, None, images=tuple(images))]
    found[of_role[-1]] = found[of_role[-1]]._replace(images=tuple(images))
    return found


def flat(prefix: str, messages: Sequence[Message]) -> dict[str, AttributeValue]:
    """As OpenInference's attributes; `prefix` is ``llm.input_messages`` or ``llm.output_messages``."""
    found: dict[str, AttributeValue] = {}
    for number, message in enumerate(messages):
        at = f"{prefix}.{number}.message."
        found[at + "role"] = message.role
        found.update(_flat_content(at, message))
        if message.answers is not None:
            found[at + "tool_call_id"] = message.answers
        for index, call in enumerate(message.calls):
            wish = f"{at}tool_calls.{index}.tool_call."
            found[wish + "function.name"] = call.name
            found[wish + "function.arguments"] = call.arguments
            if call.id is not None:
                found[wish + "id"] = call.id
    return found


def _flat_content(at: str, message: Message) -> dict[str, AttributeValue]:
    """One text, or parts where there are images."""
    if not message.images:
        return {} if message.content is None else {at + "content": message.content}
    parts = [] if message.content is None else [("text", "text", message.content)]
    parts += [("image", "image.image.url", url) for url in message.images]
    found: dict[str, AttributeValue] = {}
    for number, (kind, key, value) in enumerate(parts):
        part = f"{at}contents.{number}.message_content."
        found[part + "type"] = kind
        found[part + key] = value
    return found


def as_json(messages: Sequence[Message]) -> str:
    """As the JSON text of ``gen_ai.input.messages`` and ``gen_ai.output.messages``."""
    return msgspec.json.encode([_genai(message) for message in messages]).decode()


def _genai(message: Message) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    if message.answers is not None:
        parts.append({"type": "tool_call_response", "id": message.answers, "result": message.content or ""})
    elif message.content is not None:
        parts.append({"type": "text", "content": message.content})
    parts += [
        {"type": "tool_call", "id": call.id, "name": call.name, "arguments": parsed(call.arguments)}
        for call in message.calls
    ]
    found: dict[str, Any] = {"role": message.role, "parts": parts}
    if message.finish_reason is not None:
        found["finish_reason"] = message.finish_reason
    return found
