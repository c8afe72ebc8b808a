"""Two things at once: a limit and a death, damage and a start, a clock and an order. Each by itself has its own file."""

from __future__ import annotations

import dataclasses
import errno
import os
import sqlite3
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asking import turn
from inprocess import (
    App,
    Owner,
    die,
    drain_once,
    left_open,
    losses,
    no_background,
    node_payload,
    owning,
    rows,
    stored_nodes,
    writer_of,
)
from pruning import balanced
from searching import assert_whole, found

from hush_otel import Destination, records
from hush_otel.attachment import attach
from hush_otel.background import drain, intake, relay, salvage, service
from hush_otel.background.running import drain_once as drain_once_as_a_command
from hush_otel.background.service import elect
from hush_otel.codec import encode
from hush_otel.config import Settings
from hush_otel.errors import StoreBusy, StoreError
from hush_otel.spool.reader import SegmentReader
from hush_otel.spool.writer import SpoolWriter
from hush_otel.store import commands, node_writer, positions, search_index, search_upkeep
from hush_otel.store.integrity import moved_aside
from hush_otel.store.prune_orders import oldest_order

DAY_S = 86_400.0


def damage(db_path: Path, table: str) -> None:
    """Garbage where a table or an index begins."""
    connection = sqlite3.connect(db_path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sql = "SELECT (rootpage - 1) * page_size, page_size FROM sqlite_schema, pragma_page_size WHERE name = ?"
    at, size = connection.execute(sql, (table,)).fetchone()
    connection.close()
    with db_path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * size)


# ------------------------------------------------------------------ damage, and a start


@pytest.mark.parametrize("table", ["hush_destinations", "hush_deliveries_due", "hush_requests", "hush_spans"])
@pytest.mark.parametrize("how", ["run", "drain"])
def test_f26_damage_that_a_start_meets_is_moved_aside(
    settings: Settings, writer: SpoolWriter, table: str, how: str
) -> None:
    """F26: whoever comes first meets it, wherever it lies; what is in the spool is in the new database."""
    writer.append(node_payload("r", "a"))
    drain_once(settings)
    damage(settings.db_path, table)
    writer.append(node_payload("r", "b"))
    if how == "drain":
        drain_once_as_a_command(settings)
    else:
        lost = True
        while lost:
            elected = elect(settings)
            assert elected is not None
            elected.step()
            lost = elected.lost
            elected.close()
    assert len(moved_aside(settings.db_path)) == 1
    assert stored_nodes(settings.db_path) == ["a", "b"], "the segment of both is still there"


