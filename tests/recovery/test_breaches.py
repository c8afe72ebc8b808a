"""What breaks in from outside: a database removed under its owner, too few descriptors, a drain in the way."""

from __future__ import annotations

import errno
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
from inprocess import (
    Owner,
    die,
    drain_once,
    node_payload,
    owning,
    rows,
    stored_nodes,
    writer_of,
)

from hush_otel.background import intake, running, service
from hush_otel.background.client import BackgroundClient
from hush_otel.config import Settings
from hush_otel.errors import StoreBusy, StoreError
from hush_otel.spool.locks import LockFile
from hush_otel.spool.reader import SegmentReader
from hush_otel.spool.writer import SpoolWriter
from hush_otel.store.database import Database, StoreLost


def say(writer: SpoolWriter, *names: str) -> None:
    """Publish nodes."""
    for name in names:
        assert writer.append(node_payload("r", name))


# ------------------------------------------------------------------ the database removed or replaced


def test_a_removed_database_is_begun_again_from_the_spool(settings: Settings, writer: SpoolWriter) -> None:
    """Nothing counts as stored in a file without a name; what the spool has is stored in the new one."""
    owner = Owner(settings)
    say(writer, "before")
    owner.step()
    settings.db_path.unlink()
    say(writer, "after")
    writer.seal()
    owner.step()
    assert owner.service.lost
    assert not writer.is_drained()
    owner.close()
    drain_once(settings)
    assert stored_nodes(settings.db_path) == ["before", "after"]
    assert writer.is_drained()
    assert rows(settings.db_path, "PRAGMA integrity_check") == [("ok",)]


def test_a_database_removed_before_the_unlinking_keeps_its_segments(
    settings: Settings, writer: SpoolWriter
) -> None:
    """Ended segments go only while the file that has their rows has a name."""
    owner = Owner(settings)
    say(writer, "a")
    writer.seal()
    owner.service._drain.step()  # without the upkeep, which would unlink it while the database is there
    settings.db_path.unlink()
    with pytest.raises(StoreLost, match="removed or replaced"):
        owner.service._upkeep.unlink_ended()
    owner.close()
    drain_once(settings)
    assert stored_nodes(settings.db_path) == ["a"]


def test_a_restored_database_is_not_mixed_with_the_old_ones_log(
    settings: Settings, writer: SpoolWriter, tmp_path: Path
) -> None:
    """A backup renamed into place gets the records since, and not the WAL of the file before it."""
    say(writer, "old")
    drain_once(settings)
    backup = tmp_path / "backup.db"
    shutil.copy(settings.db_path, backup)
    owner = Owner(settings)
    say(writer, "new")
    owner.step()
    settings.db_path.rename(tmp_path / "moved.db")
    backup.rename(settings.db_path)
    say(writer, "newer")
    owner.step()
    assert owner.service.lost
    owner.close()
    drain_once(settings)
    assert stored_nodes(settings.db_path) == ["old", "new", "newer"]
    assert rows(settings.db_path, "PRAGMA integrity_check") == [("ok",)]
    assert stored_nodes(tmp_path / "moved.db")[:2] == ["old", "new"], "what it had is in it, too"


def test_a_removed_wal_is_neither_synced_nor_lost(settings: Settings, writer: SpoolWriter) -> None:
    """Without its WAL's name the owner begins again; its commits reach the database before."""
    owner = Owner(settings)
    say(writer, "a", "b")
    owner.step()
    Path(f"{settings.db_path}-wal").unlink()
    Path(f"{settings.db_path}-shm").unlink()
    with pytest.raises(StoreLost, match=r"t\.db-wal"):
        owner.service._database.sync()
    say(writer, "c")
    owner.step()
    assert owner.service.lost
    owner.close()
    drain_once(settings)
    assert stored_nodes(settings.db_path) == ["a", "b", "c"]
    assert rows(settings.db_path, "PRAGMA integrity_check") == [("ok",)]


