"""`hush-otel export`: requests of the past into a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
from rich.progress import Progress

from hush_otel.config import Settings
from hush_otel.presentation import text
from hush_otel.presentation.waiting import open_reader
from hush_otel.store.reading import Reader, Row

from .files import STDOUT, check_target, form_of, target_stream
from .formats import SINKS, otlp_lines
from .history import Chosen, choosing, chosen, progress

FORMATS: Final = ("otlp", "jsonl", "csv", "parquet")
BY_SUFFIX: Final = {
    ".jsonl": "otlp",
    ".ndjson": "otlp",
    ".json": "otlp",
    ".csv": "csv",
    ".parquet": "parquet",
}
VIEWS: Final = ("node_traces", "spans")


@click.command("export")
@click.argument("target", metavar="PATH")
@click.option(
    "--format", "form", type=click.Choice(FORMATS),
    help="otlp: OTLP JSON lines. The others: rows of a view. Default: by the path's suffix (.jsonl: otlp).",
)  # fmt: skip
@click.option("--rows", "view", type=click.Choice(VIEWS), help="Of which view.  [default: node_traces]")
@choosing(since_required=False)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.pass_obj
def command(
    db: str | None, /, target: str, form: str | None, view: str | None, force: bool, **options: Any
) -> None:
    """Write requests of the past into a file, or to standard output (PATH is -).

    The file is there once all of it is written, readable by you alone. OTLP has the spans that have ended, as
    a receiver would get them; rows have those that run, too. Parquet needs pyarrow:
    pip install 'hush-otel[parquet]'.
    """
    form = form or form_of(target, BY_SUFFIX, default="otlp", option="--format")
    if view is not None and form == "otlp":
        raise click.UsageError("--rows goes with --format jsonl, csv or parquet")
    if target == STDOUT and sys.stdout.isatty() and form in {"csv", "parquet"}:
        raise click.UsageError(f"{form} is not for a terminal: give a path, or a pipe")
    settings = Settings.load(db)
    which = chosen(**options)
    with open_reader(settings) as reader:
        check_target(target, force=force)
        totals = which.totals(reader)
        shown = target != STDOUT or not sys.stdout.isatty()
        with progress(shown=shown) as bar, target_stream(target, force=force) as stream:
            requests = _walk(which, reader, bar, totals["requests"])
            if form == "otlp":
                written = _write_otlp(settings.db_path, requests, stream)
            else:
                written = _write_rows(reader, requests, stream, form, view or VIEWS[0])
    if target != STDOUT:
        size = text.size(Path(target).stat().st_size)
        click.echo(f"{text.plural(written, 'span')} written to {text.clean(target, limit=4096)} ({size})")


def _walk(which: Chosen, reader: Reader, bar: Progress, total: int) -> Iterator[Row]:
    task = bar.add_task("exporting", total=total)
    for page in which.pages(reader):
        for request in page:
            yield request
            bar.advance(task)


def _write_otlp(db_path: Path, requests: Iterator[Row], stream: BinaryIO) -> int:
    # Imported here: rows need no typed spans.
    from hush_otel.store.history import HistoryReader  # noqa: PLC0415

    written = 0
    with closing(HistoryReader(db_path)) as history:
        for request in requests:
            stream.writelines(otlp_lines(history.spans_of(request["id"])))
            written += request["spans"]
    return written


def _write_rows(reader: Reader, requests: Iterator[Row], stream: BinaryIO, form: str, view: str) -> int:
    columns = [row["name"] for row in reader.each("columns", view=view)]
    sink, written = SINKS[form](stream, columns), 0
    for request in requests:
        for row in reader.each(f"export_{view}", request_id=request["request_id"]):
            sink.write(tuple(row))
            written += 1
    sink.close()
    if sink.misfits:
        click.echo(
            f"left out: {text.plural(sink.misfits, 'value')} of another type than the column", err=True
        )
    return written
