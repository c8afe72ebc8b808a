"""What an application does to have a background process, with programs in its place that end at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from inprocess import in_child, no_background, settings_for

from hush_otel.background.client import BackgroundClient
from hush_otel.spool.directory import SpoolDirectory


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpoolDirectory:
    """A spool in which somebody has written."""
    no_background(monkeypatch, tmp_path)
    directory = SpoolDirectory(tmp_path / "t.db.spool")
    directory.create()
    return directory


def client_of(spool: SpoolDirectory, python: str) -> BackgroundClient:
    """A client that starts this program."""
    return BackgroundClient(settings_for(spool.path.with_suffix(""), background="process", python=python))


def test_a_launch_leaves_no_child_for_the_apps_wait(spool: SpoolDirectory) -> None:
    """`for _ in workers: os.wait()` would end one worker too early."""

    def app() -> None:
        client_of(spool, "/bin/true").ensure()
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    assert in_child(app) == 0
