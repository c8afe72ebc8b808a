"""How much a step of retention does: less after slow ones, more after quick ones, never nothing."""

from __future__ import annotations

import pytest

from hush_otel.background.pace import (
    BUDGET_S,
    CHECKPOINT_PAGES,
    LEAST_PAGES,
    STEP_S,
    UNIT_S,
    UNLIMITED,
    Pace,
)
from hush_otel.store.pruning import ROWS_AT_ONCE


@pytest.fixture
def pace() -> Pace:
    """As it begins."""
    return Pace()


def test_units_become_smaller_after_slow_ones_down_to_one_row(pace: Pace) -> None:
    """However slow the disk is, something goes."""
    seen = [pace.rows()]
    for _ in range(20):
        pace.unit_took(2 * UNIT_S)
        seen.append(pace.rows())
    assert seen[0] == ROWS_AT_ONCE
    assert seen[1] == ROWS_AT_ONCE // 2
    assert seen[-1] == 1


def test_units_become_larger_after_quick_ones_up_to_what_was_measured(pace: Pace) -> None:
    """A slow moment is forgotten within a few units; one that is neither changes nothing."""
    for _ in range(20):
        pace.unit_took(2 * UNIT_S)
    pace.unit_took(0.8 * UNIT_S)
    assert pace.rows() == 1
    for _ in range(7):
        pace.unit_took(UNIT_S / 10)
    assert pace.rows() == ROWS_AT_ONCE


def test_a_step_leaves_room_for_the_commit_that_is_to_be_expected(pace: Pace) -> None:
    """Work and commit together stay within the budget, as long as the commit alone does."""
    assert pace.turn(100.0).until == 100.0 + STEP_S
    pace.commit_took(0.75 * BUDGET_S)
    turn = pace.turn(100.0)
    assert turn.latest + 0.75 * BUDGET_S == pytest.approx(100.0 + BUDGET_S)
    assert turn.until <= turn.latest
    pace.commit_took(3 * BUDGET_S)
    assert pace.turn(100.0).is_over(100.0), "after its first unit"
    for _ in range(100):
        pace.commit_took(0.0)
    assert pace.turn(100.0).until == 100.0 + STEP_S


def test_slow_commits_bring_less_into_the_file_at_once(pace: Pace) -> None:
    """Half as many pages after each, down to what costs a sync; quick ones bring them back."""
    pace.commit_took(BUDGET_S)
    assert pace.pages == CHECKPOINT_PAGES // 2
    for _ in range(20):
        pace.commit_took(BUDGET_S)
    assert pace.pages == LEAST_PAGES
    for _ in range(1_000):
        pace.commit_took(0.0)
    assert pace.pages == CHECKPOINT_PAGES


def test_what_nobody_waits_for_has_no_end(pace: Pace) -> None:
    """`drain` deletes all that may go, at once."""
    assert not UNLIMITED.is_over(1e12, kept_up=True)
    pace.unit_took(1000.0 - UNLIMITED.began)
    assert pace.rows() == ROWS_AT_ONCE


def test_a_step_that_has_to_keep_up_goes_on_past_its_end(pace: Pace) -> None:
    """To the end of the budget, and no further."""
    turn = pace.turn(100.0)
    assert not turn.is_over(100.0 + STEP_S, kept_up=False)
    assert turn.is_over(100.0 + STEP_S, kept_up=True)
    assert turn.is_over(100.0 + BUDGET_S, kept_up=False)


def test_units_are_never_smaller_than_what_keeps_up(pace: Pace) -> None:
    """Where all is slow, smaller steps would only let the database grow."""
    for _ in range(20):
        pace.unit_took(2 * UNIT_S)
    assert [pace.rows(quota) for quota in (0, 3, 10**6)] == [1, 6, ROWS_AT_ONCE]
