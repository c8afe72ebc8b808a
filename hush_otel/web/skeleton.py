"""A request's tree as the page draws it: columns, depth-first, without inputs and outputs. Pure functions.

What repeats (names, types, models) stands once in `strings`; rows have its index. That halves 50,000 rows,
and the browser makes one string of each instead of 50,000.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from hush_otel.presentation.critical_path import critical_path
from hush_otel.presentation.text import number
from hush_otel.presentation.tree import Node, Row, arrange

COLUMNS: Final = (
    "depth",
    "parent",
    "trace_id",
    "span_id",
    "name",
    "node_name",
    "context_id",
    "type",
    "kind",
    "status",
    "start_ms",
    "duration_ms",
    "model",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cost_usd",
    "computed",
    "error",
    "notes",
    "synthetic",
    "critical",
)
INTERNED: Final = ("trace_id", "name", "node_name", "context_id", "type", "kind", "status", "model")
"""Columns that hold an index into `strings`, or null."""

ERROR_CHARS: Final = 500
"""Of an error in a row; all of it stands in the span's detail."""

KINDS: Final = {2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}
"""By OTLP SpanKind, as the view `spans` has them."""


class _Strings(dict[object, int]):
    """Texts by number, each once: looking one up that is not there adds it."""

    def __missing__(self, text: object) -> int:
        self[text] = number = len(self)
        return number


def skeleton(rows: Iterable[Row]) -> dict[str, Any]:
    """``origin_ns``, ``columns``, ``interned``, ``strings`` and ``rows`` of one request.

    Column by column, and each row is looked at once: of 50,000 rows the time goes into waiting for memory.

    Args:
        rows: As `request_tree.sql` gives them.
    """
    roots = arrange(rows)
    depths, parents, nodes = zip(*_walk(roots), strict=True) if roots else ((), (), ())
    of_rows = dict(zip(_READ, zip(*(_read(node.row) for node in nodes), strict=True), strict=False))
    strings = _Strings()
    starts = [_whole(start) for start in of_rows.get("start_ns", ())]
    origin_ns = min((start for start in starts if start is not None), default=0)
    columns: dict[str, Sequence[Any]] = {
        "depth": depths,
        "parent": parents,
        "start_ms": [None if start is None else (start - origin_ns) / 1e6 for start in starts],
        **(_columns(of_rows, strings) if nodes else {}),
        **_marks(nodes, critical_path(roots)),
    }
    return {
        "origin_ns": origin_ns,
        "columns": COLUMNS,
        "interned": INTERNED,
        "strings": list(map(str, strings)),
        "rows": list(zip(*(columns.get(name, ()) for name in COLUMNS), strict=True)),
    }


_READ: Final = (
    *("trace_id", "span_id", "name", "node_name", "context_id", "node_type", "kind", "status", "start_ns"),
    *("duration_ms", "model", "prompt_tokens", "completion_tokens", "total_tokens", "cost_usd"),
    *("cost_source", "error"),
)
_read: Final = itemgetter(*_READ)


def _columns(of_rows: Mapping[str, Sequence[Any]], strings: _Strings) -> dict[str, Sequence[Any]]:
    """What stands in the rows."""
    kinds = of_rows["kind"]
    found: dict[str, Sequence[Any]] = {
        **of_rows,
        "type": of_rows["node_type"],
        "kind": [KINDS.get(kind, "INTERNAL") for kind in kinds],
        "computed": [0 if source is None else 1 for source in of_rows["cost_source"]],
        "error": [None if error is None else str(error)[:ERROR_CHARS] for error in of_rows["error"]],
        "synthetic": [1 if kind is None else 0 for kind in kinds],  # a pass of a loop: no row is behind it
    }
    for name in INTERNED:
        found[name] = [None if text is None else strings[text] for text in found[name]]
    return found


def _marks(nodes: Iterable[Node], critical: set[int]) -> dict[str, Sequence[Any]]:
    nodes = list(nodes)
    return {
        "notes": [", ".join(node.notes) or None for node in nodes],
        "critical": [1 if id(node) in critical else 0 for node in nodes],
    }


def _walk(roots: list[Node]) -> Iterator[tuple[int, int, Node]]:
    """Each node with its depth and the index of its parent, in the order of execution."""
    stack = [(0, -1, root) for root in reversed(roots)]
    index = 0
    while stack:
        depth, parent, node = stack.pop()
        yield depth, parent, node
        stack.extend((depth + 1, index, child) for child in reversed(node.children))
        index += 1


def _whole(value: object) -> int | None:
    found = number(value)
    return None if found is None else int(found)
