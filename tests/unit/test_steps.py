"""The steps of `hush-otel diff` as lines: columns that fit, whatever is in them, and work that grows with the steps alone."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from hush_otel.cli.steps import NARROW_CELLS, Steps
from hush_otel.presentation.compare import Pair, Side

SIDE = Side(
    trace_id="01", span_id="02", status="ok", duration_ms=12.5, model="m", prompt_tokens=2_000,
    completion_tokens=30, total_tokens=2_030, cost_usd=0.01, cost_source=None, error=None, input="i", output="o",
)  # fmt: skip
OTHER = replace(SIDE, status="error", duration_ms=99.0, model="n", prompt_tokens=7, input="x", output="y")
BOTH = Pair(key="k", name="fetch", node_name="fetch", context_id="[3]", depth=1, a=SIDE, b=OTHER)
CALLS_A_STEP = 300
"""Of Python functions: here they are some 130, by `rich.table` 1,560."""

WIDE = (
    replace(BOTH, name="取得する手順" * 9, context_id="[0].[12]"),
    replace(BOTH, name="deep", depth=40, b=None),
    replace(BOTH, name="x" * 59, context_id="文脈" * 9, a=None),
    replace(BOTH, context_id=None, a=replace(SIDE, status="interrupted")),
)


def drawn(pairs: list[Pair], **console: Any) -> list[str]:
    """The lines, head first."""
    out = Console(markup=False, color_system=None, **console)
    with out.capture() as captured:
        out.print(Steps(pairs), crop=True)
    return captured.get().splitlines()


@pytest.mark.parametrize("width", range(40, 200, 7))
def test_lines_are_as_wide_as_the_terminal_at_most(width: int) -> None:
    """Names are cut, then what differs; no line is longer, none is wrapped, figures stay below their heads."""
    lines = drawn([BOTH, *WIDE], width=width, force_terminal=True)
    assert len(lines) == 2 + len(WIDE)
    assert max(map(cell_len, lines)) <= width
    assert lines[0].index("A") + 1 == lines[1].index("12.5 ms") + len("12.5 ms")
    assert ("tokens" in lines[0]) == (width >= NARROW_CELLS)


def test_a_pipe_gets_everything() -> None:
    """Nothing is cut or left out where nobody's window ends."""
    out = "\n".join(drawn(list(WIDE), width=4_000))
    assert "取得する手順" * 9 + " [0].[12]" in out
    assert "⋯40 deep" in out
    assert "interrupted ⇢ error, model, input, output" in out


def test_the_work_for_a_step_is_small() -> None:
    """Counted in calls of functions, which no load of the machine changes."""
    console = Console(markup=False, color_system=None, width=120, force_terminal=True)
    pairs = [BOTH] * 200
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    with console.capture():
        sys.setprofile(count)
        try:
            console.print(Steps(pairs), crop=True)
        finally:
            sys.setprofile(None)
    assert calls / len(pairs) <= CALLS_A_STEP
