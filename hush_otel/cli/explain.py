"""`hush-otel explain --to NAME ID`: what a vendor would get of a request. Nothing is sent."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import Any, Final, NamedTuple

import click
import msgspec
from rich.console import Console
from rich.text import Text

from hush_otel.config import Settings
from hush_otel.errors import HushError, PermanentError
from hush_otel.mapping.dialects.catalogue import additions, dialect_named, translated
from hush_otel.mapping.dialects.images import without_media
from hush_otel.mapping.dialects.meaning import Meaning, meaning_of
from hush_otel.mapping.dialects.remarks import Remark, remarks
from hush_otel.model import TRACER_ALIASES, AttributeValue, SpanData
from hush_otel.options import EXPORTER, dialect, request_limit, with_media
from hush_otel.presentation import text
from hush_otel.presentation.waiting import open_reader
from hush_otel.presets import DEFAULT_DIALECTS, PRESETS
from hush_otel.store.history import HistoryReader
from hush_otel.store.reading import Reader, find_request

from .completing import TYPES, destinations_and_types, request_ids
from .output import busy, console, to_json
from .reading import settings_to_read

OF_LOOP: Final = "hush.iteration.of"
"""Stands on the span of a loop's pass, which is sent and not stored (`store.above`)."""

SHOWN: Final = 100
"""Added attributes of a span, for people: metadata with thousands of keys would drown the rest."""

WORDS: Final = {"drop": "not kept", "double": "counted twice", "cut": "cut"}


class Target(NamedTuple):
    """Where the spans would go."""

    name: str
    type: str
    config: Mapping[str, AttributeValue]
    dialect: str

    @property
    def takes(self) -> str:
        """What code of others gets, in words; empty for the types whose spans are translated here."""
        if self.type in TYPES:
            return ""
        if self.type.startswith(EXPORTER):
            return "an installed exporter: gets spans as they were recorded"
        return "a tracer: gets the whole request as flush_data, made of what was recorded"

    @property
    def limit_bytes(self) -> int:
        """Above which nothing is sent."""
        return request_limit(self.config)

    @property
    def with_media(self) -> bool:
        """Whether images are sent where the dialect has a place for them."""
        return with_media(("media", self.config.get("media")))


class Explained(NamedTuple):
    """One span on its way out."""

    span: SpanData
    added: dict[str, AttributeValue]
    remarks: list[Remark]
    size_bytes: int


@click.command("explain")
@click.option(
    "--to",
    "name",
    required=True,
    metavar="NAME",
    shell_complete=destinations_and_types,
    help="A destination by its name, or a type.",
)
@click.argument("request_id", metavar="ID", shell_complete=request_ids)
@click.option("--json", "as_json", is_flag=True, help="One object: to, spans, remarks.")
@click.pass_obj
def command(db: str | None, name: str, request_id: str, as_json: bool) -> None:
    """Show what a vendor would get of a request, and send nothing.

    Also what it would lose, count twice or cut, as far as that is known.

    NAME is a destination of the configuration file or of the database, or a type such as langfuse, phoenix,
    mlflow, langsmith: it need not be configured. Installed exporters and tracers of your own get what was
    recorded. ID is a request id, the beginning of one, or a trace id in
    hex.
    """
    settings = settings_to_read(db, needs=frozenset({f"destination.{name}"}))
    with open_reader(settings) as reader:
        found = find_request(reader, request_id)
        target = _target(settings, reader, name)
        row = reader.row("request_number", request_id=found)
        with closing(HistoryReader(settings.db_path)) as history:
            spans = history.spans_of(row["id"]) if row else iter(())
            _print(target, found, (_explained(target, span) for span in spans), as_json=as_json)


def _print(target: Target, request_id: str, explained: Iterator[Explained], *, as_json: bool) -> None:
    """Span by span: a request may be larger than memory."""
    with busy("translating") as make_way:
        make_way()
        if as_json:
            for part in _json_parts(target, request_id, explained):
                sys.stdout.write(part)
        else:
            _render(console(), target, request_id, explained)


def _target(settings: Settings, reader: Reader, name: str) -> Target:
    """By its name in the file, in the database, or as a type.

    Raises:
        HushError: It is none of them, or nothing is sent there.
    """
    known = settings.known_destinations.get(name)
    row = reader.row("destination", name=name)
    if known is not None:
        kind, config = known.type, dict(known.config)
    elif row is not None:
        kind, config = row["type"], msgspec.json.decode(row["config"])
    else:
        kind, config = TRACER_ALIASES.get(name, name), {}
    is_known = known is not None or row is not None or kind in TYPES or kind.startswith(EXPORTER)
    if kind == "local" or not is_known:
        raise HushError(_why_not(name, kind), hint=_hint(settings, reader))
    if kind not in TYPES:  # options of others are their own
        return Target(name, kind, {}, "none")
    try:
        chosen = dialect(("dialect", config.get("dialect"))) or DEFAULT_DIALECTS.get(kind, "none")
    except PermanentError as exc:
        raise HushError(f"destination {name!r}: {exc.message}", hint=exc.hint) from None
    return Target(name, kind, config, chosen)


def _why_not(name: str, kind: str) -> str:
    if kind == "local":
        return "local is the store itself: nothing is sent there"
    return f"{name!r} is neither a destination nor a type of one"


