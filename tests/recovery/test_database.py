"""The database locked, held, full, taken over, broken: the spool keeps what comes, and nothing is doubled."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inprocess import (
    Owner,
    die,
    drain_once,
    left_open,
    losses,
    node_payload,
    owning,
    rows,
    stored_nodes,
    writer_of,
)

from hush_otel import records
from hush_otel.background import detached
from hush_otel.background.client import BackgroundClient
from hush_otel.background.running import drain_once as drain_once_as_a_command
from hush_otel.background.service import Service, elect
from hush_otel.codec import encode
from hush_otel.config import Settings
from hush_otel.errors import StoreBusy, StoreError
from hush_otel.presentation.status import collect
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.writer import SpoolWriter
from hush_otel.store.database import WAL_CHECKPOINT_PAGES


def say(writer: SpoolWriter, *names: str, size: int = 0) -> None:
    """Publish nodes."""
    for name in names:
        assert writer.append(node_payload("r", name, input_data="x" * size))


def impatient(owner: Owner) -> None:
    """A lock that somebody else holds is an error at once."""
    owner.connection.execute("PRAGMA busy_timeout = 0")


def test_f27_a_locked_database_is_drained_later(settings: Settings, writer: SpoolWriter) -> None:
    """F27: while somebody holds BEGIN EXCLUSIVE nothing is lost and the owner goes on trying."""
    with owning(settings) as owner:
        impatient(owner)
        say(writer, "before")
        owner.step()
        other = sqlite3.connect(settings.db_path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        say(writer, "meanwhile")
        for _ in range(3):
            assert owner.step() > 0, "it waits before it tries again"
        assert not writer.is_drained()
        other.execute("COMMIT")
        other.close()
        owner.step()
        assert writer.is_drained()
    assert stored_nodes(settings.db_path) == ["before", "meanwhile"]
    assert losses(settings.db_path) == {}


def test_f27_a_database_locked_at_the_start_is_a_clear_error(settings: Settings, writer: SpoolWriter) -> None:
    """F27: an owner that cannot begin says why, frees its lock and leaves no descriptor open."""
    say(writer, "a")
    drain_once(settings)
    other = sqlite3.connect(settings.db_path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    before = left_open(settings)
    from hush_otel.store import database

    patience, database.BUSY_TIMEOUT_S = database.BUSY_TIMEOUT_S, 0.0  # type: ignore[misc]
    try:
        for _ in range(5):
            with pytest.raises(StoreError, match="locked"):
                elect(settings)
    finally:
        database.BUSY_TIMEOUT_S = patience  # type: ignore[misc]
    # While this process has a lock of the file SQLite closes no descriptor of it, but uses the one left again.
    assert len(left_open(settings)) <= len(before) + 1
    other.close()
    drain_once(settings)


def test_f27_a_reader_that_holds_a_snapshot_stops_nothing(settings: Settings, writer: SpoolWriter) -> None:
    """F27: the store goes on beside it, and the reader sees what it saw."""
    with owning(settings) as owner:
        say(writer, "old")
        owner.step()
        reader = sqlite3.connect(f"file:{settings.db_path}?mode=ro", uri=True, isolation_level=None)
        reader.execute("BEGIN")
        seen = reader.execute("SELECT count(*) FROM node_traces").fetchone()
        for index in range(20):
            say(writer, f"new-{index}", size=10_000)
            owner.step()
        assert writer.is_drained()
        assert reader.execute("SELECT count(*) FROM node_traces").fetchone() == seen == (1,)
        reader.close()
        owner.step()
    assert len(stored_nodes(settings.db_path)) == 21


def test_f27_a_log_that_a_reader_has_let_grow_is_shown_and_cut_down_when_it_leaves(
    settings: Settings, writer: SpoolWriter
) -> None:
    """F27: while it holds its snapshot nothing can be brought into the file; afterwards the next batches do."""
    with owning(settings) as owner:
        say(writer, "old")
        owner.step()
        reader = sqlite3.connect(f"file:{settings.db_path}?mode=ro", uri=True, isolation_level=None)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM node_traces").fetchone() == (1,)
        bound = WAL_CHECKPOINT_PAGES * 4096
        for index in range(2 * bound // 1_000_000):
            assert writer.append(node_payload("r", f"n{index}", input_data=os.urandom(500_000).hex()))
            owner.step()
        assert collect(settings, time.time()).database.wal_bytes > 1.5 * bound
        reader.close()
        for index in range(3):  # one brings it into the file, the next begins it anew
            say(writer, f"after-{index}")
            owner.step()
        assert collect(settings, time.time()).database.wal_bytes <= bound + 4096
    assert len(stored_nodes(settings.db_path)) == 4 + 2 * bound // 1_000_000


def test_f23_a_full_database_keeps_the_spool(settings: Settings, writer: SpoolWriter) -> None:
    """F23: the batch is rolled back whole and the position stays; with room again all is stored, once."""
    with owning(settings) as owner:
        say(writer, "before")
        owner.step()
        pages = owner.connection.execute("PRAGMA page_count").fetchone()[0]
        owner.connection.execute(f"PRAGMA max_page_count = {pages}")
        say(writer, *[f"n{index}" for index in range(50)], size=5_000)
        for _ in range(3):
            assert owner.step() > 0
        assert not writer.is_drained()
        assert stored_nodes(settings.db_path) == ["before"]
        assert rows(settings.db_path, "PRAGMA integrity_check") == [("ok",)]
        owner.connection.execute("PRAGMA max_page_count = 1000000")
        owner.step()
        assert writer.is_drained()
    assert stored_nodes(settings.db_path) == ["before", *[f"n{index}" for index in range(50)]]
    assert losses(settings.db_path) == {}
    assert rows(settings.db_path, "SELECT node_count FROM requests") == [(51,)]


def test_f16_a_resumed_owner_is_fenced(settings: Settings, writer: SpoolWriter) -> None:
    """F16: an owner that slept through a takeover quits; what it had read is stored once, by its successor."""
    old = Owner(settings)
    say(writer, "a")
    old.step()
    new = Owner(settings)
    say(writer, "b")
    new.step()
    say(writer, "c")
    old.step()
    assert old.service.stopped
    new.step()
    assert stored_nodes(settings.db_path) == ["a", "b", "c"]
    assert losses(settings.db_path) == {}
    old.crash()
    new.close()


def test_i2_one_record_that_cannot_be_stored_harms_no_neighbour(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record on which the store itself fails is kept in salvage/ and counted; the others are stored once."""
    from hush_otel.store import node_writer

    real = node_writer.NodeRow

    def poisoned(*arguments: Any) -> object:
        row = real(*arguments)
        if row.node.node_name == "poison":
            raise OverflowError("a row that SQLite cannot hold")
        return row

    monkeypatch.setattr(node_writer, "NodeRow", poisoned)
    say(writer, "a", "b", "poison", "c", "d")
    drain_once(settings)
    assert stored_nodes(settings.db_path) == ["a", "b", "c", "d"]
    assert losses(settings.db_path) == {"unstorable": 1}
    assert rows(settings.db_path, "SELECT node_count FROM requests") == [(4,)]
    (kept,) = (settings.spool_dir / "salvage").iterdir()
    assert b"poison" in kept.read_bytes()


