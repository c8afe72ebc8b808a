"""What went into spans and what came out, and all that a span has, for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hush_otel.mapping.dialects.content import INPUT, INSTRUCTIONS, OUTPUT, content_key, instructions_of
from hush_otel.mapping.dialects.messages import Message
from hush_otel.mapping.jsontext import json_text
from hush_otel.presentation import text
from hush_otel.presentation.detail import Detail

from .tree import MARKS

LINES: Final = 12
CHARS: Final = 2_000
"""Of one text in `show --io`; the rest is counted."""

ROLES: Final = {"system": "yellow", "user": "cyan", "assistant": "green", "tool": "magenta"}
KINDS: Final = {2: "server", 3: "client", 4: "producer", 5: "consumer"}
"""OTLP's; `internal` is not worth a word."""


@dataclass(frozen=True, kw_only=True)
class Pen:
    """Writes texts below a span, indented.

    Attributes:
        whole: Whether all of a text is written, however long.
        how_to_see_all: What to say where it is not.
    """

    out: Console
    whole: bool
    how_to_see_all: str = ""

    def label(self, word: str, style: str, indent: int = 1) -> None:
        """A word on a line of its own, harmless."""
        self.out.print(Text("  " * indent + text.clean(word, limit=CHARS), style=style), soft_wrap=True)

    def text(self, value: str, indent: int = 2) -> None:
        """A text, JSON indented, harmless."""
        readable = text.readable(value)
        lines = text.lines(readable if self.whole else readable[:CHARS])
        for line in lines if self.whole else lines[:LINES]:
            self._line(line, indent)
        if not self.whole and (len(readable) > CHARS or len(lines) > LINES):
            self.label(f"… of {len(readable):,} characters{self.how_to_see_all}", "yellow", indent)

    def ending(self, value: str, indent: int = 2) -> None:
        """A text of which the end matters, as of a stack: the innermost call, and what it raised."""
        lines = text.lines(value if self.whole else value[-CHARS:])
        shown = lines if self.whole else lines[-LINES:]
        if not self.whole and (len(value) > CHARS or len(lines) > LINES):
            self.label(f"… the end of {len(value):,} characters{self.how_to_see_all}", "yellow", indent)
        for line in shown:
            self._line(line, indent)

    def _line(self, line: str, indent: int) -> None:
        if self.out.is_terminal:
            self.out.print(Padding(Text(line, overflow="fold"), (0, 0, 0, 2 * indent)))
        else:
            self.out.print(Text("  " * indent + line), soft_wrap=True)


def print_io(out: Console, span: Detail, how_to_see_all: str) -> None:
    """Name and figures of a span, its error, what went in and came out; a conversation where it is one."""
    pen = Pen(out=out, whole=False, how_to_see_all=how_to_see_all)
    out.print(_title(span.columns))
    _print_error(pen, span)
    for exception in span.exceptions if span.columns["error"] is not None else ():
        if exception.stack:
            pen.label("stack", "bright_black")
            pen.ending(exception.stack)
    _print_io(pen, span)
    _print_files(pen, span)


def print_in_full(out: Console, span: Detail) -> None:
    """All that a span has, nothing cut."""
    pen = Pen(out=out, whole=True)
    out.print(_title(span.columns))
    out.print(_facts(span))
    _print_error(pen, span)
    _print_io(pen, span)
    _print_files(pen, span)
    if span.columns["metadata"]:
        pen.label("metadata", "bright_black")
        pen.text(span.columns["metadata"])
    _print_pairs(pen, "attributes", others(span))
    for event in span.events:
        pen.label(f"event {text.clean(event['name'])}  {_after(event, span)}", "yellow")
        _print_values(pen, event["attributes"])
    for link in span.links:
        pen.label(f"link {text.clean(link['trace_id'])} {text.clean(link['span_id'])}", "bright_black")
        _print_values(pen, link["attributes"])
    _print_pairs(pen, "resource", span.resource)


def _title(columns: Mapping[str, Any]) -> Text:
    mark, style = MARKS.get(str(columns["status"]), ("?", "yellow"))
    title = Text(f"{mark} ", style=style).append(text.clean(columns["node_name"]), style="bold default")
    tokens = text.tokens(columns["prompt_tokens"], columns["completion_tokens"], columns["total_tokens"])
    took = "…" if columns["status"] == "running" else text.duration(columns["duration_ms"])
    for value, color in (
        (text.clean(columns["context_id"]) if columns["context_id"] else "", "bright_black"),
        (took, "cyan"),
        (tokens, "default"),
        (text.cost(columns["cost_usd"], columns["cost_source"]), "green"),
        (text.clean(columns["model"]) if columns["model"] else "", "magenta"),
    ):
        if value:
            title.append(f"  {value}", style=f"not bold {color}")
    return title


