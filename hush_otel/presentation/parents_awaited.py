"""Which nodes of a request run: they come when they end, and until then others name them as their parents."""

from __future__ import annotations

from typing import Any, Final

from hush_otel.mapping.parents import parent_candidates

MOST_ENDED: Final = 10_000
"""Places of nodes that are remembered; then none, and a late child may have its parent awaited again."""


class Parents:
    """Of one request, by name: a name that runs in several passes is one.

    Attributes:
        awaited: By name, a row for each that has not come.
    """

    def __init__(self) -> None:
        self.awaited: dict[str, dict[str, Any]] = {}
        self._ended: set[tuple[str, str | None]] = set()

    def note(self, row: dict[str, Any]) -> None:
        """A node has come: it is awaited no more, but maybe its parent is."""
        self.awaited.pop(row["node_name"], None)
        if len(self._ended) >= MOST_ENDED:
            self._ended.clear()
        self._ended.add((row["node_name"], row["context_id"]))
        name = row["parent_node"]
        if name is None or any(
            (name, place) in self._ended for place in parent_candidates(row["context_id"])
        ):
            return
        kept = ("request", "request_id", "workflow_name")
        self.awaited[name] = {column: row[column] for column in kept} | {
            "name": name.rpartition(".")[2] or name,
            "context_id": None,
        }
