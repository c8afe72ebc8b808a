"""One request as Markdown: short enough to paste into a model, and nothing in it that is taken for markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from hush_otel.mapping.dialects.messages import Message
from hush_otel.presentation import text
from hush_otel.presentation.detail import Detail
from hush_otel.presentation.sharing import Shared
from hush_otel.presentation.standing_in import SAID

from .output import totals
from .tree import MARKS, Line, took_of, walk

MOST_CHARS: Final = 4_000
"""Of one text; a model that reads it has better things to read than the middle of a long document."""

_TICKS: Final = re.compile("`+")


def markdown(shared: Shared) -> Iterator[str]:
    """The text, part by part."""
    request = shared.request
    yield f"# Request {_code(request['request_id'])}\n\n"
    for label, value in _facts(request):
        if value:
            yield f"- {label}: {value}\n"
    lines = list(walk(shared.roots, 1 << 30))
    yield "\n## Steps\n\n"
    yield _fenced("\n".join(map(_line, lines)))
    yield "\nMarks: ✓ ok, ✗ error, ● running, ◌ interrupted, ○ not ended yet, ? not stored.\n"
    yield "Tokens are prompt→completion.\n"
    for number, line in enumerate(lines, start=1):
        span = shared.detail(line.node)
        if span is not None:
            yield from _step(number, line, span)


def _facts(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "workflow", _code(request["workflow_name"])
    yield "status", request["status"]
    yield "started", request["start_time"] or ""
    yield "took", text.duration(request["duration_ms"])
    yield "totals", totals(request)
    yield "models", ", ".join(map(_code, request["models"]))
    yield "user", _code(request["user_id"])
    yield "session", _code(request["session_id"])
    yield "tags", _code(text.tags(request["tags"]))
    yield "error", _code(request["error_message"])


def _line(line: Line) -> str:
    row = line.node.row
    mark, _ = MARKS.get(str(row["status"]), ("?", ""))
    context = text.clean(row["context_id"], limit=30) if row["context_id"] else ""
    tokens = text.tokens(row["prompt_tokens"], row["completion_tokens"], row["total_tokens"])
    took = SAID.get(str(row["status"])) or took_of(row)
    model = text.clean(row["model"], limit=60) if row["model"] else ""
    name, cost = text.clean(row["name"], limit=80), text.cost(row["cost_usd"], row["cost_source"])
    parts = (name, context, took, tokens, cost, model)
    return f"{'  ' * line.depth}{mark} {'  '.join(part for part in parts if part)}"


def _step(number: int, line: Line, span: Detail) -> Iterator[str]:
    if not span.says_something:
        return
    context = line.node.row["context_id"]
    of_pass = f" in pass {_code(context)}" if str(context).startswith("[") else ""
    yield f"\n### {number}. {_code(line.node.row['name'])}{of_pass}\n"
    if span.columns["error"]:
        yield from _text("error", span.columns["error"])
        for exception in span.exceptions:
            yield from _text("stack", exception.stack[-MOST_CHARS:] or None)
    if span.conversation:
        for messages in span.dialogue:
            yield from _messages(messages)
    else:
        yield from _text("input", span.input)
        yield from _text("output", span.output)


def _messages(messages: Iterable[Message]) -> Iterator[str]:
    for message in messages:
        yield from _text(text.clean(message.role, limit=40), message.content)
        for call in message.calls:
            yield from _text(f"calls {text.clean(call.name, limit=80)}", call.arguments)


def _text(label: str, value: str | None) -> Iterator[str]:
    if value is None:
        return
    readable = text.readable(value)
    more = f"\n… of {len(readable):,} characters" if len(readable) > MOST_CHARS else ""
    yield f"\n{_code(label)}:\n\n{_fenced(chr(10).join(text.lines(readable[:MOST_CHARS])) + more)}"


def _fenced(value: str) -> str:
    """A block whose fence is longer than any within it."""
    longest = max(map(len, _TICKS.findall(value)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{value}\n{fence}\n"


def _code(value: object) -> str:
    """Text on one line that is no markup."""
    if not value:
        return ""
    shown = text.clean(value)
    longest = max(map(len, _TICKS.findall(shown)), default=0)
    ticks = "`" * (longest + 1)
    return f"{ticks} {shown} {ticks}" if longest else f"`{shown}`"
