"""Every test lets go of what it has opened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from inprocess import let_go


@pytest.fixture(autouse=True)
def _letting_go() -> Iterator[None]:
    yield
    let_go()
