"""`hush-otel redact --check`: what the rules would hide of what is stored already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import click
import msgspec
from rich.text import Text

from hush_otel.config import Settings
from hush_otel.mapping.redactor import Redactor
from hush_otel.model import Origin, SpanData
from hush_otel.presentation import text
from hush_otel.presentation.waiting import open_reader
from hush_otel.rules import RedactionRules
from hush_otel.store.history import HistoryReader
from hush_otel.store.reading import Reader, find_request

from .completing import request_ids
from .history import Chosen, choosing, chosen, progress
from .output import console, plain_table, print_json

EXIT_FOUND: Final = 1
SHOWN_CHARS: Final = 2
SHOWN_FROM_CHARS: Final = 12
"""A shorter text gives away too much with its first two characters."""


@dataclass
class Finding:
    """One rule at one place.

    Attributes:
        where: An attribute's key, behind what has it where that is not the span; or ``name`` and the like.
        rule: ``email``, ``key *secret*``, ``patterns.NAME``, …
        count: How often.
        sample: The beginning of the first, and its length.
    """

    where: str
    rule: str
    count: int
    sample: str


@dataclass
class Report:
    """What was looked at, and what was found."""

    requests: int = 0
    spans: int = 0
    findings: list[Finding] = field(default_factory=list)


@click.command("redact")
@click.argument("request_id", metavar="[ID]", required=False, shell_complete=request_ids)
@click.option("--check", is_flag=True, help="Required: show what would be hidden, and change nothing.")
@choosing(since_required=False)
@click.option("--json", "as_json", is_flag=True, help="{requests, spans, findings} on one line.")
@click.pass_obj
def command(db: str | None, /, request_id: str | None, check: bool, as_json: bool, **options: Any) -> int:
    """Show what the rules of [redaction] would hide of what is stored already.

    Of one request, by its id, the beginning of one or a trace id; else of those chosen. Looks at spans that
    have ended, tags and attachments. Without [redaction] in the configuration file the ready patterns are
    tried. Samples show the first two characters at most. What is stored stays as it is: rules apply to what
    is recorded from now on. Ends with exit code 1 when something would be hidden, 0 when nothing.
    """
    if not check:
        raise click.UsageError("say --check: what is stored already cannot be rewritten")
    if request_id and options != _NO_CHOICE:
        raise click.UsageError("give an ID, or options that choose requests, not both")
    settings = Settings.load(db)
    if settings.redaction is None:
        click.echo("no [redaction] is configured: this tries the ready patterns", err=True)
    looking = _Looking(settings.redaction or RedactionRules())
    with open_reader(settings) as reader, closing(HistoryReader(settings.db_path)) as history:
        which = chosen(**options)
        total = 1 if request_id else which.totals(reader)["requests"]
        with progress() as bar:
            for number in bar.track(_numbers(reader, which, request_id), total, description="looking"):
                looking.report.requests += 1
                _look_beside_spans(looking, reader, number)
                for span in history.spans_of(number):
                    looking.at(span)
    report = looking.done()
    if as_json:
        print_json(asdict(report))
    else:
        _render(report)
    return EXIT_FOUND if report.findings else 0


_NO_CHOICE: Final = {
    "since": 0.0,
    "until": None,
    "workflow": None,
    "status": None,
    "user": None,
    "session": None,
}


def _numbers(reader: Reader, which: Chosen, request_id: str | None) -> Iterator[int]:
    if request_id:
        row = reader.row("request_number", request_id=find_request(reader, request_id))
        if row is not None:
            yield row["id"]
        return
    for page in which.pages(reader):
        yield from (request["id"] for request in page)


def _look_beside_spans(looking: _Looking, reader: Reader, number: int) -> None:
    """At the tags of a request's mark, and the files that its nodes have attached."""
    row = reader.row("request_beside_spans", request=number)
    if row is None:
        return  # deleted meanwhile
    looking.at_value("tags", msgspec.json.decode(row["marked_tags"] or "[]"))
    for file in reader.rows("request_media", request_id=row["request_id"]):
        found = reader.row("media", id=file["id"])
        looking.at_value("attachment", found and found["data"])


class _Looking(Redactor):
    """Notes what is found, and where."""

    def __init__(self, rules: RedactionRules) -> None:
        super().__init__(rules)
        self.report = Report()
        self._place = ""
        self._of = ""
        self._found: dict[tuple[str, str], Finding] = {}
        self._origins: list[Origin] = []

    def at(self, span: SpanData) -> None:
        """One span, and its origin when it is the first that has it."""
        self.report.spans += 1
        self._keys.clear()  # a key that is a secret counts for each span
        for place in ("name", "status_message", "trace_state"):
            self._text(place, getattr(span, place))
        self._mapping("", span.attributes)
        for event in span.events:
            self._text("event name", event.name)
            self._mapping("event ", event.attributes)
        for link in span.links:
            self._text("link trace_state", link.trace_state)
            self._mapping("link ", link.attributes)
        if not any(known is span.origin for known in self._origins[-MOST_ORIGINS:]):
            self._origins.append(span.origin)
            self._origin(span.origin)

    def at_value(self, place: str, value: object) -> None:
        """What belongs to no span."""
        self._place = place
        self.value(value)
        self._place = ""

    def done(self) -> Report:
        """The report, most frequent first."""
        self.report.findings = sorted(self._found.values(), key=lambda one: (-one.count, one.where, one.rule))
        return self.report

    def found(self, rule: str, value: object) -> None:
        """Count it, and keep the beginning of the first. What is hidden already is not hidden again."""
        if value == self.mask:
            return
        where = self._place or f"{self._of}{self.where}"
        one = self._found.setdefault((where, rule), Finding(where, rule, 0, _sample(value)))
        one.count += 1

    def identifier(self, request_id: str) -> str:
        """Counted like any attribute."""
        return request_id

    def _look_at_key(self, key: Any) -> tuple[str, Any]:
        place, self._place = self._place, f"{self._of}(a key)"
        known = super()._look_at_key(key)
        self._place = place
        return known

    def _origin(self, origin: Origin) -> None:
        self._mapping("resource ", origin.resource)
        for place in ("resource_schema_url", "scope_name", "scope_version", "scope_schema_url"):
            self._text(place.replace("_", " ", 1), getattr(origin, place))
        self._mapping("scope ", origin.scope_attributes)

    def _text(self, place: str, value: str) -> None:
        self._place = place
        self.text(value)
        self._place = ""

    def _mapping(self, of: str, attributes: dict[str, Any]) -> None:
        self._of = of
        self.attributes(attributes)


MOST_ORIGINS: Final = 1_000


def _sample(value: object) -> str:
    if not isinstance(value, str):
        return f"<{type(value).__name__}>"
    shown = value[:SHOWN_CHARS] if len(value) >= SHOWN_FROM_CHARS else ""
    return f"{shown}… ({text.plural(len(value), 'character')})"


def _render(report: Report) -> None:
    if report.findings:
        table = plain_table()
        for name in ("where", "rule", "count", "sample"):
            table.add_column(name, justify="right" if name == "count" else "left")
        for one in report.findings:
            table.add_row(
                Text(text.clean(one.where)),
                Text(one.rule),
                Text(f"{one.count:,}"),
                Text(text.clean(one.sample)),
            )
        console().print(table)
    count = sum(one.count for one in report.findings)
    looked = f"{text.plural(report.spans, 'span')} of {text.plural(report.requests, 'request')}"
    click.echo(f"{text.plural(count, 'value') if count else 'nothing'} would be hidden in {looked}")
