"""Two requests side by side: which steps are in both, what each cost, whether the same went in and came out.

Steps are aligned from the root down: below two that belong together, those of the same name and context, in
the order of execution, belong together. A node's short name counts, so that the workflow may have another.
Nothing recurses, and of inputs and outputs only digests are kept.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from hush_otel.store.reading import Reader

from .tree import Key, Node, arrange

DIGEST_BYTES: Final = 8

In: TypeAlias = Literal["both", "a", "b"]
Digests: TypeAlias = dict[Key, tuple[str | None, str | None]]
Name: TypeAlias = tuple[object, object, int]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One step in one of the requests.

    Attributes:
        input: A digest of what went in; None: nothing did. `output` likewise.
    """

    trace_id: str
    span_id: str
    status: str
    duration_ms: float | None
    model: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cost_usd: float | None
    cost_source: str | None
    error: str | None
    input: str | None
    output: str | None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One step, in both requests or in one.

    Attributes:
        key: Unique in a comparison.
        depth: 0 for roots.
    """

    key: str
    name: str
    node_name: str
    context_id: str | None
    depth: int
    a: Side | None
    b: Side | None

    @property
    def where(self) -> In:
        """Which requests have it."""
        return "a" if self.b is None else "b" if self.a is None else "both"

    @property
    def input_differs(self) -> bool:
        """In both, and something else went in."""
        return self.a is not None and self.b is not None and self.a.input != self.b.input

    @property
    def output_differs(self) -> bool:
        """In both, and something else came out."""
        return self.a is not None and self.b is not None and self.a.output != self.b.output

    def as_json(self) -> dict[str, Any]:
        """As the page and ``--json`` have it."""
        differs = {"input_differs": self.input_differs, "output_differs": self.output_differs}
        sides = {"a": self.a and vars(self.a), "b": self.b and vars(self.b)}
        return vars(self) | sides | {"in": self.where} | differs


def compare(reader: Reader, a: str, b: str) -> list[Pair]:
    """The steps of two requests, depth first, in the order of execution.

    Args:
        reader: In a snapshot, where a request may be growing.
        a: A request_id, as it is stored.
        b: The other.

    Raises:
        StoreError: The database cannot be read.
    """
    sides = [_Request(reader, request_id) for request_id in (a, b)]
    return list(_aligned(*sides))


class _Request:
    def __init__(self, reader: Reader, request_id: str) -> None:
        self.roots = arrange(reader.mappings("request_tree", request_id=request_id))
        self._digests: Digests = {
            (row["trace_id"], row["span_id"]): (_digest(row["input_data"]), _digest(row["output_data"]))
            for row in reader.each("request_contents", request_id=request_id)
        }

    def side(self, node: Node | None) -> Side | None:
        """A step as it is compared; that of a loop's pass has no content of its own."""
        if node is None:
            return None
        columns: dict[str, Any] = {name: node.row[name] for name in _COLUMNS}
        went_in, came_out = self._digests.get(node.key, (None, None))
        return Side(**columns, input=went_in, output=came_out)


_COLUMNS: Final = tuple(name for name in Side.__dataclass_fields__ if name not in {"input", "output"})


def _digest(content: object) -> str | None:
    if content is None:
        return None
    return hashlib.blake2b(str(content).encode("utf-8", "replace"), digest_size=DIGEST_BYTES).hexdigest()


def _aligned(a: _Request, b: _Request) -> Iterator[Pair]:
    waiting = [(one, other, 0) for one, other in reversed(_roots(a.roots, b.roots))]
    while waiting:
        one, other, depth = waiting.pop()
        yield _pair(a.side(one), b.side(other), one or other, depth)
        below = _siblings(one.children if one else [], other.children if other else [])
        waiting.extend((*both, depth + 1) for both in reversed(below))


def _pair(a: Side | None, b: Side | None, node: Node | None, depth: int) -> Pair:
    assert node is not None  # noqa: S101 - one of them is there
    row = node.row
    return Pair(
        key=f"{row['trace_id']}-{row['span_id']}",
        name=str(row["name"]),
        node_name=str(row["node_name"]),
        context_id=None if row["context_id"] is None else str(row["context_id"]),
        depth=depth,
        a=a,
        b=b,
    )


def _roots(a: list[Node], b: list[Node]) -> list[tuple[Node | None, Node | None]]:
    """A root may be named after what was asked: one on each side belong together in any case."""
    return [(a[0], b[0])] if len(a) == len(b) == 1 else _siblings(a, b)


def _siblings(a: list[Node], b: list[Node]) -> list[tuple[Node | None, Node | None]]:
    """In the order of `a`; what only `b` has stands behind its predecessor there."""
    here, there = _named(a), _named(b)
    found: list[tuple[Node | None, Node | None]] = []
    only_b = iter(there.items())
    placed = set[Name]()
    for name, node in here.items():
        if name in there and name not in placed:
            for other, one in only_b:
                placed.add(other)
                if other == name:
                    break
                if other not in here:
                    found.append((None, one))
        found.append((node, there.get(name)))
    found += [(None, one) for other, one in only_b if other not in here]
    return found


def _named(nodes: list[Node]) -> dict[Name, Node]:
    """By name and context, and a number where there are several."""
    seen = Counter[tuple[object, object]]()
    found = {}
    for node in nodes:
        name = node.row["name"], node.row["context_id"]
        found[*name, seen[name]] = node
        seen[name] += 1
    return found
