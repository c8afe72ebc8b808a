"""`hush-otel reprice`: costs that were computed, or could not be, by the price table of today."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click
from rich.progress import Progress

from hush_otel.background.asking import Asking
from hush_otel.config import Settings
from hush_otel.presentation import text
from hush_otel.presentation.waiting import open_reader
from hush_otel.store.reading import Reader
from hush_otel.store.repricing import changes, summary

from .history import Chosen, choosing, chosen, progress
from .output import print_json


@click.command("reprice")
@choosing(since_required=False)
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="{requests, spans, before_usd, after_usd} on one line.")
@click.pass_obj
def command(db: str | None, /, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Compute costs anew that no app has given, by today's price table.

    Model calls that have tokens and a model that the table knows get the price of the time at which they
    were made. A cost that a span or node gave itself is never touched. What was delivered is not sent again.
    """
    settings = Settings.load(db)
    with open_reader(settings) as reader:
        which = chosen(**options)
        total = which.totals(reader)["requests"]
        with progress() as bar:
            if dry_run:
                done = _add_up(_looked(reader, which, bar, total))
            else:
                with Asking(settings, reader) as asking:
                    done = _add_up(_asked(asking, reader, which, bar, total))
    if as_json:
        print_json(done)
    else:
        click.echo(_what_was_done(done, dry_run=dry_run))


def _looked(reader: Reader, which: Chosen, bar: Progress, total: int) -> Iterator[dict[str, Any]]:
    task = bar.add_task("looked at", total=total)
    for page in which.pages(reader):
        requests = json.dumps([row["id"] for row in page])
        yield summary(list(changes(reader.each("priceable_spans", requests=requests))))
        bar.advance(task, len(page))


def _asked(
    asking: Asking, reader: Reader, which: Chosen, bar: Progress, total: int
) -> Iterator[dict[str, Any]]:
    task = bar.add_task("priced", total=total)
    commands = ({"requests": [row["id"] for row in page]} for page in which.pages(reader))
    for asked, found in asking.answers("reprice", commands):
        yield found
        bar.advance(task, len(asked["requests"]))


def _add_up(pages: Iterator[dict[str, Any]]) -> dict[str, Any]:
    done = Counter[str](requests=0, spans=0)
    usd = {"before_usd": 0.0, "after_usd": 0.0}
    for page in pages:
        done.update(requests=page["requests"], spans=page["spans"])
        usd = {key: usd[key] + page[key] for key in usd}
    return dict(done) | usd


def _what_was_done(done: dict[str, Any], *, dry_run: bool) -> str:
    if not done["spans"]:
        return "no cost would change" if dry_run else "no cost has changed"
    would = "would be " if dry_run else ""
    spans = f"{text.plural(done['spans'], 'span')} of {text.plural(done['requests'], 'request')}"
    costs = f"{text.cost(done['before_usd'], '')} → {text.cost(done['after_usd'], '')}"
    return f"{spans} {would}priced anew: {costs}"
