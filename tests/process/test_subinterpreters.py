"""More than one interpreter in a process, as mod_wsgi has them."""

from __future__ import annotations

import importlib.util

import pytest
from bench import Bench, names

MODULES = ("_interpreters", "_xxsubinterpreters")


@pytest.mark.skipif(
    not any(importlib.util.find_spec(name) for name in MODULES),
    reason="this Python cannot make interpreters: it has neither " + " nor ".join(MODULES),
)
def test_f10_a_second_interpreter_records_beside_the_first(bench: Bench) -> None:
    """F10: each has a segment of its own; what both have ended is stored once, after the second's end too."""
    assert bench.run("subinterpreter", 100) == [True]
    bench.expect(names("before", 100) | names("second", 100) | names("after", 100))
