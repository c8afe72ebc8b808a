"""A segment in its writer's hands, both ways of appending, seen by an independent reading of FORMAT.md."""

from __future__ import annotations

import errno
import gc
import os
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest
from inprocess import closed_later, open_under

from hush_otel.spool import format as layout
from hush_otel.spool import syscalls
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.doorbell import Doorbell
from hush_otel.spool.filesystem import Append
from hush_otel.spool.locks import OWNER_BYTE, LockFile
from hush_otel.spool.reader import SegmentReader, Stop
from hush_otel.spool.segment import (
    Identity,
    MappedSegment,
    SegmentLost,
    WrittenSegment,
    create,
    own_ids,
)
from hush_otel.spool.status import inode_of

CAPACITY = 64 * 1024
Make = Callable[[], MappedSegment | WrittenSegment]


@pytest.fixture(params=list(Append), ids=lambda mode: mode.value)
def mode(request: pytest.FixtureRequest) -> Append:
    """Both ways in."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def identity(tmp_path: Path) -> Iterator[Identity]:
    """This process, in a fresh spool."""
    directory = SpoolDirectory(tmp_path / "t.db.spool")
    directory.create()
    identity = Identity(directory, process_start=99)
    yield identity
    identity.release()


@pytest.fixture
def make(tmp_path: Path, identity: Identity, mode: Append) -> Make:
    """Makes segments in that spool."""
    directory = SpoolDirectory(tmp_path / "t.db.spool")
    return lambda: closed_later(create(directory, identity, 5, CAPACITY, mode))


def frames_of(path: Path) -> list[bytes]:
    """The published payloads, by FORMAT.md alone."""
    data = path.read_bytes()
    seed, at, found = crc32(data[16:32]), 256, []
    while at + 8 <= len(data):
        length, check = struct.unpack_from("<II", data, at)
        if length == 0:
            break
        payload = data[at + 8 : at + 8 + length]
        assert crc32(payload) ^ ((seed + at * 0x9E3779B1) & 0xFFFFFFFF) == check
        found.append(payload)
        at += (8 + length + 7) & ~7
    return found


def test_a_new_segment_is_whole_before_it_is_in_view(make: Make, identity: Identity) -> None:
    """The file has its size, its header and its mode under its final name, and no temporary is left."""
    segment = make()
    data = segment.path.read_bytes()
    header = layout.unpack_header(data[:256], "x")
    assert len(data) == CAPACITY == header.capacity
    assert (header.ordinal, header.pid, header.process_start) == (5, os.getpid(), 99)
    assert (header.segment_id, header.writer_id) == (segment.id, identity.writer_id)
    assert segment.path.name == f"{segment.id.hex()}.seg"
    assert stat.S_IMODE(segment.path.stat().st_mode) == 0o600
    assert not list(segment.path.parent.glob("*.tmp"))


@pytest.mark.parametrize("length", [1, 7, 8, 9, 4095, 4096, 4097, 20_000])
def test_a_record_lies_as_format_md_says(make: Make, length: int) -> None:
    """Frames of every alignment, and above the size of one CRC piece, are read by the specification."""
    segment = make()
    payloads = [os.urandom(length), b"x", os.urandom(length)]
    for payload in payloads:
        assert segment.append(payload) is False
    assert frames_of(segment.path) == payloads


def test_both_modes_write_the_same_bytes(tmp_path: Path, identity: Identity) -> None:
    """A reader cannot tell how a segment was written."""
    directory = SpoolDirectory(tmp_path / "t.db.spool")
    found = []
    for mode in Append:
        segment = closed_later(create(directory, identity, 0, CAPACITY, mode))
        segment.append(b"one")
        segment.append(b"three")
        segment.seal()
        found.append((segment.offset, frames_of(segment.path)))
    assert found[0] == found[1]


def test_an_allocated_segment_has_its_blocks(tmp_path: Path, identity: Identity) -> None:
    """A mapped segment owns its space at once; a written one takes it as it grows."""
    directory = SpoolDirectory(tmp_path / "t.db.spool")
    segment = closed_later(create(directory, identity, 0, CAPACITY, Append.MAP))
    assert segment.path.stat().st_blocks * 512 >= CAPACITY


def test_sealing_says_where_the_last_frame_ended(make: Make) -> None:
    """`sealed` is the offset after the last frame."""
    segment = make()
    segment.append(b"12345")
    segment.seal()
    assert (
        struct.unpack_from("<Q", segment.path.read_bytes(), layout.SEALED_AT) == (segment.offset,) == (272,)
    )


def test_attention_is_seen_by_the_next_append(make: Make) -> None:
    """A sleeper's request shows once and is cleared; a fence stays."""
    segment = make()
    with segment.path.open("r+b") as file:
        file.seek(layout.SLEEPING_AT)
        file.write(b"\1\0\0\0")
        file.flush()
        assert segment.append(b"x") is True
        assert segment.attend() == (True, False)
        assert segment.append(b"x") is False
        file.seek(layout.FENCED_AT)
        file.write(b"\1\0\0\0")
        file.flush()
    assert segment.append(b"x") is True
    assert segment.attend() == (False, True)
    assert segment.append(b"x") is True
    assert frames_of(segment.path) == [b"x"] * 4


