"""Fixtures of the process tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A fresh database whose processes have all ended after the test."""
    bench = Bench(tmp_path)
    try:
        yield bench
    finally:
        bench.close()
