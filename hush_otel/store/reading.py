"""Read-only access to the store, for everyone but the background process.

The SQL lies in `queries/*.sql`, one statement a file, named by file stem. Callers hand in a name and
parameters and get rows; nobody outside sees the connection.

What read-only means: the connection is opened with ``mode=ro`` and ``query_only``, so no statement can change
the database and a missing one is not created. SQLite itself keeps its reader marks of a WAL database in
``<db>-shm``, and makes that file and an empty ``<db>-wal`` when no process has the database open: a reader
that may not write in the directory can read only while the background process runs.
"""

from __future__ import annotations

import functools
import importlib.resources
import os
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, Self, TypeAlias, TypeVar
from urllib.parse import quote

from hush_otel.errors import StoreError

SCHEMA_VERSION: Final = 1
"""The schema that these queries are written for."""

BUSY_TIMEOUT_S: Final = 5.0
"""How long a read waits for a lock. Readers of a WAL database wait only around recovery and checkpoints."""

PROGRESS_OPS: Final = 10_000
"""Virtual machine steps between two looks at the clock: well under a millisecond of work."""

ROWS_AT_ONCE: Final = 300
"""Rows that are turned into columns together: they stay in the processor's cache."""

TRACE_ID_BYTES: Final = 16

PREFIX_CANDIDATES: Final = 5
"""How many requests an ambiguous prefix shows."""

Row: TypeAlias = sqlite3.Row
Value: TypeAlias = str | int | float | bytes | None
T = TypeVar("T")


class Reader:
    """One read-only connection. A context manager; not thread-safe, and not to be kept across a fork.

    Args:
        path: The database file.
        busy_timeout_s: How long to wait for a lock.
        time_limit_s: The longest that one query may run; None is unbounded.

    Raises:
        StoreError: There is no database, it is not ours or newer than this version, or it cannot be read.
    """

    def __init__(
        self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S, time_limit_s: float | None = None
    ) -> None:
        self.path = path
        self._time_limit_s = time_limit_s
        self._deadline_s = float("inf")
        self._connection = _open(path, busy_timeout_s)
        try:
            self._check_schema()
        except BaseException:
            self.close()
            raise
        if time_limit_s is not None:
            self._connection.set_progress_handler(self._out_of_time, PROGRESS_OPS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the connection. Idempotent."""
        self._connection.close()

    def rows(self, query_name: str, **params: Value) -> list[Row]:
        """All rows of one query.

        Raises:
            StoreError: The query failed, or ran longer than `time_limit_s`.
        """
        return self._decoded(lambda: list(self.each(query_name, **params)))

    def mappings(self, query_name: str, **params: Value) -> list[dict[str, Any]]:
        """As `rows`, each as a dict: of many rows in half the time that `dict(row)` takes."""
        found = self.rows(query_name, **params)
        names = tuple(found[0].keys()) if found else ()
        return [dict(zip(names, row, strict=True)) for row in found]

    def columns(self, query_name: str, **params: Value) -> dict[str, list[Any]]:
        """As `rows`, column by column: of many rows in half the time that `mappings` takes."""
        return self._decoded(lambda: self._columns(query_name, params))

    def row(self, query_name: str, **params: Value) -> Row | None:
        """The first row of one query; None when there is none. Raises as `rows`."""
        return next(self.each(query_name, **params), None)

    def each(self, query_name: str, **params: Value) -> Generator[Row, None, None]:
        """Rows one by one, so that a large result needs no memory. Raises as `rows`, also midway."""
        with self._cursor(query_name, params) as cursor:
            yield from cursor

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All queries inside see the database at one moment.

        Keep it short: the WAL cannot be reset while a snapshot is open.
        """
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    @contextmanager
    def _cursor(self, query_name: str, params: dict[str, Value]) -> Iterator[sqlite3.Cursor]:
        if self._time_limit_s is not None:
            self._deadline_s = time.monotonic() + self._time_limit_s
        bound = {name: _encodable(value) for name, value in params.items()}
        try:
            with closing(self._connection.execute(_query(query_name), bound)) as cursor:
                yield cursor
        except sqlite3.Error as exc:
            self._explain(exc)

    def _columns(self, query_name: str, params: dict[str, Value]) -> dict[str, list[Any]]:
        with self._cursor(query_name, params) as cursor:
            cursor.row_factory = None
            names = [name for name, *_ in cursor.description]
            columns: list[list[Any]] = [[] for _ in names]
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                for column, values in zip(columns, zip(*rows, strict=True), strict=True):
                    column.extend(values)
        return dict(zip(names, columns, strict=True))

    def _decoded(self, read: Callable[[], T]) -> T:
        """SQLite's own texts are decoded in C, half the time of a large result; only damage needs ours."""
        self._connection.text_factory = str
        try:
            return read()
        except StoreError as exc:
            if not str(exc.__cause__).startswith("Could not decode"):
                raise
        finally:
            self._connection.text_factory = _text
        return read()

    def _check_schema(self) -> None:
        row = self.row("schema_version")
        version = row["value"] if row is not None else None
        if not isinstance(version, int):
            raise _not_ours(self.path)
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} has schema version {version}, newer than this version reads ({SCHEMA_VERSION})",
                hint="upgrade hush-otel",
            )

    def _out_of_time(self) -> bool:
        return time.monotonic() > self._deadline_s

    def _explain(self, exc: sqlite3.Error) -> NoReturn:
        if _code(exc) == "SQLITE_NOTADB":
            raise StoreError(
                f"{self.path} is not a hush-otel database, and no SQLite database at all",
                hint="HUSH_TRACES_DB or --db names another file",
            ) from exc
        if str(exc) == "no such table: hush_meta":
            raise _not_ours(self.path) from exc
        if _code(exc) == "SQLITE_INTERRUPT":
            raise StoreError(f"a query on {self.path} ran longer than {self._time_limit_s} s") from exc
        raise StoreError(f"cannot read {self.path}: {exc}", hint=_HINTS.get(_code(exc), "")) from exc


