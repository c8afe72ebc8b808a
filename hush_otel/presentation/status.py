"""What is stored, what waits, what failed, what was lost: for `hush-otel status` and the page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hush_otel.background.client import owner_pid
from hush_otel.config import Settings
from hush_otel.store import search
from hush_otel.store.notes import PAUSED
from hush_otel.store.reading import SCHEMA_VERSION, Reader, Row

from . import text
from .waiting import last_error, open_reader


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
class Searching:
    """The full-text index.

    Attributes:
        state: ready, emptying (it is made anew), or off: there is none.
        behind: Spans, about, that words do not find yet.
    """

    state: str
    behind: int


@dataclass(frozen=True, kw_only=True)
class DestinationStatus:
    """One destination.

    Attributes:
        state: active, paused (until someone acts), held (until the receiver's Retry-After or the next try) or
            failing: nothing was accepted since the last error.
        reason: Why it is not active.
        target: Its endpoint or path, secrets masked.
        unverified: Whether its certificate is left unverified (verify = false).
        pending: Deliveries that wait for it, `pending_spans` in all; `oldest_pending_s`: the oldest, so long.
        spans_per_s: Delivered in the last minute, on average.
        dead: Deliveries that will never be accepted.
        last_error_at: Unix seconds.
        recovered: Whether something was delivered after the last error.
        failing_since: Unix seconds since when what was tried is not accepted; None where the last was.
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
    failing_since: float | None


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
        search: How far the full-text index is.
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
    search: Searching


def collect(settings: Settings, now_s: float) -> Report:
    """Read everything that `status` says, the database at one moment.

    Raises:
        StoreError: There is no database, or it cannot be read.
    """
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
            destinations=destinations(reader, now_s),
            awaited=awaited["requests"],
            oldest_awaited_s=_age_s(awaited["oldest_at"], now_s),
            losses=_losses(reader),
            search=_searching(reader),
        )


@dataclass(frozen=True, kw_only=True)
class Glance:
    """What a page shows at its foot: as in `Report`, but nothing in it is counted over all rows.

    Attributes:
        spans: How many are stored, by the ledger.
    """

    database: Database
    background_pid: int | None
    spool: Spool
    spans: int
    destinations: list[DestinationStatus]
    losses: list[Loss]


def glance(settings: Settings, now_s: float) -> Glance:
    """The part of `collect` that can be asked for every few seconds, whatever the database holds.

    Raises:
        StoreError: There is no database, or it cannot be read.
    """
    with open_reader(settings) as reader, reader.snapshot():
        (counted,) = reader.rows("span_count")
        return Glance(
            database=_database(settings, reader),
            background_pid=owner_pid(settings),
            spool=_spool(settings.spool_dir),
            spans=counted["spans"],
            destinations=destinations(reader, now_s),
            losses=_losses(reader),
        )


def _losses(reader: Reader) -> list[Loss]:
    return [Loss(**dict(row)) for row in reader.each("status_losses")]


def destinations(reader: Reader, now_s: float) -> list[DestinationStatus]:
    """How each destination is, by name. Raises as `Reader.rows`."""
    return [_destination(row, now_s) for row in reader.each("status_destinations")]


def _searching(reader: Reader) -> Searching:
    found = search.state(reader)
    return Searching(state=found.phase, behind=found.behind)


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
    reason = columns.pop("paused")
    columns["unverified"] = bool(columns["unverified"])
    tried_at, dead_at, accepted_at = (columns.pop(name) for name in ("tried_at", "dead_at", "accepted_at"))
    failed_at = row["last_error_at"]
    recovered = failed_at is not None and (accepted_at or 0.0) > failed_at
    is_failing = failed_at is not None and not recovered
    failing_since = _failing_since((tried_at, dead_at), accepted_at) if is_failing else None
    state = "active" if reason is None else "paused"
    if reason is None and hold_s > 0:
        state, reason = "held", f"for another {text.duration(hold_s * 1000)}"
    elif reason is None and failing_since is not None:
        state, reason = "failing", f"for {text.age(failing_since, now_s)}"
    return DestinationStatus(
        state=state,
        reason=reason,
        oldest_pending_s=_age_s(oldest_at, now_s),
        recovered=recovered,
        failing_since=failing_since,
        spans_per_s=_rate(
            columns.pop("minute"), columns.pop("minute_spans"), columns.pop("minute_before"), now_s
        ),
        **columns,
    )


def _failing_since(failed_at: Iterable[float | None], accepted_at: float | None) -> float | None:
    """What was there before the last that was accepted has failed since then at most."""
    first = min((moment for moment in failed_at if moment is not None), default=None)
    return None if first is None else max(first, accepted_at or 0.0)


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
