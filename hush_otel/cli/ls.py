"""`hush-otel ls`: the newest requests, a line each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import click
from rich.table import Table
from rich.text import Text

from hush_otel.presentation import text
from hush_otel.presentation.filters import Filters
from hush_otel.presentation.listing import listed, page
from hush_otel.presentation.waiting import open_reader
from hush_otel.store.reading import Reader
from hush_otel.store.search import Search

from .filters import COUNT, filtering
from .output import STATUS_STYLES, awaits_spans, busy, console, cut, plain_table, print_json
from .reading import settings_to_read

DEFAULT_LIMIT: Final = 20
"""Fits a terminal window."""

COLUMNS: Final = (
    "request",
    "workflow",
    "status",
    "started",
    "duration",
    "nodes",
    "errors",
    "tokens",
    "cost",
)
RIGHT: Final = frozenset({"started", "duration", "nodes", "errors", "tokens", "cost"})
WIDE_ONLY: Final = frozenset({"nodes", "tokens", "cost"})
NOT_BESIDE_HITS: Final = frozenset({"status", "nodes", "errors", "tokens", "cost"})
"""What gives way to the words that were looked for."""
FAILED: Final = "failed"
NARROW_CELLS: Final = 100
"""A terminal below this shows fewer columns, so that an id stays long enough for `show`."""


@click.command("ls")
@click.option("--limit", type=COUNT, default=DEFAULT_LIMIT, show_default=True, help="How many.")
@filtering
@click.option(
    "--json", "as_json", is_flag=True,
    help="One JSON object per line: the view `requests`, computed_usd, running_count, models, hit.",
)  # fmt: skip
@click.pass_obj
def command(db: str | None, /, limit: int, as_json: bool, **options: Any) -> None:
    """List requests, newest first.

    Several options together leave what all of them say. A terminal of less than 100 columns shows less of
    each; --json and a pipe show all. A cost with ~ in front is an estimate by a price table, at least in part
    (computed_usd).

    WORDS of --text are looked for in names, inputs, outputs and errors of spans, all of them somewhere in a
    request: whole words, "a phrase", or the beginning of a word with * behind it.
    """
    filters = Filters(**options)
    with open_reader(settings_to_read(db)) as reader, busy("looking further back"):
        requests = page(reader, filters, limit=limit).requests
        if filters.text is not None:
            _add_hits(reader, filters.text, requests)
    if as_json:
        for request in requests:
            print_json(listed(request))
    elif requests:
        out = console()
        out.print(_table(requests, narrow=out.width < NARROW_CELLS))
    else:
        click.echo("no requests" + (" match" if filters.chooses else " recorded yet"))
        if filters.status == FAILED:
            click.echo(
                f"{FAILED}: a delivery of it is dead; requests in which a span failed: --errors", err=True
            )


def _add_hits(reader: Reader, words: str, requests: list[dict[str, Any]]) -> None:
    """Where each holds the words: `hit`, None where that is gone meanwhile."""
    search = Search(reader, words)
    for request in requests:
        hit = search.hit(request["request_id"])
        request["hit"] = None if hit is None else hit._asdict()


def _table(requests: list[dict[str, Any]], *, narrow: bool) -> Table:
    searched = "hit" in requests[0]
    left_out = (WIDE_ONLY if narrow else frozenset()) | (NOT_BESIDE_HITS if searched else frozenset())
    names = [name for name in (*COLUMNS, *(("found",) if searched else ())) if name not in left_out]
    table = plain_table()
    for name in names:
        # Only ids, workflows and what was found give way; their texts are cut, not wrapped.
        gives_way = name in {"request", "workflow", "found"}
        table.add_column(name, no_wrap=not gives_way, justify="right" if name in RIGHT else "left")
    for request in requests:
        cells = _cells(request)
        table.add_row(*(cells[name] for name in names))
    return table


def _cells(request: dict[str, Any]) -> dict[str, Text]:
    start = request["start_time"] or datetime.fromtimestamp(request["created_at"], UTC).isoformat()
    tokens = text.tokens(request["prompt_tokens"], request["completion_tokens"], request["total_tokens"])
    errors = request["error_count"]
    return {
        "request": cut(text.clean(request["request_id"], limit=64)),
        "workflow": cut(text.clean(request["workflow_name"] or text.DASH, limit=40)),
        "status": _status(request),
        "started": Text(text.local_time(start)),
        "duration": Text(text.duration(request["duration_ms"]), style="cyan"),
        "nodes": Text(f"{request['node_count']:,}"),
        "errors": Text(f"{errors:,}", style="red" if errors else "bright_black"),
        "tokens": Text(tokens),
        "cost": Text(text.cost(request["cost_usd"], request["computed_usd"]), style="green"),
        "found": _found(request.get("hit")),
    }


def _found(hit: dict[str, Any] | None) -> Text:
    """The name of the span, and the words among what stands around them."""
    if hit is None:
        return Text("")
    found = cut(text.clean(hit["name"], limit=30))
    before, words, after = (
        hit["text"][: hit["start"]],
        hit["text"][hit["start"] : hit["end"]],
        hit["text"][hit["end"] :],
    )
    found.append(f"  {_part(before)}", style="bright_black")
    found.append(_part(words), style="bold")
    return found.append(_part(after), style="bright_black")


def _part(value: str) -> str:
    """Harmless, on one line; blanks at its ends stay."""
    return "↵".join(text.lines(value, keep_end=True))


def _status(request: dict[str, Any]) -> Text:
    remark = ", no spans" if awaits_spans(request) else ""
    return Text(request["status"] + remark, style=STATUS_STYLES.get(request["status"], ""))
