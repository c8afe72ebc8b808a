"""Two requests side by side: their steps, and what differs in one of them."""

from __future__ import annotations

from typing import Any, Final

from hush_otel.errors import PageError
from hush_otel.presentation import text
from hush_otel.presentation.compare import compare as compared
from hush_otel.presentation.differences import CHARS, differences
from hush_otel.presentation.listing import shown
from hush_otel.store.reading import Reader

from .answers import Answer, Question
from .api_requests import meant
from .api_span import SPAN_ID_BYTES, TRACE_ID_BYTES, id_of

SIDES: Final = ("a", "b")
LINES: Final = 400
"""Of an input or output, at most."""


def compare(question: Question) -> Answer:
    """The steps of two requests, aligned."""
    with question.reader() as reader, reader.snapshot():
        a, b = _both(reader, question)
        rows = [pair.as_json() for pair in compared(reader, a, b)]
        return {"a": _request(reader, a), "b": _request(reader, b), "rows": rows}


def step(question: Question) -> Answer:
    """The lines in which the inputs, and the outputs, of one step differ."""
    with question.reader() as reader, reader.snapshot():
        found = zip(SIDES, _both(reader, question), strict=True)
        a, b = (
            _contents(reader, request_id, question.query.get(f"{side}_span", ""))
            for side, request_id in found
        )
    return {word: _differences(a[word], b[word]) for word in ("input", "output")}


def _both(reader: Reader, question: Question) -> list[str]:
    said = [question.query.get(side, "") for side in SIDES]
    if not all(said):
        raise PageError(400, "a and b: two requests are compared", hint="give the ids of both")
    return [meant(reader, each) for each in said]


def _request(reader: Reader, request_id: str) -> dict[str, object]:
    row = reader.row("request", request_id=request_id)
    return shown(row) if row else {}


def _contents(reader: Reader, request_id: str, span: str) -> dict[str, Any]:
    trace_id, _, span_id = span.partition("-")
    row = reader.row(
        "step_contents",
        request_id=request_id,
        trace_id=id_of(trace_id, TRACE_ID_BYTES),
        span_id=id_of(span_id, SPAN_ID_BYTES),
    )
    if row is None:
        raise PageError(404, f"no span {span[:60]!r} in this request", hint="it may have been pruned")
    return dict(row)


def _differences(a: object, b: object) -> dict[str, Any] | None:
    """None where they are the same; no lines where that is so of what is compared of them."""
    if a == b:
        return None
    whole = [text.readable("" if each is None else str(each)) for each in (a, b)]
    found = differences(*(each[:CHARS].split("\n") for each in whole), limit=LINES)
    return found._asdict() | {"cut": found.cut or any(len(each) > CHARS for each in whole)}
