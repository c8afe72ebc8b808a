"""What the tests have in common: a database and an application of their own, and letting go of all that was opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from inprocess import let_go, no_waits, settings_for, writer_of

from hush_otel.config import Settings
from hush_otel.spool.writer import SpoolWriter


@pytest.fixture(autouse=True)
def _letting_go() -> Iterator[None]:
    yield
    let_go()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A database whose waits pass at once."""
    no_waits(monkeypatch)
    return settings_for(tmp_path / "t.db")


@pytest.fixture
def writer(settings: Settings) -> SpoolWriter:
    """An app."""
    return writer_of(settings)
