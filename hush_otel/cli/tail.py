"""`hush-otel tail`: what happens, as it happens."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from hush_otel.errors import StoreError
from hush_otel.presentation import text
from hush_otel.presentation.following import Event, Follower
from hush_otel.presentation.standing_in import AWAITED, SAID
from hush_otel.store.reading import Reader

from . import completing
from .output import console, print_json, totals
from .reading import settings_to_read
from .tree import MARKS

LOOK_S: Final = 0.1
"""Between two looks, each of which asks SQLite for one number when nobody has written."""

DEFAULT_LAST: Final = 10

RUNNING_LINES: Final = 8
"""Of what runs, at the bottom of a terminal."""

LINES_AT_ONCE: Final = 200
"""Of one look: nobody reads more in a tenth of a second, and a terminal takes a while to draw them."""

MAKING_S: Final = 5.0
"""How long a database may be there without its tables."""

TIME_CELLS: Final = 8
REST_CELLS: Final = 62
"""What stands beside a name, where there is room for it."""
NAME_MIN_CELLS: Final = 20
NAME_MAX_CELLS: Final = 44


@click.command("tail")
@click.option(
    "--workflow", metavar="NAME", shell_complete=completing.workflows, help="Only of this workflow."
)
@click.option(
    "-n", "--last", type=click.IntRange(min=0), default=DEFAULT_LAST, show_default=True,
    help="How many of the spans that are there to begin with.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line: {event, …columns}.")
@click.pass_obj
def command(db: str | None, workflow: str | None, last: int, as_json: bool) -> None:
    """Follow what happens: spans start, finish and fail.

    And requests, when they are complete. Ends with Ctrl-C.

    In a terminal what runs stands at the bottom with its time so far; in a pipe a line says that it started.
    Where there is no database yet, it is waited for.
    """
    path = settings_to_read(db).db_path
    wake = threading.Event()
    with _opened(path, wake) as reader:
        follower = Follower(reader, workflow=workflow, last=last)
        if as_json:
            for events in _looks(follower, wake):
                for event in events:
                    print_json(event.as_json())
        else:
            _show(console(), follower, wake)


def _opened(path: Path, wake: threading.Event) -> Reader:
    """Where there is no database yet: as soon as there is one, and its tables are made."""
    if path.exists():
        return Reader(path)
    click.echo(f"waiting for {text.clean(str(path), limit=4096)}", err=True)
    while not path.exists():
        wake.wait(LOOK_S)
    deadline = time.monotonic() + MAKING_S
    while True:
        try:
            return Reader(path)
        except StoreError:
            if time.monotonic() > deadline:
                raise
            wake.wait(LOOK_S)


def _looks(follower: Follower, wake: threading.Event) -> Iterator[Iterator[Event]]:
    while True:
        yield follower.look()
        wake.wait(LOOK_S)


def _show(out: Console, follower: Follower, wake: threading.Event) -> None:
    if not out.is_terminal:
        for events in _looks(follower, wake):
            for event in events:
                _print(out, event)
            sys.stdout.flush()
        return
    with Live(console=out, auto_refresh=False, transient=True) as live:
        for events in _looks(follower, wake):
            for event in _newest(out, events):
                _print(out, event)
            bottom = _running(follower.running(), time.time_ns(), out.width, follower.awaited())
            live.update(bottom, refresh=True)


def _newest(out: Console, events: Iterator[Event]) -> Iterator[Event]:
    """What a terminal can show of it, and how much it cannot. What starts stands at its bottom."""
    kept, seen = deque[Event](maxlen=LINES_AT_ONCE), 0
    for event in events:
        if event.kind != "started":
            kept.append(event)
            seen += 1
    if seen > len(kept):
        out.print(Text(f"… {seen - len(kept):,} more, too many at once to show", style="bright_black"))
    yield from kept


def _print(out: Console, event: Event) -> None:
    line = _request(event.row) if event.kind == "complete" else _span(event.row, out.width)
    out.print(line, no_wrap=True, overflow="ellipsis", crop=out.is_terminal)
    if event.kind in {"failed", "interrupted"} and event.row["error"]:
        message = Text(f"{'':{TIME_CELLS}}  │ ", style="bright_black")
        message.append(text.clean(text.headline(event.row["error"]), limit=300), style="red")
        out.print(message, no_wrap=True, overflow="ellipsis", crop=out.is_terminal)


def _span(row: dict[str, Any], width: int) -> Text:
    mark, style = MARKS.get(row["status"], ("?", "yellow"))
    took = "…" if row["status"] == "running" else text.duration(row["duration_ms"])
    began = text.local_time(_ended(row))
    line = Text(f"{began:>{TIME_CELLS}}  ", style="bright_black").append(f"{mark} ", style=style)
    line.append(_name(row, width), style="default").append(f"  {took:>8}", style="cyan")
    return line.append_text(_details(row))


def _running(
    rows: list[dict[str, Any]], now_ns: int, width: int, awaited: Sequence[dict[str, Any]] = ()
) -> Group:
    """The bottom of a terminal: the newest of what runs, with its time so far, where that is known."""
    lines = [_awaited(row, width) for row in awaited[-RUNNING_LINES:]]
    for row in rows[-RUNNING_LINES:]:
        took = text.duration(max(0, now_ns - row["start_ns"]) / 1e6)
        line = Text(f"{'running':>{TIME_CELLS}}  ", style="yellow").append("● ", style="yellow")
        line.append(_name(row, width), style="default").append(f"  {took:>8}", style="yellow")
        lines.append(line.append_text(_details(row)))
    left = max(0, len(rows) - RUNNING_LINES) + max(0, len(awaited) - RUNNING_LINES)
    if left:
        lines.insert(0, Text(f"{'':{TIME_CELLS}}  … {left:,} more run", style="yellow"))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Group(*lines)


def _awaited(row: dict[str, Any], width: int) -> Text:
    """A node that comes when it ends, and is the parent of one that has."""
    mark, style = MARKS[AWAITED]
    line = Text(f"{'running':>{TIME_CELLS}}  {mark} ", style=style)
    line.append(_name(row, width), style="default").append(f"  {SAID[AWAITED]}", style=style)
    return line.append(f"  {text.clean(row['request_id'], limit=64)}", style="bright_black")


def _request(row: dict[str, Any]) -> Text:
    line = Text(f"{text.local_time(_iso(row['completed_at'])):>{TIME_CELLS}}  ", style="bright_black")
    failed = row["error_count"] > 0
    line.append("■ ", style="red" if failed else "green")
    line.append(text.clean(row["workflow_name"] or row["request_id"], limit=60), style="bold default")
    line.append(f"  {text.duration(row['duration_ms'])}", style="not bold cyan")
    line.append(f"  {totals(row)}", style="not bold default")
    return line.append(f"  {text.clean(row['request_id'], limit=64)}", style="not bold bright_black")


def _name(row: dict[str, Any], width: int) -> str:
    name = text.clean(row["name"], limit=200)
    if row["context_id"]:
        name += f" {text.clean(row['context_id'], limit=30)}"
    room = min(NAME_MAX_CELLS, max(NAME_MIN_CELLS, width - REST_CELLS))
    return set_cell_size(name, room - 1) + "…" if cell_len(name) > room else set_cell_size(name, room)


def _details(row: dict[str, Any]) -> Text:
    tokens = text.tokens(row["prompt_tokens"], row["completion_tokens"], row["total_tokens"])
    found = Text()
    for value, style in (
        (tokens, "default"),
        (text.cost(row["cost_usd"], row["cost_source"]), "green"),
        (text.clean(row["model"], limit=40) if row["model"] else "", "magenta"),
        (text.clean(row["request_id"], limit=64), "bright_black"),
    ):
        if value:
            found.append(f"  {value}", style=style)
    return found


def _ended(row: dict[str, Any]) -> str:
    duration_ms = 0.0 if row["status"] == "running" else text.number(row["duration_ms"]) or 0.0
    return _iso(row["start_ns"] / 1e9 + duration_ms / 1000)


def _iso(unix_s: float | None) -> str:
    try:
        return datetime.fromtimestamp(unix_s or 0.0, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return text.DASH
