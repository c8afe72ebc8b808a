"""`hush-otel diff A B`: two requests, step by step."""

from __future__ import annotations

from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hush_otel.presentation import text
from hush_otel.presentation.compare import Pair, compare
from hush_otel.presentation.detail import detail
from hush_otel.presentation.differences import CHARS, differences
from hush_otel.presentation.listing import shown
from hush_otel.presentation.waiting import open_reader
from hush_otel.store.reading import Reader, find_request

from .completing import request_ids
from .output import busy, cut, drawing, to_json, totals
from .reading import settings_to_read
from .steps import MARKS, Steps


@click.command("diff")
@click.argument("a", metavar="A", shell_complete=request_ids)
@click.argument("b", metavar="B", shell_complete=request_ids)
@click.option("--io", is_flag=True, help="With the lines in which inputs and outputs differ.")
@click.option("--json", "as_json", is_flag=True, help="One object: a, b, and rows, one for each step.")
@click.pass_obj
def command(db: str | None, a: str, b: str, io: bool, as_json: bool) -> None:
    """Compare two requests step by step.

    Durations, tokens, cost, and whether the same went in and came out. Steps belong together that have the
    same name, context and place below the same step, in the order of execution. - marks what only A has, +
    what only B has. Each is a request id, the beginning of one, or a trace id in hex.
    """
    with open_reader(settings_to_read(db)) as reader, reader.snapshot():
        ids = find_request(reader, a), find_request(reader, b)
        if as_json:
            click.echo(_json(reader, *ids))
            return
        with drawing("comparing") as out:
            pairs = compare(reader, *ids)
            _render(out, [_request(reader, one) for one in ids], pairs)
        if io:
            _print_differences(out, reader, pairs)


def _json(reader: Reader, a: str, b: str) -> str:
    with busy("comparing"):
        rows = [pair.as_json() for pair in compare(reader, a, b)]
        return to_json({"a": _request(reader, a), "b": _request(reader, b), "rows": rows})


def _request(reader: Reader, request_id: str) -> dict[str, Any]:
    (row,) = reader.rows("request", request_id=request_id)
    return shown(row)


def _render(out: Console, requests: list[dict[str, Any]], pairs: list[Pair]) -> None:
    out.print(_heads(requests))
    out.print()
    out.print(Steps(pairs), crop=True)
    out.print()
    out.print(Text(_summary(pairs)))


def _heads(requests: list[dict[str, Any]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for name, request in zip("AB", requests, strict=True):
        mark = MARKS[name.lower()][1]
        grid.add_row(
            Text(name, style=f"bold {mark}"),
            cut(text.clean(request["request_id"], limit=64)),
            cut(text.clean(request["workflow_name"] or "", limit=40)),
            Text(text.duration(request["duration_ms"]), style="cyan"),
            Text(totals(request), style="bright_black"),
        )
    return grid


def _print_differences(out: Console, reader: Reader, pairs: list[Pair]) -> None:
    with busy("comparing") as make_way:
        for pair in pairs:
            if pair.input_differs or pair.output_differs:
                make_way()
                _print_pair(out, reader, pair)


def _print_pair(out: Console, reader: Reader, pair: Pair) -> None:
    sides = [detail(reader, vars(side)) if side else None for side in (pair.a, pair.b)]
    out.print()
    out.print(Text(text.clean(pair.node_name), style="bold"))
    for word in ("input", "output"):
        texts = [getattr(side, word) or "" if side else "" for side in sides]
        if texts[0] != texts[1]:
            out.print(Text(f"  {word}", style="bright_black"))
            _print_lines(out, *texts)


def _print_lines(out: Console, a: str, b: str) -> None:
    """What a unified diff says of two texts, JSON indented, without its heads."""
    before, after = (text.lines(text.readable(value)[:CHARS]) for value in (a, b))
    found = differences(before, after, limit=MOST_LINES)
    for line in found.lines:
        out.print(Text(f"    {line}", style=_LINE_STYLES.get(line[:1], "")), soft_wrap=not out.is_terminal)
    if found.more:
        out.print(Text(f"    … {text.plural(found.more, 'more line')}", style="yellow"))


MOST_LINES: Final = 40
_LINE_STYLES: Final = {"-": "red", "+": "green", "@": "bright_black"}


def _summary(pairs: list[Pair]) -> str:
    both = [pair for pair in pairs if pair.where == "both"]
    counts = {
        "in both": len(both),
        "only in A": sum(pair.where == "a" for pair in pairs),
        "only in B": sum(pair.where == "b" for pair in pairs),
        "with another input": sum(pair.input_differs for pair in both),
        "with another output": sum(pair.output_differs for pair in both),
    }
    return (
        text.plural(len(pairs), "step") + ": " + ", ".join(f"{n:,} {what}" for what, n in counts.items() if n)
    )
