"""`hush-otel stats`: how many, how slow, how dear; by workflow, model and day."""

from __future__ import annotations

import time
from typing import Any, Final, cast

import click
from rich.console import Console
from rich.text import Text

from hush_otel.presentation import text
from hush_otel.presentation.statistics import By, Window, grouped
from hush_otel.presentation.waiting import open_reader

from . import completing
from .filters import moment
from .output import busy, console, cut, plain_table, print_json
from .reading import settings_to_read

BY: Final = ("workflow", "model", "day")
DEFAULT_SINCE: Final = "7d"
NARROW_CELLS: Final = 100


@click.command("stats")
@click.option("--by", type=click.Choice(BY), help="By this alone.  [default: each of them]")
@click.option(
    "--since", callback=moment, default=DEFAULT_SINCE, show_default=True, metavar="AGE",
    help="Requests stored since: 30m, 12h, 7d, or a time.",
)  # fmt: skip
@click.option("--until", callback=moment, metavar="AGE", help="Only those stored before that.")
@click.option(
    "--workflow", metavar="NAME", shell_complete=completing.workflows, help="Only of this workflow."
)
@click.option("--json", "as_json", is_flag=True, help="One object: {workflow, model, day}, each with rows.")
@click.pass_obj
def command(
    db: str | None, by: str | None, since: float, until: float | None, workflow: str | None, as_json: bool
) -> None:
    """Count requests, errors, durations, tokens and cost: by workflow, model and day.

    By model it is the calls that are counted. Percentiles are durations that occurred: of a hundred requests
    p95 is the 95th. Of very many the newest are looked at, and a line says so.
    """
    window = Window(since=since, until=time.time() if until is None else until, workflow=workflow)
    with open_reader(settings_to_read(db)) as reader, reader.snapshot(), busy("counting"):
        found = {name: grouped(reader, cast("By", name), window) for name in ([by] if by else BY)}
    if as_json:
        print_json(found)
    elif not any(figures["rows"] for figures in found.values()):
        click.echo("no requests in that time")
    else:
        out = console()
        there = [(name, figures) for name, figures in found.items() if figures["rows"]]
        for index, (name, figures) in enumerate(there):
            if index:
                out.print()
            _render(out, name, figures)


def _render(out: Console, name: str, figures: dict[str, Any]) -> None:
    table = plain_table()
    columns = _columns(narrow=out.width < NARROW_CELLS)
    table.add_column(name)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for row in figures["rows"]:
        cells = _cells(row)
        key = text.DASH if row["key"] is None else text.clean(row["key"], limit=60)
        table.add_row(cut(key), *(cells[column] for column in columns))
    out.print(table)
    if not figures["complete"]:
        what = f"of the newest {figures['looked_at']:,} requests of that time; there are more"
        out.print(Text(what, style="yellow"))


def _columns(*, narrow: bool) -> tuple[str, ...]:
    if narrow:
        return "count", "errors", "p50", "p95", "cost"
    return "count", "errors", "p50", "p95", "p99", "tokens", "cost"


def _cells(row: dict[str, Any]) -> dict[str, Text]:
    tokens = text.tokens(row["prompt_tokens"], row["completion_tokens"], row["total_tokens"])
    durations = {name: text.duration(row[f"{name}_ms"]) for name in ("p50", "p95", "p99")}
    return {name: Text(took, style="cyan") for name, took in durations.items()} | {
        "count": Text(f"{row['count']:,}"),
        "errors": _errors(row),
        "tokens": Text(tokens),
        "cost": Text(text.cost(row["cost_usd"], row["computed_usd"]), style="green"),
    }


def _errors(row: dict[str, Any]) -> Text:
    errors = row["error_count"]
    if not errors:
        return Text("0", style="bright_black")
    return Text(f"{errors:,} ({errors / row['count']:.0%})", style="red")