def test_i1_a_bug_that_concerns_every_record_leaves_them_in_the_spool(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When one record after the other cannot be stored, no more than a few are given up; mended, the rest is stored.

    Records of other types in between, and other processes, are stored all the same.
    """
    from hush_otel.background import drain
    from hush_otel.store import node_writer

    def broken(node: object, received_ns: int) -> object:
        raise TypeError("a bug in the store")

    names = [f"node-{number:03}" for number in range(50)]
    for name in names:
        say(writer, name)
        assert writer.append(encode((records.COMPLETE, os.urandom(16)))[0])
    other = writer_of(settings)
    other.append(encode((records.COMPLETE, bytes(16)))[0])
    with monkeypatch.context() as patch:
        patch.setattr(node_writer, "NodeRow", broken)
        with pytest.raises(StoreError, match="stay there"):
            drain_once(settings)
    assert other.is_drained()
    drain_once(settings)
    assert stored_nodes(settings.db_path) == names[drain.GIVE_UP_AT_MOST :]
    assert losses(settings.db_path) == {"unstorable": drain.GIVE_UP_AT_MOST}


def test_i1_records_of_the_dead_that_cannot_be_stored_end_the_pass(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for the rest of a segment that is given up and cannot be stored: the pass ends with the error."""
    from hush_otel.store import node_writer

    def broken(node: object, received_ns: int) -> object:
        raise TypeError("a bug in the store")

    monkeypatch.setattr(node_writer, "NodeRow", broken)
    writer = writer_of(settings, doomed=True)
    say(writer, *(f"node-{number}" for number in range(20)))
    die(writer)
    pauses = iter(range(50))
    with owning(settings) as owner:
        monkeypatch.setattr(owner.service._bell, "wait", lambda _pause_s: next(pauses))
        with pytest.raises(StoreError, match="stay there"):
            owner.drain()


def test_i1_records_that_cannot_be_stored_are_told_however_long_the_rest_takes(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass whose index takes longer than such a segment rests ends with the error all the same."""
    from hush_otel.background import drain, sources
    from hush_otel.background.indexing import Indexing
    from hush_otel.store import node_writer

    def broken(node: object, received_ns: int) -> object:
        raise TypeError("a bug in the store")

    monkeypatch.setattr(node_writer, "NodeRow", broken)
    now, index = time.monotonic, Indexing.finish

    def slow(indexing: Indexing) -> None:
        index(indexing)
        monkeypatch.setattr(time, "monotonic", lambda: now() + sources.STUCK_S)

    monkeypatch.setattr(Indexing, "finish", slow)
    say(writer, *[f"node-{number}" for number in range(2 * drain.GIVE_UP_AT_MOST)])
    with pytest.raises(StoreError, match="stay there"):
        drain_once(settings)


def test_f26_a_file_that_is_no_database_is_an_error_and_the_spool_stays(
    settings: Settings, writer: SpoolWriter
) -> None:
    """F26: nothing is overwritten; the message names the path."""
    settings.db_path.write_bytes(b"this is no database, but it is mine\n" * 200)
    settings.db_path.chmod(0o600)
    before = settings.db_path.read_bytes()
    say(writer, "a")
    descriptors = left_open(settings)
    for _ in range(5):
        with pytest.raises(StoreError, match=r"t\.db"):
            elect(settings)
    assert settings.db_path.read_bytes() == before
    assert left_open(settings) == descriptors
    settings.db_path.unlink()
    drain_once(settings)
    assert stored_nodes(settings.db_path) == ["a"]


def test_f20_salvage_that_cannot_be_written_does_not_stop_the_drain(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F20: the good frames behind damage wait until it can be kept, and hold no other segment up."""
    say(writer, "a", "b", "c")
    segment = writer._segment
    assert segment is not None
    with segment.path.open("r+b") as file:
        file.seek(256 + 20)
        file.write(b"\xff\xff")
    writer.seal()
    real = os.open

    def full(path: object, flags: int, *rest: int) -> int:
        if "/salvage/" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, flags, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", full)
    with owning(settings) as owner:
        for _ in range(4):
            owner.step()
        say(writer, "d")
        owner.step()
        assert stored_nodes(settings.db_path) == ["d"]
        monkeypatch.setattr(os, "open", real)
        for source in owner.service._intake.sources.values():
            source.wait_until = min(source.wait_until, time.monotonic())
        for _ in range(4):
            owner.step()
    assert sorted(stored_nodes(settings.db_path)) == ["b", "c", "d"]


def test_a_step_without_anything_new_writes_nothing(settings: Settings, writer: SpoolWriter) -> None:
    """An idle owner costs no transaction beyond its upkeep once a second."""
    say(writer, "a")
    with owning(settings) as owner:
        owner.step()
        owner.step()
        before = owner.connection.total_changes
        for _ in range(10):
            owner.step()
        assert owner.connection.total_changes - before <= 2


def test_f27_an_owner_waits_for_a_database_that_is_locked_at_its_start(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F27: it keeps the lock, so that no app launches another one, and works once the database is free."""
    from hush_otel.background import service
    from hush_otel.store import database

    say(writer, "a")
    drain_once(settings)
    say(writer, "b")
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.01)
    monkeypatch.setattr(service, "FAILED_S", 0.01)
    holder = sqlite3.connect(settings.db_path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreBusy, match="locked"):
        elect(settings)
    asked: list[int] = []

    def released_at_the_third_look() -> bool:
        asked.append(1)
        if len(asked) == 3:
            holder.execute("ROLLBACK")
        return False

    elected = elect(settings, released_at_the_third_look)
    assert elected is not None
    elected.drain_all()
    elected.close()
    holder.close()
    assert stored_nodes(settings.db_path) == ["a", "b"]


def test_f27_a_waiting_owner_leaves_when_it_is_told_to(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F27: a signal ends the wait, and the lock is free again."""
    from hush_otel.store import database

    say(writer, "a")
    drain_once(settings)
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.01)
    holder = sqlite3.connect(settings.db_path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreBusy):
        elect(settings, lambda: True)
    holder.close()
    drain_once(settings)


def test_it_stays_until_a_request_that_nobody_ends_has_timed_out(settings: Settings) -> None:
    """A span of a forked child that outlived its parent: its request is completed before the owner leaves."""
    settings = dataclasses.replace(settings, idle_exit_s=0.0, complete_timeout_s=60.0)
    writer = writer_of(settings, doomed=True)
    say(writer, "a")
    die(writer)
    with owning(settings) as owner:
        owner.drain()
        owner.connection.execute("UPDATE hush_requests SET completed_by = NULL, due_at = NULL")
        assert not owner.service._must_leave()
        owner.connection.execute("UPDATE hush_requests SET last_at = last_at - 61")
        owner.tend()
        owner.step()
        assert owner.service._must_leave()
    assert rows(settings.db_path, "SELECT completed_by FROM requests") == [("timeout",)]


def test_it_stays_until_the_spans_of_a_dead_process_are_closed(settings: Settings) -> None:
    """It has sealed its segment and died since the last look: its open span is interrupted before the owner leaves."""
    settings = dataclasses.replace(settings, idle_exit_s=0.0)
    writer = writer_of(settings, doomed=True)
    index = writer.definitions.intern(lambda i: encode((records.ORIGIN, i, {}, "", "t", "", "", {}, []))[0])
    start = (records.START, index, b"t" * 16, b"s" * 8, None, 257, "open", 1, 1, {})
    assert writer.append(encode(start)[0], index)
    writer.seal()
    with owning(settings) as owner:
        owner.drain()
        die(writer)
        assert not owner.service._must_leave()
        owner.tend()
        owner.drain()
        assert owner.service._must_leave()
    assert rows(settings.db_path, "SELECT state FROM spans") == [("interrupted",)]
    assert list(settings.spool_dir.glob("*.owner")) == []


@pytest.mark.parametrize("asked", [True, False], ids=["asked to", "idle"])
def test_it_stays_when_it_cannot_tell_whether_to_leave(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    """Without a descriptor to spare the directory cannot be listed: it goes on, and leaves in order later."""
    settings = dataclasses.replace(settings, idle_exit_s=3600.0 if asked else 0.0)
    with owning(settings) as owner:
        if asked:
            owner.service._directory.leave.touch()
        owner.drain()
        owner.service._upkeep._next = time.monotonic() + 60  # it lists them, too
        refused: list[SpoolDirectory] = []
        listed = SpoolDirectory.owners

        def owners(directory: SpoolDirectory) -> list[Path]:
            if len(refused) < 3:
                refused.append(directory)
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return listed(directory)

        monkeypatch.setattr(SpoolDirectory, "owners", owners)
        monkeypatch.setattr(owner.service._bell, "wait", lambda _pause_s: None)
        owner.service.run(leave_when_idle=True)
        assert len(refused) == 3


def test_a_database_is_drained_into_from_one_spool_at_a_time(settings: Settings, writer: SpoolWriter) -> None:
    """A second owner by another spool directory is told so; it may come when the first has left."""
    from multiprocessing import get_context

    elsewhere = dataclasses.replace(settings, spool_dir=settings.db_path.with_name("elsewhere"))
    say(writer, "a")
    context = get_context("fork")
    ready, done = context.Event(), context.Event()
    child = context.Process(target=own_until, args=(settings, ready, done))
    child.start()
    try:
        assert ready.wait(60)
        with pytest.raises(StoreError, match="HUSH_SPOOL_DIR"):
            elect(elsewhere)
    finally:
        done.set()
        child.join(60)
    drain_once(elsewhere)


def own_until(settings: Settings, ready: Any, done: Any) -> None:
    """In a child: the owner by the first spool."""
    with owning(settings):
        ready.set()
        done.wait(60)


def test_f13_a_background_process_that_is_told_to_stop_while_it_is_elected_stops(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F13: the signal comes before anybody knows which service it is that stops."""
    say(writer, "a")  # by a process that lives: it would stay
    elected = detached.elect

    def elect_meanwhile(*how: Any) -> Service | None:
        service = elected(*how)
        os.kill(os.getpid(), signal.SIGTERM)
        return service

    steps: list[bool] = []

    def step(service: Service) -> float:
        steps.append(True)
        service.stop()  # so that the test ends, too
        return 0.0

    monkeypatch.setattr(detached, "elect", elect_meanwhile)
    monkeypatch.setattr(Service, "step", step)
    assert detached.run(settings) == 0
    assert steps == []


def test_f17_what_comes_while_a_pass_ends_is_drained_by_whom_it_launches(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app that appears after the last look finds the lock taken, and launches nobody: the pass does it."""
    launched: list[bool] = []
    monkeypatch.setattr(BackgroundClient, "ensure", lambda _: launched.append(True))
    close = Service.close

    def close_late(service: Service) -> None:
        say(writer_of(settings), "a")
        close(service)

    monkeypatch.setattr(Service, "close", close_late)
    drain_once_as_a_command(settings)
    assert launched == [True]


def test_an_owner_file_that_is_finished_while_it_is_looked_at_is_left(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its name between the listing and the look at its age."""
    directory = SpoolDirectory(settings.spool_dir)
    listed = SpoolDirectory._entries
    writer_id = os.urandom(16)

    def entries(self: SpoolDirectory, suffix: str) -> Iterator[os.DirEntry[str]]:
        for entry in listed(self, suffix):
            if suffix == ".claim":
                directory.claim(writer_id).rename(directory.owner(writer_id))
            yield entry

    with owning(settings):
        directory.claim(writer_id).touch()
        monkeypatch.setattr(SpoolDirectory, "_entries", entries)
        assert directory.old_claims(0.0) == []
    assert directory.owner(writer_id).exists()


def test_an_owner_file_whose_making_was_cut_off_is_removed(settings: Settings, writer: SpoolWriter) -> None:
    """After a minute: a claim lives for a millisecond."""
    say(writer, "a")
    old, new = (settings.spool_dir / f"{digit * 32}.claim" for digit in "ab")
    old.touch()
    new.touch()
    os.utime(old, (1, 1))
    with owning(settings) as owner:
        owner.tend()
    assert (old.exists(), new.exists()) == (False, True)
