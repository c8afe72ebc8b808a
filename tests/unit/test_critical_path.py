"""Which spans a request's duration hangs on."""

from __future__ import annotations

from typing import Any

from hush_otel.presentation.critical_path import critical_path
from hush_otel.presentation.placing import ROOT
from hush_otel.presentation.tree import Node


def node(name: str, start: int, end: int | None, *children: Node, **columns: Any) -> Node:
    """A span from and to these nanoseconds."""
    row = {"name": name, "start_ns": start, "end_ns": end, "duration_ms": None, "status": "ok"} | columns
    if end is None and "status" not in columns:
        row["status"] = "running"
    return Node(row, children=list(children))


def on_path(*roots: Node) -> list[Node]:
    """Those on the path, in no order."""
    nodes, children = list(roots), {ROOT: list(range(len(roots)))}
    for index, one in enumerate(nodes):  # grows while it is walked
        if one.children:
            children[index] = list(range(len(nodes), len(nodes) + len(one.children)))
            nodes += one.children
    columns = {name: [one.row[name] for one in nodes] for name in nodes[0].row}
    return [nodes[index] for index in critical_path(children, columns)]


def path(*roots: Node) -> str:
    """The names on the path, in alphabetical order."""
    return "".join(sorted(str(one.row["name"]) for one in on_path(*roots)))


def test_steps_one_after_another_are_all_on_it() -> None:
    """Each waited for the one before."""
    assert path(node("r", 0, 100, node("a", 0, 40), node("b", 40, 70), node("c", 75, 100))) == "abcr"


def test_what_ran_beside_the_last_to_end_is_not() -> None:
    """It could have taken longer without anybody noticing."""
    assert path(node("r", 0, 100, node("a", 0, 60), node("b", 10, 95))) == "br"
    assert path(node("r", 0, 100, node("a", 0, 5), node("x", 0, 60), node("b", 10, 95))) == "abr"


def test_it_goes_down_within_what_is_on_it_only() -> None:
    """Children of a step off the path are off it, too."""
    on, off = node("b", 10, 95, node("c", 20, 90)), node("a", 0, 60, node("x", 0, 60))
    assert path(node("r", 0, 100, off, on)) == "bcr"


def test_a_child_that_outlives_its_parent_counts_up_to_its_end() -> None:
    """What is sent off and not awaited begins after it, and is off the path."""
    assert path(node("r", 0, 100, node("a", 0, 50), node("b", 50, 130))) == "abr"
    assert path(node("r", 0, 100, node("a", 0, 50), node("b", 110, 130))) == "ar"


def test_running_spans_are_left_out() -> None:
    """Nobody knows yet when they end."""
    assert path(node("r", 0, 100, node("a", 0, 60), node("b", 10, None))) == "ar"
    assert path(node("r", 0, None, node("a", 0, 60))) == ""


def test_the_pass_of_a_loop_ends_with_its_duration() -> None:
    """It has no end of its own."""
    loop = node("p", 10, None, node("a", 10, 30), duration_ms=20e-6, status="ok")
    assert path(node("r", 0, 30, loop)) == "apr"


def test_a_chain_of_many_thousands_needs_no_recursion() -> None:
    """As deep as it is long."""
    chain = node("x", 0, 10)
    for _ in range(20_000):
        chain = node("x", 0, 10, chain)
    assert len(on_path(chain)) == 20_001
