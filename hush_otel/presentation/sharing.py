"""A request as it is given away: what an application has written goes through the rules once more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, TypeAlias

from hush_otel.mapping.redactor import Redactor
from hush_otel.rules import READY, RedactionRules
from hush_otel.store.reading import Reader

from .detail import Detail, detail, hidden
from .listing import shown
from .tree import Node, Row, arrange

KEYS: Final = (
    *("*password*", "*secret*", "*api_key*", "*apikey*", "*token", "authorization", "cookie", "set-cookie"),
    *("*private_key*", "*credential*"),
)
"""What is hidden by its key beside the ready patterns."""

REQUEST_TEXTS: Final = ("workflow_name", "user_id", "session_id", "error_message")
ROW_TEXTS: Final = ("name", "node_name", "context_id", "model", "error")

LEFT_OUT: Final = frozenset({"tracer_type", "tracer_config", "retry_count", "flushed_at"})
"""Of a request: where it was sent is nobody else's business."""


def redactor_for(rules: RedactionRules | None, *, ready: bool) -> Redactor | None:
    """What hides: the configured rules, and with `ready` the ready patterns and usual keys too.

    Raises:
        ConfigError: A rule needs what is not installed.
    """
    if not ready:
        return None if rules is None else Redactor(rules)
    own = rules or RedactionRules()
    keys, values = dict.fromkeys((*own.keys, *KEYS)), dict.fromkeys((*own.values, *READY))
    return Redactor(replace(own, keys=tuple(keys), values=tuple(values)))


class Shared:
    """One request, redacted.

    Args:
        reader: In a snapshot.
        request_id: As it is stored.
        redactor: None hides nothing.

    Attributes:
        request: The columns of the view, but for what says where it was sent.
        roots: Its spans as a tree.

    Raises:
        StoreError: The database cannot be read.
    """

    def __init__(self, reader: Reader, request_id: str, redactor: Redactor | None) -> None:
        self._reader = reader
        self._redactor = redactor
        (row,) = reader.rows("request", request_id=request_id)
        columns = {name: value for name, value in shown(row).items() if name not in LEFT_OUT}
        self.request = columns if redactor is None else _request(redactor, columns)
        self.roots = arrange(reader.mappings("request_tree", request_id=request_id))
        if redactor is not None:
            for node in _all(self.roots):
                node.row = _row(redactor, node.row)

    def detail(self, node: Node) -> Detail | None:
        """All of one span; None for a loop's pass, which no row stands for."""
        return detail(self._reader, node.row, self._redactor)


Form: TypeAlias = Callable[[Shared], Iterable[str]]
"""Writes one as a text, part by part: inputs and outputs may be larger than memory."""


def _all(roots: list[Node]) -> Iterator[Node]:
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.children


def _request(redactor: Redactor, columns: dict[str, Any]) -> dict[str, Any]:
    found = columns | {name: hidden(redactor, name, columns[name]) for name in REQUEST_TEXTS}
    found["request_id"] = redactor.identifier(columns["request_id"])
    found["models"] = redactor.value(columns["models"])
    if columns["tags"] is not None:
        found["tags"] = json.dumps(redactor.value(json.loads(columns["tags"])))
    return found


def _row(redactor: Redactor, row: Row) -> dict[str, Any]:
    return dict(row) | {name: hidden(redactor, name, row[name]) for name in ROW_TEXTS}
