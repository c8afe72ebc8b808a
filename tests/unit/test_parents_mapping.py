"""Parents of node traces: by name, context and time, always a forest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hush_otel.mapping.nodes import PlacedNode, parent_candidates, resolve_parents

CONTEXTS = st.none() | st.sampled_from(["[0]", "[1]", "[0].[1]", "odd", ""])


def placed(name, parent=None, context=None, *, start=0, end=100, ident=None):
    """A node to resolve; its id is its name unless told."""
    return PlacedNode((ident or name).encode(), name, parent, context, start, end)


@pytest.mark.parametrize(
    ("context_id", "candidates"),
    [
        (None, [None]),
        ("[0]", ["[0]", None]),
        ("[0].[12].[3]", ["[0].[12].[3]", "[0].[12]", "[0]", None]),
        ("odd", ["odd", None]),
        ("", ["", None]),
        ("[0].x", ["[0].x", None]),
        ("[0].", ["[0].", None]),
        ("[٣]", ["[٣]", None]),
        (".".join(["[0]"] * 65), [".".join(["[0]"] * 65), None]),
    ],
)
def test_parent_candidates_go_up_one_level_each(context_id, candidates):
    """Well-formed context ids lose a level each; others are opaque."""
    assert parent_candidates(context_id) == candidates


NODES = st.lists(
    st.tuples(
        *[st.sampled_from("abc"), st.none() | st.sampled_from("abcx"), CONTEXTS],
        *[st.integers(0, 20), st.integers(-2, 20)],
    ),
    max_size=12,
)


def naive_parent(child, nodes):
    """The rule for one child as it is written down, without regard to cycles."""
    for context in parent_candidates(child.context_id):
        found = [
            n for n in nodes if n is not child and (n.node_name, n.context_id) == (child.parent_name, context)
        ]
        if found:
            before = [n for n in found if n.start_ns <= child.start_ns]
            containing = [n for n in before if n.end_ns >= child.start_ns]
            return max(containing or before, key=lambda n: n.start_ns) if before else min(found, key=by_start)
    return None


def by_start(placed_node):
    """Key: start."""
    return placed_node.start_ns


@given(NODES)
def test_parents_always_form_a_forest(drawn):
    """Every node is answered, none is its own ancestor, and all hang under the root when there is one."""
    nodes = [placed(n, p, c, start=s, end=s + d, ident=str(i)) for i, (n, p, c, s, d) in enumerate(drawn)]
    parents = resolve_parents(nodes)
    assert set(parents) == {n.span_id for n in nodes}
    roots = [n.span_id for n in nodes if n.parent_name is None][:1]
    for ident in parents:
        steps, at = 0, ident
        while parents[at][0] is not None:
            at, steps = parents[at][0], steps + 1
            assert steps <= len(nodes)
        assert not roots or at == roots[0]


@given(NODES)
def test_unflagged_parents_are_those_of_the_rule(drawn):
    """The sweep agrees with the rule applied to each child alone, but for ties in start."""
    nodes = [placed(n, p, c, start=s, end=s + d, ident=str(i)) for i, (n, p, c, s, d) in enumerate(drawn)]
    by_id = {n.span_id: n for n in nodes}
    parents = resolve_parents(nodes)
    for child in nodes:
        parent, flagged = parents[child.span_id]
        expected = naive_parent(child, nodes)
        if child.parent_name is None or flagged:
            continue
        assert expected is not None
        ambiguous = child.parent_name == child.node_name
        assert ambiguous or by_id[parent].start_ns == expected.start_ns


def test_a_loop_body_finds_the_iteration_it_ran_in():
    """Same context first, then one level up, then none."""
    nodes = [
        placed("wf"),
        placed("loop", "wf"),
        *(placed("body", "loop", f"[{i}]", ident=f"body{i}") for i in range(2)),
        *(placed("call", "body", f"[{i}].[0]", ident=f"call{i}") for i in range(2)),
    ]
    parents = resolve_parents(nodes)
    assert parents[b"body1"] == (b"loop", False)
    assert parents[b"call1"] == (b"body1", False)
    assert parents[b"wf"] == (None, False)


@pytest.mark.parametrize(
    ("start", "parent"), [(15, b"p1"), (25, b"p1"), (35, b"p2"), (5, b"p1"), (60, b"p3"), (99, b"p3")]
)
def test_of_several_occurrences_the_one_around_the_child_wins(start, parent):
    """The containing occurrence, else the latest before, else the first."""
    nodes = [
        placed("wf"),
        placed("p", "wf", start=10, end=40, ident="p1"),
        placed("p", "wf", start=30, end=38, ident="p2"),
        placed("p", "wf", start=50, end=55, ident="p3"),
        placed("c", "p", start=start, end=start),
    ]
    assert resolve_parents(nodes)[b"c"] == (parent, False)


def test_an_occurrence_that_ended_does_not_hide_one_that_goes_on():
    """Parallel occurrences: the later one is over, the earlier one still contains the child."""
    nodes = [
        placed("wf"),
        placed("p", "wf", start=0, end=100, ident="long"),
        placed("p", "wf", start=10, end=20, ident="short"),
        placed("c", "p", start=50),
    ]
    assert resolve_parents(nodes)[b"c"] == (b"long", False)


def test_a_missing_parent_hangs_the_node_under_the_root_flagged():
    """No node is dropped for the lack of its parent."""
    assert resolve_parents([placed("wf"), placed("c", "gone")])[b"c"] == (b"wf", True)


def test_without_a_root_a_missing_parent_stays_open():
    """Nodes of a request whose root has not come."""
    parents = resolve_parents([placed("p", "gone"), placed("c", "p")])
    assert parents == {b"p": (None, True), b"c": (b"p", False)}


def test_a_second_parentless_node_hangs_under_the_first():
    """A reused request_id keeps one tree."""
    parents = resolve_parents([placed("wf", ident="one"), placed("wf", ident="two")])
    assert parents == {b"one": (None, False), b"two": (b"one", False)}


def test_a_cycle_is_cut_at_its_earliest_node():
    """Two nodes that name each other, and one below them, hang under the root."""
    nodes = [placed("wf"), placed("a", "b", start=5), placed("b", "a", start=3), placed("c", "a", start=6)]
    parents = resolve_parents(nodes)
    assert parents[b"b"] == (b"wf", True)
    assert parents[b"a"] == (b"b", False)
    assert parents[b"c"] == (b"a", False)


def test_a_recursive_node_is_not_its_own_parent():
    """A node named as its own parent hangs under the call around it."""
    nodes = [placed("wf"), *(placed("f", "f", start=i, end=100 - i, ident=f"f{i}") for i in range(3))]
    parents = resolve_parents(nodes)
    assert [parents[b"f%d" % i] for i in range(3)] == [(b"wf", True), (b"f0", False), (b"f1", False)]


def test_a_long_chain_needs_no_recursion():
    """Nodes nested far deeper than the interpreter's stack."""
    nodes = [placed("n0"), *(placed(f"n{i}", f"n{i - 1}") for i in range(1, 20_000))]
    assert resolve_parents(nodes)[b"n19999"] == (b"n19998", False)


