"""`hush-otel show ID`: one request as a tree of spans, or all of it as one JSON document."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hush_otel.destination_tables import BARE_TYPES
from hush_otel.errors import HushError
from hush_otel.options import EXPORTER
from hush_otel.presentation import text
from hush_otel.presentation.detail import detail
from hush_otel.presentation.listing import shown
from hush_otel.presentation.standing_in import SAID
from hush_otel.presentation.tree import Node, arrange
from hush_otel.presentation.tree import Row as TreeRow
from hush_otel.presentation.waiting import open_reader
from hush_otel.store.reading import Reader, Row, find_request

from .completing import request_ids
from .contents import print_in_full, print_io
from .media import missing, saved, summary
from .output import STATUS_STYLES, awaits_spans, busy, console, drawing, print_json, program, to_json, totals
from .reading import settings_to_read
from .tree import SpanTree, walk

KNOWN: Final = 30
"""Nodes whose names are told to whoever asks for one that is not there."""

NO_ROW: Final = "it is known only because others name it as their parent"

DIRECTORY: Final = click.Path(file_okay=False, path_type=Path)


@click.command("show")
@click.argument("request_id", metavar="ID", shell_complete=request_ids)
@click.option("--io", is_flag=True, help="With what went into each span, what came out, and errors.")
@click.option(
    "--node", "names", metavar="NAME", multiple=True,
    help="These spans alone, in full: by name or span id; may be repeated.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One object: request, deliveries, nodes.")
@click.option("--save-media", type=DIRECTORY, metavar="DIR", help="Write its attachments there instead.")
@click.pass_obj
def command(
    db: str | None, request_id: str, io: bool, names: tuple[str, ...], as_json: bool, save_media: Path | None
) -> None:
    """Show one request as a tree of spans.

    ID is a request id, the beginning of one, or a trace id in hex. A cost with ~ in front is an estimate by a
    price table: --json says which (cost_source). A wide terminal has a bar for the time of each span.
    """
    if bool(names) + io + (save_media is not None) > 1:
        raise click.UsageError("--io, --node and --save-media are three different things to show")
    with open_reader(settings_to_read(db)) as reader, reader.snapshot():
        found = find_request(reader, request_id)
        if save_media is not None:
            _save(reader, found, save_media)
        elif names:
            _show_nodes(reader, found, names, as_json=as_json)
        elif as_json:
            write_json(reader, found)
        else:
            with drawing("reading") as out:
                render(out, reader, found)
            if io:
                _show_io(out, reader, found)


def _save(reader: Reader, request_id: str, directory: Path) -> None:
    with busy("writing") as make_way:
        for path in saved(reader, request_id, directory):
            make_way()
            click.echo(text.clean(str(path), limit=4096))


def _show_nodes(reader: Reader, request_id: str, names: tuple[str, ...], *, as_json: bool) -> None:
    out = console()
    with busy("reading") as make_way:
        for index, row in enumerate(_named(reader, request_id, names)):
            span = detail(reader, row)
            if span is None:
                continue
            make_way()
            if as_json:
                print_json(span.as_json())
                continue
            if index:
                out.print()
            print_in_full(out, span)


def _named(reader: Reader, request_id: str, names: tuple[str, ...]) -> list[TreeRow]:
    """Spans by their names or ids, in the order of execution.

    Raises:
        HushError: Nothing in this request has such a name; the message lists some that there are.
    """
    whole = [line.node.row for line in walk(_tree(reader, request_id), 0)]
    rows = [row for row in whole if row["status"] not in SAID]
    for name in names:
        if not any(_is_called(row, name) for row in rows):
            absent = {SAID[str(row["status"])] for row in whole if _is_called(row, name)}
            if absent:
                raise HushError(f"node {name!r} of {request_id}: {absent.pop()}", hint=NO_ROW)
            known = ", ".join(dict.fromkeys(text.clean(row["node_name"], limit=60) for row in rows[:KNOWN]))
            raise HushError(f"no node {name!r} in {request_id}", hint=f"there are {known}")
    return [row for row in rows if any(_is_called(row, name) for name in names)]


def _is_called(row: TreeRow, name: str) -> bool:
    return name in (row["node_name"], row["name"], row["span_id"])


def _tree(reader: Reader, request_id: str) -> list[Node]:
    return arrange(reader.mappings("request_tree", request_id=request_id))


def _show_io(out: Console, reader: Reader, request_id: str) -> None:
    argument = _argument(reader, request_id)
    with busy("reading") as make_way:
        for line in walk(_tree(reader, request_id), 0):
            span = detail(reader, line.node.row)
            if span is not None and span.says_something:
                one = f"{argument} --node {line.node.row['span_id']}"
                make_way()
                out.print()
                print_io(out, span, f"; all: {program()} show {one}")


def _argument(reader: Reader, request_id: str) -> str:
    """A request as a shell takes it: by its id where that can be written as it is, else by its trace."""
    if text.clean(request_id) == request_id:
        return shlex.quote(request_id)
    request = reader.row("request", request_id=request_id)
    return str(request["trace_id"]) if request and request["trace_id"] else "ID"


def render(out: Console, reader: Reader, request_id: str) -> None:
    """Print header, deliveries and tree of one request.

    Raises:
        StoreError: The database cannot be read.
    """
    request = reader.row("request", request_id=request_id)
    if request is None:  # deleted between finding and reading, where there is no snapshot
        return
    tree = SpanTree(reader.mappings("request_tree", request_id=request_id))
    media = summary(reader, request_id), missing(reader, request_id)
    out.print(_title(request))
    out.print(_facts(request, tree.passes, *media))
    deliveries = reader.rows("request_deliveries", request_id=request_id)
    if deliveries:
        out.print(_deliveries(deliveries))
    out.print()
    out.print(tree, crop=True)


def write_json(reader: Reader, request_id: str) -> None:
    """Write the request to standard output, row by row: inputs and outputs may be larger than memory."""
    with busy("reading") as make_way:
        for part in _json_parts(reader, request_id):
            make_way()
            sys.stdout.write(part)
    sys.stdout.write("\n")


def _json_parts(reader: Reader, request_id: str) -> Iterator[str]:
    request = reader.row("request", request_id=request_id)
    deliveries = reader.rows("request_deliveries", request_id=request_id)
    yield f'{{"request":{to_json(shown(request) if request else {})}'
    yield f',"deliveries":{to_json([dict(row) for row in deliveries])}'
    yield ',"nodes":['
    for index, row in enumerate(reader.each("request_nodes", request_id=request_id)):
        yield ("," if index else "") + to_json(dict(row))
    yield "]}"


def _title(request: Row) -> Text:
    title = Text(text.clean(request["request_id"]), style="bold")
    if request["workflow_name"] and request["workflow_name"] != request["request_id"]:
        title.append(f"  {text.clean(request['workflow_name'])}", style="not bold")
    title.append(f"  {request['status']}", style=f"not bold {STATUS_STYLES.get(request['status'], '')}")
    if request["completed_by"]:
        title.append(f" (completed by {text.clean(request['completed_by'])})", style="not bold bright_black")
    return title


def _facts(request: Row, passes: int, media: str, missing_media: str) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bright_black", no_wrap=True)
    grid.add_column(overflow="fold")
    files = ("media", media, ""), ("missing", missing_media, "yellow")
    for label, value, style in (*_fact_rows(request, passes), *files):
        if value:
            grid.add_row(Text(label), Text(value, style=style))
    return grid


def _fact_rows(request: Row, passes: int) -> Iterator[tuple[str, str, str]]:
    yield "started", _started(request), ""
    yield "totals", totals(dict(request), passes), ""
    for label, column in (("user", "user_id"), ("session", "session_id")):
        yield label, text.clean(request[column]) if request[column] is not None else "", ""
    yield "tags", text.clean(text.tags(request["tags"]), limit=1000), ""
    if request["trace_id"] != request["request_id"]:
        yield "trace", text.clean(request["trace_id"] or ""), ""
    yield "error", text.clean(text.headline(request["error_message"] or ""), limit=1000), "red"
    yield (
        "spans",
        "none has arrived since it was marked complete" if awaits_spans(dict(request)) else "",
        "yellow",
    )


def _started(request: Row) -> str:
    start = request["start_time"] or datetime.fromtimestamp(request["created_at"], UTC).isoformat()
    took = text.duration(request["duration_ms"])
    return text.local_time(start) + (f", took {took}" if took != text.DASH else "")


def _deliveries(deliveries: list[Row]) -> Table:
    grid = Table.grid(padding=(0, 2))
    before = ""
    for row in deliveries:
        label = "sent to" if row["state"] == "delivered" else "to"
        rejected = f", {row['rejected']} rejected" if row["rejected"] else ""
        grid.add_row(
            Text("" if label == before else label, style="bright_black"),
            _destination(row),
            Text(text.clean(row["state"]), style=STATUS_STYLES.get(row["state"], "")),
            Text(f"{text.plural(row['span_count'], 'span')}{rejected}"),
            Text(text.plural(row["attempts"], "attempt"), style="bright_black"),
            Text(text.said(row["last_error"]), style="red") if row["last_error"] else _unknown(row),
        )
        before = label
    return grid


def _unknown(row: Row) -> Text:
    """What is known before the first attempt: a mark may name a type that nothing here has."""
    kind = row["type"]
    ours = kind in BARE_TYPES or kind == "file" or kind.startswith(EXPORTER)
    if ours or row["state"] != "pending" or row["attempts"]:
        return Text()
    words = f"{text.clean(kind, limit=60)!r} is no type of hush-otel's: a tracer of yours must have this name"
    return Text(words, style="yellow")


def _destination(row: Row) -> Text:
    """Its name; beside one that was made of a hash also where that is."""
    name = Text(text.clean(row["destination"], limit=60))
    if row["target"] and text.is_generated(row["destination"]):
        name.append(f" {text.clean(row['target'], limit=100)}", style="bright_black")
    return name