def test_an_owner_that_cannot_begin_leaves_nothing_open(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thread mode tries twice a second, in the application; what may pass says so."""
    writer.append(node_payload("r", "a"))
    drain_once(settings)

    def refuse(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(relay.outbox, "reset_sending", refuse)
    before = left_open(settings)
    for _ in range(3):
        with pytest.raises(StoreBusy, match="full"):
            elect(settings)
    assert left_open(settings) == before


def test_f26_a_damaged_database_that_cannot_be_moved_is_given_up_all_the_same(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stayed with a closed database would hold the lock for ever; the next start meets the damage again."""
    error = sqlite3.DatabaseError("malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    def refuse(*_: object) -> Path:
        raise OSError(errno.EROFS, "read-only")

    def fail(*_: object, **__: object) -> None:
        raise error

    with owning(settings) as owner:
        monkeypatch.setattr(service, "move_aside", refuse)
        monkeypatch.setattr(owner.service._drain, "step", fail)
        with pytest.raises(OSError, match="read-only"):
            owner.step()
        assert owner.service.lost


# ------------------------------------------------------------------ no room, and what would make some


def test_f23_stored_segments_give_their_room_back_on_a_full_disk(
    settings: Settings, writer: SpoolWriter
) -> None:
    """F23: whatever cannot be written, what is stored and synced need not lie in the spool as well."""
    with owning(settings) as owner:
        owner.step()
        owner.service._upkeep._next = time.monotonic() + 3600  # not its turn yet
        for name in "abc":
            writer.append(node_payload("r", name, input_data="x" * 200_000))
            writer.seal()
        owner.step()
        ended = list(settings.spool_dir.glob("*.seg"))
        assert len(ended) == 3
        fill_up(owner)
        writer.append(node_payload("r", "d", input_data=os.urandom(100_000).hex()))
        owner.step()
        assert [path for path in ended if path.exists()] == []


def test_f23_an_index_that_cannot_be_given_up_keeps_no_room_from_being_made(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F23: an index of many parts is blamed for that. Without room even to note it, the other ways are tried."""
    with owning(settings) as owner:
        writer.append(node_payload("r", "old"))
        owner.drain()
        owner.service._upkeep._next = time.monotonic() + 3600  # not its turn yet
        writer.append(node_payload("r", "a"))
        writer.seal()
        owner.service._drain.step()
        arguments = {"before": time.time() + 10}
        owner.connection.execute("UPDATE hush_requests SET completed_by = 'mark', due_at = NULL")
        writer.append(encode((records.COMMAND, time.time_ns(), os.urandom(16), "prune", arguments))[0])
        owner.service._drain.step()
        fill_up(owner)
        monkeypatch.setattr(search_upkeep, "count_parts", lambda _: search_upkeep.TOO_MANY_PARTS)
        monkeypatch.setattr(search_upkeep, "give_up", _full)
        writer.append(node_payload("s", "b", input_data=os.urandom(100_000).hex()))
        ended = [source.reader.path for source in owner.service._intake.sources.values() if source.ended]
        assert ended
        assert owner.step() > 0
        assert not any(path.exists() for path in ended)
        assert rows(settings.db_path, "SELECT request_id FROM hush_requests") == []


def test_f23_a_prune_goes_on_while_the_disk_is_full(settings: Settings, writer: SpoolWriter) -> None:
    """F23: without any rule, too: what somebody has ordered is the way out."""
    for number in range(50):
        writer.append(node_payload(f"r{number}", "old", input_data=os.urandom(5_000).hex()))
    with owning(settings) as owner:
        owner.drain()
        owner.connection.execute("UPDATE hush_requests SET completed_by = 'mark', due_at = NULL")
        arguments = {"before": time.time() + 10}
        writer.append(encode((records.COMMAND, time.time_ns(), os.urandom(16), "prune", arguments))[0])
        owner.service._drain.step()
        fill_up(owner)
        writer.append(node_payload("s", "new", input_data=os.urandom(100_000).hex()))
        assert owner.step() > 0
        assert stored_nodes(settings.db_path) == []
        owner.drain()
    assert stored_nodes(settings.db_path) == ["new"]


def fill_up(owner: Owner) -> None:
    """The database can be no larger than it is."""
    (pages,) = owner.connection.execute("PRAGMA page_count").fetchone()
    owner.connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_prune_that_waits_in_the_spool_makes_room_for_a_pass(
    settings: Settings, writer: SpoolWriter
) -> None:
    """`hush-otel drain` says that `hush-otel prune` makes room: it does, also when nobody else is at work."""
    for number in range(60):
        writer.append(node_payload(f"r{number}", "old", input_data=os.urandom(20_000).hex()))
        writer.append(encode((records.COMPLETE, os.urandom(16)))[0])
    with owning(settings) as owner:
        owner.drain()
        change = "UPDATE hush_requests SET completed_by = 'mark', due_at = NULL"
        owner.connection.execute(change)
        owner.connection.execute(
            "INSERT INTO hush_destinations (name, type, config, digest, fingerprints) "
            "VALUES ('lab', 'file', '{}', x'00', '{}')"
        )
        owner.connection.execute(
            "INSERT INTO hush_deliveries (request, destination, from_seq, to_seq, state, next_attempt_at, span_count, "
            "created_at) SELECT id, 1, 0, max_seq, 'dead', 0, 1, 1 FROM hush_requests"
        )
    arguments = {"to_bytes": 500_000, "undelivered": True}
    writer.append(encode((records.COMMAND, time.time_ns(), os.urandom(16), "prune", arguments))[0])
    writer.append(node_payload("r", "new"))
    drain_once_as_a_command(dataclasses.replace(settings, max_db_bytes=1 << 20))
    assert "new" in stored_nodes(settings.db_path)


def test_a_reindex_is_heard_though_retention_fails_in_the_same_round(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command is told of once: whoever needs to know it hears of it before anything else can fail."""
    writer.append(node_payload("r1", "old"))
    with owning(settings) as owner:
        owner.drain()
        writer.append(encode((records.COMMAND, time.time_ns(), os.urandom(16), "reindex", {}))[0])
        with monkeypatch.context() as patch:
            patch.setattr(owner.service._retention, "step", _locked)
            owner.step()
        writer.append(node_payload("r2", "new"))
        deadline = time.monotonic() + 20
        while owner.step() == 0 or owner.service._indexing.is_busy():
            assert time.monotonic() < deadline
            owner.service._indexing._since = 0.0
    assert found(settings.db_path, "flow") == ["r2", "r1"]
    assert_whole(settings.db_path)


def test_a_pass_that_meets_index_damage_amid_a_prune_deletes_all_the_same(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was rolled back is looked for again once the index is given up: the order says what it has done."""
    for number in range(350):
        writer.append(node_payload(f"r{number}", "old"))
    with owning(settings) as owner:
        owner.drain()
        owner.connection.execute("UPDATE hush_requests SET completed_by = 'mark', due_at = NULL")
        arguments = {"before": time.time() + 10}
        writer.append(encode((records.COMMAND, time.time_ns(), os.urandom(16), "prune", arguments))[0])
        forget, units = search_index.forget, iter(range(1_000))

        def damaged(*how: Any) -> bool:
            if next(units) == 2:
                raise search_upkeep.IndexDamaged("the full-text index is damaged")
            return forget(*how)

        monkeypatch.setattr(search_index, "forget", damaged)
        owner.drain()
    assert rows(settings.db_path, "SELECT count(*) FROM hush_spans") == [(0,)]
    answer = "SELECT result ->> 'state', result ->> 'requests' FROM hush_commands"
    assert rows(settings.db_path, answer) == [("done", 350)]


def _locked(*_: object, **__: object) -> None:
    raise sqlite3.OperationalError("database is locked")


def test_no_thread_to_be_had_stops_neither_the_upkeep_nor_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be sent waits for a thread; segments that are stored go, and words are found."""
    no_background(monkeypatch, tmp_path)
    app = App(tmp_path / "t.db", destinations=[Destination("file", name="out", path=str(tmp_path / "out"))])
    refused: list[object] = []

    def refuse(thread: threading.Thread) -> None:
        refused.append(thread)
        raise RuntimeError("can't start new thread")

    with owning(app.settings) as owner:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            app.tracer.start_span("told").end()
            attach(app.db_path).writer.seal()
            deadline = time.monotonic() + 20
            pause_s = 0.0
            while not refused or pause_s < service.LOOK_S * 2:  # it has nothing more to do, and does not spin
                assert time.monotonic() < deadline
                owner.service._bell.wait(min(pause_s, 0.05))
                owner.service._upkeep._next = 0.0
                owner.service._indexing._since = 0.0
                pause_s = owner.step()
            assert list(app.settings.spool_dir.glob("*.seg")) == []
            assert len(found(app.db_path, "told")) == 1
        turn(owner, lambda: [one["state"] for one in app.deliveries()] == ["delivered"])


# ------------------------------------------------------------------ records that cannot be read or stored


def test_f17_a_definition_that_was_passed_by_stops_nobody_later(
    settings: Settings, writer: SpoolWriter
) -> None:
    """Whoever takes over reads definitions again, as the one before has: what was undecodable is passed by."""
    writer.append(msgspec.msgpack.encode([records.ORIGIN, 7, "no map", "", "t", "", "", {}, []]))
    drain_once(settings)
    writer.append(node_payload("r", "a"))
    writer_of(settings).append(node_payload("r", "b"))
    drain_once(settings)
    assert sorted(stored_nodes(settings.db_path)) == ["a", "b"]
    assert losses(settings.db_path) == {"undecodable": 1}


def test_a_record_that_cannot_be_stored_is_passed_by_once_salvage_can_be_written(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often that had failed: one bad record is no bug that concerns all."""
    real = node_writer.NodeRow

    def poisoned(*arguments: Any) -> Any:
        row = real(*arguments)
        if row.node.node_name == "bad":
            raise TypeError("a bug in the store")
        return row

    def refuse(*_: object) -> Path:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(node_writer, "NodeRow", poisoned)
    for name in ("a", "bad", "c"):
        writer.append(node_payload("r", name))
    with owning(settings) as owner:
        with monkeypatch.context() as full:
            full.setattr(salvage, "write_privately", refuse)
            for _ in range(2 * drain.GIVE_UP_AT_MOST):
                with pytest.raises(OSError, match="no space"):
                    owner.step()
        owner.step()
    assert stored_nodes(settings.db_path) == ["a", "c"]


def test_i4_a_record_that_is_given_up_is_counted_with_the_position_behind_it(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4: while the database is locked it is given up again and again, and has counted nothing."""
    monkeypatch.setattr(node_writer, "NodeRow", _broken)
    writer.append(node_payload("r", "bad"))
    with owning(settings) as owner:
        with monkeypatch.context() as patch:
            patch.setattr(positions, "save", _locked)
            for _ in range(3):
                owner.step()
        owner.step()
        writer.append(encode((records.COMPLETE, os.urandom(16)))[0])
        owner.drain()
    assert losses(settings.db_path) == {"unstorable": 1}
    balanced(settings)


def test_i4_damage_is_counted_with_the_position_behind_it(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4: a commit that fails has counted nothing."""
    for name in "ab":
        writer.append(node_payload("r", name))
    assert writer._segment is not None
    path, end = writer._segment.path, writer._segment.offset
    writer.seal()
    with path.open("r+b") as file:
        file.seek(end - 20)
        file.write(b"\x99\x98")
    with owning(settings) as owner:
        owner.step()  # not yet: the next read decides
        with monkeypatch.context() as patch:
            patch.setattr(owner.service._drain.ingest, "ingest", _full)
            owner.step()
        assert losses(settings.db_path) == {}
        owner.drain()
        owner.drain()
    assert losses(settings.db_path) == {"damaged": 1}


def _full(*_: object) -> int:
    raise sqlite3.OperationalError("database or disk is full")


def _broken(*_: object) -> Any:
    raise TypeError("a bug in the store")


def _store_none_of(owner: Owner, writer: SpoolWriter) -> None:
    """More records than are given up: the rest of the segment waits."""
    for number in range(2 * drain.GIVE_UP_AT_MOST):
        writer.append(node_payload("r", f"node-{number}"))
    owner.step()


def _fence_all(owner: Owner) -> None:
    """Their writer is taken for dead, and repeats what it says next."""
    for source in owner.service._intake.sources.values():
        source.reader.fence()


def test_what_waits_behind_a_segment_that_cannot_be_stored_holds_nobody_up(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that was taken for dead repeats a record of it: that waits, the pass ends, the owner sleeps."""
    monkeypatch.setattr(node_writer, "NodeRow", _broken)
    with owning(settings) as owner:
        _store_none_of(owner, writer)
        _fence_all(owner)
        writer.append(encode((records.COMPLETE, os.urandom(16)))[0])
        owner.step()
        assert owner.service._drain.step().records == 0
        pauses = iter(range(50))
        monkeypatch.setattr(owner.service._bell, "wait", lambda _pause_s: next(pauses))
        with pytest.raises(StoreError, match="cannot be stored"):
            owner.drain()


@pytest.mark.parametrize("times", [1, 2], ids=["repeated", "repeated twice"])
def test_a_pass_ends_though_the_dead_have_repeated_a_record_that_cannot_be_stored(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Nobody waits for the rest of a segment that waits for one that is stuck."""
    writer = writer_of(settings, doomed=True)
    with owning(settings) as owner:
        with monkeypatch.context() as patch:
            patch.setattr(node_writer, "NodeRow", _broken)
            _store_none_of(owner, writer)
            for number in range(times):
                _fence_all(owner)
                writer.append(node_payload("r", f"again-{number}"))
                owner.service._intake.discover()
            die(writer)
            pauses = iter(range(50))
            patch.setattr(owner.service._bell, "wait", lambda _pause_s: next(pauses))
            with pytest.raises(StoreError, match="cannot be stored"):
                owner.drain()
        for source in owner.service._intake.sources.values():
            source.wait_until = min(source.wait_until, time.monotonic())
        owner.drain()
    left = [f"node-{number}" for number in range(drain.GIVE_UP_AT_MOST, 2 * drain.GIVE_UP_AT_MOST)]
    assert stored_nodes(settings.db_path) == left + [f"again-{number}" for number in range(times)]


def test_much_that_waits_behind_a_segment_that_cannot_be_stored_keeps_nobody_busy(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than one read of it: the owner sleeps, and writes nothing meanwhile."""
    monkeypatch.setattr(node_writer, "NodeRow", _broken)
    with owning(settings) as owner:
        _store_none_of(owner, writer)
        _fence_all(owner)
        writer._capacity_bytes = 4 << 20
        writer.append(encode((records.COMPLETE, os.urandom(16)))[0])
        for _ in range(2 * intake.SOURCE_BYTES // 200_000):
            writer.append(node_payload("r", "more", input_data="x" * 200_000))
        deadline = time.monotonic() + 20
        while owner.step() == 0 or owner.service._indexing.is_busy():
            assert time.monotonic() < deadline
        owner.service._upkeep._next = time.monotonic() + 60
        before = owner.connection.total_changes
        pauses = [owner.step() for _ in range(20)]
        assert all(map(max, pairwise(pauses))), "before it sleeps it looks once more, not for ever"
        assert owner.connection.total_changes == before


@pytest.mark.parametrize("dead", [True, False], ids=["dead", "living"])
def test_i2_what_repeats_a_record_of_a_segment_that_cannot_be_opened_waits_for_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, dead: bool
) -> None:
    """I2: at a start without descriptors to spare nobody knows yet what was read of it; nobody spins meanwhile."""
    writer = writer_of(settings, doomed=True)
    writer.append(node_payload("r", "first"))
    owner = Owner(settings)
    owner.step()
    (source,) = owner.service._intake.sources.values()
    source.reader.fence()
    writer.append(node_payload("r", "a"))  # in the first segment, and again in another one
    owner.crash()
    original, real = source.reader.path, intake.SegmentReader
    if dead:
        die(writer)

    def refuse(path: Path) -> SegmentReader:
        if path == original:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(path)

    with owning(settings) as owner:
        with monkeypatch.context() as patch:
            patch.setattr(intake, "SegmentReader", refuse)
            pauses = iter(range(50))
            patch.setattr(owner.service._bell, "wait", lambda _pause_s: next(pauses))
            with pytest.raises(StoreError, match="could not be opened"):
                owner.drain()
            assert stored_nodes(settings.db_path) == ["first"]
        owner.drain()
    assert stored_nodes(settings.db_path) == ["first", "a"]
    assert losses(settings.db_path) == {}


# ------------------------------------------------------------------ what is unread, and what time says


def test_a_request_is_not_idle_while_its_records_wait(settings: Settings, writer: SpoolWriter) -> None:
    """After a downtime there is more than one batch: nobody knows yet what has gone on."""
    writer.append(node_payload("r", "a"))
    with owning(settings) as owner:
        owner.drain()
        owner.connection.execute("UPDATE hush_requests SET completed_by = NULL, last_at = last_at - 1e6")
    for number in range(12):
        writer.append(node_payload(f"r{number}", "n", input_data="x" * 900_000))
    writer.append(node_payload("r", "b"))
    owner = Owner(settings)
    owner.step()
    assert "b" not in stored_nodes(settings.db_path), "there is more than one batch"
    assert rows(settings.db_path, "SELECT completed_by FROM requests WHERE request_id = 'r'") == [(None,)]
    owner.close()


@pytest.mark.parametrize("known", [True, False], ids=["in view", "not opened"])
def test_i2_a_position_is_kept_as_long_as_its_segment_stands(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """I2: what cannot be unlinked, for a sync fails, is not read again by the next owner a day later."""
    writer.append(node_payload("r", "a"))
    writer.seal()
    owner = Owner(settings)
    owner.service._drain.step()
    if not known:
        owner.service._intake.close()
    day_after_tomorrow = time.time() + 2 * DAY_S
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: day_after_tomorrow)
        owner.service._upkeep._next = time.monotonic() + DAY_S  # as after a run that has failed
        owner.service._upkeep.step(caught_up=True)
    assert list(settings.spool_dir.glob("*.seg"))
    owner.crash()
    drain_once(settings)
    assert stored_nodes(settings.db_path) == ["a"]


def test_a_position_is_forgotten_a_day_after_its_segment_has_gone(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table does not grow with every segment that there ever was."""
    writer.append(node_payload("r", "a"))
    writer.seal()
    with owning(settings) as owner:
        owner.drain()
        day_after_tomorrow = time.time() + 2 * DAY_S
        monkeypatch.setattr(time, "time", lambda: day_after_tomorrow)
        owner.service._upkeep.step(caught_up=True)
    assert rows(settings.db_path, "SELECT count(*) FROM hush_segments") == [(0,)]


def test_f30_a_clock_that_leaps_forgets_no_prune_that_is_at_work(settings: Settings) -> None:
    """F30: the answers of commands are kept for some days; of one that is not done it is the order itself."""
    with owning(settings) as owner:
        routes, now = owner.service._drain.ingest.routes, time.time()

        def apply(name: str, arguments: dict[str, Any], at: float) -> None:
            asked = records.Command(records.COMMAND, 1, os.urandom(16), name, arguments)
            owner.service._database.write(lambda db: commands.apply(db, routes, [asked], at))

        apply("prune", {"before": now}, now)
        apply("retry", {}, now + 30 * DAY_S)
        assert owner.service._database.read(oldest_order) is not None


def test_f30_a_request_that_came_while_the_clock_was_ahead_is_idle_when_it_is(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last record is ten years ahead; the clock is set right, in the same process or before the next one."""
    real = time.time
    settings = dataclasses.replace(settings, complete_timeout_s=0.0)
    for request, restarts in (("r", False), ("s", True)):
        monkeypatch.setattr(time, "time", lambda: real() + 10 * 365 * 86_400)
        with owning(settings) as owner:
            writer.append(node_payload(request, "a"))
            owner.service._drain.step()
            monkeypatch.setattr(time, "time", real)
            if not restarts:
                owner.step()
                owner.tend()
        with owning(settings) as owner:
            owner.tend()
        assert rows(settings.db_path, "SELECT completed_by FROM requests WHERE request_id = ?", request) == [
            ("timeout",)
        ]
