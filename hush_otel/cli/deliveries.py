"""`hush-otel deliveries`: what was sent where, what waits, what is dead and why."""

from __future__ import annotations

import time
from typing import Any, Final

import click
from rich.table import Table
from rich.text import Text

from hush_otel.presentation import text
from hush_otel.presentation.deliveries import STATES, newest
from hush_otel.presentation.status import DestinationStatus
from hush_otel.presentation.status import destinations as all_destinations
from hush_otel.presentation.waiting import open_reader
from hush_otel.store.reading import Reader

from .completing import destinations
from .filters import COUNT, moment, stored_destination
from .output import STATUS_STYLES, busy, console, cut, plain_table, print_json
from .reading import settings_to_read

DEFAULT_LIMIT: Final = 50

OPEN: Final = frozenset({"pending", "sending", "paused"})

COLUMNS: Final = (
    "id",
    "request",
    "destination",
    "state",
    "spans",
    "attempts",
    "queued",
    "then",
    "last error",
)
RIGHT: Final = frozenset({"id", "spans", "attempts", "queued"})
ALL_CELLS: Final = 120
"""A terminal that is narrower leaves columns out, so that destination and error can be read."""
LEFT_OUT: Final = frozenset({"spans", "attempts", "queued"})


@click.command("deliveries")
@click.option(
    "--state", "states", type=click.Choice(STATES), multiple=True, help="Only in this state; may be repeated."
)
@click.option("--destination", metavar="NAME", shell_complete=destinations, help="Only to this destination.")
@click.option("--since", callback=moment, metavar="AGE", help="Only queued since: 30m, 12h, 7d, or a time.")
@click.option("--older-than", callback=moment, metavar="AGE", help="Only queued before that.")
@click.option("--limit", type=COUNT, default=DEFAULT_LIMIT, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line: the view `deliveries`.")
@click.pass_obj
def command(
    db: str | None,
    states: tuple[str, ...],
    destination: str | None,
    since: float | None,
    older_than: float | None,
    limit: int,
    as_json: bool,
) -> None:
    """List deliveries, newest first: one request to one destination each.

    `hush-otel retry ID` sends one that is dead or paused again.
    """
    now_s = time.time()
    with open_reader(settings_to_read(db)) as reader, busy("looking further back"):
        if destination is not None:
            stored_destination(reader, destination)
        found = newest(
            reader, states=states, destination=destination, since=since, until=older_than, limit=limit
        )
        places = [] if as_json else _not_accepting(reader, found, now_s)
    if as_json:
        for delivery in found:
            print_json(delivery)
    elif found:
        out = console()
        out.print(_table(found, now_s, out.width))
        for it in places:
            out.print(_failing(it, now_s))
    else:
        filtered = states or destination or since or older_than
        click.echo("no deliveries" + (" match" if filtered else " yet"))


def _not_accepting(reader: Reader, found: list[dict[str, Any]], now_s: float) -> list[DestinationStatus]:
    """Those among the destinations of these that accept nothing now."""
    named = {row["destination"] for row in found}
    return [it for it in all_destinations(reader, now_s) if it.failing_since is not None and it.name in named]


def _failing(it: DestinationStatus, now_s: float) -> Text:
    name, since = text.clean(it.name, limit=60), text.age(it.failing_since, now_s)
    line = Text(f"{name} is failing for {since}; last answer, {text.age(it.last_error_at, now_s)} ago: ")
    return line.append(text.said(it.last_error), style="red")


def _table(deliveries: list[dict[str, Any]], now_s: float, width: int) -> Table:
    shown = [name for name in COLUMNS if width >= ALL_CELLS or name not in LEFT_OUT]
    table = plain_table()
    for name in shown:
        gives_way = name in {"request", "destination", "last error"}
        table.add_column(name, no_wrap=not gives_way, justify="right" if name in RIGHT else "left")
    for delivery in deliveries:
        cells = dict(zip(COLUMNS, _cells(delivery, now_s), strict=True))
        table.add_row(*(cells[name] for name in shown))
    return table


def _cells(delivery: dict[str, Any], now_s: float) -> list[Text]:
    state = delivery["state"]
    return [
        Text(str(delivery["id"])),
        cut(text.clean(delivery["request_id"], limit=64)),
        cut(text.clean(delivery["destination"], limit=40)),
        Text(state, style=STATUS_STYLES.get(state, "")),
        Text(f"{delivery['span_count']:,}"),
        Text(f"{delivery['attempts']:,}"),
        Text(f"{text.age(delivery['created_at'], now_s)} ago"),
        Text(_then(delivery, now_s), style="bright_black"),
        cut(text.said(delivery["last_error"] or "")),
    ]


def _then(delivery: dict[str, Any], now_s: float) -> str:
    """When it was settled, or when it is tried next."""
    if delivery["state"] not in OPEN:
        return f"settled {text.age(delivery['settled_at'], now_s)} ago"
    if delivery["state"] == "pending" and delivery["next_attempt_at"] is not None:
        wait_s = delivery["next_attempt_at"] - now_s
        return f"next try in {text.duration(wait_s * 1000)}" if wait_s > 0 else "due"
    return ""
