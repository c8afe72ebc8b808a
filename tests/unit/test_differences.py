"""Lines in which two texts differ."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hush_otel.presentation.differences import COMPARED, differences

TEXTS = st.lists(st.sampled_from("abcde"), max_size=12)


def applied(a: list[str], lines: Iterable[str]) -> list[str]:
    """What a unified diff makes of the first text."""
    made, at = list[str](), 0
    for line in lines:
        if line.startswith("@@"):
            place, _, amount = line.split()[1].removeprefix("-").partition(",")
            first = int(place) - (amount != "0")
            made += a[at:first]
            at = first
            continue
        if line[0] != "+":
            assert a[at] == line[1:]
            at += 1
        if line[0] != "-":
            made.append(line[1:])
    return made + a[at:]


@given(TEXTS, TEXTS)
def test_the_differences_make_the_second_text_of_the_first(a: list[str], b: list[str]) -> None:
    """Nothing is missing, and each place is where its head says; the same texts have none."""
    found = differences(a, b, limit=100)
    assert applied(a, found.lines) == b
    assert bool(found.lines) == (a != b)
    assert not found.cut


def test_what_is_left_out_is_counted() -> None:
    """Of eleven lines of difference four."""
    found = differences(list("abcde"), list("vwxyz"), limit=4)
    assert (len(found.lines), found.more) == (4, 7)


@pytest.mark.parametrize("behind", [[], ["same"] * 3])
def test_a_difference_far_down_is_found(behind: list[str]) -> None:
    """What is alike before and behind it costs nothing."""
    alike = [str(number) for number in range(10 * COMPARED)]
    found = differences([*alike, "a", *behind], [*alike, "b", *behind], limit=10)
    assert [line for line in found.lines if line[0] in "-+"] == ["-a", "+b"]
    assert not found.cut


def test_lines_that_hardly_ever_meet_are_compared_in_part() -> None:
    """Every second line differs, twelve thousand times: that would take minutes."""
    numbers = range(6 * COMPARED)
    a, b = ([line for n in numbers for line in (str(n), f"{mark}{n}")] for mark in "xy")
    found = differences(a, b, limit=10)
    assert found.cut
    assert len(found.lines) + found.more <= 2 * COMPARED
