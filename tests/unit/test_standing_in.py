"""Parents that are named and not there: rows in their places, with their children below them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from store_rows import StoreRows

from hush_otel.cli import main
from hush_otel.errors import HushError
from hush_otel.mapping.nodes import root_span_id_of, span_id_of
from hush_otel.presentation.placing import ROOT, place
from hush_otel.presentation.standing_in import stand_ins
from hush_otel.store.reading import Reader

RUNS: dict[str, Any] = {"completed_by": None, "completed_at": None, "workflow_name": "w"}


def columns(db: Path, request_id: str) -> dict[str, list[Any]]:
    """Of one request, as the page reads them."""
    with Reader(db) as reader:
        return reader.columns("request_skeleton", request_id=request_id)


def drawn(db: Path, request_id: str) -> list[str]:
    """Its tree: depth, name, context and status of each row."""
    read = columns(db, request_id)
    forest, first = place(read), len(read["span_id"])
    lines = []
    for index, depth, _ in forest.walk():
        row = forest.added[index - first] if index >= first else {name: read[name][index] for name in read}
        context = f" {row['context_id']}" if row["context_id"] else ""
        lines.append(f"{'. ' * depth}{row['node_name']}{context} {row['status']}")
    return lines


def show(db: Path, *args: str) -> list[str]:
    """The lines of `show`."""
    shown = CliRunner().invoke(main.cli, ["--db", str(db), "show", *args], catch_exceptions=False)
    return [line.rstrip() for line in shown.stdout.splitlines()]


def loop(rows: StoreRows, request: int) -> None:
    """Two passes of a loop, in each of which a step has ended, and a call within a step that has not."""
    rows.node(request, 1, "w.load", "w", execution_order=1)
    for i in range(2):
        one = {"context_id": f"[{i}]", "execution_order": 2 + i}
        rows.node(request, 10 + i, "w.each.read", "w.each", **one)
        rows.node(request, 20 + i, "w.each.step.call", "w.each.step", **one)


def test_a_request_that_runs_is_a_tree_already(tmp_path: Path) -> None:
    """Parents that have not ended stand where they will, by the level of their siblings and their dotted names."""
    with StoreRows(tmp_path / "t.db") as rows:
        loop(rows, rows.request("r", **RUNS))
    assert drawn(tmp_path / "t.db", "r") == [
        "w awaited",
        ". w.load ok",
        ". w.each awaited",
        ". . iteration[0] running",
        ". . . w.each.read [0] ok",
        ". . . w.each.step [0] awaited",
        ". . . . w.each.step.call [0] ok",
        ". . iteration[1] running",
        ". . . w.each.read [1] ok",
        ". . . w.each.step [1] awaited",
        ". . . . w.each.step.call [1] ok",
    ]


def test_what_has_come_since_takes_its_place(tmp_path: Path) -> None:
    """Nothing else moves: the same tree, with one row for the node that has ended."""
    with StoreRows(tmp_path / "t.db") as rows:
        request = rows.request("r", **RUNS)
        loop(rows, request)
        rows.commit()
        before = drawn(tmp_path / "t.db", "r")
        rows.node(request, 30, "w.each.step", "w.each", context_id="[0]", execution_order=2)
    after = drawn(tmp_path / "t.db", "r")
    assert before.index(". . . w.each.step [0] awaited") == after.index(". . . w.each.step [0] ok")
    assert len(after) == len(before)


def test_the_level_of_another_of_the_same_name_is_its_level(tmp_path: Path) -> None:
    """The step of the first pass has ended, so that the second's is known not to be a loop."""
    with StoreRows(tmp_path / "t.db") as rows:
        request = rows.request("r", **RUNS)
        rows.node(request, 1, "call", "step", context_id="[0]", execution_order=1)
        rows.node(request, 2, "step", "each", context_id="[0]", execution_order=1)
        rows.node(request, 3, "call", "step", context_id="[1]", execution_order=2)
    assert drawn(tmp_path / "t.db", "r") == [
        "each awaited",
        ". iteration[0] ok",
        ". . step [0] ok",
        ". . . call [0] ok",
        ". iteration[1] running",
        ". . step [1] awaited",
        ". . . call [1] ok",
    ]


