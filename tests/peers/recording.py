"""A provider whose spans go to hush-otel and, beside it, to memory; and the comparison of all ends."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from compare import assert_ends_agree
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from receiving_agent import AgentSession

from hush_otel import Destination, HushSpanProcessor, TraceStore

RESOURCE = Resource(
    {"service.name": "peers", "service.instance.id": 7, "build.share": 0.5, "build.flags": [True, False]},
    "https://opentelemetry.io/schemas/1.30.0",
)


class Recording:
    """A provider whose spans go to hush-otel and, beside it, to the SDK's own exporter in memory.

    Args:
        database: Where they are stored.
        agent: What they are compared with.
        far: Where they are sent; the agent's own endpoint, over HTTP, unless given.
        **options: Of the TracerProvider.
    """

    def __init__(
        self, database: Path, agent: AgentSession, far: Destination | None = None, **options: Any
    ) -> None:
        self.database, self.agent = database, agent
        self.store = TraceStore(database)
        self.provider = TracerProvider(**{"resource": RESOURCE, "shutdown_on_exit": False} | options)
        self._memory = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._memory))
        self.provider.add_span_processor(
            HushSpanProcessor(database, destinations=[far or agent.destination()])
        )

    def compare(self) -> list[ReadableSpan]:
        """Wait for both ends, compare them with what the SDK saw, and give that in the order of the ends."""
        assert self.provider.force_flush()
        assert self.store.wait_delivered(), self._deliveries()
        seen = list(self._memory.get_finished_spans())
        assert_ends_agree(self.database, self.agent.exports(), seen)
        return seen

    def _deliveries(self) -> str:
        """What became of them, for the message of a failure."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT * FROM deliveries").fetchall()
        log = self.database.with_name(f"{self.database.name}.spool") / "background.log"
        return f"{found}\n{log.read_text() if log.exists() else 'no log'}"
