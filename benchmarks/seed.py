"""A stand-in for the trace store that hush-otel replaces: same scheme, same signature.

`insert_node_trace` puts its arguments on a multiprocessing queue; a background process takes them one by
one, each with an INSERT and a commit of its own. WAL and synchronous=NORMAL, the faster settings.
"""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from pathlib import Path
from typing import Any, Final

COLUMNS: Final = (
    "request_id",
    "workflow_name",
    "node_name",
    "parent_name",
    "context_id",
    "execution_order",
    "start_time",
    "end_time",
    "duration_ms",
    "input_data",
    "output_data",
    "user_id",
    "session_id",
    "model",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cost_usd",
    "contain_generation",
    "metadata",
)
_SCHEMA: Final = f"""
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE traces (
    id INTEGER PRIMARY KEY AUTOINCREMENT, {", ".join(COLUMNS)},
    status TEXT DEFAULT 'writing', tracer_type TEXT, tracer_config TEXT, created_at REAL DEFAULT (unixepoch())
);
CREATE INDEX traces_request ON traces (request_id);
CREATE INDEX traces_status ON traces (status);
"""
_INSERT: Final = f"INSERT INTO traces ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
_MARK: Final = "UPDATE traces SET status = 'pending', tracer_type = ?, tracer_config = ? WHERE request_id = ?"


class SeedStore:
    """The app's side. `force_flush` waits until all that was put before is committed."""

    def __init__(self, path: Path) -> None:
        self._queue: Any = multiprocessing.Queue()
        self._done, done = multiprocessing.Pipe(duplex=False)
        self._process = multiprocessing.Process(target=_work, args=(path, self._queue, done), daemon=True)
        self._process.start()

    def insert_node_trace(self, *values: Any) -> None:
        self._queue.put(("trace", values))

    def mark_request_complete(self, request_id: str, tracer_type: str, tracer_config: dict[str, Any]) -> None:
        self._queue.put(("mark", (tracer_type, tracer_config, request_id)))

    def force_flush(self) -> bool:
        self._queue.put(("flush", None))
        return bool(self._done.recv())

    def close(self) -> None:
        self._queue.put(None)
        self._process.join()


def _work(path: Path, queue: Any, done: Any) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(_SCHEMA)
    while (message := queue.get()) is not None:
        kind, values = message
        if kind == "flush":
            done.send(True)
            continue
        connection.execute(_INSERT if kind == "trace" else _MARK, [_plain(value) for value in values])
        connection.commit()
    connection.close()


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (dict, list)) else value
