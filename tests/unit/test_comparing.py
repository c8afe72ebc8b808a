"""Two requests side by side: steps that belong together, and what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from store_rows import START_NS, StoreRows

from hush_otel.presentation.compare import Pair, compare
from hush_otel.store.reading import Reader


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[StoreRows]:
    """An empty database."""
    with StoreRows(tmp_path / "traces.db") as opened:
        yield opened


def io(went_in: Any = None, came_out: Any = None) -> str:
    """Attributes of a span with an input and an output."""
    said = {"input.value": went_in, "output.value": came_out}
    return json.dumps({key: value for key, value in said.items() if value is not None})


def compared(rows: StoreRows) -> list[Pair]:
    """The requests a and b."""
    rows.commit()
    with Reader(rows.path) as reader, reader.snapshot():
        return compare(reader, "a", "b")


def places(found: list[Pair]) -> list[tuple[int, str, str]]:
    """Depth, name and where each is."""
    return [(one.depth, one.name, one.where) for one in found]


def tree(rows: StoreRows, request_id: str, names: list[str], first: int, **columns: Any) -> int:
    """A root and children in this order."""
    request = rows.request(request_id)
    rows.span(request, first, name=f"root of {request_id}", **columns)
    for n, name in enumerate(names, start=first + 1):
        rows.span(request, n, first, name=name)
    return request


def test_same_names_belong_together_in_order(rows: StoreRows) -> None:
    """Repeated names are told apart by their order; roots belong together whatever they are called."""
    tree(rows, "a", ["load", "chat", "chat"], 1)
    tree(rows, "b", ["load", "chat"], 11)
    assert places(compared(rows)) == [
        (0, "root of a", "both"),
        (1, "load", "both"),
        (1, "chat", "both"),
        (1, "chat", "a"),
    ]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (["x"], ["new", "x"], [("new", "b"), ("x", "both")]),
        (["x", "y"], ["x", "new", "y"], [("x", "both"), ("new", "b"), ("y", "both")]),
        (["x"], ["x", "new"], [("x", "both"), ("new", "b")]),
        (["x", "old", "y"], ["x", "y"], [("x", "both"), ("old", "a"), ("y", "both")]),
        (["x", "y"], ["y", "new", "x"], [("new", "b"), ("x", "both"), ("y", "both")]),
        ([], ["new"], [("new", "b")]),
        (["old"], ["new"], [("old", "a"), ("new", "b")]),
    ],
)
def test_what_only_one_has_stands_where_it_happened(
    rows: StoreRows, a: list[str], b: list[str], expected: list[tuple[str, str]]
) -> None:
    """In the order of a; what only b has stands beside its neighbour; each step once."""
    tree(rows, "a", a, 1)
    tree(rows, "b", b, 11)
    assert [(name, where) for _, name, where in places(compared(rows))[1:]] == expected


def test_below_what_only_one_has_all_is_of_that_one(rows: StoreRows) -> None:
    """Children follow their parent, deeper, also where the other request has nothing."""
    request = tree(rows, "a", ["step"], 1)
    rows.span(request, 3, 2, name="inner")
    tree(rows, "b", [], 11)
    assert places(compared(rows)) == [(0, "root of a", "both"), (1, "step", "a"), (2, "inner", "a")]


def test_inputs_and_outputs_are_compared_by_content(rows: StoreRows) -> None:
    """Equal texts are equal, also when one is stored apart; nothing differs from nothing."""
    a, b = rows.request("a"), rows.request("b")
    for request, first, answer in ((a, 1, "yes"), (b, 11, "no")):
        rows.span(request, first, name="root")
        rows.span(request, first + 1, first, name="chat", attributes=io("why?", answer))
        rows.span(request, first + 2, first, name="other", attributes=io(answer))
    _, chat, other = compared(rows)
    assert (chat.input_differs, chat.output_differs) == (False, True)
    assert (other.input_differs, other.output_differs) == (True, False)


def test_each_side_has_its_figures(rows: StoreRows) -> None:
    """Durations, tokens, cost and status, and the ids to look further."""
    a, b = rows.request("a"), rows.request("b")
    rows.span(a, 1, total_tokens=10, cost_usd=0.5, end_ns=START_NS + 1 + 7_000_000)
    rows.span(b, 11, status_code=2, status_message="boom")
    (pair,) = compared(rows)
    assert pair.a is not None
    assert pair.b is not None
    assert (pair.a.duration_ms, pair.a.total_tokens, pair.a.cost_usd, pair.a.status) == (7.0, 10, 0.5, "ok")
    assert (pair.b.status, pair.b.error, pair.b.span_id) == ("error", "boom", f"{11:016x}")
    found = pair.as_json()
    assert (found["in"], found["input_differs"]) == ("both", False)


def test_nodes_of_a_loop_are_aligned_by_pass(rows: StoreRows) -> None:
    """The same node in another pass is another step."""
    for request_id, first, passes in (("a", 1, 3), ("b", 21, 2)):
        request = rows.request(request_id)
        rows.node(request, first, "flow", None, execution_order=0)
        rows.node(request, first + 1, "flow.loop", "flow", execution_order=1)
        for n in range(passes):
            rows.node(
                request,
                first + 2 + n,
                "flow.loop.item",
                "flow.loop",
                context_id=f"[{n}]",
                execution_order=2 + n,
            )
    found = [(one.name, one.context_id, one.where) for one in compared(rows)]
    assert found[2:] == [
        ("iteration[0]", None, "both"),
        ("item", "[0]", "both"),
        ("iteration[1]", None, "both"),
        ("item", "[1]", "both"),
        ("iteration[2]", None, "a"),
        ("item", "[2]", "a"),
    ]


def test_a_chain_of_thousands_is_compared(rows: StoreRows) -> None:
    """Depth is a number, and nothing recurses."""
    for request_id, first in (("a", 1), ("b", 10_001)):
        request = rows.request(request_id)
        for n in range(2_000):
            rows.span(request, first + n, first + n - 1 if n else None, name="step")
    found = compared(rows)
    assert [one.depth for one in found] == list(range(2_000))
    assert {one.where for one in found} == {"both"}
