"""A process's way into the spool: rolling, quotas, definitions, fences, signals, forks."""

from __future__ import annotations

import _thread
import errno
import gc
import logging
import mmap
import os
import resource
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from inprocess import (
    MIB,
    Owner,
    closed_later,
    die,
    drain_once,
    fork_at_c_level,
    in_child,
    losses,
    no_waits,
    node_payload,
    owning,
    settings_for,
    stored_nodes,
    writer_of,
)
from support import eventually

from hush_otel.background.sources import Writers
from hush_otel.config import Settings
from hush_otel.failpoints import APP
from hush_otel.spool import format as layout
from hush_otel.spool import segment as segment_module
from hush_otel.spool import syscalls
from hush_otel.spool import writer as writer_module
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.filesystem import Append
from hush_otel.spool.locks import lock_file
from hush_otel.spool.process import run_fork_hooks
from hush_otel.spool.reader import SegmentReader, Stop
from hush_otel.spool.status import inode_of
from hush_otel.spool.writer import SpoolWriter


@pytest.fixture(params=list(Append), ids=lambda mode: mode.value)
def mode(request: pytest.FixtureRequest) -> Append:
    """Both ways of appending."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A database of its own."""
    return settings_for(tmp_path / "t.db")


@pytest.fixture
def writer(settings: Settings, mode: Append) -> SpoolWriter:
    """A writer to it."""
    return writer_of(settings, mode)


def readers(settings: Settings) -> list[SegmentReader]:
    """Every segment in view, in the order in which it was made."""
    found = [closed_later(SegmentReader(path)) for path in SpoolDirectory(settings.spool_dir).segments()]
    return sorted(found, key=lambda reader: reader.header.ordinal)


def payloads(settings: Settings) -> list[bytes]:
    """Every published record, definitions included."""
    found: list[bytes] = []
    for reader in readers(settings):
        at = layout.HEADER_BYTES
        while True:
            frames = reader.read(at, MIB)
            found += [payload for _, payload in frames.frames]
            at = frames.position
            if frames.stop is not Stop.LIMIT:
                break
    return found


