"""One request as one HTML file: no script, nothing loaded, and everything that was recorded is text.

The policy in its head forbids whatever a browser could load or run, the style sheet excepted, by its hash.
Bars are SVG: their places are attributes, no style.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.resources
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any, Final

from hush_otel.mapping.dialects.messages import Message
from hush_otel.mapping.jsontext import json_text
from hush_otel.presentation import text
from hush_otel.presentation.detail import Detail
from hush_otel.presentation.sharing import Shared
from hush_otel.presentation.standing_in import SAID
from hush_otel.version import __version__

from .bars import Scale, scale_of
from .contents import others
from .output import totals
from .tree import MARKS, Line, took_of, walk

MOST_CHARS: Final = 64 * 1024
"""Of one text: a page must still open."""
MAX_INDENT: Final = 16
BAR_UNITS: Final = 1000
ALL_LEVELS: Final = 1 << 30


def html(shared: Shared) -> Iterator[str]:
    """The file, part by part."""
    request = shared.request
    title = escape(text.clean(request["workflow_name"] or request["request_id"]))
    policy = f"default-src 'none'; style-src '{_style_hash()}'; base-uri 'none'; form-action 'none'"
    yield (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="referrer" content="no-referrer">\n<title>{title}</title>\n'
        f"<style>{_style()}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n"
    )
    yield from _facts(request)
    yield "</header>\n<main>\n"
    lines = list(walk(shared.roots, ALL_LEVELS))
    scale = scale_of([line.node.row for line in lines])
    for line in lines:
        yield from _span(line, shared.detail(line.node), scale)
    yield f"</main>\n<footer>hush-otel {escape(__version__)}</footer>\n</body>\n</html>\n"


@functools.cache
def _style() -> str:
    return (importlib.resources.files(__package__) / "share.css").read_text(encoding="utf-8")


def _style_hash() -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()


def _facts(request: Mapping[str, Any]) -> Iterator[str]:
    yield "<dl>"
    for label, value in (
        ("request", request["request_id"]),
        ("status", request["status"]),
        ("started", request["start_time"]),
        ("took", text.duration(request["duration_ms"])),
        ("totals", totals(request)),
        ("models", ", ".join(request["models"])),
        ("user", request["user_id"]),
        ("session", request["session_id"]),
        ("tags", text.tags(request["tags"])),
        ("error", request["error_message"]),
    ):
        if value:
            yield f"<div><dt>{label}</dt><dd>{escape(text.clean(value, limit=1000))}</dd></div>"
    yield "</dl>\n"


def _span(line: Line, span: Detail | None, scale: Scale | None) -> Iterator[str]:
    row, depth = line.node.row, min(line.depth, MAX_INDENT)
    status = str(row["status"]) if row["status"] in MARKS else "unknown"
    mark = MARKS.get(status, ("?", ""))[0]
    took = "running" if status == "running" else SAID.get(status) or took_of(row)
    tokens = text.tokens(row["prompt_tokens"], row["completion_tokens"], row["total_tokens"])
    context = f" <small>{_escaped(row['context_id'])}</small>" if row["context_id"] else ""
    yield (
        f'<details class="{status}"{" open" if status == "error" else ""}><summary>'
        f'<span class="name">{"<i></i>" * depth}<b title="{status}">{mark}</b> {_escaped(row["name"])}'
        f"{context}</span>"
        f"{_bar(row, scale)}<span>{took}</span><span>{tokens}</span>"
        f"<span>{text.cost(row['cost_usd'], row['cost_source'])}</span>{_model(row)}</summary>\n"
    )
    if row["error"]:
        yield f'<pre class="words">{_lines(str(row["error"]))}</pre>\n'
    yield from _contents(span) if span is not None else ()
    yield "</details>\n"


def _model(row: Mapping[str, Any]) -> str:
    """Cut where there is no room, whole where the pointer is."""
    name = _escaped(row["model"]) if row["model"] else ""
    return f'<span class="model" title="{name}">{name}</span>'


def _bar(row: Mapping[str, Any], scale: Scale | None) -> str:
    part = None if scale is None else scale.of(row)
    if part is None:
        return "<svg></svg>"
    first = round(part[0] * BAR_UNITS)
    width = max(round(part[1] * BAR_UNITS) - first, 4)
    x = min(first, BAR_UNITS - width)
    return (
        f'<svg viewBox="0 0 {BAR_UNITS} 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect x="{x}" y="2" width="{width}" height="6" rx="2"/></svg>'
    )


def _contents(span: Detail) -> Iterator[str]:
    if span.columns["model"]:
        yield f"<p>model {_escaped(span.columns['model'])}</p>\n"
    if span.conversation:
        for messages in span.dialogue:
            yield from _messages(messages)
    else:
        yield from _text("input", span.input)
        yield from _text("output", span.output)
    yield from _text("metadata", span.columns["metadata"])
    yield from _pairs("attributes", others(span))
    for event in span.events:
        yield from _pairs(f"event {text.clean(event['name'])}", event["attributes"])


def _messages(messages: Iterable[Message]) -> Iterator[str]:
    for message in messages:
        yield from _text(text.clean(message.role, limit=40), message.content, kind="message")
        for call in message.calls:
            yield from _text(f"calls {text.clean(call.name, limit=80)}", call.arguments, kind="message")


def _text(label: str, value: str | None, kind: str = "") -> Iterator[str]:
    if value is not None:
        yield f'<h2 class="{kind}">{escape(label)}</h2><pre>{_lines(text.readable(value))}</pre>\n'


def _pairs(label: str, values: Mapping[str, Any]) -> Iterator[str]:
    if not values:
        return
    yield f"<h2>{escape(label)}</h2><table>\n"
    for key, value in values.items():
        shown = value if isinstance(value, str) else json_text(value)
        yield f"<tr><th>{_escaped(key)}</th><td><pre>{_lines(text.readable(shown))}</pre></td></tr>\n"
    yield "</table>\n"


def _lines(value: str) -> str:
    """Text with its line breaks: no markup, no controls, no bidi marks."""
    kept = "\n".join(escape(line) for line in text.lines(value[:MOST_CHARS]))
    return kept + (f"\n… of {len(value):,} characters" if len(value) > MOST_CHARS else "")


def _escaped(value: object) -> str:
    return escape(text.clean(value))