def _hint(settings: Settings, reader: Reader) -> str:
    stored = {str(row["name"]) for row in reader.each("destination_names")}
    names = ", ".join(sorted({*settings.known_destinations, *stored})) or "none"
    return f"types: {', '.join(TYPES)}; destinations: {names}"


def _explained(target: Target, span: SpanData) -> Explained:
    # Imported here: protobuf takes a while, and `--help` does without.
    from hush_otel.destinations.otlp_encode import encode  # noqa: PLC0415

    if not target.with_media:
        span = without_media(span)
    found = dialect_named(target.dialect)
    added = {} if found is None else additions(found, span)
    sent = span if found is None else translated(found, span)
    size = len(encode([sent]))
    if target.takes:  # nothing is known of what it does with it
        return Explained(sent, added, [], size)
    noted = remarks(target.type, target.dialect, span, sent)
    if size > target.limit_bytes:
        words = f"{size} bytes are above what one request may have ({target.limit_bytes}): it is not sent"
        noted.append(Remark("drop", "", words))
    return Explained(sent, added, noted, size)


# ------------------------------------------------------------------ as JSON


def _json_parts(target: Target, request_id: str, explained: Iterator[Explained]) -> Iterator[str]:
    counts: Counter[str] = Counter()
    yield f'{{"request_id":{to_json(request_id)},"to":{to_json(_said(target))},"spans":['
    for index, one in enumerate(explained):
        counts.update(remark.kind for remark in one.remarks)
        yield ("," if index else "") + to_json(_span_json(one))
    yield f'],"remarks":{to_json({kind: counts[kind] for kind in WORDS})}}}\n'


def _said(target: Target) -> dict[str, Any]:
    preset = PRESETS.get(target.type)
    return {
        "name": target.name,
        "type": target.type,
        "vendor": preset.vendor if preset else None,
        "dialect": target.dialect,
        "evidence": preset.evidence if preset else None,
        "takes": target.takes or None,
    }


def _span_json(one: Explained) -> dict[str, Any]:
    span = one.span
    return {
        "name": span.name,
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex() if span.parent_span_id else None,
        "attributes": _shown(span.attributes),
        "added": sorted(one.added),
        "size_bytes": one.size_bytes,
        "remarks": [remark._asdict() for remark in one.remarks],
    }


def _shown(value: Any) -> Any:
    """As the JSON of the views: what JSON has no word for is text."""
    if isinstance(value, Mapping):
        return {str(key): _shown(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(item) for item in value]
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124
    return value


# ------------------------------------------------------------------ for people


def _render(out: Console, target: Target, request_id: str, explained: Iterator[Explained]) -> None:
    said = _said(target)
    vendor = f"{said['vendor']}, {said['evidence']}" if said["vendor"] else target.type
    what = target.takes or f"dialect {target.dialect}"
    title = Text(text.clean(request_id), style="bold")
    title.append(f" → {text.clean(target.name)}", style="bold")
    title.append(f"  {text.clean(vendor)}; {what}; nothing is sent", style="not bold bright_black")
    out.print(title)
    counts: Counter[str] = Counter()
    spans = passes = 0
    for one in explained:
        spans += 1
        passes += OF_LOOP in one.span.attributes
        counts.update(remark.kind for remark in one.remarks)
        out.print()
        _render_span(out, one)
    out.print()
    out.print(Text(_summary(spans, passes, counts)))


def _render_span(out: Console, one: Explained) -> None:
    title = Text(text.clean(one.span.name, limit=80), style="bold") + Text(
        f"  {_meant(one.span)}", style="cyan"
    )
    lines = [title]
    for key, value in islice(one.added.items(), SHOWN):
        line = Text(f"  + {text.clean(key, limit=80)} ", style="green")
        lines.append(line.append(text.clean(_plain(value), limit=100), style="default"))
    if (left := len(one.added) - SHOWN) > 0:
        lines.append(Text(f"  + {left:,} more (--json has them)", style="green"))
    for remark in one.remarks:
        about = f" {text.clean(remark.key, limit=80)}" if remark.key else ""
        line = Text(f"  ! {WORDS[remark.kind]}{about}: ", style="yellow")
        lines.append(line.append(text.clean(remark.words, limit=300), style="default"))
    out.print(Text("\n").join(lines))  # one by one they take twice the time


def _meant(span: SpanData) -> str:
    meaning = meaning_of(span)
    tokens = meaning.tokens
    parts = [
        meaning.kind or "span",
        text.clean(meaning.model or "", limit=60) if meaning.counts else "",
        text.tokens(tokens.input, tokens.output, tokens.total) if tokens and meaning.counts else "",
        _cost(meaning),
    ]
    return "  ".join(part for part in parts if part)


def _cost(meaning: Meaning) -> str:
    if not meaning.counts:
        return ""
    return text.cost(meaning.cost_usd) or text.cost(meaning.computed_usd, meaning.computed_usd)


def _plain(value: AttributeValue) -> str:
    return value if isinstance(value, str) else to_json(_shown(value))


def _summary(spans: int, passes: int, counts: Counter[str]) -> str:
    noted = ", ".join(f"{counts[kind]} {words}" for kind, words in WORDS.items() if counts[kind])
    of = f"{text.plural(spans - passes, 'node')} and {text.passes(passes)} are " if passes else ""
    return f"{of}{text.plural(spans, 'span')}; {noted or 'nothing to remark'}"
