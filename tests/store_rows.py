"""A database built row by row from schema.sql, for tests that only read."""

from __future__ import annotations

import itertools
import json
import sqlite3
from pathlib import Path
from typing import Self

SCHEMA = (Path(__file__).parents[1] / "hush_otel/store/schema.sql").read_text(encoding="utf-8")
START_S = 1_700_000_000
START_NS = START_S * 1_000_000_000


class StoreRows:
    """Writes rows as the background process leaves them. A context manager; commits on exit."""

    def __init__(self, path: Path, *, schema_version: object = 1) -> None:
        self.path = path
        self._db = sqlite3.connect(path)
        self._db.executescript("PRAGMA journal_mode = WAL;" + SCHEMA)
        self._insert("hush_meta", key="schema_version", value=schema_version)
        self._insert(
            "hush_origins",
            id=1,
            digest=b"",
            resource='{"service.name":"shop"}',
            resource_schema_url="",
            scope="{}",
        )
        self._seq = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.commit()
        self._db.close()

    def commit(self) -> None:
        """Let readers see what has been written so far."""
        self._db.commit()

    def complete(self, request: int) -> None:
        """The root of a request has ended."""
        self._db.execute("UPDATE hush_requests SET completed_by = 'root' WHERE id = ?", (request,))

    def request(self, request_id: str, *, trace_id: bytes | None = None, **columns: object) -> int:
        """One complete request and its trace; gives its number."""
        n = next(self._seq)
        defaults = {
            "id": n,
            "trace": n,
            "workflow_name": "answer",
            "start_ns": START_NS,
            "end_ns": START_NS + 1_240_000_000,
            "created_at": START_S + n,
            "last_at": START_S + n,
            "completed_by": "root",
            "completed_at": START_S + n,
        }
        self._insert("hush_traces", id=n, trace_id=trace_id or n.to_bytes(16, "big"), request=n)
        self._insert("hush_requests", request_id=request_id, **(defaults | columns))
        return n

    def label(self, request: int, kind: int, label: str) -> None:
        """A model (0) or a tag (1) of a request."""
        self._db.execute(
            "INSERT INTO hush_request_labels SELECT id, ?, ?, created_at FROM hush_requests WHERE id = ?",
            (kind, label, request),
        )

    def span(self, request: int, span_id: int, parent: int | None = None, **columns: object) -> None:
        """One ended span of a request."""
        defaults = {
            "trace": request,
            "request": request,
            "span_id": span_id.to_bytes(8, "big"),
            "parent_span_id": None if parent is None else parent.to_bytes(8, "big"),
            "origin": 1,
            "state": 1,
            "end_seq": next(self._seq),
            "flags": 257,
            "name": f"span-{span_id}",
            "kind": 1,
            "start_ns": START_NS + span_id,
            "end_ns": START_NS + span_id + 12_300_000,
            "attributes": "{}",
            "created_at": START_S,
        }
        self._insert("hush_spans", **(defaults | columns))

    def long_span(self, request: int, span_id: int, key: str, text: str) -> None:
        """One span with an attribute that lies apart, as long ones do."""
        self.span(request, span_id, large=1)
        (span,) = self._db.execute("SELECT max(id) FROM hush_spans").fetchone()
        n = next(self._seq)
        self._insert("hush_payloads", id=n, digest=n.to_bytes(8, "big"), json=json.dumps(text))
        self._insert("hush_span_payloads", span=span, key=key, payload=n)

    def node(self, request: int, span_id: int, name: str, parent_name: str | None, **node: object) -> None:
        """One row of insert_node_trace whose parent is not resolved yet."""
        body = {"node_name": name, "parent_name": parent_name, "duration_ms": 5.0, **node}
        self.span(request, span_id, name=name.rpartition(".")[2], node=json.dumps(body))

    def destination(self, name: str, **columns: object) -> int:
        """One destination; gives its number."""
        n = next(self._seq)
        self._insert(
            "hush_destinations",
            **({"id": n, "name": name, "type": "otlp", "config": "{}", "digest": b""} | columns),
        )
        return n

    def delivery(self, request: int, destination: int, state: str, **columns: object) -> None:
        """One delivery, and what the request owes to the destination."""
        defaults = {"from_seq": 0, "to_seq": 9, "attempts": 1, "span_count": 3, "created_at": START_S}
        owed = "INSERT OR IGNORE INTO hush_request_destinations (request, destination) VALUES (?, ?)"
        self._db.execute(owed, (request, destination))
        self._insert(
            "hush_deliveries", request=request, destination=destination, state=state, **(defaults | columns)
        )
        if state == "delivered":
            accepted = (
                "UPDATE hush_destinations SET accepted_at = max(coalesce(accepted_at, 0), ?) WHERE id = ?"
            )
            self._db.execute(accepted, (columns.get("settled_at", 0), destination))

    def loss(self, reason: str, count: int, n_bytes: int = 0) -> None:
        """One line of the loss ledger."""
        self._insert("hush_losses", reason=reason, count=count, bytes=n_bytes)

    def _insert(self, table: str, **columns: object) -> None:
        marks = ", ".join("?" * len(columns))
        insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - names are ours
        self._db.execute(insert, tuple(columns.values()))