def test_a_long_cycle_is_cut_once():
    """A circle of many nodes loses one link."""
    nodes = [placed(f"n{i}", f"n{(i + 1) % 20_000}", start=i) for i in range(20_000)]
    parents = resolve_parents(nodes)
    assert [ident for ident, (_, flagged) in parents.items() if flagged] == [b"n0"]


@given(NODES, st.integers(0, 12))
def test_those_that_come_later_find_the_parents_that_they_would_have_found_with_all(drawn, cut):
    """Where no names form a cycle: a parent's name comes before its child's."""
    nodes = [
        PlacedNode(
            bytes([index]), name, parent if parent is None or parent < name else "x", context, start, end
        )
        for index, (name, parent, context, start, end) in enumerate(drawn)
    ]
    before, late = nodes[:cut], nodes[cut:]
    root = next((one.span_id for one in before if one.parent_name is None), None)
    whole = resolve_parents(nodes)
    assert resolve_parents(late, before, root) == {one.span_id: whole[one.span_id] for one in late}


def test_a_cycle_among_those_that_come_later_is_broken():
    """The one that hangs below what is there is in none."""
    late = [placed("b", "c", start=1), placed("c", "b", start=2), placed("d", "wf")]
    parents = resolve_parents(late, [placed("wf")], b"wf")
    assert parents == {b"b": (b"wf", True), b"c": (b"b", False), b"d": (b"wf", False)}
