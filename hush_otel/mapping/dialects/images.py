"""Images of a node trace as data URLs, for vendors that show them among the messages of a model call.

    hush.media  [{"attach_to": "input", "content_type": "image/png", "size": 48211, "sha256": …}, …]
         │ images_of: those that are small, in their order
         ▼
    input  ["data:image/png;base64,…"]      output  []

The rest stays a reference. Where a span's files may be sent at all, `SpanFacts.media` reads them.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from hush_otel.mapping.media import MEDIA_ATTRIBUTE
from hush_otel.model import AttributeValue, SpanData

from .content import parsed

DRAWN: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What models take as an image and a browser draws. SVG is a document that may load others."""

MAX_IMAGE_BYTES: Final = 512 * 1024
"""A screenshot, or a photograph as models are given it. Vendors keep attributes with their span, and read
them with it: larger files belong elsewhere."""
MAX_SPAN_BYTES: Final = 1024 * 1024
"""Of a span's images. In base64 a third more, which leaves two thirds of the smallest usual request (4 MiB,
gRPC) to everything else."""


class Images(NamedTuple):
    """Data URLs (RFC 2397) by where they are attached."""

    input: list[str]
    output: list[str]


def images_of(span: SpanData) -> Images:
    """The images of a span that can be sent within it; reads their bytes.

    Raises:
        sqlite3.Error: The store cannot be read.
    """
    found = Images([], [])
    media = span.facts.media
    if media is None:
        return found
    room = MAX_SPAN_BYTES
    for reference in references_of(span):
        urls, size = _place(found, reference), reference["size"]
        if urls is None or size > room or (data := media(reference["sha256"])) is None:
            continue
        room -= size
        encoded = binascii.b2a_base64(data, newline=False).decode()
        urls.append(f"data:{reference['content_type']};base64,{encoded}")
    return found


def in_chat(value: Any, urls: Sequence[str], role: str) -> Any:
    """An input or output with images in the form of OpenAI's chat messages, which many vendors draw.

    They are parts of the last message of this role; of a message of their own where there is none. An object
    gets `messages`, a text becomes a message. What has no place for messages stays as it is.
    """
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    if not parts:
        return value
    if value is None or isinstance(value, str):
        return {"messages": [{"role": role, "content": [*_texts(value), *parts]}]}
    if isinstance(value, Mapping):
        if _is_message(value):
            return {"messages": _with_parts([value], parts, role)}
        messages = value.get("messages", [])
        return {**value, "messages": _with_parts(messages, parts, role)} if _are_messages(messages) else value
    return {"messages": _with_parts(value, parts, role)} if value and _are_messages(value) else value


def _with_parts(
    messages: Sequence[Mapping[str, Any]], parts: list[Any], role: str
) -> list[Mapping[str, Any]]:
    """On the last one whose content can have parts."""
    found = list(messages)
    for number in range(len(found) - 1, -1, -1):
        content = found[number].get("content")
        if found[number]["role"] == role and (content is None or isinstance(content, (str, list))):
            before = content if isinstance(content, list) else _texts(content)
            found[number] = {**found[number], "content": [*before, *parts]}
            return found
    return [*found, {"role": role, "content": parts}]


def _texts(content: str | None) -> list[Any]:
    return [{"type": "text", "text": content}] if content else []


def _are_messages(value: Any) -> bool:
    return isinstance(value, list) and all(_is_message(one) for one in value)


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("role"), str)


def without_media(span: SpanData) -> SpanData:
    """The span as if no files were stored with it."""
    if span.facts.media is None:
        return span
    return msgspec.structs.replace(span, facts=msgspec.structs.replace(span.facts, media=None))


def references_of(span: SpanData) -> Iterator[Mapping[str, Any]]:
    """Those of a span's references whose files are stored."""
    text = span.attributes.get(MEDIA_ATTRIBUTE)
    listed = parsed(text) if isinstance(text, str) else None
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, Mapping) and isinstance(one.get("sha256"), str) and type(one.get("size")) is int:
            yield one


def texts_in(value: AttributeValue) -> Iterator[str]:
    """Every text in a value, at any depth; of a map its values."""
    waiting: list[AttributeValue] = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            waiting.extend(one.values())
        elif isinstance(one, Sequence) and not isinstance(one, (bytes, bytearray)):
            waiting.extend(one)


def _place(images: Images, reference: Mapping[str, Any]) -> list[str] | None:
    """Where an image belongs; None for what is none, and for what is too large."""
    if reference.get("content_type") not in DRAWN or reference["size"] > MAX_IMAGE_BYTES:
        return None
    return {"input": images.input, "output": images.output}.get(str(reference.get("attach_to")))
