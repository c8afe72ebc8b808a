"""docs/node-traces.md stays true: every argument has a row, in its order."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from hush_otel import TraceStore

PAGE = Path(__file__).parents[2] / "docs/node-traces.md"


def test_every_argument_of_a_node_trace_is_documented() -> None:
    """By its name, in the order of the signature."""
    rows = re.findall(r"^\| (`[^|]+`) \| [^|]+ \| [^|]+ \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    documented = re.findall(r"`(\w+)`", " ".join(rows))
    assert documented == list(inspect.signature(TraceStore.insert_node_trace).parameters)[1:]
