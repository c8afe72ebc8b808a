"""The forms in which `export` writes: OTLP JSON lines, and rows of a view as JSON lines, CSV or Parquet."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, Final, Protocol

from hush_otel.errors import HushError
from hush_otel.model import SpanData

from .output import harmless, to_json

SPANS_IN_LINE: Final = 512
"""Of one request in one line of OTLP JSON: what receivers take at once."""

GROUP_ROWS: Final = 5000
GROUP_CHARS: Final = 32 * 1024 * 1024
"""A Parquet row group ends at either: it is built in memory."""

INTEGERS: Final = frozenset(
    {
        "id", "execution_order", "prompt_tokens", "completion_tokens", "total_tokens", "contain_generation",
        "parent_is_remote", "flags", "start_ns", "end_ns",
        "dropped_attributes", "dropped_events", "dropped_links",
    }
)  # fmt: skip
FLOATS: Final = frozenset({"duration_ms", "cost_usd", "created_at"})
"""Columns of the views that hold numbers; all others hold text."""

_INT64: Final = range(-(1 << 63), 1 << 63)


class RowSink(Protocol):
    """Takes rows of a view."""

    misfits: int
    """Values that the column's type cannot hold, left out."""

    def write(self, row: Sequence[Any]) -> None:
        """One row, in the order of the columns."""

    def close(self) -> None:
        """Write what is left. The stream stays open."""


class JsonLines:
    """One JSON object a row."""

    misfits = 0

    def __init__(self, stream: BinaryIO, columns: Sequence[str]) -> None:
        self._stream = stream
        self._columns = columns

    def write(self, row: Sequence[Any]) -> None:
        """One row, in the order of the columns."""
        self._stream.write(to_json(dict(zip(self._columns, row, strict=True))).encode() + b"\n")

    def close(self) -> None:
        """Nothing is left."""


class Csv:
    """RFC 4180, UTF-8, with the columns' names first; NULL is empty."""

    misfits = 0

    def __init__(self, stream: BinaryIO, columns: Sequence[str]) -> None:
        self._writer = csv.writer(_Utf8(stream))
        self._writer.writerow(columns)

    def write(self, row: Sequence[Any]) -> None:
        """One row, in the order of the columns."""
        self._writer.writerow(row)

    def close(self) -> None:
        """Nothing is left."""


class _Utf8:
    """What `csv` writes to. Not a TextIOWrapper, which would close standard output when an error drops it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, row: str) -> None:
        self._stream.write(row.encode("utf-8", "replace"))


class Parquet:
    """Columns by type, compressed, in groups of rows. Needs pyarrow.

    Raises:
        HushError: It is not installed.
    """

    def __init__(self, stream: BinaryIO, columns: Sequence[str]) -> None:
        self.misfits = 0
        arrow, parquet = _pyarrow()
        kinds = [_kind(arrow, column) for column in columns]
        self._schema = arrow.schema(list(zip(columns, kinds, strict=True)))
        self._table = arrow.Table
        self._columns = columns
        self._writer = parquet.ParquetWriter(stream, self._schema, compression="zstd")
        self._rows: list[list[Any]] = []
        self._chars = 0

    def write(self, row: Sequence[Any]) -> None:
        """One row, in the order of the columns."""
        self._rows.append([self._fitted(*pair) for pair in zip(self._columns, row, strict=True)])
        self._chars += sum(len(value) for value in row if isinstance(value, str))
        if len(self._rows) >= GROUP_ROWS or self._chars >= GROUP_CHARS:
            self._end_group()

    def _fitted(self, column: str, value: Any) -> Any:
        """A value as its column takes it; SQLite's columns hold any type."""
        if value is None:
            return None
        if column in INTEGERS:
            fits = isinstance(value, int) and value in _INT64
        elif column in FLOATS:
            fits = isinstance(value, (int, float))
        else:
            return value if isinstance(value, str) else str(value)
        self.misfits += not fits
        if not fits:
            return None
        return float(value) if column in FLOATS else value

    def _end_group(self) -> None:
        columns = {name: [row[at] for row in self._rows] for at, name in enumerate(self._columns)}
        self._writer.write_table(self._table.from_pydict(columns, schema=self._schema))
        self._rows, self._chars = [], 0

    def close(self) -> None:
        """Write the last group and the footer."""
        if self._rows:
            self._end_group()
        self._writer.close()


def _pyarrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as exc:
        raise HushError("Parquet needs pyarrow", hint="pip install 'hush-otel[parquet]'") from exc


def _kind(arrow: Any, column: str) -> Any:
    if column in INTEGERS:
        return arrow.int64()
    return arrow.float64() if column in FLOATS else arrow.large_string()


SINKS: Final[dict[str, Callable[[BinaryIO, Sequence[str]], RowSink]]] = {
    "jsonl": JsonLines,
    "csv": Csv,
    "parquet": Parquet,
}


def otlp_lines(spans: Iterable[SpanData]) -> Iterator[bytes]:
    """ExportTraceServiceRequests as lines of JSON (OTLP specification, protocol/file-exporter.md)."""
    # Imported here: protobuf takes a while, and only this form needs it.
    from hush_otel.destinations.otlp_json import encode_json  # noqa: PLC0415

    some: list[SpanData] = []
    for span in spans:
        some.append(span)
        if len(some) == SPANS_IN_LINE:
            yield harmless(encode_json(some).decode()).encode() + b"\n"
            some = []
    if some:
        yield harmless(encode_json(some).decode()).encode() + b"\n"
