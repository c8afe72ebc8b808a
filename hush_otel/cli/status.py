"""`hush-otel status`: what is stored, what waits, what failed, what was lost."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Final

import click
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hush_otel.presentation import text
from hush_otel.presentation.status import DestinationStatus, Loss, Report, Searching, collect

from .output import STATUS_STYLES, busy, console, print_json
from .reading import settings_to_read

DUPLICATE: Final = "duplicate"
"""Reasons that begin with this are no losses: the same record came twice and was stored once."""
LOST: Final = "bold red"
CUT: Final = "cut"
"""Nor is this: the record is there, with a part of its largest value."""


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
@click.pass_obj
def command(db: str | None, as_json: bool) -> None:
    """Show the database, the background process, and what waits, failed or was lost."""
    settings = settings_to_read(db)
    now_s = time.time()
    with busy("looking"):
        report = collect(settings, now_s)
    if as_json:
        print_json(asdict(report))
    else:
        render(console(), report, now_s)


def render(out: Console, report: Report, now_s: float) -> None:
    """Print the report for people."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bright_black", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in _summary(report, now_s):
        grid.add_row(Text(label), value)
    out.print(grid)
    if report.destinations:
        out.print()
        for line in _destinations(report.destinations, now_s, out.width):
            out.print(line)


def _summary(report: Report, now_s: float) -> Iterator[tuple[str, Text]]:
    database, spool, pid = report.database, report.spool, report.background_pid
    wal = f" + {text.size(database.wal_bytes)} WAL" if database.wal_bytes else ""
    yield "database", Text(text.clean(database.path, limit=4096))
    limit = f" of {text.size(database.max_bytes)}" if database.max_bytes else ""
    free = f", {text.size(database.free_bytes)} free" if database.free_bytes else ""
    sizes = f"{text.size(database.size_bytes)}{limit}{wal}{free}, schema {database.schema_version}"
    yield "", Text(sizes, style="bright_black")
    if database.full_since is not None:
        since = f"nothing is stored for {text.age(database.full_since, now_s)}: "
        why = "above HUSH_MAX_DB_BYTES, and nothing in it may be deleted; the spool keeps what comes"
        yield "", Text(since + why, style="bold red")
    yield "background", Text(f"running, pid {pid}", style="green") if pid else Text("none", style="yellow")
    if report.background_error:
        yield "", Text(f"its last words: {text.clean(report.background_error, limit=500)}", style="red")
    yield "spool", Text(f"{text.size(spool.size_bytes)} in {text.plural(spool.segments, 'segment')}")
    yield "requests", _amounts(report.requests)
    if report.oldest_awaited_s is not None:
        age = text.duration(report.oldest_awaited_s * 1000)
        words = f"{report.awaited:,} marked complete without any span; the oldest {age} ago"
        yield "", Text(words, style="yellow")
    yield "spans", Text(f"{report.spans:,}")
    yield "deliveries", _amounts(report.deliveries)
    yield "losses", _losses(report.losses)
    yield "search", _search(report.search)


def _amounts(amounts: Mapping[str, int]) -> Text:
    parts = [Text(f"{n:,} {state}", style=STATUS_STYLES.get(state, "")) for state, n in amounts.items()]
    return Text(" · ").join(parts) if parts else Text("none", style="bright_black")


def _losses(losses: list[Loss]) -> Text:
    words: dict[str, list[Text]] = {LOST: [], "yellow": [], "bright_black": []}
    for loss in losses:
        words[_style(loss)].append(Text(_loss(loss), style=_style(loss)))
    lost = words.pop(LOST) or [Text("none", style="green")]
    return Text(" · ").join([*lost, *itertools.chain.from_iterable(words.values())])


def _style(loss: Loss) -> str:
    if loss.reason.startswith(DUPLICATE):
        return "bright_black"
    return "yellow" if loss.reason == CUT else LOST


def _search(search: Searching) -> Text:
    if search.state == "off":
        return Text("off", style="bright_black")
    if search.state == "emptying":
        return Text("nothing is found: the index is made anew, or removed", style="yellow")
    return Text(f"{text.plural(search.behind, 'span')} behind" if search.behind else "up to date")


def _loss(loss: Loss) -> str:
    size = f" ({text.size(loss.bytes)})" if loss.bytes else ""
    return f"{loss.count:,} {text.clean(loss.reason)}{size}"


HEADINGS: Final = (
    "destination",
    "type",
    "state",
    "pending",
    "oldest",
    "dead",
    "delivered",
    "rate",
    "rejected",
)
LEFT: Final = 3
"""How many of them hold text; the numbers behind stand to the right."""
GAP: Final = 2
NAME_MIN_CELLS: Final = 14
FAILING: Final = "failing"
STATE_STYLES: Final = {"active": "green", FAILING: "red"}


def _destinations(
    destinations: list[DestinationStatus], now_s: float, width: int
) -> Iterator[RenderableType]:
    """A line of columns for each, and below it what does not fit into columns, whole."""
    rows = [[Text(name, style="bright_black") for name in HEADINGS]]
    rows += [list(_destination_cells(it)) for it in destinations]
    widths = [max(row[i].cell_len for row in rows) for i in range(len(HEADINGS))]
    widths[0] = min(widths[0], max(NAME_MIN_CELLS, width - sum(widths[1:]) - GAP * (len(widths) - 1)))
    for row, it in zip(rows, [None, *destinations], strict=True):
        yield _line(row, widths)
        for remark in _remarks(it, now_s) if it else ():
            yield Padding(remark, (0, 0, 0, 2), expand=False)


def _line(cells: list[Text], widths: list[int]) -> Text:
    for index, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        cell.truncate(width, overflow="ellipsis")
        cell.align("left" if index < LEFT else "right", width)
    line = Text(" " * GAP).join(cells)
    line.rstrip()
    line.no_wrap = True
    return line


def _destination_cells(it: DestinationStatus) -> Iterator[Text]:
    yield Text(text.clean(it.name, limit=60))
    yield Text(text.clean(it.type, limit=20), style="bright_black")
    yield Text(it.state, style=STATE_STYLES.get(it.state, "yellow"))
    yield Text(f"{it.pending:,}", style="yellow" if it.pending else "bright_black")
    yield Text("" if it.oldest_pending_s is None else text.duration(it.oldest_pending_s * 1000))
    yield Text(f"{it.dead:,}", style="bold red" if it.dead else "bright_black")
    yield Text(f"{it.delivered_spans:,}")
    yield Text(f"{it.spans_per_s:,.1f}/s" if it.spans_per_s else "")
    yield Text(f"{it.rejected_spans:,}", style="red" if it.rejected_spans else "bright_black")


def _remarks(it: DestinationStatus, now_s: float) -> Iterator[Text]:
    if it.target:
        yield Text(text.clean(it.target, limit=200), style="bright_black")
    if it.unverified:
        yield Text("verify = false: whoever answers there is believed", style="yellow")
    if it.reason and it.state != FAILING:
        between = " " if it.state == "held" else ": "
        yield Text(f"{it.state}{between}{text.said(it.reason)}", style="yellow")
    if it.last_error and it.last_error != it.reason:
        yield _last_error(it, now_s)
    if it.state == FAILING:
        yield Text(f"{it.state} {it.reason}: nothing was accepted since", style=STATE_STYLES[FAILING])


def _last_error(it: DestinationStatus, now_s: float) -> Text:
    age = f"{text.age(it.last_error_at, now_s)} ago" + (", before the last delivery" if it.recovered else "")
    error = Text(f"last error, {age}: ", style="bright_black")
    return error.append(text.said(it.last_error), style="bright_black" if it.recovered else "red")
