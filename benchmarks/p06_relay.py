"""P6: the relay, SQLite to an OTLP/HTTP sink, against the official encoder and exporter in one process.

Ours reads completed requests of 10 spans from the database, packs, encodes, posts and settles them, in a
fresh process with nothing else to do. The peer has its ReadableSpans in memory, encodes 512 of them at once
(`encode_spans`), serialises and posts them. Both wait for every answer; the sink counts what came. With gzip
the texts are random words: repeated ones would cost nothing to compress.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import backlog
import workload
from backlog import Backlog
from harness import ROUNDS, fresh, in_turn, workspace
from report import Row, Target, row, run
from sinks import Sink, otlp_sink
from stored import rows

SPANS: Final = 30_000
INFO_ROUNDS: Final = 3
BATCH_SPANS: Final = 512
"""BatchSpanProcessor's default, and the relay's."""
PEER: Final = "encode_spans + post"
RELAY: Final = "relay"
_LEAVE_AT_ONCE: Final = {"HUSH_IDLE_EXIT_S": "0", "HUSH_BACKGROUND": "external"}


# ------------------------------------------------------------------ in processes of their own


def relay(database: str) -> dict[str, float]:
    """The background process's own loop, until nothing is left to store or deliver."""
    from hush_otel.background.garbage import collect_seldom
    from hush_otel.background.service import elect
    from hush_otel.config import Settings

    settings = Settings.load(database)
    collect_seldom()
    cpu, began = time.process_time(), time.perf_counter()
    service = elect(settings)
    assert service is not None
    service.run(leave_when_idle=True)
    took, used = time.perf_counter() - began, time.process_time() - cpu
    service.close()
    return {"wall_s": took, "cpu_s": used}


def official(endpoint: str, work: str, spans: int, gzip: bool) -> dict[str, float]:
    """The exporter's own path over spans that lie in memory."""
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import SpanExportResult

    ended = _ended_spans(work, spans)
    exporter = OTLPSpanExporter(
        f"{endpoint}/v1/traces", compression=Compression.Gzip if gzip else Compression.NoCompression
    )
    cpu, began = time.process_time(), time.perf_counter()
    for first in range(0, spans, BATCH_SPANS):
        assert exporter.export(ended[first : first + BATCH_SPANS]) is SpanExportResult.SUCCESS
    took, used = time.perf_counter() - began, time.process_time() - cpu
    exporter.shutdown()
    return {"wall_s": took, "cpu_s": used}


def _ended_spans(work: str, spans: int) -> Sequence[Any]:
    import sides
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    memory = InMemorySpanExporter()
    tracer = sides.provider(SimpleSpanProcessor(memory)).get_tracer("benchmark")
    recorder = workload.work(work)
    for _ in range(spans // backlog.SPANS_PER_REQUEST):
        recorder.record_request(tracer, backlog.SPANS_PER_REQUEST)
    return memory.get_finished_spans()


# ------------------------------------------------------------------ around them


class Owed:
    """A database of completed requests that a destination has not got yet, and the spool it came from."""

    def __init__(self, directory: Path, work: str, sink: Sink, *, gzip: bool) -> None:
        self.work, self.sink, self.gzip = work, sink, gzip
        self.spool: Backlog = backlog.record(directory, work, SPANS, otlp=sink.http, gzip=gzip)
        self._stored = directory / "stored"
        self._stored.mkdir()
        backlog.drained(self.spool, self._stored)
        sink.encodings()

    def relayed(self, *, drain_too: bool = False) -> dict[str, float]:
        """Deliver a copy of the database; with `drain_too` of the spool, which is stored first."""
        with workspace() as directory:
            database = directory / "traces.db"
            if drain_too:
                self.spool.copy(directory)
            else:
                shutil.copy(self._stored / database.name, database)
            found: dict[str, float] = fresh("p06_relay.relay", _LEAVE_AT_ONCE, database=str(database))
            delivered = "SELECT sum(span_count) FROM deliveries WHERE state = 'delivered'"
            assert rows(database, delivered) == [(SPANS,)]
        self._check()
        return found

    def exported(self) -> dict[str, float]:
        """The same spans by the peer."""
        found: dict[str, float] = fresh(
            "p06_relay.official", endpoint=self.sink.http, work=self.work, spans=SPANS, gzip=self.gzip
        )
        self._check()
        return found

    def _check(self) -> None:
        """All arrived, and in the encoding that the row names."""
        assert self.sink.taken() == SPANS
        assert self.sink.encodings() == {"gzip" if self.gzip else "identity"}


def rate(found: list[dict[str, float]], clock: str) -> list[float]:
    return [SPANS / one[clock] for one in found]


def without_gzip(sink: Sink) -> list[Row]:
    four_times = Target(text="≥ 4x", bound=4, at_least=True)
    with workspace() as directory:
        owed = Owed(directory, workload.LLM, sink, gzip=False)
        found = in_turn({PEER: owed.exported, RELAY: owed.relayed}, ROUNDS)
        together = in_turn({"both": partial(owed.relayed, drain_too=True)}, INFO_ROUNDS)["both"]
    ours, theirs = found[RELAY], found[PEER]
    shown: dict[str, Any] = {"unit": "spans/s", "against": PEER}
    return [
        row("without gzip", rate(ours, "wall_s"), theirs=rate(theirs, "wall_s"), target=four_times, **shown),
        row("without gzip, of CPU time", rate(ours, "cpu_s"), theirs=rate(theirs, "cpu_s"), **shown),
        row("drain and relay together, without gzip", rate(together, "wall_s"), "spans/s"),
    ]


def with_gzip(sink: Sink) -> list[Row]:
    target = Target(text="≥ 20,000 spans/s", bound=20_000, of="ours", at_least=True)
    with workspace() as directory:
        owed = Owed(directory, workload.LLM_WORDS, sink, gzip=True)
        found = in_turn({PEER: owed.exported, RELAY: owed.relayed}, ROUNDS)
    ours, theirs = rate(found[RELAY], "wall_s"), rate(found[PEER], "wall_s")
    what = "with gzip (ours level 1, the peer's default 9), random words"
    return [row(what, ours, "spans/s", theirs=theirs, against=PEER, target=target)]


def measure() -> list[Row]:
    with otlp_sink() as sink:
        return [*without_gzip(sink), *with_gzip(sink)]


if __name__ == "__main__":
    run(__doc__, measure)
