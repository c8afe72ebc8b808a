"""`hush-otel ls`: the newest requests, a line each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import click
from rich.table import Table
from rich.text import Text

from hush_otel.config import Settings
from hush_otel.presentation import text
from hush_otel.presentation.filters import Filters
from hush_otel.presentation.listing import page
from hush_otel.presentation.waiting import open_reader

from .filters import filtering
from .output import STATUS_STYLES, awaits_spans, busy, console, cut, plain_table, print_json

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
NARROW_CELLS: Final = 100
"""A terminal below this shows fewer columns, so that an id stays long enough for `show`."""


@click.command("ls")
@click.option(
    "--limit", type=click.IntRange(min=1), default=DEFAULT_LIMIT, show_default=True, help="How many."
)
@filtering
@click.option(
    "--json", "as_json", is_flag=True,
    help="One JSON object per line: the view `requests`, computed_usd, running_count, models.",
)  # fmt: skip
@click.pass_obj
def command(db: str | None, /, limit: int, as_json: bool, **options: Any) -> None:
    """List requests, newest first.

    Several options together leave what all of them say. A terminal of less than 100 columns shows less of
    each; --json and a pipe show all. A cost with ~ in front is an estimate by a price table, at least in part
    (computed_usd).
    """
    filters = Filters(**options)
    with open_reader(Settings.load(db)) as reader, busy("looking further back"):
        requests = page(reader, filters, limit=limit).requests
    if as_json:
        for request in requests:
            print_json(request)
    elif requests:
        out = console()
        out.print(_table(requests, narrow=out.width < NARROW_CELLS))
    else:
        click.echo("no requests" + (" match" if filters.chooses else " recorded yet"))


def _table(requests: list[dict[str, Any]], *, narrow: bool) -> Table:
    names = [name for name in COLUMNS if not (narrow and name in WIDE_ONLY)]
    table = plain_table()
    for name in names:
        # Only ids and workflows give way; their texts are cut, not wrapped.
        gives_way = name in {"request", "workflow"}
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
    }


def _status(request: dict[str, Any]) -> Text:
    remark = ", no spans" if awaits_spans(request) else ""
    return Text(request["status"] + remark, style=STATUS_STYLES.get(request["status"], ""))