def logged_here(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """By this thread: others of this process, which other tests have left, may log at any time."""
    return [record for record in caplog.records if record.thread == threading.get_ident()]


def test_nothing_is_made_before_the_first_record(settings: Settings, writer: SpoolWriter) -> None:
    """A writer that never writes leaves no trace, not even its directory."""
    assert writer.is_drained()
    writer.ring()
    writer.seal()
    writer.release()
    assert not settings.spool_dir.exists()
    assert writer.writer_id == b""


def test_records_are_in_view_when_append_returns(settings: Settings, writer: SpoolWriter) -> None:
    """What append said is safe can be read by anyone at once."""
    for index in range(10):
        assert writer.append(b"%d" % index)
        assert payloads(settings)[-1] == b"%d" % index
    assert writer.dropped == 0


def test_a_full_segment_rolls_and_grows(settings: Settings, writer: SpoolWriter) -> None:
    """Capacities double from 256 KiB to 4 MiB; each one before the last is sealed, and nothing is lost."""
    record = os.urandom(100_000)
    for _ in range(110):
        assert writer.append(record)
    found = readers(settings)
    kib = [reader.header.capacity // 1024 for reader in found]
    assert kib[:5] == [256, 512, 1024, 2048, 4096]
    assert set(kib[5:]) == {4096}
    assert all(reader.sealed() for reader in found[:-1])
    assert not found[-1].sealed()
    assert payloads(settings) == [record] * 110


def test_a_large_record_gets_a_segment_of_its_own(settings: Settings, writer: SpoolWriter) -> None:
    """A record larger than a segment is stored whole, in one that fits it."""
    large = os.urandom(6 * MIB)
    writer.append(b"before")
    writer.append(large)
    writer.append(b"after")
    assert payloads(settings) == [b"before", large, b"after"]


def test_a_large_record_with_a_definition_takes_one_segment(settings: Settings, writer: SpoolWriter) -> None:
    """Room for the definition is made together with room for the record."""
    index = writer.definitions.intern(lambda i: b"definition %d" % i)
    writer.append(b"before", index)
    writer.append(os.urandom(6 * MIB), index)
    assert len(readers(settings)) == 2


def test_definitions_are_emitted_once_a_segment_before_their_first_use(
    settings: Settings, writer: SpoolWriter
) -> None:
    """Each segment can be understood alone: it repeats the definitions that its records use."""
    one = writer.definitions.intern(lambda i: b"one %d" % i)
    two = writer.definitions.intern(lambda i: b"two %d" % i)
    writer.append(b"a", one)
    writer.append(b"b", one)
    writer.append(b"c", two)
    writer.seal()
    writer.append(b"d", one)
    meaning_one, meaning_two = b"one %d" % one, b"two %d" % two
    assert payloads(settings) == [meaning_one, b"a", b"b", meaning_two, b"c", meaning_one, b"d"]


def test_equal_definitions_share_an_index() -> None:
    """What encodes to the same bytes is interned once, from any thread."""
    definitions = writer_module.Definitions()
    made: list[int] = []
    threads = [
        threading.Thread(target=lambda: made.append(definitions.intern(lambda i: b"same %d" % i)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert definitions.intern(lambda i: b"same %d" % i) in made
    assert definitions.intern(lambda i: b"other %d" % i) not in made
    assert all(definitions.payloads[index] == b"same %d" % index for index in made)


def test_a_definition_that_could_not_be_written_is_written_later(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A definition counts as emitted only once it is published."""
    writer = writer_of(settings, Append.WRITE)
    writer.append(b"before")
    index = writer.definitions.intern(lambda i: b"meaning %d" % i)
    with monkeypatch.context() as patched:
        patched.setattr(syscalls, "pwrite", lambda *_: 0)
        assert not writer.append(b"lost", index)
    assert writer.append(b"kept", index)
    assert payloads(settings) == [b"before", b"meaning %d" % index, b"kept"]
    assert writer.dropped == 1


def test_sealing_ends_a_segment_and_the_next_record_makes_another(
    settings: Settings, writer: SpoolWriter
) -> None:
    """After a seal the writer goes on in a new segment under the same identity."""
    writer.append(b"a")
    writer_id = writer.writer_id
    writer.seal()
    writer.seal()
    assert readers(settings)[0].sealed()
    writer.append(b"b")
    assert writer.writer_id == writer_id
    assert payloads(settings) == [b"a", b"b"]


def test_releasing_gives_the_identity_up_until_the_next_record(
    settings: Settings, writer: SpoolWriter
) -> None:
    """A writer that released owns nothing; its next record begins a new identity."""
    writer.append(b"a")
    before = writer.writer_id
    writer.release()
    writer.append(b"b")
    assert writer.writer_id != before
    assert len(SpoolDirectory(settings.spool_dir).owners()) == 2
    assert payloads(settings) == [b"a", b"b"]


def test_it_is_drained_when_the_store_has_everything(settings: Settings, writer: SpoolWriter) -> None:
    """is_drained is false with one record unread, in this segment or a sealed one, and true after."""
    writer.append(node_payload("r", "a"))
    assert not writer.is_drained()
    with owning(settings) as owner:
        owner.step()
        assert writer.is_drained()
        writer.append(node_payload("r", "b"))
        writer.seal()
        assert not writer.is_drained()
        owner.step()
        assert writer.is_drained()
        owner.tend()
        assert writer.is_drained()
    assert stored_nodes(settings.db_path) == ["a", "b"]


# ------------------------------------------------------------------ quota and disk


def test_f14_above_the_quota_records_are_dropped_and_counted(
    settings: Settings, mode: Append, caplog: pytest.LogCaptureFixture
) -> None:
    """F14: with nobody draining, the spool stops at its quota; drops are counted, said once, in the ledger."""
    writer = writer_of(settings, mode, max_bytes=MIB)
    record = node_payload("r", "n", input_data="x" * 50_000)
    results = [writer.append(record) for _ in range(60)]
    assert results[0] is True
    assert results[-1] is False
    assert writer.dropped == results.count(False)
    assert SpoolDirectory(settings.spool_dir).size_bytes() <= 2 * MIB
    assert [record.levelname for record in logged_here(caplog)] == ["WARNING"]
    assert "HUSH_SPOOL_MAX_BYTES" in caplog.text
    drain_once(settings)
    assert losses(settings.db_path) == {"quota": writer.dropped}
    assert len(stored_nodes(settings.db_path)) == results.count(True)


class Emitting(logging.Handler):
    """An app's logging handler that does something with each line of the thread that has made it."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__()
        self._work = work
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Whatever it raises goes to whoever has logged."""
        if record.thread == self._thread:
            self._work()


@pytest.fixture
def logs_to() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Have every log line of this thread do something."""
    added: list[logging.Handler] = []

    def add(work: Callable[[], object]) -> None:
        added.append(Emitting(work))
        logging.getLogger().addHandler(added[-1])

    yield add
    for handler in added:
        logging.getLogger().removeHandler(handler)


def test_i3_a_warning_is_logged_with_no_lock_held(
    settings: Settings, mode: Append, logs_to: Callable[[Callable[[], object]], None]
) -> None:
    """I3: a logging handler that waits for another thread's span, as one that ships by HTTP, waits for nothing."""
    writer = writer_of(settings, mode, max_bytes=MIB)
    done: list[bool] = []

    def ship() -> None:
        other = threading.Thread(target=writer.append, args=(b"POST /logs",), daemon=True)
        other.start()
        other.join(60)
        done.append(not other.is_alive())

    logs_to(ship)
    while writer.append(bytes(50_000)):
        pass
    assert done == [True]


def test_i3_a_look_at_the_background_process_holds_no_lock(
    settings: Settings, mode: Append, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I3: what a launch logs, or waits for, keeps no other thread's span."""
    monkeypatch.setattr(
        writer_module, "CHECK_INTERVAL_S", 3600.0
    )  # the other thread's span is no second look
    done: list[bool] = []

    def look() -> None:
        other = threading.Thread(target=writer.append, args=(b"meanwhile",), daemon=True)
        other.start()
        other.join(60)
        done.append(not other.is_alive())

    writer = SpoolWriter(SpoolDirectory(settings.spool_dir), mode, MIB, look)
    assert writer.append(b"first")
    assert done == [True]
    assert payloads(settings) == [b"first", b"meanwhile"]


def test_i3_a_logging_handler_that_raises_costs_the_app_nothing(
    settings: Settings, mode: Append, logs_to: Callable[[Callable[[], object]], None]
) -> None:
    """I3: a test suite that allows no warnings gets its spans dropped and counted, not an exception."""

    def refuse() -> None:
        raise RuntimeError("no warnings, please")

    logs_to(refuse)
    writer = writer_of(settings, mode, max_bytes=MIB)
    while writer.append(bytes(50_000)):
        pass
    assert writer.dropped == 1


def test_a_closed_segment_is_left_for_the_next(settings: Settings, writer: SpoolWriter) -> None:
    """Should a segment be closed under the writer, records and counts find another place."""
    writer.append(b"before")
    segment: Any = writer._segment
    segment.close()
    writer.count_error()
    assert writer.append(b"after")
    assert writer.append(b"and on")
    assert payloads(settings) == [b"before", b"after", b"and on"]
    assert readers(settings)[-1].drops() == {"error": 1}


# ------------------------------------------------------------------ quota: what counts, and where it is counted


def test_f14_what_is_drained_does_not_count_for_the_quota(settings: Settings, mode: Append) -> None:
    """F14: idle workers, whose segments hold nothing that is not stored, take no room from a busy one."""
    idle = [writer_of(settings, mode) for _ in range(4)]
    for worker in idle:
        worker.append(node_payload("r", "idle"))
    busy = writer_of(settings, mode, max_bytes=MIB)
    with owning(settings) as owner:
        owner.drain()
        for _ in range(60):
            assert busy.append(node_payload("r", "busy", input_data="x" * 50_000))
            owner.drain()
    assert busy.dropped == 0
    assert SpoolDirectory(settings.spool_dir).undrained_bytes() == 0


def test_f14_a_record_that_is_not_drained_counts_its_segment(settings: Settings, mode: Append) -> None:
    """F14: nobody can know how much of a segment that is being written will be drained in time."""
    for index in range(4):
        writer_of(settings, mode).append(b"%d" % index)
    busy = writer_of(settings, mode, max_bytes=MIB)
    results = [busy.append(bytes(50_000)) for _ in range(60)]
    assert not all(results)


@pytest.mark.parametrize("then", ["dies", "exits"])
def test_i4_drops_after_the_last_segment_was_sealed_outlive_the_process(
    settings: Settings, mode: Append, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4: a page of its own holds the counters when there is no segment, quota or not."""
    no_waits(monkeypatch)
    writer = writer_of(settings, mode, doomed=True, max_bytes=MIB)
    record = node_payload("r", "n", input_data="x" * 50_000)
    while writer.append(record):
        pass
    writer.seal()
    monkeypatch.setattr(writer, "_retry_at", 0.0)
    assert [writer.append(record) for _ in range(5)] == [False] * 5
    assert writer.dropped == 6
    if then == "exits":
        writer.seal()
    die(writer)
    drain_once(settings)
    assert losses(settings.db_path) == {"quota": 6}
    assert not SpoolDirectory(settings.spool_dir).segments()


def test_i4_what_was_counted_after_the_last_segment_is_kept_at_exit(
    settings: Settings, mode: Append, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4: an error with no segment to count it in goes into a page when the process seals."""
    no_waits(monkeypatch)
    writer = writer_of(settings, mode, doomed=True)
    writer.append(node_payload("r"))
    writer.seal()
    writer.count_error()
    writer.seal()
    die(writer)
    drain_once(settings)
    assert losses(settings.db_path) == {"error": 1}


def test_the_quota_lets_every_process_have_one_segment(settings: Settings, mode: Append) -> None:
    """The overshoot is one segment a process: a new one can always say something."""
    writers = [writer_of(settings, mode, max_bytes=MIB) for _ in range(8)]
    assert all(writer.append(b"first") for writer in writers)


def test_room_that_comes_back_is_used(
    settings: Settings, mode: Append, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the spool is drained, the same writer's records are taken again."""
    writer = writer_of(settings, mode, max_bytes=MIB)
    record = node_payload("r", "n", input_data="x" * 50_000)
    while writer.append(record):
        pass
    drain_once(settings)  # one full segment is left, unsealed
    monkeypatch.setattr(writer, "_retry_at", 0.0)
    writer.append(record)
    drain_once(settings)
    monkeypatch.setattr(writer, "_retry_at", 0.0)
    assert writer.append(record)


def test_f28_a_spool_that_cannot_be_made_drops_counts_and_warns_once(
    tmp_path: Path, mode: Append, caplog: pytest.LogCaptureFixture
) -> None:
    """F28: when a file stands where the spool should be, appends say False and one warning names it."""
    (tmp_path / "t.db.spool").write_text("in the way")
    writer = writer_of(settings_for(tmp_path / "t.db"), mode)
    for _ in range(100):
        assert not writer.append(b"x")
    assert writer.dropped == 100
    assert len(logged_here(caplog)) == 1
    assert "t.db.spool" in caplog.text
    assert "HUSH_SPOOL_DIR" in caplog.text


def test_a_spool_without_a_doorbell_takes_records_and_says_so_once(
    settings: Settings, mode: Append, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It only wakes a background process that looks once a second anyway."""
    (settings.spool_dir / "doorbell").mkdir(parents=True)
    writer = writer_of(settings, mode)
    for _ in range(3):
        assert writer.append(node_payload("r", "kept"))
        writer.release()
    (record,) = logged_here(caplog)
    assert str(settings.spool_dir / "doorbell") in record.getMessage()
    assert drain_once(settings).records == 3


def test_what_was_dropped_before_the_first_segment_is_counted_in_it(
    tmp_path: Path, mode: Append, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drops without a segment to count them in are remembered for the next one."""
    obstacle = tmp_path / "t.db.spool"
    obstacle.write_text("in the way")
    settings = settings_for(tmp_path / "t.db")
    writer = writer_of(settings, mode)
    for _ in range(3):
        writer.append(b"x")
    writer.count_cut()
    obstacle.unlink()
    monkeypatch.setattr(writer, "_retry_at", 0.0)
    assert writer.append(node_payload("r"))
    drain_once(settings)
    assert losses(settings.db_path) == {"no_space": 3, "cut": 1}


def test_f22_a_removed_spool_costs_a_moment_not_everything_after(
    settings: Settings, mode: Append, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F22: when somebody removes the spool directory, the writer notices and begins anew."""
    writer = writer_of(settings, mode)
    writer.append(node_payload("r", "gone"))
    shutil.rmtree(settings.spool_dir)
    monkeypatch.setattr(writer, "_next_check", 0.0)
    writer.append(node_payload("r", "gone, too"))
    assert writer.append(node_payload("r", "kept"))
    assert writer.dropped > 0
    drain_once(settings)
    assert stored_nodes(settings.db_path) == ["kept"]


def test_the_check_comes_with_the_first_append_and_is_not_repeated_at_once(
    settings: Settings, mode: Append, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever appends asks about twice a second whether somebody drains, after publishing."""
    now, asked = 100.0, list[int]()
    monkeypatch.setattr(writer_module, "monotonic", lambda: now)
    writer = SpoolWriter(
        SpoolDirectory(settings.spool_dir), mode, MIB, lambda: asked.append(len(payloads(settings)))
    )
    for _ in range(50):
        writer.append(b"x")
    assert asked == [1]
    now += writer_module.CHECK_INTERVAL_S
    for _ in range(50):
        writer.append(b"x")
    assert asked == [1, 51]


def room_for(limit_bytes: int, monkeypatch: pytest.MonkeyPatch, error: int = errno.ENOSPC) -> list[int]:
    """A disk without room for larger files. Returns the sizes that were asked for."""
    asked: list[int] = []
    real = syscalls.allocate

    def allocate(fd: int, size: int) -> None:
        asked.append(size // 1024)
        if size > limit_bytes:
            raise OSError(error, os.strerror(error))
        real(fd, size)

    monkeypatch.setattr(syscalls, "allocate", allocate)
    return asked


@pytest.mark.parametrize(
    "error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM], ids=errno.errorcode.__getitem__
)
def test_f20_a_disk_without_room_for_a_large_segment_gets_a_small_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """F20: where a limit or the disk forbids it the smallest is tried at once, and capacities grow from there."""
    writer = writer_of(settings, Append.MAP)
    asked = room_for(600 * 1024, monkeypatch, error)
    for _ in range(6):
        assert writer.append(bytes(200_000))
        writer.seal()
    assert asked == [256, 512, 1024, 256, 512, 1024, 256, 512]
    assert writer.dropped == 0


def test_i3_a_limit_of_file_sizes_does_not_kill_the_app(settings: Settings, writer: SpoolWriter) -> None:
    """I3: where SIGXFSZ has its default, as in an embedded interpreter, a file that grows beyond it is the end."""

    def app() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        assert not writer.append(b"x")
        assert writer.losses() == {"no_space": 1}
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        writer._retry_at = 0.0
        assert writer.append(b"kept")

    assert in_child(app) == 0
    assert payloads(settings) == [b"kept"]


def test_f20_a_large_record_gets_what_it_needs_or_is_dropped(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F20: the retry is as large as the record needs; without room for that, it is dropped and counted."""
    writer = writer_of(settings, Append.MAP)
    writer.append(b"first")
    asked = room_for(450 * 1024, monkeypatch)
    assert writer.append(bytes(400 * 1024))
    assert asked == [512, 404]
    assert not writer.append(bytes(500 * 1024))
    assert writer.dropped == 1


def test_c6_rolled_segments_that_were_removed_undrained_are_counted(
    settings: Settings, mode: Append, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C6: each counts one error at least, and is_drained never takes them for drained."""
    writer = writer_of(settings, mode)
    for _ in range(3):
        writer.append(node_payload("r", "gone"))
        writer.seal()
    shutil.rmtree(settings.spool_dir)
    assert not writer.is_drained()
    settings.spool_dir.mkdir(mode=0o700)  # as a background process does
    assert not writer.is_drained()
    monkeypatch.setattr(writer, "_retry_at", 0.0)
    assert writer.append(node_payload("r", "kept"))
    assert writer.dropped == 3
    drain_once(settings)
    assert losses(settings.db_path) == {"error": 3}
    assert stored_nodes(settings.db_path) == ["kept"]


def test_c6_a_removal_that_the_check_or_the_next_segment_notices_counts_all(
    settings: Settings, mode: Append, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C6: the current segment and the rolled ones are counted, whoever notices first."""
    for notice in ("check", "roll"):
        writer = writer_of(settings, mode)
        writer.append(b"rolled")
        writer.seal()
        writer.append(b"current")
        shutil.rmtree(settings.spool_dir)
        if notice == "check":
            monkeypatch.setattr(writer, "_next_check", 0.0)
            writer.append(b"notices")
        assert writer.append(bytes(300_000 if notice == "check" else MIB))
        assert writer.dropped == 2, notice
        assert payloads(settings)[-1] != b"current"
        shutil.rmtree(settings.spool_dir)


def test_c6_segments_drained_before_the_removal_are_not_counted(
    settings: Settings, mode: Append, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C6: what was unlinked while the spool was there had been drained, and is no loss."""
    writer = writer_of(settings, mode)
    writer.append(node_payload("r", "a"))
    writer.seal()
    with owning(settings) as owner:
        owner.drain()
        owner.tend()
    monkeypatch.setattr(writer, "_next_check", 0.0)
    writer.append(node_payload("r", "b"))
    drain_once(settings)
    shutil.rmtree(settings.spool_dir)
    monkeypatch.setattr(writer, "_next_check", 0.0)
    writer.append(node_payload("r", "gone"))
    assert writer.dropped == 1


# ------------------------------------------------------------------ closed descriptors


def test_a2_an_app_that_closes_all_descriptors_keeps_its_files_and_its_records(
    settings: Settings, mode: Append, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A2: after closerange the app's own files are neither written nor closed, and no record is lost."""
    no_waits(monkeypatch)

    def daemonise() -> None:
        gc.disable()  # what earlier tests left must not close numbers that are the app's by now
        writer = writer_of(settings, mode)
        assert writer.append(node_payload("r", "before"))
        os.closerange(3, 1000)
        own = [(tmp_path / f"app{i}").open("w+b", buffering=0) for i in range(12)]
        for file in own:
            file.write(b"A" * 300)
        for index in range(40):
            name = f"after {index:02}"
            assert writer.append(node_payload("r", name, input_data="x" * 50_000))
            writer.ring()
        writer.release()
        assert writer.append(node_payload("r", "released"))
        for file in own:
            assert os.fstat(file.fileno()).st_ino == Path(file.name).stat().st_ino
            assert Path(file.name).read_bytes() == b"A" * 300
        assert writer.dropped == 0

    assert in_child(daemonise) == 0
    drain_once(settings)
    names = {"before", "released", *(f"after {index:02}" for index in range(40))}
    assert set(stored_nodes(settings.db_path)) == names


def test_a2_standard_descriptors_that_the_app_has_closed_stay_closed(
    settings: Settings, writer: SpoolWriter
) -> None:
    """A2: what C code writes to "stderr" in a daemon must not end up in a segment of ours."""

    def daemon() -> None:
        for _ in range(2):  # at its start, and once more when it has closed what it does not know
            os.closerange(0, os.sysconf("SC_OPEN_MAX"))
            assert writer.append(b"a record")
            writer.ring()
            lock_file(SpoolDirectory(settings.spool_dir).lock)
            assert [inode_of(standard) for standard in range(3)] == [None] * 3

    assert in_child(daemon) == 0
    assert payloads(settings) == [b"a record"] * 2


def test_a2_a_segment_that_is_lost_takes_no_record_with_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A2: a record that its segment cannot take any more goes to the next one; the old one is drained."""
    writer = writer_of(settings, Append.WRITE)
    writer.append(node_payload("r", "before"))
    segment: Any = writer._segment
    os.close(segment._fd)
    hidden = segment.path.with_suffix(".hidden")
    segment.path.rename(hidden)
    segment.path.symlink_to(hidden)
    assert writer.append(node_payload("r", "after"))
    segment.path.unlink()
    hidden.rename(segment.path)
    assert writer.dropped == 0
    assert not writer.is_drained()
    with owning(settings) as owner:
        owner.drain()
        assert writer.is_drained()
    assert sorted(stored_nodes(settings.db_path)) == ["after", "before"]


# ------------------------------------------------------------------ fences


def fence_all(settings: Settings) -> None:
    """Someone takes every writer for dead."""
    for reader in readers(settings):
        reader.fence()
        reader.close()


def test_f16_a_fenced_writer_appends_again_and_it_is_stored_once(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record published into a fenced segment is repeated in a new one, and ingested once."""
    no_waits(monkeypatch)
    writer.append(node_payload("r", "before"))
    fence_all(settings)
    writer.append(node_payload("r", "at the fence"))
    writer.append(node_payload("r", "after"))
    assert len(readers(settings)) == 2
    drain_once(settings)
    assert sorted(stored_nodes(settings.db_path)) == ["after", "at the fence", "before"]


def test_f16_a_record_that_came_after_the_last_look_is_stored_by_its_repetition(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the fenced segment was ended without it, the repeated record is the one that counts."""
    no_waits(monkeypatch)
    writer = writer_of(settings, doomed=True)
    writer.append(node_payload("r", "before"))
    segment, identity = writer._segment, writer._identity
    writer._segment = None  # it keeps its mapping: it is only suspended
    die(writer)
    drain_once(settings)  # taken for dead, read to its end, unlinked
    # Now it wakes up in the midst of its work.
    writer._segment, writer._identity = segment, None
    writer.append(node_payload("r", "woken"))
    assert identity is not None
    assert writer.writer_id != identity.writer_id
    drain_once(settings)
    assert stored_nodes(settings.db_path) == ["before", "woken"]


def test_f16_a_repetition_that_is_too_late_again_is_repeated(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken for dead a second time before it has repeated its record: it is in the third segment, twice wrapped."""
    no_waits(monkeypatch)
    writer.append(node_payload("r", "before"))
    kind, appended = type(writer._segment), 0
    append = kind.append
    monkeypatch.setattr(Writers, "is_alive", lambda *_: appended > 2)
    with owning(settings) as owner:

        def look_away() -> None:
            owner.drain()
            owner.tend()
            owner.drain()

        def append_late(segment: Any, payload: bytes) -> Any:
            nonlocal appended
            appended += 1
            if appended <= 2:
                look_away()  # gives this segment up, and ends it
            return append(segment, payload)

        monkeypatch.setattr(kind, "append", append_late)
        assert writer.append(node_payload("r", "woken"))
        assert appended == 3
        writer.seal()
        owner.drain()
    assert stored_nodes(settings.db_path) == ["before", "woken"]


def test_f16_a_definition_at_the_fence_is_repeated_too(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A definition that meets the fence is in the new segment before the record that uses it."""
    no_waits(monkeypatch)
    writer.append(b"first")
    fence_all(settings)
    index = writer.definitions.intern(lambda i: b"\x92\x63%d" % i)
    assert writer.append(b"user", index)
    new = readers(settings)[-1].read(layout.HEADER_BYTES, MIB).frames
    assert [payload for _, payload in new][-2:] == [b"\x92\x63%d" % index, b"user"]


def test_force_flush_waits_for_what_lies_in_a_fenced_segment(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """is_drained stays false until the fenced segment's own records are stored, too."""
    writer.append(node_payload("r", "before"))
    fence_all(settings)
    writer.append(node_payload("r", "at the fence"))
    assert not writer.is_drained()
    fenced = readers(settings)[0]
    newest = readers(settings)[-1]
    newest.set_drained(newest.header.capacity)
    assert not writer.is_drained()
    fenced.set_drained(fenced.header.capacity)
    assert writer.is_drained()


# ------------------------------------------------------------------ signals and threads


def test_f08_a_record_from_a_signal_handler_in_the_midst_of_an_append(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F8: a handler that writes while its own thread is appending neither deadlocks nor loses a record."""
    writer.append(b"before")
    segment: Any = writer._segment
    inner = segment.append
    nested: list[bool] = []

    def interrupted(payload: bytes) -> bool:
        monkeypatch.setattr(segment, "append", inner)
        signal.raise_signal(signal.SIGUSR1)
        return bool(inner(payload))

    handler = signal.signal(signal.SIGUSR1, lambda *_: nested.append(writer.append(b"nested")))
    try:
        monkeypatch.setattr(segment, "append", interrupted)
        assert writer.append(b"outer")
    finally:
        signal.signal(signal.SIGUSR1, handler)
    assert nested == [True]
    assert sorted(payloads(settings)) == [b"before", b"nested", b"outer"]
    assert not writer.is_drained()


def test_f08_the_locks_are_the_interpreters_own_where_threading_is_patched(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F8: in one that is Python code, as gevent's is, a handler may run between its taking and its owner's noting."""
    monkeypatch.setattr(threading, "RLock", threading._PyRLock)
    writer = writer_of(settings)
    writer.append(b"x")
    assert writer._bell is not None
    assert type(writer._lock) is type(writer._bell._closing) is _thread.RLock


def test_f08_a_nested_record_that_is_dropped_counts_for_the_process(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F8: force_flush hears of a drop, whichever of the process's segments refused the record."""
    writer.append(b"before")

    def refuse(*_: object) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer_module, "create", refuse)
    monkeypatch.setattr(writer, "_busy", True)
    assert not writer.append(b"nested")
    monkeypatch.setattr(writer, "_busy", False)
    assert writer.dropped == 1


def test_f08_sealing_from_a_signal_handler_leaves_the_append_whole(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F8: a SIGTERM handler that shuts down in the midst of an append takes nothing from under it."""
    writer.append(b"before")
    segment: Any = writer._segment
    inner = segment.append

    def interrupted(payload: bytes) -> bool:
        monkeypatch.setattr(segment, "append", inner)
        writer.seal()
        writer.release()
        return bool(inner(payload))

    monkeypatch.setattr(segment, "append", interrupted)
    assert writer.append(b"outer")
    assert payloads(settings) == [b"before", b"outer"]


def test_threads_lose_nothing(settings: Settings, writer: SpoolWriter) -> None:
    """Eight threads' records are all there, each whole, each thread's in its order."""

    def work(number: int) -> None:
        for index in range(300):
            writer.append(b"%d:%d:" % (number, index) + bytes(200))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [payload.split(b":")[:2] for payload in payloads(settings)]
    for number in range(8):
        assert [int(i) for n, i in found if int(n) == number] == list(range(300))


# ------------------------------------------------------------------ fork


def test_f05_a_forked_child_writes_to_a_segment_of_its_own(settings: Settings, writer: SpoolWriter) -> None:
    """F5: parent and child share neither identity nor file, and the union of both is whole."""
    index = writer.definitions.intern(lambda i: b"meaning %d" % i)
    writer.append(b"parent", index)
    pid = os.fork()
    if pid == 0:
        try:
            ok = writer.writer_id == b"" and writer.append(b"child", index) and writer.dropped == 0
            os._exit(0 if ok else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    writer.append(b"parent again", index)
    found = readers(settings)
    assert len({reader.header.writer_id for reader in found}) == 2
    meaning = b"meaning %d" % index
    assert sorted(payloads(settings)) == sorted([meaning, b"parent", b"parent again", meaning, b"child"])


def test_f07_a_fork_in_the_midst_of_an_append_leaves_the_child_free(
    settings: Settings, writer: SpoolWriter
) -> None:
    """F7: a child forked while the lock is held and an append under way writes at once."""
    writer.append(b"parent")
    with writer._lock:
        writer._busy = True
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(0 if writer.append(b"child") and not writer._nested else 1)
            finally:
                os._exit(2)
        writer._busy = False
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert sorted(payloads(settings)) == [b"child", b"parent"]


class ForkAt:
    """Forks once where a segment is made, as a signal handler may. Of the two, one goes on after the other."""

    def __init__(self, moment: str, *, child_first: bool, child_ends: bool) -> None:
        self.moment, self.child_first, self.child_ends = moment, child_first, child_ends
        self.child: int | None = None
        self._go_on, self._tell = os.pipe()

    def reach(self, moment: str) -> None:
        """In the place of `failpoints.reach`."""
        if moment != self.moment or self.child is not None:
            return
        self.child = os.fork()
        if self.child:
            if self.child_first:
                self.wait_for_child()
            return
        if not self.child_first:
            os.read(self._go_on, 1)
        if self.child_ends:
            raise SystemExit

    def wait_for_child(self) -> None:
        """Let it go on, and see it end well. Idempotent."""
        if self.child:
            os.write(self._tell, b"!")
            assert os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1]) == 0
            self.child = 0
            os.close(self._tell)
            os.close(self._go_on)


@pytest.mark.parametrize("child_ends", [True, False], ids=["child ends", "child goes on"])
@pytest.mark.parametrize("child_first", [True, False], ids=["child first", "parent first"])
@pytest.mark.parametrize("moment", APP)
def test_f07_a_segment_that_is_made_during_a_fork_is_the_parents(
    settings: Settings,
    writer: SpoolWriter,
    monkeypatch: pytest.MonkeyPatch,
    *,
    moment: str,
    child_first: bool,
    child_ends: bool,
) -> None:
    """F7: a signal handler forks amid `create`. The child's return into it changes no file of the parent's."""
    fork = ForkAt(moment, child_first=child_first, child_ends=child_ends)
    monkeypatch.setattr(segment_module, "reach", fork.reach)
    parent, safe = os.getpid(), False
    try:
        safe = writer.append(b"first") and writer.append(b"second")
    except SystemExit:
        safe = True
    finally:
        if os.getpid() != parent:
            os._exit(0 if safe and writer.dropped == 0 else 1)
    fork.wait_for_child()
    assert writer.append(b"third")
    assert writer.dropped == 0
    of_the_child = [] if child_ends else [b"first", b"second"]
    assert sorted(payloads(settings)) == sorted([b"first", b"second", b"third", *of_the_child])


def test_i3_a_child_that_gets_no_memory_for_its_mark_records_all_the_same(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I3: at its limit of memory no page can be mapped, whose wiping would tell of a fork at C level."""

    def no_memory(*_: object, **__: object) -> mmap.mmap:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    def child() -> None:
        assert writer.is_drained()
        assert writer.append(b"child")
        writer.release()
        assert writer.dropped == 0

    writer.append(b"parent")
    monkeypatch.setattr(mmap, "mmap", no_memory)
    assert in_child(child) == 0
    assert sorted(payloads(settings)) == [b"child", b"parent"]


def test_i3_a_hook_that_fails_after_a_fork_raises_nothing_and_skips_no_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I3: each of this process's writers forgets its parent's segment, whatever becomes of the others."""
    writers = [writer_of(settings) for _ in range(3)]
    for writer in writers:
        writer.append(b"parent")

    def fails() -> None:
        raise MemoryError

    def child() -> None:
        assert [writer.writer_id for writer in (writers[0], writers[2])] == [b"", b""]
        run_fork_hooks()

    monkeypatch.setattr(writers[1], "after_fork", fails)
    assert in_child(child) == 0


def ended_child(pid: int) -> list[int]:
    """Its exit code, once it has ended."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return [os.waitstatus_to_exitcode(status)] if found else []


def test_f07_a_fork_while_another_thread_opens_the_doorbell_again_leaves_the_child_free(
    settings: Settings, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F7: nobody in the child will give that thread's lock back."""
    writer.append(b"parent")
    bell = writer._bell
    assert bell is not None
    os.close(bell._fd)
    opening, go_on = threading.Event(), threading.Event()
    real = syscalls.make_fifo

    def slowly(path: Path) -> None:
        opening.set()
        go_on.wait()
        real(path)

    with monkeypatch.context() as patched:
        patched.setattr(syscalls, "make_fifo", slowly)
        thread = threading.Thread(target=bell.ring)
        thread.start()
        opening.wait()
        pid = os.fork()
    if pid == 0:
        os._exit(0 if writer.append(b"child") else 1)
    try:
        assert eventually(lambda: ended_child(pid), what="the child's end") == [0]
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        go_on.set()
        thread.join()
    assert sorted(payloads(settings)) == [b"child", b"parent"]


def test_after_fork_is_the_state_of_a_process_that_has_not_written(
    settings: Settings, writer: SpoolWriter, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever notices a fork that ran no hooks starts from nothing, without touching the parent's file."""
    writer.append(b"parent")
    before = {path: path.read_bytes() for path in SpoolDirectory(settings.spool_dir).segments()}
    pid = os.fork()
    if pid == 0:
        try:
            writer.after_fork()
            os._exit(0 if writer.writer_id == b"" and writer.is_drained() else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert {path: path.read_bytes() for path in before} == before
    caplog.set_level(logging.WARNING)
    writer.append(b"still alive")
    assert payloads(settings) == [b"parent", b"still alive"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux wipes pages on fork")
@pytest.mark.parametrize(
    "use",
    [
        lambda writer: writer.seal(),
        lambda writer: writer.release(),
        lambda writer: writer.is_drained(),
        lambda writer: writer.count_error(),
        lambda writer: writer.count_cut(),
        lambda writer: writer.ring(),
    ],
    ids=["seal", "release", "is_drained", "count_error", "count_cut", "ring"],
)
def test_f06_a_child_forked_at_c_level_does_nothing_to_its_parents_segment(
    settings: Settings, writer: SpoolWriter, use: Callable[[SpoolWriter], object]
) -> None:
    """F6: whatever it calls first, as at its exit, the parent goes on in its own segment."""

    def child() -> None:
        use(writer)
        assert writer.writer_id == b""
        assert writer.is_drained()

    def parent() -> None:
        writer.append(b"parent")
        (path,) = SpoolDirectory(settings.spool_dir).segments()
        before = path.read_bytes()
        assert in_child(child, fork=fork_at_c_level) == 0
        assert path.read_bytes() == before
        writer.append(b"parent again")
        assert SpoolDirectory(settings.spool_dir).segments() == [path]
        assert payloads(settings) == [b"parent", b"parent again"]

    assert in_child(parent) == 0


def test_i3_no_append_starts_a_thread(settings: Settings, writer: SpoolWriter) -> None:
    """Capture runs in the app's own threads only."""
    before = set(threading.enumerate())
    writer.append(b"x")
    assert set(threading.enumerate()) <= before, "others may end meanwhile"


def test_the_owner_rings_and_is_rung(settings: Settings, writer: SpoolWriter) -> None:
    """A sleeping owner is waked by the next record, and by that one only."""
    writer.append(node_payload("r", "a"))
    owner = Owner(settings)
    try:
        owner.step()
        owner.service._intake.sleep()
        owner.service._bell.wait(0)
        writer.append(node_payload("r", "b"))
        assert owner.service._bell.wait(5)
        writer.append(node_payload("r", "c"))
        assert not owner.service._bell.wait(0)
    finally:
        owner.close()