def test_the_readers_position_is_seen(make: Make) -> None:
    """What the background process writes as drained is what the writer reads."""
    segment = make()
    assert segment.drained_upto() == 0
    with segment.path.open("r+b") as file:
        file.seek(layout.DRAINED_AT)
        file.write(struct.pack("<Q", 12345))
    assert segment.drained_upto() == 12345


def test_drop_counters_add_up_in_the_header(make: Make) -> None:
    """Each reason has a counter of its own."""
    segment = make()
    segment.count_drop("quota", 2)
    segment.count_drop("quota", 3)
    segment.count_drop("error", 1)
    assert layout.unpack_drops(segment.path.read_bytes()[:256]) == {"quota": 5, "error": 1}


def test_closing_twice_is_harmless(make: Make) -> None:
    """`close` is idempotent and leaves the file."""
    segment = make()
    segment.append(b"x")
    segment.close()
    segment.close()
    assert frames_of(segment.path) == [b"x"]


def test_f20_what_could_not_be_made_leaves_nothing(
    tmp_path: Path, identity: Identity, mode: Append, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F20: when the disk has no room for a segment, the partial file is unlinked and OSError says why."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    where, name = (syscalls, "allocate") if mode is Append.MAP else (os, "ftruncate")
    monkeypatch.setattr(where, name, full)
    before = open_under(tmp_path)
    with pytest.raises(OSError, match="No space left"):
        create(SpoolDirectory(tmp_path / "t.db.spool"), identity, 0, CAPACITY, mode)
    assert not list((tmp_path / "t.db.spool").glob("*.tmp"))
    assert not list((tmp_path / "t.db.spool").glob("*.seg"))
    assert open_under(tmp_path) == before


def test_f20_a_short_write_publishes_nothing(
    tmp_path: Path, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F20: when the disk fills up in the midst of a pwrite, the record is refused and the next may fit."""
    segment = closed_later(
        create(SpoolDirectory(tmp_path / "t.db.spool"), identity, 0, CAPACITY, Append.WRITE)
    )
    assert isinstance(segment, WrittenSegment)
    segment.append(b"first")
    real, offset = syscalls.pwrite, segment.offset
    with monkeypatch.context() as patched:
        patched.setattr(syscalls, "pwrite", lambda fd, data, at: real(fd, data[: len(data) // 2], at))
        with pytest.raises(OSError, match="No space left"):
            segment.append(b"a record that is cut in the midst")
    assert segment.offset == offset
    segment.append(b"second")
    segment.seal()
    found = closed_later(SegmentReader(segment.path)).read(layout.HEADER_BYTES, CAPACITY)
    assert [payload for _, payload in found.frames] == [b"first", b"second"]
    assert found.stop is Stop.END


def test_a_write_after_which_a_signal_handler_raises_keeps_its_place(
    tmp_path: Path, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is published may have been read: the next frame comes after it. What is not leaves no gap."""
    segment = closed_later(
        create(SpoolDirectory(tmp_path / "t.db.spool"), identity, 0, CAPACITY, Append.WRITE)
    )
    real = syscalls.pwrite

    def after(fd: int, data: bytes, at: int) -> int:
        real(fd, data, at)
        raise KeyboardInterrupt

    def before(*_: object) -> int:
        raise KeyboardInterrupt

    for interrupted in (after, before):
        with monkeypatch.context() as patched:
            patched.setattr(syscalls, "pwrite", interrupted)
            with pytest.raises(KeyboardInterrupt):
                segment.append(b"interrupted")
        segment.append(b"next")
    assert frames_of(segment.path) == [b"interrupted", b"next", b"next"]


def test_an_owner_file_has_its_name_only_once_it_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks in between finds no unlocked owner file, which would pass for a dead process's."""
    directory = SpoolDirectory(tmp_path / "t.db.spool")
    directory.create()
    seen: list[int] = []
    real = LockFile.try_lock

    def look(lock: LockFile, byte: int = OWNER_BYTE) -> bool:
        seen.append(len(directory.owners()) + len(directory.temporaries()))
        return real(lock, byte)

    monkeypatch.setattr(LockFile, "try_lock", look)
    identity = Identity(directory, process_start=1)
    assert seen == [0]
    assert [path.name for path in directory.path.iterdir()] == [f"{identity.writer_id.hex()}.owner"]
    identity.release()


def test_f20_a_drop_is_counted_though_the_header_cannot_be_written(
    tmp_path: Path, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F20: on a full copy-on-write filesystem even the counters are refused: nothing raises, none is lost."""
    segment = closed_later(
        create(SpoolDirectory(tmp_path / "t.db.spool"), identity, 0, CAPACITY, Append.WRITE)
    )
    assert isinstance(segment, WrittenSegment)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(syscalls, "pwrite", full)
        segment.count_drop("no_space", 2)
        segment.seal()
    segment.count_drop("no_space", 1)
    assert layout.unpack_drops(segment.path.read_bytes()[:256]) == {"no_space": 3}


def test_an_identity_lives_by_its_lock(tmp_path: Path) -> None:
    """The owner file is named by the writer id, private, and known as this process's own until released."""
    directory = SpoolDirectory(tmp_path / "t.db.spool")
    directory.create()
    identity = Identity(directory, process_start=1)
    path = directory.owner(identity.writer_id)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert identity.writer_id in own_ids
    identity.release()
    assert identity.writer_id not in own_ids
    assert path.exists()


@pytest.mark.parametrize("umask", [0, 0o077, 0o177, 0o777], ids=oct)
def test_s01_the_spool_and_what_it_lies_in_are_private(tmp_path: Path, umask: int) -> None:
    """S1: directories are made 0700 and files 0600 under any umask, missing parents included."""
    before = os.umask(umask)
    try:
        directory = SpoolDirectory(tmp_path / "home" / ".hush" / "t.db.spool")
        directory.create()
        identity = Identity(directory, process_start=1)
        segment = closed_later(create(directory, identity, 0, CAPACITY, Append.MAP))
        closed_later(Doorbell(directory.doorbell))
        os.close(LockFile(directory.lock).fd)
    finally:
        os.umask(before)
    for path in (directory.path, directory.path.parent, directory.path.parent.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    for path in (segment.path, directory.owner(identity.writer_id), directory.doorbell, directory.lock):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_s01_an_open_spool_directory_is_closed_to_others(tmp_path: Path) -> None:
    """A directory that others may read is made private when it is ours."""
    path = tmp_path / "t.db.spool"
    path.mkdir(mode=0o755)
    SpoolDirectory(path).create()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def take_over(ours: Path, own: Path) -> list[int]:
    """The app closes every descriptor of `ours`, and gets the same numbers for a file of its own."""
    status = ours.stat()
    own.write_bytes(b"the app's")
    fd = os.open(own, os.O_RDWR)
    numbers = [n for n in range(3, 1000) if inode_of(n) == (status.st_dev, status.st_ino)]
    for number in numbers:
        os.dup2(fd, number)
    os.close(fd)
    return numbers


def test_a2_closing_a_segment_closes_no_file_of_the_apps(
    identity: Identity, mode: Append, tmp_path: Path
) -> None:
    """A2: not the segment's number, nor one that is kept with the mapping, also not later."""
    segment = create(SpoolDirectory(tmp_path / "t.db.spool"), identity, 5, CAPACITY, mode)
    segment.append(b"before")
    path, own = segment.path, tmp_path / "app"
    numbers = take_over(path, own)
    segment.close()
    del segment
    gc.collect()
    status = own.stat()
    assert [inode_of(number) for number in numbers] == [(status.st_dev, status.st_ino)] * len(numbers)
    assert own.read_bytes() == b"the app's"
    assert frames_of(path) == [b"before"]
    for number in numbers:
        os.close(number)


def test_a2_a_written_segment_goes_on_by_another_descriptor(tmp_path: Path, identity: Identity) -> None:
    """A2: what is appended and sealed after the app took the number is in the segment, not in the app's file."""
    segment = closed_later(
        create(SpoolDirectory(tmp_path / "t.db.spool"), identity, 0, CAPACITY, Append.WRITE)
    )
    segment.append(b"before")
    numbers = take_over(segment.path, tmp_path / "app")
    segment.append(b"after")
    segment.seal()
    segment.close()
    assert (tmp_path / "app").read_bytes() == b"the app's"
    assert all(inode_of(number) for number in numbers)
    found = closed_later(SegmentReader(segment.path)).read(layout.HEADER_BYTES, CAPACITY)
    assert [payload for _, payload in found.frames] == [b"before", b"after"]
    assert found.stop is Stop.END
    for number in numbers:
        os.close(number)


@pytest.mark.parametrize("replaced", [False, True])
def test_a2_a_written_segment_without_its_file_is_lost(
    tmp_path: Path, identity: Identity, replaced: bool
) -> None:
    """A2: descriptor and file gone, or another file in its place: the writer hears it, nothing is touched."""
    segment = closed_later(
        create(SpoolDirectory(tmp_path / "t.db.spool"), identity, 0, CAPACITY, Append.WRITE)
    )
    numbers = take_over(segment.path, tmp_path / "app")
    segment.path.unlink()
    if replaced:
        segment.path.write_bytes(b"another")
    with pytest.raises(SegmentLost):
        segment.append(b"x")
    segment.seal()
    segment.close()
    assert not replaced or segment.path.read_bytes() == b"another"
    for number in numbers:
        os.close(number)


def test_a2_releasing_an_identity_closes_no_file_of_the_apps(tmp_path: Path, identity: Identity) -> None:
    """A2: an owner file's number that is the app's own by now is neither unlocked nor closed."""
    path = SpoolDirectory(tmp_path / "t.db.spool").owner(identity.writer_id)
    numbers = take_over(path, tmp_path / "app")
    identity.release()
    assert len(numbers) == 1
    assert os.pread(numbers[0], 100, 0) == b"the app's"
    os.close(numbers[0])
