"""The files of one span: those that are stored, by the names that it gives them, and those that are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hush_otel.mapping.media import MEDIA_ATTRIBUTE
from hush_otel.store.reading import Reader

from . import payloads
from .payloads import Attribute


def attachments(reader: Reader, span: int, attributes: Mapping[str, Attribute]) -> list[dict[str, Any]]:
    """In the order in which they were attached, missing ones last.

    Args:
        reader: In a snapshot.
        span: The number of its row.
        attributes: Of the span.

    Returns:
        Each with ``name``, ``content_type``, ``sha256``, ``size`` and ``missing``: of a file that is stored
        None, else why it is not; the hash and the size are None then.
    """
    references = _references(reader, span, attributes)
    names: dict[object, list[str | None]] = {}
    for reference in reversed(references):
        names.setdefault(reference.get("sha256"), []).append(_text(reference.get("name")))
    stored = [
        {"name": (names.get(row["sha256"]) or [None]).pop(), "missing": None} | dict(row)
        for row in reader.each("span_media", span=span)
    ]
    return stored + [_missing(reference) for reference in references if "missing" in reference]


def _missing(reference: Mapping[str, Any]) -> dict[str, Any]:
    said = {key: _text(reference.get(key)) for key in ("name", "content_type")}
    return said | {"sha256": None, "size": None, "missing": _text(reference["missing"]) or "lost"}


def _references(reader: Reader, span: int, attributes: Mapping[str, Attribute]) -> list[dict[str, Any]]:
    """What the span says of them. Any span can have the attribute, with anything in it."""
    found = attributes.get(MEDIA_ATTRIBUTE)
    if found is None:
        return []
    text = payloads.whole(reader, span, MEDIA_ATTRIBUTE) if found.cut else found.text
    try:
        listed = msgspec.json.decode(text or "", type=list[Any])
    except (msgspec.DecodeError, RecursionError):
        return []
    return [each for each in listed if isinstance(each, dict)][: payloads.ATTRIBUTES]


def _text(value: object) -> str | None:
    return value[: payloads.LATE_CHARS] if isinstance(value, str) else None
