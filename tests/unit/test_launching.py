"""What an application does to have a background process, with programs in its place that end at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from inprocess import no_background, settings_for

from hush_otel.background import client as client_module
from hush_otel.background.client import BackgroundClient
from hush_otel.config import Settings
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


def ensure(client: BackgroundClient) -> None:
    """See that somebody drains; what was started has ended then, and is not reaped yet."""
    client.ensure()
    for pid in client._launched:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def program(tmp_path: Path, *lines: str) -> str:
    """Something to be started in the place of Python."""
    path = tmp_path / "program"
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)
    return str(path)


class Passing:
    """Stands for `monotonic`: so much passes from one look at the background process to the next."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.now = 100.0

    def look(self, client: BackgroundClient, times: int) -> None:
        """As an application that goes on recording does."""
        for _ in range(times):
            ensure(client)
            self.now += self._seconds


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Passing:
    """Five seconds between two looks."""
    passing = Passing(5.0)
    monkeypatch.setattr(client_module, "monotonic", lambda: passing.now)
    return passing


def test_a_background_process_that_cannot_start_is_told_once_a_minute(
    spool: SpoolDirectory, passing: Passing, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With how it ended, the last that it said, and where there is more: nobody else would say that nothing is stored."""
    client = client_of(spool, program(tmp_path, "echo Traceback >&2", "echo 'No module: x' >&2", "exit 3"))
    passing.look(client, 2)
    assert not caplog.records
    passing.look(client, 10)
    (record,) = caplog.records
    for told in ("exit status 3", "No module: x", str(spool.path / "launch.log")):
        assert told in record.getMessage()
    passing.look(client, 10)
    assert len(caplog.records) == 2


def test_what_a_background_process_that_ended_has_logged_is_told(
    spool: SpoolDirectory, passing: Passing, caplog: pytest.LogCaptureFixture
) -> None:
    """Once it has its log it says nothing elsewhere."""
    log = spool.path / "background.log"
    log.write_text("works on it\ncannot work on it: it is no database\n")
    passing.look(client_of(spool, "/bin/true"), 3)
    (record,) = caplog.records
    assert "it is no database" in record.getMessage()
    assert str(log) in record.getMessage()
    assert "exit status" not in record.getMessage()


def test_launches_that_are_far_apart_are_nothing_to_tell(
    spool: SpoolDirectory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An application that records once an hour may not have seen the process that came and was killed."""
    passing = Passing(3600.0)
    monkeypatch.setattr(client_module, "monotonic", lambda: passing.now)
    passing.look(client_of(spool, "/bin/true"), 5)
    assert not caplog.records


def test_a_launch_does_without_a_file_for_what_is_said(spool: SpoolDirectory, tmp_path: Path) -> None:
    """Something else may stand in its place."""
    (spool.path / "launch.log").mkdir()
    ensure(client_of(spool, program(tmp_path, f"touch '{tmp_path}/started'")))
    assert (tmp_path / "started").exists()


def test_a_relative_configuration_file_is_found_after_the_app_has_gone_elsewhere(
    spool: SpoolDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It means what it meant when the settings were read: a daemon changes to / later."""
    (tmp_path / "hush.toml").write_text("live = true\n")
    monkeypatch.setenv("HUSH_CONFIG", "hush.toml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUSH_PYTHON", program(tmp_path, f'echo "$HUSH_CONFIG" > {tmp_path}/config'))
    client = BackgroundClient(Settings.load(spool.path.with_suffix(""), background="process"))
    monkeypatch.chdir("/")
    ensure(client)
    assert (tmp_path / "config").read_text() == f"{tmp_path}/hush.toml\n"