def find_request(reader: Reader, text: str) -> str:
    """The request_id that a person means by its id, the unique beginning of it, or a trace id in hex.

    A beginning may end in the ``…`` with which lists cut what is too long for them.

    Raises:
        StoreError: No request matches, or several do; the message lists some.
    """
    found = _candidates(reader, text) or _candidates(reader, text.removesuffix("…"))
    if not found or not text:
        raise StoreError(f"no request {text!r} in {reader.path}", hint="hush-otel ls shows the newest")
    ids: list[str] = [row["request_id"] for row in found]
    if len(ids) > 1 and found[0]["rank"] > 1:
        raise StoreError(
            f"several requests begin with {text!r}: {', '.join(ids)}",
            hint="give more of the id",
        )
    return ids[0]


def _candidates(reader: Reader, text: str) -> list[Row]:
    return reader.rows(
        "find_request",
        id=text,
        id_end=text + "\U0010ffff",
        trace_id=_trace_id(text),
        limit=PREFIX_CANDIDATES,
    )


def _open(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    uri = f"file:{quote(os.fsencode(path))}?mode=ro"
    try:
        if path.is_dir():
            raise StoreError(f"{path} is a directory, no database", hint="check HUSH_TRACES_DB or --db")
        if not path.is_file():
            raise StoreError(
                f"no database at {path}",
                hint="nothing has been recorded there yet; check HUSH_TRACES_DB or --db",
            )
        connection = sqlite3.connect(uri, uri=True, timeout=busy_timeout_s, isolation_level=None)
    except (OSError, sqlite3.Error) as exc:
        raise StoreError(f"cannot open {path}: {exc}", hint="check who owns it; its mode is 0600") from exc
    connection.row_factory = sqlite3.Row
    connection.text_factory = _text
    connection.execute("PRAGMA query_only = ON")
    return connection


def _text(raw: bytes) -> str:
    """Bytes that are no UTF-8 come out as U+FFFD, instead of failing the whole query."""
    return raw.decode("utf-8", "replace")


def _encodable(value: Value) -> Value:
    """Text from a command line may hold lone surrogates, which SQLite cannot be given."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


@functools.cache
def _query(name: str) -> str:
    queries = importlib.resources.files(__package__) / "queries"
    return (queries / f"{name}.sql").read_text(encoding="utf-8")


def _code(exc: sqlite3.Error) -> str:
    """SQLite's extended name of the error; errors of the Python module itself have none."""
    return getattr(exc, "sqlite_errorname", "")


_AS_OWNER: Final = (
    "no process has the database open, and this user may not create its -shm: "
    "read as its owner, or while its background process runs"
)

_HINTS: Final = {
    # A WAL database that no process has open: SQLite wants to create -shm and -wal, and may not.
    "SQLITE_READONLY_DIRECTORY": _AS_OWNER,
    "SQLITE_READONLY_CANTINIT": _AS_OWNER,
    "SQLITE_READONLY_CANTLOCK": _AS_OWNER,
    "SQLITE_CANTOPEN": "check who owns the database and its directory",
    "SQLITE_BUSY": "another process holds the database; try again",
}
"""By SQLite's extended error name."""


def _not_ours(path: Path) -> StoreError:
    return StoreError(
        f"{path} is not a hush-otel database",
        hint="nothing has been recorded there yet, or HUSH_TRACES_DB or --db names another file",
    )


def _trace_id(text: str) -> bytes | None:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    return raw if len(raw) == TRACE_ID_BYTES else None