def _print_error(pen: Pen, span: Detail) -> None:
    """Why it failed: its own words, and those of its exceptions where they say something else."""
    if span.columns["error"] is None:
        return
    said = filter(None, [span.columns["error"], *(exception.words for exception in span.exceptions)])
    for index, words in enumerate(dict.fromkeys(said)):
        if not index:
            pen.label("error", "red")
        pen.text(words)


def _print_io(pen: Pen, span: Detail) -> None:
    if span.conversation:
        for messages in span.dialogue:
            _print_messages(pen, messages)
        return
    for word, value in (("input", span.input), ("output", span.output)):
        if value is not None:
            pen.label(word, "bright_black")
            pen.text(value)


def _print_files(pen: Pen, span: Detail) -> None:
    """Its attachments by name, one a line: what `--save-media` writes, and what could not be taken."""
    if span.files:
        pen.label("files", "bright_black")
    for file in span.files:
        name = text.clean(file.get("name") or "one without a name", limit=80)
        if "missing" in file:
            pen.label(f"{name}: missing, {text.clean(file['missing'])}", "yellow", indent=2)
            continue
        kind, size = text.clean(file.get("content_type") or "", limit=60), text.number(file.get("size"))
        facts = (name, kind, "" if size is None else text.size(int(size)))
        pen.label("  ".join(fact for fact in facts if fact), "default", indent=2)


def _print_messages(pen: Pen, messages: Iterable[Message]) -> None:
    for message in messages:
        answers = f" answers {text.clean(message.answers, limit=60)}" if message.answers else ""
        pen.label(text.clean(message.role, limit=40) + answers, ROLES.get(message.role, "yellow"))
        if message.content is not None:
            pen.text(message.content)
        for call in message.calls:
            of = f" {text.clean(call.id, limit=60)}" if call.id else ""
            pen.label(f"→ calls {text.clean(call.name, limit=80)}{of}", "magenta", indent=2)
            pen.text(call.arguments, indent=3)


def _facts(span: Detail) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=2)
    grid.add_column(style="bright_black", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in _fact_rows(span.columns):
        if value:
            grid.add_row("", Text(label), Text(value))
    for words in _oddities(span):
        grid.add_row("", Text("odd"), Text(words, style="yellow"))
    return grid


def _oddities(span: Detail) -> Iterator[str]:
    """What an application gave that cannot be, and was kept beside what is shown."""
    if span.unread:
        names = ", ".join(text.clean(name, limit=60) for name in span.unread)
        yield f"{text.plural(len(span.unread), 'value')} could not be read: {names}"
    if (text.number(span.columns["duration_ms"]) or 0.0) < 0:
        yield "its duration is negative"


def _fact_rows(columns: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "started", text.local_time(columns["start_time"]) if columns["start_time"] else ""
    yield "ended", text.local_time(columns["end_time"]) if columns["end_time"] else ""
    yield "type", text.clean(columns["node_type"] or "")
    yield "kind", KINDS.get(columns["kind"], "")
    yield "cost by", text.clean(columns["cost_source"] or "")
    yield "user", text.clean(columns["user_id"] or "")
    yield "session", text.clean(columns["session_id"] or "")
    yield "order", "" if columns["execution_order"] is None else str(columns["execution_order"])
    yield "span", columns["span_id"]
    yield "parent", columns["parent_span_id"] or ""
    yield "trace", columns["trace_id"]


def others(span: Detail) -> dict[str, Any]:
    """Attributes that are not what was written as input or output already."""
    said: set[str] = {key for keys in (INPUT, OUTPUT) for key in keys if key in span.attributes}
    said = {key for key in said if _text(span.attributes[key]) in (span.input, span.output)}
    if instructions_of(span.attributes) is not None:
        said |= {INSTRUCTIONS, content_key(span.attributes, INPUT) or ""}
    return {key: value for key, value in span.attributes.items() if key not in said}


def _print_pairs(pen: Pen, word: str, values: Mapping[str, Any]) -> None:
    if values:
        pen.label(word, "bright_black")
        _print_values(pen, values)


def _print_values(pen: Pen, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        readable = text.readable(_text(value))
        if "\n" in readable or len(readable) > CHARS:
            pen.label(text.clean(key), "cyan", indent=2)
            pen.text(_text(value), indent=3)
            continue
        pair = Text(f"{'':4}{text.clean(key)}", style="cyan")
        pair.append(f"  {text.clean(readable, limit=CHARS)}", style="default")
        pen.out.print(pair, soft_wrap=not pen.out.is_terminal)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)


def _after(event: Mapping[str, Any], span: Detail) -> str:
    return f"after {text.duration((event['time_ns'] - span.columns['start_ns']) / 1e6)}"
