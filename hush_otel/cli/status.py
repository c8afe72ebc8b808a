"""`hush-otel status`: what is stored, what waits, what failed, what was lost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hush_otel.config import Settings
from hush_otel.presentation import text
from hush_otel.presentation.waiting import last_error, open_reader
from hush_otel.store.notes import PAUSED
from hush_otel.store.reading import SCHEMA_VERSION, Reader, Row

from .output import STATUS_STYLES, console, print_json

DUPLICATE: Final = "duplicate"
"""Reasons that begin with this are no losses: the same record came twice and was stored once."""


@dataclass(frozen=True, kw_only=True)
class Database:
    """The database file.

    Attributes:
        wal_bytes: What stands beside it in the write-ahead log.
        free_bytes: What nobody uses of it: the next rows do, or it is given back.
        max_bytes: HUSH_MAX_DB_BYTES, as this command sees it.
        full_since: Unix seconds since when nothing is stored: it is larger than it may be, and nothing in it
            may be deleted.
    """

    path: str
    size_bytes: int
    wal_bytes: int
    free_bytes: int
    max_bytes: int | None
    full_since: float | None
    schema_version: int


@dataclass(frozen=True, kw_only=True)
class Spool:
    """The spool directory: segments that exist, drained or not."""

    path: str
    size_bytes: int
    segments: int


@dataclass(frozen=True, kw_only=True)
class DestinationStatus:
    """One destination.

    Attributes:
        state: active, paused (until someone acts) or held (until the receiver's Retry-After).
        reason: Why it is not active.
        target: Its endpoint or path, secrets masked.
        unverified: Whether its certificate is left unverified (verify = false).
        pending: Deliveries that wait for it, `pending_spans` in all; `oldest_pending_s`: the oldest, so long.
        spans_per_s: Delivered in the last minute, on average.
        dead: Deliveries that will never be accepted.
        last_error_at: Unix seconds.
        recovered: Whether something was delivered after the last error.
    """

    name: str
    type: str
    target: str | None
    unverified: bool
    state: str
    reason: str | None
    pending: int
    pending_spans: int
    oldest_pending_s: float | None
    dead: int
    delivered_spans: int
    spans_per_s: float
    rejected_spans: int
    last_error: str | None
    last_error_at: float | None
    recovered: bool


@dataclass(frozen=True, kw_only=True)
class Loss:
    """One line of the loss ledger."""

    reason: str
    count: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that `status` says; with ``--json`` in this shape.

    Attributes:
        background_pid: The process that drains and delivers; None when there is none.
        background_error: The last thing that it has said in its log, when that was an error and it is gone.
        requests: Status to how many requests.
        spans: How many are stored.
        deliveries: State to how many deliveries.
        destinations: By name.
        awaited: Requests that were marked complete and of which no span has ended; `oldest_awaited_s` is how
            long ago the oldest was marked.
        losses: By reason, duplicates too.
    """

    database: Database
    background_pid: int | None
    background_error: str | None
    spool: Spool
    requests: dict[str, int]
    spans: int
    deliveries: dict[str, int]
    destinations: list[DestinationStatus]
    awaited: int
    oldest_awaited_s: float | None
    losses: list[Loss]


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
@click.pass_obj
def command(db: str | None, as_json: bool) -> None:
    """Show the database, the background process, and what waits, failed or was lost."""
    settings = Settings.load(db)
    now_s = time.time()
    report = collect(settings, now_s)
    if as_json:
        print_json(asdict(report))
    else:
        render(console(), report, now_s)


def collect(settings: Settings, now_s: float) -> Report:
    """Read everything that `status` says, the database at one moment.

    Raises:
        StoreError: There is no database, or it cannot be read.
    """
    # Imported here: only this command asks for the background process.
    from hush_otel.background.client import owner_pid  # noqa: PLC0415

    with open_reader(settings) as reader, reader.snapshot():
        pid = owner_pid(settings)
        deliveries, spans = reader.row("status_deliveries"), reader.row("status_spans")
        (awaited,) = reader.rows("status_awaited")
        return Report(
            database=_database(settings, reader),
            background_pid=pid,
            background_error=None if pid else last_error(settings.spool_dir),
            spool=_spool(settings.spool_dir),
            requests={row["status"]: row["requests"] for row in reader.each("status_requests")},
            spans=spans["spans"] if spans else 0,
            deliveries={state: n for state, n in dict(deliveries or {}).items() if n},
            destinations=[_destination(row, now_s) for row in reader.each("status_destinations")],
            awaited=awaited["requests"],
            oldest_awaited_s=_age_s(awaited["oldest_at"], now_s),
            losses=[Loss(**dict(row)) for row in reader.each("status_losses")],
        )


def _database(settings: Settings, reader: Reader) -> Database:
    path, full = settings.db_path, reader.row("note", name=PAUSED)
    (space,) = reader.rows("space")
    return Database(
        path=str(path),
        size_bytes=_size(path),
        wal_bytes=_size(path.with_name(path.name + "-wal")),
        free_bytes=space["free"],
        max_bytes=settings.max_db_bytes,
        full_since=full["value"] if full else None,
        schema_version=SCHEMA_VERSION,
    )


def _spool(directory: Path) -> Spool:
    segments = list(directory.glob("*.seg"))
    return Spool(path=str(directory), size_bytes=sum(map(_size, segments)), segments=len(segments))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # no such file: the background process unlinks drained segments while we look
        return 0


def _destination(row: Row, now_s: float) -> DestinationStatus:
    columns = dict(row)
    oldest_at, hold_s = columns.pop("oldest_at"), columns.pop("hold_until") - now_s
    reason, recovered = columns.pop("paused"), bool(columns.pop("recovered"))
    columns["unverified"] = bool(columns["unverified"])
    state = "active" if reason is None else "paused"
    if reason is None and hold_s > 0:
        state, reason = "held", f"for another {text.duration(hold_s * 1000)}"
    return DestinationStatus(
        state=state,
        reason=reason,
        oldest_pending_s=_age_s(oldest_at, now_s),
        recovered=recovered,
        spans_per_s=_rate(
            columns.pop("minute"), columns.pop("minute_spans"), columns.pop("minute_before"), now_s
        ),
        **columns,
    )


def _rate(minute: int, spans: int, before: int, now_s: float) -> float:
    """Spans a second over the last 60 s, from two counters: the minute before is taken to have been even."""
    now, into_it = divmod(now_s / 60, 1)
    if minute == now - 1:
        spans, before = 0, spans
    elif minute != now:
        spans = before = 0
    return round((spans + before * (1 - into_it)) / 60, 3)


def _age_s(moment: float | None, now_s: float) -> float | None:
    return None if moment is None else round(max(0.0, now_s - moment), 3)


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


def _amounts(amounts: Mapping[str, int]) -> Text:
    parts = [Text(f"{n:,} {state}", style=STATUS_STYLES.get(state, "")) for state, n in amounts.items()]
    return Text(" · ").join(parts) if parts else Text("none", style="bright_black")


def _losses(losses: list[Loss]) -> Text:
    lost = [Text(_loss(x), style="bold red") for x in losses if not x.reason.startswith(DUPLICATE)]
    twice = [Text(_loss(x), style="bright_black") for x in losses if x.reason.startswith(DUPLICATE)]
    return Text(" · ").join([*(lost or [Text("none", style="green")]), *twice])


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
    yield Text(it.state, style="green" if it.state == "active" else "yellow")
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
    if it.reason:
        between = " " if it.state == "held" else ": "
        yield Text(f"{it.state}{between}{text.clean(it.reason, limit=300)}", style="yellow")
    if it.last_error and it.last_error != it.reason:
        yield _last_error(it, now_s)


def _last_error(it: DestinationStatus, now_s: float) -> Text:
    age = f"{text.age(it.last_error_at, now_s)} ago" + (", before the last delivery" if it.recovered else "")
    error = Text(f"last error, {age}: ", style="bright_black")
    return error.append(text.clean(it.last_error, limit=300), style="bright_black" if it.recovered else "red")
