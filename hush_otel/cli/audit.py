"""`hush-otel audit`: the loss ledger. What came in is somewhere, and so is what was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hush_otel.config import Settings
from hush_otel.presentation import text
from hush_otel.presentation.waiting import count_spans, open_reader
from hush_otel.store import ledger
from hush_otel.store.reading import Reader

from .output import busy, console, print_json
from .reading import settings_to_read

BEFORE_THE_SPOOL: Final = ("error", "no_space", "quota")
"""Reasons that applications count: records that were never spooled, starts and ends alike."""

EXIT_UNBALANCED: Final = 1


@dataclass(frozen=True, kw_only=True)
class Received:
    """Spans that ended and node traces; the two sides of their balance.

    Attributes:
        received: What applications gave: read, not drained and dropped before the spool, added up.
        read: Records that the drain has read.
        stored: Rows that a record ended, counted over the table.
        duplicate: Ends of spans that had one already.
        dropped: Lost, by reason. ``unreadable`` lies in salvage/.
        pruned: Rows that retention has deleted.
        not_drained: Records in the spool that no row knows of yet.
        interrupted: Further rows, which ended because their process died; no record stands for them.
        running: Further rows, which have not ended.
        missing: What the right side lacks; 0 when the ledger balances.
        running_missing: Spans that are known to run and have no row; 0 when the ledger balances.
    """

    received: int
    read: int
    stored: int
    duplicate: int
    dropped: dict[str, int]
    pruned: int
    not_drained: int
    interrupted: int
    running: int
    missing: int
    running_missing: int


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """One destination's spans: asked for, and what became of them.

    Attributes:
        asked: Of all deliveries ever queued, counted when they were.
        missing: What the right side lacks; 0 when the ledger balances.
        forgotten_requests: Complete requests that owe spans to it and have no delivery.
    """

    name: str
    asked: int
    delivered: int
    rejected: int
    pending: int
    sending: int
    paused: int
    dead: int
    pruned: int
    missing: int
    forgotten_requests: int


@dataclass(frozen=True, kw_only=True)
class Audit:
    """All that `audit` says; with ``--json`` in this shape.

    Attributes:
        awaited: Requests that were marked complete and of which no span has ended. No gap of the ledger.
        losses: All of hush_losses by reason, of records of any kind.
    """

    balanced: bool
    received: Received
    destinations: list[Delivered]
    awaited: int
    losses: dict[str, int]


@click.command("audit")
@click.option("--json", "as_json", is_flag=True, help="The ledger as one JSON object.")
@click.pass_obj
def command(db: str | None, as_json: bool) -> int:
    """Check that nothing has disappeared: the loss ledger.

    \b
    received = stored + duplicate + dropped + pruned + not yet drained
    asked    = delivered + rejected + pending + sending + paused + dead + pruned

    The left sides are counted as things happen, stored rows and open deliveries are counted now. Ends with
    exit code 1 when the two differ. Looks at every row: with ten million spans it takes seconds.
    """  # noqa: D301 - click's mark for lines that are not to be wrapped
    with busy("adding up"):
        audit = collect(settings_to_read(db))
    if as_json:
        print_json(asdict(audit))
    else:
        render(console(), audit)
    return 0 if audit.balanced else EXIT_UNBALANCED


def collect(settings: Settings) -> Audit:
    """Both sides of the ledger, the database at one moment.

    Raises:
        StoreError: There is no database, or it cannot be read.
    """
    with open_reader(settings) as reader, reader.snapshot():
        positions = {row["segment_id"]: row["position"] for row in reader.each("audit_segments")}
        losses = {row["reason"]: row["count"] for row in reader.each("status_losses") if row["count"]}
        read = Counter({row["name"]: row["count"] for row in reader.each("audit_ledger")})
        rows = _rows(reader)
        (awaited,) = reader.rows("status_awaited")
        destinations = list(_delivered(reader))
    # Behind those positions, so that it may take its time: the drain goes on meanwhile.
    received = _received(read, rows, losses, count_spans(settings.spool_dir, positions))
    gaps = [received.missing, received.running_missing]
    gaps += [gap for one in destinations for gap in (one.missing, one.forgotten_requests)]
    return Audit(
        balanced=not any(gaps),
        received=received,
        destinations=destinations,
        awaited=awaited["requests"],
        losses=losses,
    )


@dataclass(frozen=True, kw_only=True)
class _Rows:
    ended: int
    running: int
    known_running: int


def _rows(reader: Reader) -> _Rows:
    (spans,), (known,) = reader.rows("audit_spans"), reader.rows("audit_running")
    running = spans["stored"] - spans["ended"]
    return _Rows(ended=spans["ended"], running=running, known_running=known["running"])


def _received(counts: Counter[str], rows: _Rows, losses: Mapping[str, int], waiting: int) -> Received:
    interrupted = counts[ledger.INTERRUPTED] - counts[ledger.MENDED]
    before = {reason: losses[reason] for reason in BEFORE_THE_SPOOL if reason in losses}
    found = {ledger.UNREADABLE: counts[ledger.UNREADABLE], "provisional": losses.get("provisional", 0)}
    dropped = before | {reason: number for reason, number in found.items() if number}
    duplicate = losses.get("duplicate", 0) + counts[ledger.KEPT] - counts[ledger.USED]
    read = sum(counts[kind] for kind in ledger.SPANS)
    received = read + waiting + sum(before.values())
    stored, pruned = rows.ended - interrupted, counts[ledger.PRUNED]
    return Received(
        received=received,
        read=read,
        stored=stored,
        duplicate=duplicate,
        dropped=dropped,
        pruned=pruned,
        not_drained=waiting,
        interrupted=interrupted,
        running=rows.running,
        missing=received - (stored + duplicate + sum(dropped.values()) + pruned + waiting),
        running_missing=rows.known_running - rows.running,
    )


OUTCOMES: Final = ("delivered", "rejected", "pending", "sending", "paused", "dead", "pruned")


def _delivered(reader: Reader) -> Iterator[Delivered]:
    forgotten = {row["name"]: row["requests"] for row in reader.each("audit_forgotten")}
    for row in reader.each("audit_destinations"):
        missing = row["asked"] - sum(row[outcome] for outcome in OUTCOMES)
        yield Delivered(**dict(row), missing=missing, forgotten_requests=forgotten.get(row["name"], 0))


# ------------------------------------------------------------------ for people


def render(out: Console, audit: Audit) -> None:
    """Print the ledger."""
    received = audit.received
    out.print(_sums(received))
    for one in audit.destinations:
        out.print()
        out.print(_sums_of(one))
    out.print()
    beside = f"beside it {received.running:,} running, {received.interrupted:,} interrupted"
    out.print(Text(beside, style="bright_black"))
    if audit.awaited:
        words = f"{text.plural(audit.awaited, 'request')} marked complete, and no span has arrived"
        out.print(Text(words, style="yellow"))
    if audit.balanced:
        out.print(Text("the ledger balances", style="green"))
        return
    for gap in _gaps(audit):
        out.print(Text(gap, style="bold red"))


def _sums(received: Received) -> Table:
    why = " · ".join(f"{number:,} {text.clean(reason)}" for reason, number in received.dropped.items())
    lines = [
        ("received", received.received, "spans that ended and node traces"),
        ("= stored", received.stored, "rows, counted now"),
        ("+ duplicate", received.duplicate, ""),
        ("+ dropped", sum(received.dropped.values()), why),
        ("+ pruned", received.pruned, ""),
        ("+ not drained", received.not_drained, ""),
    ]
    return _table(lines)


def _sums_of(one: Delivered) -> Table:
    rest = [(outcome, getattr(one, outcome)) for outcome in OUTCOMES]
    shown = [(name, number) for name, number in rest if number or name == "delivered"]
    lines = [("asked", one.asked, f"spans to {text.clean(one.name, limit=60)}")]
    lines += [(f"{'+' if index else '='} {name}", number, "") for index, (name, number) in enumerate(shown)]
    return _table(lines)


def _table(lines: list[tuple[str, int, str]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, min_width=len("+ not drained"))
    grid.add_column(no_wrap=True, justify="right", min_width=12)
    grid.add_column(overflow="fold")
    for label, number, note in lines:
        style = "" if number else "bright_black"
        cells = Text(label, style=style), Text(f"{number:,}", style=style)
        grid.add_row(*cells, Text(note, style="bright_black"))
    return grid


def _gaps(audit: Audit) -> Iterator[str]:
    received = audit.received
    if received.missing:
        yield f"does not balance: {_gap(received.missing)} of what was received"
    if received.running_missing:
        yield f"does not balance: {_gap(received.running_missing)} of what is running"
    for one in audit.destinations:
        name = text.clean(one.name, limit=60)
        if one.missing:
            yield f"does not balance: {_gap(one.missing)} of what was asked for {name}"
        if one.forgotten_requests:
            yield f"{text.plural(one.forgotten_requests, 'request')} owed to {name} without a delivery"


def _gap(missing: int) -> str:
    return f"{text.plural(abs(missing), 'span')} {'missing' if missing > 0 else 'too many'}"
