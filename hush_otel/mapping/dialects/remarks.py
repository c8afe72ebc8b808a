"""What becomes of a span at a vendor, beyond what its dialect says: what is lost, counted twice or cut.

Only what is known is said: of a vendor's own source or documentation (`dialects`), of tests with the real
thing (Phoenix, MLflow), or of OTLP itself. No remark does not mean that a vendor keeps everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from hush_otel.mapping.media import MEDIA_ATTRIBUTE
from hush_otel.model import AttributeValue, SpanData

from .content import INSTRUCTIONS
from .images import images_of, references_of, texts_in
from .meaning import meaning_of
from .tools import DEFINITIONS, tools_of

Kind: TypeAlias = Literal["drop", "double", "cut"]

MAX_DEPTH: Final = 31
"""Nested lists and maps of one attribute that are sent (`destinations.otlp_encode`)."""
_INT64: Final = range(-(2**63), 2**63)

_LOSES_SPECIAL: Final = {
    "phoenix": "Phoenix answers 200 and loses the span's attributes of this kind",
}
"""Types whose receiver cannot store bytes and non-finite numbers."""

_VALUE_CHARS: Final = {"newrelic": 4095}
"""Longer texts are cut by the receiver."""

_OWN_COST: Final = {"langsmith": "LangSmith", "openinference": "Phoenix"}
"""Dialects whose receiver keeps a given cost as an attribute only."""

_USAGE: Final = ("gen_ai.usage.", "llm.token_count.")
_OWN_USAGE: Final = {
    # dialect: the key with which an empty usage stands against a sum
    "langfuse": "langfuse.observation.usage_details",
    "mlflow": "mlflow.chat.tokenUsage",
}
_EMPTY: Final[tuple[AttributeValue, ...]] = ("{}", {})


class Remark(NamedTuple):
    """One thing to know.

    Attributes:
        kind: drop: it does not arrive, or not where anybody finds it. double: it is counted again. cut: only
            a part arrives.
        key: The attribute; empty when it is about the span.
        words: For people.
    """

    kind: Kind
    key: str
    words: str


def remarks(kind: str, dialect: str, before: SpanData, after: SpanData) -> list[Remark]:
    """What to know of a span that is sent.

    Args:
        kind: The destination's type.
        dialect: Its dialect.
        before: As stored.
        after: As sent.
    """
    return [
        *_dropped(kind, dialect, before, after.attributes),
        *_doubled(dialect, before, after.attributes),
        *_cut(kind, after.attributes),
    ]


def _dropped(
    kind: str, dialect: str, before: SpanData, sent: Mapping[str, AttributeValue]
) -> Iterator[Remark]:
    loses = _LOSES_SPECIAL.get(kind)
    for key, value in sent.items():
        if loses and (special := _special(value)):
            yield Remark("drop", key, f"{special}: {loses}")
    if dialect == "langfuse":
        others = [key for key in before.attributes if not key.startswith(_READ_BY_LANGFUSE)]
        if others:
            attributes = "1 attribute" if len(others) == 1 else f"{len(others)} attributes"
            yield Remark("drop", "", f"{attributes} cannot be filtered by: {_some(others)}")
    if (words := _files_left(before, sent)) is not None:
        yield Remark("drop", MEDIA_ATTRIBUTE, words)
    if dialect == "langfuse" and tools_of(before.attributes):
        yield Remark("drop", DEFINITIONS, "Langfuse has no field for the tools that a model was offered")
    if dialect == "langsmith" and INSTRUCTIONS in before.attributes:
        yield Remark("drop", INSTRUCTIONS, "LangSmith has no field for them apart from messages: metadata")
    who = _OWN_COST.get(dialect)
    meaning = meaning_of(before)
    if who and meaning.counts and meaning.cost_usd is not None:
        yield Remark("drop", "cost", f"{who} has no field for a given cost: it computes its own")


def _files_left(before: SpanData, sent: Mapping[str, AttributeValue]) -> str | None:
    """What to say of files that stay here."""
    images = {url for urls in images_of(before) for url in urls}
    left = len(list(references_of(before))) - sum(text in images for text in texts_in(sent))
    if left <= 0:
        return None
    files = "1 attached file is" if left == 1 else f"{left} attached files are"
    return f"{files} not sent, only the references: docs/media.md says which are"


_READ_BY_LANGFUSE: Final = (
    *("langfuse.", "gen_ai.", "llm.", "input.", "output.", "hush.", "user.", "session.", "metadata", "tag."),
    *("openinference.", "traceloop.", "graph."),
)


def _doubled(dialect: str, before: SpanData, sent: Mapping[str, AttributeValue]) -> Iterator[Remark]:
    meaning = meaning_of(before)
    own = _OWN_USAGE.get(dialect)
    sums = [key for key in before.attributes if key == own or key.startswith(_USAGE)]
    if meaning.counts or not sums:
        return
    if own is not None and sent.get(own) in _EMPTY:
        return
    if own is not None:
        yield Remark(
            "double",
            own,
            "this usage was set on a span that is no model call, or repeats one: it is added to its calls'",
        )
    else:
        yield Remark(
            "double", sums[0], "a sum of the model calls below: a receiver that reads it counts them twice"
        )


def _cut(kind: str, sent: Mapping[str, AttributeValue]) -> Iterator[Remark]:
    limit = _VALUE_CHARS.get(kind)
    for key, value in sent.items():
        if isinstance(value, str):
            if limit is not None and len(value) > limit:
                yield Remark(
                    "cut", key, f"{len(value)} characters; what is above {limit} is cut (unconfirmed)"
                )
        elif isinstance(value, (Mapping, Sequence)) and _depth(value) > MAX_DEPTH:
            yield Remark("cut", key, f"nested deeper than {MAX_DEPTH} levels")
        elif type(value) is int and value not in _INT64:
            yield Remark("cut", key, "beyond 64 bit: sent as text")


def _special(value: AttributeValue) -> str:
    """What is bytes or no finite number, at any depth."""
    waiting: list[AttributeValue] = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, (bytes, bytearray)):
            return "bytes"
        if isinstance(one, float) and not math.isfinite(one):
            return "a number that is not finite"
        if isinstance(one, Mapping):
            waiting.extend(one.values())
        elif isinstance(one, Sequence) and not isinstance(one, str):
            waiting.extend(one)
    return ""


def _depth(value: AttributeValue) -> int:
    """How many levels of lists and maps, counted no further than is asked."""
    level, depth = [value], 0
    while level and depth <= MAX_DEPTH:
        inner: list[AttributeValue] = []
        for one in level:
            if isinstance(one, Mapping):
                inner.extend(one.values())
            elif isinstance(one, Sequence) and not isinstance(one, (str, bytes)):
                inner.extend(one)
        depth += 1
        level = [one for one in inner if isinstance(one, (Mapping, list, tuple))]
    return depth


def _some(keys: Sequence[str]) -> str:
    shown = ", ".join(sorted(keys)[:3])
    return shown + ", …" if len(keys) > 3 else shown  # noqa: PLR2004 - as many as fit a line
