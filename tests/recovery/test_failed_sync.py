"""A sync that fails may drop what it should have written: nothing is released until it is written anew."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from inprocess import Owner, die, node_payload, owning, stored_nodes, writer_of
from support import eventually

from hush_otel import diagnostics
from hush_otel.config import Settings
from hush_otel.errors import StoreBusy, StoreError


class Disk:
    """What `os.fsync` answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails = False
        self._sync = os.fsync
        monkeypatch.setattr(os, "fsync", self._answer)

    def _answer(self, fd: int) -> None:
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._sync(fd)


def _segments(settings: Settings) -> list[Path]:
    return list(settings.spool_dir.glob("*.seg"))


def _without_wal(settings: Settings, copy: Path) -> list[str]:
    """What the database holds by itself: all that is left once the pages of the WAL were dropped."""
    shutil.copyfile(settings.db_path, copy)
    return stored_nodes(copy)


def _said(owner: Owner) -> str:
    """One round and its upkeep; the words with which it has failed."""
    try:
        owner.step()
        owner.tend()
    except StoreError as exc:
        return str(exc)
    return ""


def test_f25_after_a_failed_sync_segments_stay_until_rows_are_written_anew(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F25: pages whose sync has failed pass for written, so the next sync says nothing of them."""
    disk = Disk(monkeypatch)
    writer = writer_of(settings, doomed=True)
    writer.append(node_payload("r", "kept"))
    with owning(settings) as owner:
        die(writer)
        disk.fails = True
        eventually(lambda: "cannot sync" in _said(owner), what="a sync that fails")
        assert _segments(settings)
        disk.fails = False
        owner.tend()
        assert not _segments(settings)
        assert _without_wal(settings, settings.db_path.with_name("copy.db")) == ["kept"]


def test_f25_a_reader_in_the_way_of_writing_anew_is_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F25: while a snapshot needs the doubtful WAL, no segment is unlinked."""
    disk = Disk(monkeypatch)
    writer = writer_of(settings, doomed=True)
    with owning(settings) as owner:
        reader = sqlite3.connect(settings.db_path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM node_traces").fetchone()
        writer.append(node_payload("r", "kept"))
        die(writer)
        disk.fails = True
        eventually(lambda: "cannot sync" in _said(owner), what="a sync that fails")
        disk.fails = False
        with pytest.raises(StoreBusy, match="somebody reads"):
            owner.tend()
        assert _segments(settings)
        reader.close()
        owner.tend()
        assert not _segments(settings)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_f25_a_live_segment_that_cannot_be_synced_keeps_nothing_else_from_the_disk(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F25: its records are synced where they are stored, the other segments as ever, and it is said."""
    failing, sound = writer_of(settings), writer_of(settings)
    with owning(replace(settings, durability="interval")) as owner:
        failing.append(node_payload("r", "failing"))
        (bad,) = _segments(settings)
        sound.append(node_payload("r", "sound"))
        owner.step()
        synced: list[str] = []

        def sync(fd: int) -> None:
            path = str(Path(f"/proc/self/fd/{fd}").readlink())
            if path == str(bad):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            synced.append(path)

        monkeypatch.setattr(os, "fsync", sync)
        before = diagnostics.failures.total()
        owner.tend()
        others = {str(path) for path in _segments(settings)} - {str(bad)}
        assert set(synced) == others | {f"{settings.db_path}-wal"}
        assert diagnostics.failures.total() == before + 1
    assert sorted(stored_nodes(settings.db_path)) == ["failing", "sound"]
