"""Spools that wait to be drained, and what a pass over them takes.

A backlog is recorded by a process that has `HUSH_BACKGROUND=external`, so that nobody drains it; every round
works on a copy, since a drained segment is gone.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import workload
from harness import fresh, memory_mb
from stored import rows

SPANS_PER_REQUEST: Final = 10
_EXTERNAL: Final = {
    "HUSH_BACKGROUND": "external",
    "HUSH_SPOOL_MAX_BYTES": str(1 << 40),  # the backlog is the point
}


class Backlog(NamedTuple):
    """A directory with a spool and no database."""

    directory: Path
    spans: int

    @property
    def spool(self) -> Path:
        return self.directory / "traces.db.spool"

    def size_mb(self) -> float:
        return sum(path.stat().st_size for path in self.spool.glob("*.seg")) / 1e6

    def copy(self, directory: Path) -> Path:
        """Into another directory; returns the path of the database that its spool is for."""
        to = directory / self.spool.name
        shutil.copytree(self.spool, to, ignore=shutil.ignore_patterns("doorbell"), dirs_exist_ok=True)
        return directory / "traces.db"


def record(
    directory: Path,
    work: str,
    spans: int,
    *,
    spans_per_request: int = SPANS_PER_REQUEST,
    open_at_once: int = 0,
    otlp: str = "",
    gzip: bool = False,
) -> Backlog:
    """Make a backlog.

    Args:
        directory: Empty.
        work: What is recorded.
        spans: How many.
        spans_per_request: A root, and the rest below it.
        open_at_once: So many requests run side by side, span by span, when it is not 0: their starts are
            stored long before their ends.
        otlp: The endpoint that they are owed to; a file when empty.
        gzip: Whether requests to it are compressed.
    """
    file = {"type": "file", "path": str(directory / "delivered.jsonl")}
    # Said either way: the default is gzip.
    otlp_to = {"type": "otlp", "endpoint": otlp, "compression": "gzip" if gzip else "none"}
    fresh(
        "backlog.app",
        _EXTERNAL,
        directory=str(directory),
        work=work,
        requests=spans // spans_per_request,
        spans_per_request=spans_per_request,
        open_at_once=open_at_once,
        owed_to=otlp_to if otlp else file,
    )
    return Backlog(directory, spans // spans_per_request * spans_per_request)


def app(
    directory: str,
    work: str,
    requests: int,
    spans_per_request: int,
    open_at_once: int,
    owed_to: dict[str, str],
) -> None:
    """In the recording process."""
    import sides

    from hush_otel import Destination, HushSpanProcessor

    destination = Destination(name="receiver", **owed_to)
    provider = sides.provider(HushSpanProcessor(Path(directory, "traces.db"), destinations=[destination]))
    tracer = provider.get_tracer("benchmark")
    recorder = workload.work(work)
    if open_at_once:
        for _ in range(requests // open_at_once):
            _side_by_side(recorder, tracer, open_at_once, spans_per_request)
    else:
        for _ in range(requests):
            recorder.record_request(tracer, spans_per_request)
    provider.shutdown()


def _side_by_side(recorder: workload.Work, tracer: Any, requests: int, spans: int) -> None:
    from opentelemetry.trace import set_span_in_context

    roots = [recorder.begin(tracer) for _ in range(requests)]
    for _ in range(spans - 1):
        children = [recorder.begin(tracer, set_span_in_context(root)) for root, _ in roots]
        _finish(recorder, children)
    _finish(recorder, roots)


def _finish(recorder: workload.Work, spans: Sequence[tuple[Any, workload.Content]]) -> None:
    for span, content in spans:
        recorder.finish(span, content)


def drain(database: str) -> dict[str, float]:
    """In a fresh process: store the spool and queue every delivery. Closing the database is part of it.

    `hush-otel drain` ends after it has queued 1,000 requests and leaves the rest to the background process;
    here they are queued too, also those that would wait a moment for late spans.
    """
    from hush_otel.background.garbage import collect_seldom
    from hush_otel.background.service import elect
    from hush_otel.config import Settings

    settings = Settings.load(database)
    collect_seldom()
    cpu, began = time.process_time(), time.perf_counter()
    service = elect(settings)
    assert service is not None
    report = service.drain_all()
    while service._relay.queue_due(time.time() + LATE_S):
        pass
    service.close()
    took, used = time.perf_counter() - began, time.process_time() - cpu
    return {"wall_s": took, "cpu_s": used, "spans": report.spans, "peak_mb": memory_mb("VmHWM")}


LATE_S: Final = 10
"""More than a completed request waits for spans that come later: 5 s."""


def index(database: str) -> dict[str, float]:
    """In a fresh process: build the full-text index of what is stored, in the steps of a drain at rest."""
    from hush_otel.background.indexing import Indexing
    from hush_otel.store.database import Database
    from hush_otel.store.ingest import Ingest

    store = Database(Path(database))
    indexing, steps, before = (
        Indexing(store, Ingest(), wanted=True),
        list[float](),
        Path(database).stat().st_size,
    )
    cpu, began = time.process_time(), time.perf_counter()
    while indexing.is_busy():
        step = time.process_time()
        indexing.step()
        steps.append(time.process_time() - step)
    took, used = time.perf_counter() - began, time.process_time() - cpu
    store.truncate_wal()
    bytes_ = Path(database).stat().st_size - before
    store.close()
    return {"wall_s": took, "cpu_s": used, "longest_ms": max(steps) * 1e3, "bytes": bytes_}


def drained(backlog: Backlog, directory: Path, config: str = "") -> dict[str, float]:
    """Drain a copy in a fresh process.

    Args:
        backlog: What.
        directory: Where to.
        config: Content of the configuration file.

    Raises:
        AssertionError: Not all of its spans were stored and queued.
    """
    database = backlog.copy(directory)
    before = _queued(database)
    file = directory / "hush.toml"
    file.write_text(config)
    found: dict[str, float] = fresh(
        "backlog.drain", {**_EXTERNAL, "HUSH_CONFIG": str(file)}, database=str(database)
    )
    assert found["spans"] == backlog.spans
    assert _queued(database) - before == backlog.spans
    return found


def _queued(database: Path) -> int:
    """Spans of all deliveries."""
    found = rows(database, "SELECT coalesce(sum(span_count), 0) FROM hush_deliveries")
    return int(found[0][0]) if found else 0
