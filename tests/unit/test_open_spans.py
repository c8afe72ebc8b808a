"""Which spans are open, a trace at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hush_otel.capture.open_spans import MOST_UNSAID, OpenSpans


def test_a_trace_is_complete_when_its_root_ends_last() -> None:
    """Root and child: the root's end, with the child's before it, completes the trace."""
    spans = OpenSpans()
    spans.opened(1, 10)
    spans.opened(1, 11)
    assert not spans.closed(1, 11, local_root=False)
    assert spans.is_last(1, 10, local_root=True)
    assert spans.closed(1, 10, local_root=True)


def test_a_child_that_outlives_its_root_completes_the_trace() -> None:
    """The root's end says nothing while a child is open; the child's end then does."""
    spans = OpenSpans()
    spans.opened(1, 10)
    spans.opened(1, 11)
    assert not spans.is_last(1, 10, local_root=True)
    assert not spans.closed(1, 10, local_root=True)
    assert spans.is_last(1, 11, local_root=False)
    assert spans.closed(1, 11, local_root=False)


def test_children_alone_complete_nothing() -> None:
    """Without an ended local root a trace without open spans is not complete."""
    spans = OpenSpans()
    spans.opened(1, 11)
    assert not spans.is_last(1, 11, local_root=False)
    assert not spans.closed(1, 11, local_root=False)


def test_a_span_that_nobody_saw_start_counts_by_itself() -> None:
    """A processor that was added late sees ends alone: a local root's completes, a child's does not."""
    spans = OpenSpans()
    assert spans.is_last(1, 10, local_root=True)
    assert spans.closed(1, 10, local_root=True)
    assert not spans.closed(2, 20, local_root=False)


def test_two_local_roots_of_one_trace_complete_it_once_both_ended() -> None:
    """Two remote-parented spans of one trace: the second's end completes, the first's does not."""
    spans = OpenSpans()
    spans.opened(1, 10)
    spans.opened(1, 11)
    assert not spans.closed(1, 10, local_root=True)
    assert spans.is_last(1, 11, local_root=True)
    assert spans.closed(1, 11, local_root=True)


def test_traces_do_not_touch_each_other() -> None:
    """Completing one trace leaves another one's count."""
    spans = OpenSpans()
    spans.opened(1, 10)
    spans.opened(2, 20)
    assert spans.closed(1, 10, local_root=True)
    assert spans.is_last(2, 20, local_root=True)


def test_nothing_is_kept_of_traces_that_are_done() -> None:
    """Memory does not grow with finished traces."""
    spans = OpenSpans()
    for trace in range(1000):
        spans.opened(trace, 10)
        spans.opened(trace, 11)
        spans.closed(trace, 11, local_root=False)
        spans.closed(trace, 10, local_root=True)
    assert not spans._traces


def test_f05_after_a_fork_the_parents_spans_are_foreign() -> None:
    """The child knows spans that its parent started, and counts its own from nothing."""
    spans = OpenSpans()
    spans.opened(1, 10)
    spans.after_fork()
    assert 10 in spans.foreign
    assert 11 not in spans.foreign
    spans.opened(1, 11)
    assert 11 not in spans.foreign
    assert not spans.closed(1, 11, local_root=False)


def test_f05_a_grandchild_knows_the_grandparents_spans_as_foreign() -> None:
    """Two forks deep a span of the first process is foreign still."""
    spans = OpenSpans()
    spans.opened(1, 10)
    spans.after_fork()
    spans.opened(1, 11)
    spans.after_fork()
    assert 10 in spans.foreign
    assert 11 in spans.foreign


def test_what_is_not_said_is_bounded_and_the_parents_own() -> None:
    """Where everything is lost, memory does not grow; a forked child has nothing to say of its parent's."""
    spans = OpenSpans()
    for trace in range(1, 2 * MOST_UNSAID):
        spans.not_said(trace)
    assert len(spans.unsaid) == MOST_UNSAID
    spans.after_fork()
    assert not spans.unsaid


STEPS = st.lists(
    st.tuples(st.sampled_from(["open", "close"]), st.integers(1, 3), st.integers(1, 4), st.booleans()),
    max_size=60,
)


@given(STEPS)
def test_any_order_of_starts_and_ends_agrees_with_a_plain_model(
    steps: list[tuple[str, int, int, bool]],
) -> None:
    """Whatever starts and ends, a trace is complete exactly when nothing is open and a root has ended."""
    spans = OpenSpans()
    open_now: dict[int, set[int]] = {}
    root_ended: set[int] = set()
    roots: dict[tuple[int, int], bool] = {}
    for what, trace, span, is_root in steps:
        here = open_now.setdefault(trace, set())
        if what == "open":
            if span in here:
                continue
            here.add(span)
            roots[trace, span] = is_root
            spans.opened(trace, span)
        elif span in here:
            local_root = roots[trace, span]
            here.discard(span)
            if local_root:
                root_ended.add(trace)
            complete = not here and trace in root_ended
            assert spans.is_last(trace, span, local_root=local_root) == complete
            assert spans.closed(trace, span, local_root=local_root) == complete
            if not here:
                # What is known of a trace ends with its last open span.
                root_ended.discard(trace)
