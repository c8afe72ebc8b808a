"""What a fuzzer starts from, and what one has found, tried again: none of it breaks a promise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from targets import TARGETS, Target, seeds_of


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Target]]:
    """Each target, with a directory of its own."""
    made = TARGETS[request.param](tmp_path)
    yield request.param, made
    made.close()


def test_no_seed_breaks_a_promise(target: tuple[str, Target]) -> None:
    """Every seed, and every input that once was a finding."""
    name, tried = target
    for seed in seeds_of(name):
        try:
            tried.attempt(seed.read_bytes())
        except Exception as exc:
            raise AssertionError(f"{name}: {seed.name}") from exc
