"""docs/reliability.md stays true: each fault, bad input and attack has a row, and the row a test of its name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
IDS = [
    *(f"F{number}" for number in range(1, 36)),
    *(f"B{number}" for number in range(1, 17)),
    *(f"S{number}" for number in range(1, 14)),
]
OF_THE_PAGE = {"S5", "S6", "S8", "B13"}
"""Tested where the local page is, too."""
FILE = re.compile(r"\]\(\.\./(tests/[\w/]+\.py)\)")
NAMED = re.compile(r"^ *(?:async )?def test((?:_[fbs]\d+)+)_", re.MULTILINE)
"""`test_f01_f02_all_ended_spans…` is a test of F1 and of F2."""


def rows() -> dict[str, str]:
    """The rows of all tables by what they begin with."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return {line.split("|")[1].strip(): line for line in lines}


def ids_in(path: Path) -> set[str]:
    """Which ids the names of a file's tests carry."""
    names = NAMED.findall(path.read_text(encoding="utf-8"))
    return {f"{one[0].upper()}{int(one[1:])}" for name in names for one in name.strip("_").split("_")}


@pytest.mark.parametrize("one", IDS)
def test_every_id_has_a_row_with_a_test_of_its_name(one: str) -> None:
    """`test_f09_…` is row F9, and stands in one of the files that the row names."""
    files = FILE.findall(rows()[one])
    assert any(one in ids_in(ROOT / file) for file in files), rows()[one]


@pytest.mark.parametrize("one", sorted(OF_THE_PAGE))
def test_what_concerns_the_page_is_tested_there_too(one: str) -> None:
    """Text that is harmless in a terminal may be a script in a browser."""
    assert any(one in ids_in(path) for path in (ROOT / "tests" / "web").glob("test_*.py"))


def test_every_named_file_exists() -> None:
    """A file that is renamed takes its rows along."""
    named = set(FILE.findall(PAGE.read_text(encoding="utf-8")))
    assert len(named) > 40
    assert [file for file in named if not (ROOT / file).is_file()] == []


def test_no_test_carries_an_id_that_nobody_knows() -> None:
    """A mistyped id would show nothing."""
    carried = {path.name: ids_in(path) - set(IDS) for path in (ROOT / "tests").rglob("test_*.py")}
    assert {name: unknown for name, unknown in carried.items() if unknown} == {}
