"""The comparison itself: a difference of type, value, number or place is one."""

from __future__ import annotations

import math
from typing import Any

import pytest
from compare import as_shown, assert_same, typed

SPAN: dict[str, Any] = {"trace_id": "1", "span_id": "2", "name": "n", "attributes": typed({"k": 1})}


@pytest.mark.parametrize("value", [1.0, True, "1", b"1", 2, None, [1], {"k": 1}])
def test_another_type_or_value_is_a_difference(value: object) -> None:
    """1 is neither 1.0 nor True nor "1"."""
    with pytest.raises(AssertionError, match="attributes of the span 'n' at there"):
        assert_same([SPAN], [SPAN | {"attributes": typed({"k": value})}], "there")


@pytest.mark.parametrize("actual", [[], [SPAN, SPAN], [SPAN | {"span_id": "3"}]])
def test_a_span_that_is_missing_twice_there_or_another_is_a_difference(actual: list[dict[str, Any]]) -> None:
    """Every span exactly once."""
    with pytest.raises(AssertionError, match="other spans at there"):
        assert_same([SPAN], actual, "there")


def test_what_json_cannot_carry_is_compared_by_its_text() -> None:
    """NaN equals NaN, and is expected in the view as its name; bytes as base64."""
    values = typed({"nan": math.nan, "bytes": b"\xff", "one": 1.0, "zeros": [0.0, -0.0]})
    assert values == typed({"nan": math.nan, "bytes": b"\xff", "one": 1.0, "zeros": [0.0, -0.0]})
    assert as_shown(values) == typed({"nan": "NaN", "bytes": "/w==", "one": 1.0, "zeros": [0.0, -0.0]})
    assert typed(0.0) != typed(-0.0)
