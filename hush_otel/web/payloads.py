"""Texts of any length, as the page gets them: a beginning, how long the whole is, and whether it is JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from hush_otel.mapping.jsontext import json_text
from hush_otel.store.reading import Reader, Row

CHARS: Final = 65_536
"""Of one text at once. The page fetches the rest when somebody asks for it."""

SPAN_CHARS: Final = 4 * 1024 * 1024
"""Of all attributes of a span together; what comes behind them shows `LATE_CHARS`."""
LATE_CHARS: Final = 256

ATTRIBUTES: Final = 2_000
"""Of one span. The codec keeps more than anybody reads."""

LONGEST_ESCAPE: Final = 12
r"""A character beyond 16 bits, as JSON escapes it: ``\ud83d\ude00``."""

_LITERALS: Final = frozenset({"true", "false", "null"})


class Attribute(NamedTuple):
    """One attribute, or its beginning.

    Attributes:
        text: A text as it is, anything else as JSON.
        size: Characters of the whole. Of a text that is cut, of its JSON: escapes count.
        is_text: Whether its value is a text.
        cut: Whether this is only the beginning.
    """

    text: str
    size: int
    is_text: bool
    cut: bool

    @classmethod
    def of(cls, value: Any) -> Attribute:
        """Of a value that is at hand."""
        text = value if isinstance(value, str) else json_text(value)
        return cls(text, len(text), is_text=isinstance(value, str), cut=False)

    def payload(self, chars: int = CHARS) -> dict[str, Any]:
        """As the page gets it."""
        return payload(self.text[:chars], self.size, cut=self.cut or len(self.text) > chars)

    def value(self) -> Any:
        """What the application has set; of a cut one its beginning, as text."""
        if self.is_text or self.cut:
            return self.text
        return msgspec.json.decode(self.text)


def payload(text: str, size: int, *, cut: bool) -> dict[str, Any]:
    """A text for the page. `json` says that it looks like an object or a list; a cut one cannot be parsed."""
    return {"text": text, "size": size, "json": _looks_like_json(text, cut=cut), "cut": cut}


def optional_payload(text: str | None, size: int | None) -> dict[str, Any] | None:
    """Of a column that was cut by SQL; None where there is nothing."""
    if text is None or size is None:
        return None
    return payload(text, size, cut=size > len(text))


def _looks_like_json(text: str, *, cut: bool) -> bool:
    if text.lstrip()[:1] not in {"{", "["}:
        return False
    if cut:
        return True
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def attributes_of(reader: Reader, span: int) -> dict[str, Attribute]:
    """The attributes of a span by key, in the order in which they were set, long ones last and cut.

    Args:
        reader: In a snapshot.
        span: The number of its row.
    """
    inline = reader.row("span_inline", span=span, chars=SPAN_CHARS)
    if inline is not None and inline["attributes"] is not None:
        decoded: dict[str, Any] = msgspec.json.decode(inline["attributes"])
        found = {key: Attribute.of(value) for key, value in list(decoded.items())[:ATTRIBUTES]}
    else:
        found = dict(_cut(reader, "span_attributes", span))
    return found | dict(_cut(reader, "span_long", span))


def _cut(reader: Reader, query: str, span: int) -> Iterator[tuple[str, Attribute]]:
    for row in reader.each(query, span=span, chars=CHARS, limit=ATTRIBUTES):
        yield row["key"], _beginning_of(row)


def _beginning_of(row: Row) -> Attribute:
    kind, json, size = row["type"], row["json"], row["size"]
    if kind in _LITERALS:
        return Attribute(kind, len(kind), is_text=False, cut=False)
    if kind != "text":
        return Attribute(str(json), size, is_text=False, cut=size > len(str(json)))
    if size <= len(json):
        return Attribute.of(msgspec.json.decode(json, type=str))
    return Attribute(beginning(json), size, is_text=True, cut=True)


def whole(reader: Reader, span: int, key: str) -> str | None:
    """One attribute as text, however long; None when there is none. As `attributes_of`."""
    long = reader.row("span_long_text", span=span, key=key)
    if long is not None:
        return msgspec.json.decode(long["json"], type=str)
    inline = reader.row("span_inline", span=span, chars=1 << 62)
    value = msgspec.json.decode(inline["attributes"]).get(key) if inline is not None else None
    return None if value is None else Attribute.of(value).text


def beginning(json: str) -> str:
    """The text of a JSON string that was cut somewhere, maybe amid an escape."""
    for less in range(LONGEST_ESCAPE + 1):
        try:
            return msgspec.json.decode(json[: len(json) - less] + '"', type=str)
        except msgspec.DecodeError:
            continue
    return ""
