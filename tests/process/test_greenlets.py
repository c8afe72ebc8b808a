"""Libraries that replace threads, locks and sockets by their own."""

from __future__ import annotations

import pytest
from bench import Bench, names

GREENLETS = 20
STEPS = 10


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_f10_spans_of_greenlets_are_exact_and_keep_their_parents(bench: Bench, library: str) -> None:
    """Patched before anything is imported: every span once below its own parent, and force_flush sees them."""
    assert bench.run("greenlets", library, GREENLETS, STEPS) == [True]
    steps = {f"step{number}-{i}" for number in range(GREENLETS) for i in range(STEPS)}
    bench.expect(names("task", GREENLETS) | steps)
    astray = """
        SELECT count(*) FROM spans s LEFT JOIN spans p
        ON p.span_id = s.parent_span_id AND p.trace_id = s.trace_id
        WHERE s.name LIKE 'step%' AND p.name IS NOT 'task-' || substr(s.name, 5, instr(s.name, '-') - 5)"""
    assert bench.value(astray) == 0
