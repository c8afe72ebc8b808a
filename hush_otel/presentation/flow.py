"""Where the inputs of a span come from: earlier spans of its request that gave out the same value.

Nobody records that. It is found by value, key by key of the input: a value that several earlier spans have
given out comes from the last of them to end. Values that anything may have by chance (numbers, flags, short
words) tell nothing and are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from hush_otel.mapping.jsontext import json_text
from hush_otel.store.reading import Row

TELLING_CHARS: Final = 8
"""Of a value's JSON, with quotes: shorter ones are equal by chance."""

KEYS: Final = 100
"""Of one input, and of one output."""


class Link(NamedTuple):
    """The input `key` is what another span has given out."""

    key: str
    trace_id: str
    span_id: str
    name: str


def flow(content: str, earlier: Iterable[Row]) -> list[Link]:
    """The links of one input.

    Args:
        content: The input, as text; one that is no JSON object has no keys.
        earlier: Rows of `earlier_outputs.sql`, the last to end first. Read no further than needed.
    """
    wanted: dict[str, list[str]] = {}
    for key, value in _items(_parsed(content)):
        wanted.setdefault(value, []).append(key)
    found = []
    for row in earlier:
        if not wanted:
            break
        for value in _values(row["output_data"]) & wanted.keys():
            found += [
                Link(key, row["trace_id"], row["span_id"], row["node_name"]) for key in wanted.pop(value)
            ]
    return sorted(found)


def _values(output: str | None) -> set[str]:
    """What an output is, and what stands in it."""
    if output is None:
        return set()
    whole = _parsed(output)
    values = {value for _, value in _items(whole)}
    text = json_text(whole)
    return values | ({text} if _tells(text) else set())


def _items(value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, Mapping):
        return []
    pairs = [(str(key), json_text(each)) for key, each in list(value.items())[:KEYS]]
    return [(key, text) for key, text in pairs if _tells(text)]


def _tells(text: str) -> bool:
    return len(text) >= TELLING_CHARS and text[0] in '"[{'


def _parsed(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
