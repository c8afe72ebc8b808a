"""One span: everything it has, bounded, and what is longer as a download."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from hush_otel.errors import PageError, StoreError
from hush_otel.mapping.dialects import content as contents
from hush_otel.mapping.dialects.content import INPUT, INSTRUCTIONS, OUTPUT
from hush_otel.mapping.dialects.event_messages import PREFIX
from hush_otel.mapping.dialects.messages import Message, messages_from, messages_to, with_both_sides
from hush_otel.mapping.jsontext import json_text
from hush_otel.presentation.flow import flow
from hush_otel.store.reading import Reader, Row

from . import payloads
from .answers import Answer, Question
from .api_requests import request_id
from .attachments import attachments
from .payloads import Attribute
from .skeleton import KINDS

EVENTS: Final = 500
"""And links."""

EARLIER: Final = 200
"""Spans whose outputs are compared with an input."""
FLOW_S: Final = 0.5

CONVERSATION_CHARS: Final = 1024 * 1024
"""The longest list of messages that is read as a conversation."""
MESSAGE_CHARS: Final = 65_536

TRACE_ID_BYTES: Final = 16
SPAN_ID_BYTES: Final = 8

_APART: Final = frozenset({"id", "metadata", "metadata_size", "resource", "scope", "dropped"})
_MESSAGES_TO: Final = ("gen_ai.input.messages", *INPUT)
_MESSAGES_FROM: Final = ("gen_ai.output.messages", *OUTPUT)


def span(question: Question) -> Answer:
    """Everything of one span, each text cut."""
    with question.reader() as reader, reader.snapshot():
        row = found(reader, question)
        attributes = payloads.attributes_of(reader, row["id"])
        events = [_event(each) for each in _listed(reader, "span_events", row["id"])]
        said = _with_events(reader, row["id"], attributes, events)
        to_model = _whole(reader, row["id"], said, _MESSAGES_TO)
        from_model = _whole(reader, row["id"], said, _MESSAGES_FROM)
        given, answered = messages_to(*to_model), messages_from(*from_model)
        # A text that any step gives back is no conversation; what a model was sent, or has answered, is one.
        if given or row["model"]:
            given, answered = with_both_sides(given, answered, (to_model[1], from_model[1]))
        found_id = request_id(reader, question)
        return {
            "span": _own(row),
            "input": content(reader, row["id"], said, "input"),
            "output": content(reader, row["id"], said, "output"),
            "input_messages": _shown(given),
            "output_messages": _shown(answered),
            "metadata": payloads.optional_payload(row["metadata"], row["metadata_size"]),
            "attributes": _pairs(attributes),
            "events": events,
            "links": [_link(each) for each in _listed(reader, "span_links", row["id"])],
            "resource": _object(row["resource"]),
            "scope": _object(row["scope"]),
            "media": attachments(reader, row["id"], attributes),
            "flow": _flow(question, found_id, row, said),
        }


def found(reader: Reader, question: Question) -> Row:
    """The row of the span that the path means.

    Raises:
        PageError: There is none in this request.
    """
    trace_id, span_id = question.path["trace_id"], question.path["span_id"]
    row = reader.row(
        "span_detail",
        request_id=request_id(reader, question),
        trace_id=id_of(trace_id, TRACE_ID_BYTES),
        span_id=id_of(span_id, SPAN_ID_BYTES),
        chars=payloads.CHARS,
    )
    if row is None:
        raise PageError(404, f"no span {span_id[:40]!r} in this request", hint="it may have been pruned")
    return row


def id_of(text: str, size: int) -> bytes:
    """An id of so many bytes, in hex.

    Raises:
        PageError: It is none.
    """
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != size:
        raise PageError(400, f"{text[:40]!r} is no id of {size} bytes in hex")
    return raw


def content(
    reader: Reader, span_number: int, attributes: Mapping[str, Attribute], side: str
) -> dict[str, Any] | None:
    """Input or output of a span, cut."""
    key = content_key(attributes, side)
    if key is not None:
        return attributes[key].payload()
    if not _is_composed(attributes, side) and not _is_in_parts(attributes, side):
        return None
    parts = view_content(reader, span_number, side) or ""
    return payloads.optional_payload(parts[: payloads.CHARS], len(parts))


_PARTS: Final = {"input": "gen_ai.prompt.", "output": "gen_ai.completion."}
"""OpenLLMetry of before 2026 has an attribute for each part of a message; the view puts them together."""


def content_key(attributes: Mapping[str, Attribute], side: str) -> str | None:
    """The attribute that is a span's input or output; None where the view makes one of several."""
    if _is_composed(attributes, side):
        return None
    return contents.content_key(attributes, INPUT if side == "input" else OUTPUT)


def _is_composed(attributes: Mapping[str, Attribute], side: str) -> bool:
    """Whether instructions that stand apart go before the messages."""
    return side == "input" and INSTRUCTIONS in attributes


def _is_in_parts(attributes: Mapping[str, Attribute], side: str) -> bool:
    return any(name.startswith(_PARTS[side]) for name in attributes)


def view_content(reader: Reader, span_number: int, side: str) -> str | None:
    """Input, output or metadata as the view has it, whole."""
    row = reader.row("span_content", span=span_number, of=side)
    return None if row is None or row["content"] is None else str(row["content"])


