"""The spans that every benchmark records.

An LLM span has 8 attributes, 1.6 KB; a small one 6, 0.2 KB. Instrumentations know the prompt when a call
starts and the answer when it ends, so `LLM` sets them then; `LLM_AT_START` gives all of them at once.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import Span, Tracer, set_span_in_context

Attributes = dict[str, str | int]

_TEXT: Final = "The quick brown fox jumps over the lazy dog. "
PROMPT_CHARS: Final = 900
ANSWER_CHARS: Final = 630


def _prompt(text: str) -> Attributes:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "input.value": text,
        "user.id": "user-1",
        "session.id": "session-1",
    }


def _answer(text: str) -> Attributes:
    return {"gen_ai.usage.input_tokens": 123, "gen_ai.usage.output_tokens": 45, "output.value": text}


_PROMPT: Final = _prompt(_TEXT * 20)
_ANSWER: Final = _answer(_TEXT * 14)
_CALL: Final[Attributes] = {
    "http.request.method": "GET",
    "http.response.status_code": 200,
    "url.path": "/v1/items",
    "server.address": "localhost",
    "server.port": 8080,
    "network.protocol.version": "1.1",
}


class Content(NamedTuple):
    """The attributes of one span: known at its start, and set before its end."""

    at_start: Attributes
    before_end: Attributes


class Work:
    """Records spans of one kind, whose contents take turns. For one thread."""

    def __init__(self, span_name: str, contents: Sequence[Content]) -> None:
        self._name = span_name
        self._contents: Iterator[Content] = itertools.cycle(contents)

    def record(self, tracer: Tracer, context: Context | None = None) -> None:
        """One span, begun and ended."""
        content = next(self._contents)
        self.finish(tracer.start_span(self._name, context, attributes=content.at_start), content)

    def begin(self, tracer: Tracer, context: Context | None = None) -> tuple[Span, Content]:
        content = next(self._contents)
        return tracer.start_span(self._name, context, attributes=content.at_start), content

    def finish(self, span: Span, content: Content) -> None:
        for key, value in content.before_end.items():
            span.set_attribute(key, value)
        span.end()

    def record_request(self, tracer: Tracer, spans: int) -> None:
        """A root and the spans below it: what one call of an application leaves."""
        root, content = self.begin(tracer)
        context = set_span_in_context(root)
        for _ in range(spans - 1):
            self.record(tracer, context)
        self.finish(root, content)


WORDS: Final = 4000
TEXTS: Final = 500
"""Texts of random words; repeats lie further apart than the 32 KB in which gzip looks for them."""


def _random_contents() -> list[Content]:
    chance = random.Random(1)
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(WORDS)]

    def text(chars: int) -> str:
        return " ".join(chance.choices(words, k=chars // 3))[:chars]

    return [Content(_prompt(text(PROMPT_CHARS)), _answer(text(ANSWER_CHARS))) for _ in range(TEXTS)]


LLM: Final = "llm"
LLM_AT_START: Final = "llm at start"
LLM_WORDS: Final = "llm, random words"
SMALL: Final = "small"


def work(name: str) -> Work:
    """A recorder by its name."""
    if name == LLM_WORDS:
        return Work("chat gpt-4o", _random_contents())
    contents = {
        LLM: Content(_PROMPT, _ANSWER),
        LLM_AT_START: Content(_PROMPT | _ANSWER, {}),
        SMALL: Content(_CALL, {}),
    }
    return Work("GET" if name == SMALL else "chat gpt-4o", [contents[name]])
