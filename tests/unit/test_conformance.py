"""docs/conformance.md stays true: every rule has a row, and every test that a row names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "conformance.md"
RULES = [
    *(f"SDK{number}" for number in range(1, 8)),
    *(f"OTLP{number}" for number in range(1, 11)),
    *("F12", "F30", "F31", "F32", "F33", "F34", "F35"),
]
TEST = re.compile(r"\[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\)")


def rows() -> dict[str, str]:
    """The rows of all tables by what they begin with."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return {line.split("|")[1].strip(): line for line in lines}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_row_with_a_test(rule: str) -> None:
    """Each rule of the specifications and each fault of delivery is shown by something."""
    assert TEST.findall(rows()[rule])


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.startswith("F")])
def test_every_fault_has_a_test_of_its_name(rule: str) -> None:
    """`test_f12_…` is row F12."""
    assert any(name.startswith(f"test_{rule.lower()}_") for name, _ in TEST.findall(rows()[rule]))


def test_every_named_test_exists() -> None:
    """A test that is renamed or removed takes its row along, or this fails."""
    named = set(TEST.findall(PAGE.read_text(encoding="utf-8")))
    assert len(named) > 80
    missing = [(name, path) for name, path in named if f"\ndef {name}(" not in (ROOT / path).read_text()]
    assert missing == []
