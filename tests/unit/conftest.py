"""Every test lets go of what it has opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from inprocess import App, let_go, no_background, owning
from node_request import Request


@pytest.fixture(autouse=True)
def _letting_go() -> Iterator[None]:
    yield
    let_go()


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Request]:
    """Node traces of one request, of which nothing is known, and the background process that places them."""
    no_background(monkeypatch, tmp_path)
    app = App(tmp_path / "t.db")
    with owning(app.settings) as owner:
        yield Request(app, owner)