def test_of_a_complete_request_they_are_not_stored(tmp_path: Path) -> None:
    """Also where the children were sent below the root; what others took counts for the critical path."""
    with StoreRows(tmp_path / "t.db") as rows:
        request = rows.request("r", workflow_name="w")
        rows.node(request, 1, "w", None, execution_order=0)
        named = json.dumps({"node_name": "lost", "parent_name": "gone", "duration_ms": 5.0})
        rows.span(request, 2, 1, name="lost", node=named)
    assert drawn(tmp_path / "t.db", "r") == ["w ok", ". gone missing", ". . lost ok"]
    read = columns(tmp_path / "t.db", "r")
    (gone,) = place(read).added
    assert (gone["start_ns"], gone["end_ns"], gone["duration_ms"]) == (
        read["start_ns"][1],
        read["end_ns"][1],
        None,
    )


def test_they_have_the_ids_that_they_will_have(tmp_path: Path) -> None:
    """What the page has folded or chosen stays so when the node has come."""
    with StoreRows(tmp_path / "t.db") as rows:
        loop(rows, rows.request("r", **RUNS))
    found = {
        row["node_name"] + str(row["context_id"]): row for row in stand_ins(columns(tmp_path / "t.db", "r"))
    }
    assert found["wNone"]["span_id"] == root_span_id_of("r")
    assert found["w.eachNone"]["span_id"] == span_id_of("r", "w.each", None, 0)
    assert found["w.each.step[1]"]["span_id"] == span_id_of("r", "w.each.step", "[1]", 0)


def test_show_says_so_and_does_not_count_them(tmp_path: Path) -> None:
    """A name, no duration, and in words that it has not ended; the totals are of what is stored."""
    with StoreRows(tmp_path / "t.db") as rows:
        rows.node(rows.request("r", node_count=1, **RUNS), 1, "w.load", "w")
    lines = show(tmp_path / "t.db", "r")
    assert "totals   1 span" in lines
    assert [line.split() for line in lines[-2:]] == [
        ["○", "w", "not", "ended", "yet"],
        ["└─", "✓", "load", "(w.load)", "5.00", "ms"],
    ]


def test_asked_for_by_name_it_is_said_why_there_is_nothing(tmp_path: Path) -> None:
    """`show --node` of a node that has not ended: no row is behind it."""
    with StoreRows(tmp_path / "t.db") as rows:
        rows.node(rows.request("r", **RUNS), 1, "w.load", "w")
    with pytest.raises(HushError, match=r"node 'w' of r: not ended yet \(it is known only because"):
        show(tmp_path / "t.db", "r", "--node", "w")


def test_parents_that_are_each_others_are_drawn_once(tmp_path: Path) -> None:
    """By what other passes say, the missing ones form a cycle: every row has one place."""
    with StoreRows(tmp_path / "t.db") as rows:
        request = rows.request("r", **RUNS)
        rows.node(request, 1, "a", "b", context_id="[0]")
        rows.node(request, 2, "b", "a", context_id="[0]")
        rows.node(request, 3, "leaf", "a", context_id="[1]")
    names = [line.strip(". ") for line in drawn(tmp_path / "t.db", "r")]
    assert len(names) == len(set(names))
    assert "leaf [1] ok" in names


def test_there_are_never_more_of_them_than_nodes(tmp_path: Path) -> None:
    """A chain of parents that each of many passes would need anew is cut, and nothing is lost."""
    deep, wide = 40, 40
    with StoreRows(tmp_path / "t.db") as rows:
        request = rows.request("r", **RUNS)
        for n in range(deep):
            rows.node(request, 1 + n, f"n{n}", f"n{n + 1}", context_id="[0]")
        for i in range(1, wide):
            rows.node(request, 100 + i, "leaf", "n0", context_id=f"[{i}]")
    read = columns(tmp_path / "t.db", "r")
    forest = place(read)
    assert len(stand_ins(read)) <= deep + wide
    walked = [index for index, _, _ in forest.walk()]
    assert sorted(walked) == list(range(len(read["span_id"]) + len(forest.added)))
    assert forest.children[ROOT]