def _with_events(
    reader: Reader, span_number: int, attributes: Mapping[str, Attribute], events: Iterable[Mapping[str, Any]]
) -> Mapping[str, Attribute]:
    """The attributes, and beside them the input and output that only events say, as the view has them."""
    if not any(event["name"].startswith(PREFIX) for event in events):
        return attributes
    found = dict(attributes)
    for side, keys, key in (("input", INPUT, _MESSAGES_TO[0]), ("output", OUTPUT, _MESSAGES_FROM[0])):
        if contents.content_key(attributes, keys) is None and not _is_in_parts(attributes, side):
            text = view_content(reader, span_number, side)
            if text is not None:
                found[key] = _bounded(text)
    return found


def _bounded(text: str) -> Attribute:
    """One that is longer than a conversation is cut."""
    cut = len(text) > CONVERSATION_CHARS
    return Attribute(text[: payloads.CHARS] if cut else text, len(text), is_text=True, cut=cut)


def _flow(
    question: Question, found_id: str, row: Row, attributes: Mapping[str, Attribute]
) -> list[dict[str, Any]]:
    """Which earlier spans the input comes from; nothing where that takes too long."""
    key = contents.content_key(attributes, INPUT)
    if key is None or attributes[key].cut:
        return []
    try:
        with question.reader(FLOW_S) as reader:
            earlier = reader.each(
                "earlier_outputs",
                request_id=found_id,
                span=row["id"],
                start_ns=row["start_ns"],
                chars=payloads.CHARS,
                limit=EARLIER,
            )
            # Maybe not read to its end: it must not outlive the reader.
            with closing(earlier):
                return [link._asdict() for link in flow(attributes[key].text, earlier)]
    except StoreError:
        return []


def _own(row: Row) -> dict[str, Any]:
    columns = {name: value for name, value in dict(row).items() if name not in _APART}
    start_ns, end_ns = columns.pop("start_ns"), columns.pop("end_ns")
    dropped = msgspec.json.decode(row["dropped"]) if row["dropped"] else [0, 0, 0]
    return columns | {
        "kind": KINDS.get(row["kind"], "INTERNAL"),
        "start_at": start_ns / 1e9,
        "end_at": None if end_ns is None else end_ns / 1e9,
        "dropped": dict(zip(("attributes", "events", "links"), dropped, strict=False)),
    }


def _whole(
    reader: Reader, span_number: int, attributes: Mapping[str, Attribute], keys: Iterable[str]
) -> tuple[dict[str, Any], str | None]:
    """What messages are read from: values by key, and the input or output as text.

    A list of messages that was cut is read again, whole; one that is longer than a conversation is left out.
    """
    values = {key: each.value() for key, each in attributes.items()}
    first = None
    for key in keys:
        if key not in attributes:
            continue
        if attributes[key].cut:
            values[key] = _conversation(reader, span_number, attributes[key], key)
        text = values[key]
        first = first or (text if text is None or isinstance(text, str) else json_text(text))
    if INSTRUCTIONS in attributes and attributes[INSTRUCTIONS].cut:
        values[INSTRUCTIONS] = _conversation(reader, span_number, attributes[INSTRUCTIONS], INSTRUCTIONS)
    return {key: value for key, value in values.items() if value is not None}, first


def _conversation(reader: Reader, span_number: int, cut: Attribute, key: str) -> str | None:
    return payloads.whole(reader, span_number, key) if cut.size <= CONVERSATION_CHARS else None


def _shown(messages: Iterable[Message]) -> list[dict[str, Any]]:
    return [_message(message) for message in messages]


def _message(message: Message) -> dict[str, Any]:
    content = message.content
    return {
        "role": message.role,
        "content": None if content is None else content[:MESSAGE_CHARS],
        "size": len(content or ""),
        "cut": len(content or "") > MESSAGE_CHARS,
        "calls": [call._asdict() for call in message.calls],
        "answers": message.answers,
        "finish_reason": message.finish_reason,
    }


def _pairs(attributes: Mapping[str, Attribute]) -> list[tuple[str, dict[str, Any]]]:
    """In the order in which they were set; behind `SPAN_CHARS` only the beginning of each."""
    pairs, left = [], payloads.SPAN_CHARS
    for key, each in attributes.items():
        chars = payloads.CHARS if left > 0 else payloads.LATE_CHARS
        pairs.append((key, each.payload(chars)))
        left -= len(each.text)
    return pairs


def _listed(reader: Reader, query: str, span_number: int) -> Iterable[Row]:
    return reader.each(query, span=span_number, chars=payloads.CHARS, limit=EVENTS)


def _event(row: Row) -> dict[str, Any]:
    return {
        "name": str(row["name"])[: payloads.CHARS],
        "time": _iso(row["time_ns"]),
        "attributes": payloads.optional_payload(row["attributes"], row["size"]),
    }


def _link(row: Row) -> dict[str, Any]:
    return {
        "trace_id": row["trace_id"],
        "span_id": row["span_id"],
        "attributes": payloads.optional_payload(row["attributes"], row["size"]),
    }


def _iso(time_ns: object) -> str | None:
    """As the views have times; None for what no calendar has."""
    try:
        moment = datetime.fromtimestamp(int(str(time_ns)) / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _object(json: str) -> Any:
    try:
        return msgspec.json.decode(json)
    except msgspec.DecodeError:
        return {}