def test_a_removed_database_is_begun_again_by_the_same_process(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run_process` elects itself anew, and the signal that knew the first service stops the second."""
    say(writer, "a")
    elected: list[service.Service] = []
    monkeypatch.setattr(service, "UPKEEP_S", 0.05)
    drained = threading.Event()
    real = service.Service.step

    def step(self: service.Service) -> float:
        pause = real(self)
        if self is elected[0] and not self.lost:
            settings.db_path.unlink(missing_ok=True)
        elif self is not elected[0] and writer.is_drained():
            drained.set()
        return pause

    monkeypatch.setattr(service.Service, "step", step)

    def run() -> None:
        first = service.elect(settings)
        assert first is not None
        elected.append(first)
        running.run_process(settings, first)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert drained.wait(60)
    finally:
        elected[0].stop()
        thread.join(60)
    assert not thread.is_alive()
    assert stored_nodes(settings.db_path) == ["a"]


def test_a_failing_transaction_on_a_removed_database_is_no_reason_to_try_for_ever(settings: Settings) -> None:
    """Where SQLite itself notices, that is the same loss."""
    database = Database(settings.db_path)
    settings.db_path.unlink()

    def fail(_db: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(StoreLost):
        database.write(fail)
    database.close()


# ------------------------------------------------------------------ too few descriptors


def test_a_segment_that_cannot_be_opened_for_now_is_tried_again(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of descriptors is no reason to leave a segment alone for good, nor to go."""
    say(writer, "a")

    def refuse(path: Path) -> SegmentReader:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    with owning(settings) as owner:
        with monkeypatch.context() as patched:
            patched.setattr(intake, "SegmentReader", refuse)
            owner.step()
            assert not owner.service._intake.is_empty()
            with pytest.raises(StoreError, match="could not be opened"):
                owner.drain()
        owner.step()
        assert writer.is_drained()
    assert stored_nodes(settings.db_path) == ["a"]


def test_whoever_has_handed_over_and_goes_on_leaves_the_lock_free_until_it_is_taken(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`hush-otel run` of an older version: its successor may take its time, and gives up after some seconds."""
    looks, waited = iter([0] * 60 + [4711]), [0.0]
    elections: list[float] = []

    def elect(*_: object) -> service.Service | None:
        elections.append(sum(waited))
        if len(elections) > 1:
            raise StoreBusy("the end of this test", hint="")
        return service.elect(settings)

    def run(self: service.Service, *, leave_when_idle: bool) -> None:
        self.handed_over = not leave_when_idle

    monkeypatch.setattr(running, "elect", elect)
    monkeypatch.setattr(service.Service, "run", run)
    monkeypatch.setattr(LockFile, "holder", lambda _: next(looks))
    monkeypatch.setattr(running.time, "sleep", waited.append)
    assert running.run_foreground(settings) == 0
    assert next(looks, None) is None
    assert elections[1] >= 60 * running.LOOK_S


def test_a_request_to_hand_over_that_is_no_text_is_removed(settings: Settings) -> None:
    """It would be met again in each round, and by each background process after this one."""
    with owning(settings) as owner:
        handover = settings.spool_dir / "handover"
        handover.write_bytes(b"\xff\xfe1.0")
        assert not owner.service._asked_to_hand_over()
        assert not handover.exists()


# ------------------------------------------------------------------ a drain in the way


@pytest.mark.parametrize("lives", [True, False])
def test_a_drain_leaves_the_database_to_somebody_while_apps_live(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, lives: bool
) -> None:
    """An app that saw the drain at work launched nobody: the drain does, unless no app is left."""
    asked: list[Settings] = []
    monkeypatch.setattr(BackgroundClient, "ensure", lambda client: asked.append(client.settings))
    writer = writer_of(settings, doomed=not lives)
    say(writer, "a")
    if not lives:
        die(writer)
    assert running.drain_once(settings).spans == 1
    assert asked == [settings] * lives
