"""Segments in every state that a crash, a bad disk or a stranger leaves behind."""

from __future__ import annotations

import errno
import os
import sqlite3
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inprocess import (
    Owner,
    die,
    drain_once,
    left_open,
    losses,
    no_waits,
    node_payload,
    owning,
    rows,
    settings_for,
    stored_nodes,
    writer_of,
)
from support import eventually

from hush_otel import records
from hush_otel.background.retention import Retention
from hush_otel.codec import encode
from hush_otel.config import Settings
from hush_otel.errors import StoreError
from hush_otel.spool import format as layout
from hush_otel.spool import reader
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.reader import SegmentReader
from hush_otel.spool.writer import SpoolWriter
from hush_otel.store import positions

END_OF_TRACE = (1).to_bytes(16, "big")


class Wreck:
    """A writer with nodes a to e in one segment, and hands on the file."""

    def __init__(self, settings: Settings, *, doomed: bool = False, pad: int = 200) -> None:
        self.settings = settings
        self.writer: SpoolWriter = writer_of(settings, doomed=doomed)
        self.offsets: list[int] = []
        for name in "abcde":
            self.offsets.append(self.writer._segment.offset if self.writer._segment else layout.HEADER_BYTES)
            self.writer.append(node_payload("r", name, input_data="x" * pad))
        segment = self.writer._segment
        assert segment is not None
        self.path: Path = segment.path
        self.end: int = segment.offset

    def poke(self, offset: int, data: bytes) -> None:
        """Overwrite bytes."""
        with self.path.open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def flip(self, offset: int) -> None:
        """One bit."""
        with self.path.open("r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 4]))


def salvaged(settings: Settings) -> list[Path]:
    """What was kept of damage."""
    return sorted(SpoolDirectory(settings.spool_dir).salvage.glob("*"))


def gone(path: Path) -> bool:
    """Unlinked."""
    return not path.exists()


# ------------------------------------------------------------------ files that are no segments


@pytest.mark.parametrize(
    "content",
    [b"", b"HUSHSEG\0", bytes(4096), os.urandom(4096), b"\xff" * 300],
    ids=["0 bytes", "magic only", "zeros", "noise", "ones"],
)
def test_f03_a_file_that_is_no_segment_is_left_alone(settings: Settings, content: bytes) -> None:
    """F3, F24: it neither stops the drain nor is it touched; the segments beside it are read."""
    Wreck(settings)
    strange = SpoolDirectory(settings.spool_dir).segment(os.urandom(16))
    strange.write_bytes(content)
    drain_once(settings)
    assert stored_nodes(settings.db_path) == list("abcde")
    assert strange.read_bytes() == content


def test_a_name_that_is_no_id_is_left_alone(settings: Settings) -> None:
    """Whatever else lies in the directory stays."""
    Wreck(settings)
    for name in ("notes.seg", "x.owner", "y.tmp", ".seg", "README"):
        (settings.spool_dir / name).write_text("mine")
    drain_once(settings)
    assert stored_nodes(settings.db_path) == list("abcde")
    assert (settings.spool_dir / "notes.seg").read_text() == "mine"
    assert (settings.spool_dir / "README").read_text() == "mine"


def test_a_header_without_frames_is_an_empty_segment(settings: Settings) -> None:
    """A writer that died right after the rename leaves nothing, and its files go."""
    writer = writer_of(settings, doomed=True)
    writer._roll(100)
    path = next(iter(SpoolDirectory(settings.spool_dir).segments()))
    die(writer)
    drain_once(settings)
    assert gone(path)
    assert not SpoolDirectory(settings.spool_dir).owners()
    assert losses(settings.db_path) == {}


def test_f09_a_dead_writers_pid_that_lives_again_is_another_process(settings: Settings) -> None:
    """F9: two writers under one pid, of which one started later: the death of one ends its segment alone."""
    dead, living = Wreck(settings, doomed=True), Wreck(settings, pad=201)
    pids = {layout.unpack_header(wreck.path.read_bytes()[:256], "").pid for wreck in (dead, living)}
    assert pids == {os.getpid()}
    die(dead.writer)
    drain_fully(settings)
    assert gone(dead.path)
    assert not gone(living.path)
    assert sorted(stored_nodes(settings.db_path)) == sorted([*"abcde", *"abcde"])
    living.writer.append(node_payload("r", "f"))
    drain_once(settings)
    assert stored_nodes(settings.db_path)[-1] == "f"


def test_f03_temporaries_of_the_dead_are_removed_and_of_the_living_kept(settings: Settings) -> None:
    """F3: a segment whose making never finished goes once its writer is dead."""
    dead, living = Wreck(settings, doomed=True), Wreck(settings)
    directory = SpoolDirectory(settings.spool_dir)
    of_dead = directory.temporary(os.urandom(16), dead.writer.writer_id)
    of_living = directory.temporary(os.urandom(16), living.writer.writer_id)
    of_dead.touch()
    of_living.touch()
    die(dead.writer)
    drain_once(settings)
    assert gone(of_dead)
    assert of_living.exists()


def test_f29_a_newer_segment_stays_untouched(settings: Settings) -> None:
    """F29: what a newer version wrote is neither read nor changed nor removed."""
    wreck = Wreck(settings)
    wreck.poke(8, struct.pack("<II", 2, 7))
    before = wreck.path.read_bytes()
    drain_once(settings)
    assert wreck.path.read_bytes() == before
    assert stored_nodes(settings.db_path) == []


@pytest.mark.parametrize("dead", [True, False], ids=["dead", "sealed"])
@pytest.mark.parametrize("at", [0, 9, 12, 20, 40, 50, 60, 66, 80, 88], ids=str)
def test_f24_a_flipped_bit_in_a_header_costs_no_record(settings: Settings, at: int, dead: bool) -> None:
    """F24: the frames are known by the id in the file's name; the damage is counted and kept."""
    wreck = Wreck(settings, doomed=dead)
    if dead:
        die(wreck.writer)
    else:
        wreck.writer.seal()
    wreck.flip(at)
    drain_fully(settings)
    assert stored_nodes(settings.db_path) == list("abcde")
    assert losses(settings.db_path) == {"damaged": 1}
    assert [kept.stat().st_size for kept in salvaged(settings)] == [256]
    assert gone(wreck.path)


def test_f24_a_header_that_never_reached_the_disk_costs_no_record(settings: Settings) -> None:
    """F24: of zeros nothing is known but the name, and that suffices."""
    wreck = Wreck(settings, doomed=True)
    die(wreck.writer)
    wreck.poke(0, bytes(256))
    drain_fully(settings)
    assert stored_nodes(settings.db_path) == list("abcde")
    assert losses(settings.db_path) == {"damaged": 1}
    assert gone(wreck.path)


def test_f24_a_living_writer_goes_on_behind_a_damaged_header(settings: Settings) -> None:
    """F24: whether it is found alive or taken for dead, nothing is lost and nothing stored twice."""
    wreck = Wreck(settings)
    wreck.poke(32, bytes(24))  # writer and pid
    with owning(settings) as owner:
        owner.step()
        owner.tend()
        wreck.writer.append(node_payload("r", "f"))
        owner.step()
    wreck.writer.seal()
    drain_fully(settings)
    assert stored_nodes(settings.db_path) == list("abcdef")


@pytest.mark.parametrize("at", [112, 119, 128, 135, 150], ids=str)
def test_f24_a_flipped_bit_beside_the_headers_crc_costs_no_record(settings: Settings, at: int) -> None:
    """F24: a seal that lies outside is none, and a counter beyond belief counts nothing."""
    wreck = Wreck(settings, doomed=True)
    die(wreck.writer)
    wreck.poke(at, b"\x80")
    drain_fully(settings)
    assert stored_nodes(settings.db_path) == list("abcde")
    assert gone(wreck.path)


@pytest.mark.parametrize("at", [92, 95], ids=str)
def test_f24_a_flipped_bit_in_what_says_that_there_are_rules_hides_nothing(
    settings: Settings, at: int
) -> None:
    """F24: no CRC covers it. The first record is there, and is none of rules."""
    wreck = Wreck(settings, doomed=True)
    die(wreck.writer)
    wreck.flip(at)
    drain_fully(settings)
    assert stored_nodes(settings.db_path) == list("abcde")
    assert losses(settings.db_path) == {}


@pytest.mark.parametrize("bit", [8, 10, 16, 17], ids=str)
def test_f24_a_flipped_bit_that_looks_like_a_seal_ends_no_segment_of_a_living_writer(
    settings: Settings, bit: int
) -> None:
    """F24: wherever it seems to end, what is written afterwards is read; it ends with its writer."""
    wreck = Wreck(settings, doomed=True)
    wreck.poke(layout.SEALED_AT, (1 << bit).to_bytes(8, "little"))
    segment = wreck.writer._segment
    assert segment is not None
    with owning(settings) as owner:
        for name in "fgh":
            for _ in range(4):
                owner.step()
                owner.tend()
            segment.append(node_payload("r", name))
        owner.step()
    assert stored_nodes(settings.db_path) == list("abcdefgh")
    assert losses(settings.db_path) == {}
    die(wreck.writer)
    drain_fully(settings)
    assert stored_nodes(settings.db_path) == list("abcdefgh")
    assert gone(wreck.path)


def test_f24_a_sealed_segment_of_a_living_writer_ends_behind_damage(settings: Settings) -> None:
    """F24: also where its last frame is what is broken: there is something, and it is no frame."""
    wreck = Wreck(settings)
    wreck.writer.seal()
    wreck.flip(wreck.offsets[-1] + 60)
    drain_fully(settings)
    assert stored_nodes(settings.db_path) == list("abcd")
    assert losses(settings.db_path) == {"damaged": 1}
    assert gone(wreck.path)


# ------------------------------------------------------------------ torn tails


def tear_word(wreck: Wreck) -> None:
    """The word of the last frame was never published."""
    wreck.poke(wreck.offsets[-1], bytes(8))


def tear_payload(wreck: Wreck) -> None:
    """The word came to the disk and the end of the payload did not."""
    wreck.poke(wreck.end - 16, bytes(16))


@pytest.mark.parametrize("tear", [tear_word, tear_payload])
def test_a_torn_tail_of_a_living_writer_is_waited_for(
    settings: Settings, tear: Callable[[Wreck], None]
) -> None:
    """What is not whole yet may become so: nothing is skipped, and once whole it is read."""
    wreck = Wreck(settings)
    whole = wreck.path.read_bytes()
    tear(wreck)
    with owning(settings) as owner:
        for _ in range(3):
            owner.step()
        assert stored_nodes(settings.db_path) == list("abcd")
        wreck.poke(wreck.offsets[-1], whole[wreck.offsets[-1] : wreck.end])
        owner.step()
    assert stored_nodes(settings.db_path) == list("abcde")
    assert losses(settings.db_path) == {}


@pytest.mark.parametrize("tear", [tear_word, tear_payload])
def test_a_record_that_its_writer_finishes_and_seals_while_it_is_looked_at_is_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tear: Callable[[Wreck], None]
) -> None:
    """Half of it was there, then all of it and the seal: what has been read says nothing about what is there now."""
    wreck = Wreck(settings)
    whole = wreck.path.read_bytes()
    sealed = SegmentReader.sealed

    def sealed_in_the_meantime(one: SegmentReader) -> int:
        wreck.poke(wreck.offsets[-1], whole[wreck.offsets[-1] : wreck.end])
        wreck.writer.seal()
        return sealed(one)

    with owning(settings) as owner:
        wreck.flip(wreck.offsets[1] + 60)  # seen half written, long before
        owner.step()
        wreck.flip(wreck.offsets[1] + 60)
        tear(wreck)
        monkeypatch.setattr(SegmentReader, "sealed", sealed_in_the_meantime)
        owner.drain()
    assert sorted(stored_nodes(settings.db_path)) == list("abcde")
    assert losses(settings.db_path) == {}
    assert gone(wreck.path)


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_what_the_dead_have_left_waits_for_room(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, count: int, sealed: bool
) -> None:
    """While the database is as large as it may be only commands are read: what was not read has no end yet."""
    writer = writer_of(settings, doomed=True)
    for name in "abcde"[:count]:
        writer.append(node_payload("r", name))
    if sealed:
        writer.seal()
    die(writer)
    with owning(settings) as owner:
        monkeypatch.setattr(Retention, "is_full", lambda _: True)
        for _ in range(4):
            owner.step()
            owner.tend()
        monkeypatch.undo()
        no_waits(monkeypatch)
        owner.drain()
    assert stored_nodes(settings.db_path) == list("abcde"[:count])
    assert losses(settings.db_path) == {}


@pytest.mark.parametrize("tear", [tear_word, tear_payload])
def test_a_torn_tail_of_a_dead_writer_is_the_end(settings: Settings, tear: Callable[[Wreck], None]) -> None:
    """The record that was being written is all that is missing, and its bytes are kept when there are any."""
    wreck = Wreck(settings, doomed=True)
    die(wreck.writer)
    tear(wreck)
    drain_once(settings)
    assert stored_nodes(settings.db_path) == list("abcd")
    assert gone(wreck.path)
    assert rows(settings.db_path, "SELECT completed_by FROM requests") == [("owner_died",)]
    torn = tear is tear_payload
    assert losses(settings.db_path) == ({"damaged": 1} if torn else {})
    assert len(salvaged(settings)) == torn


# ------------------------------------------------------------------ damage in the midst


@pytest.mark.parametrize("dead", [True, False], ids=["dead", "sealed"])
@pytest.mark.parametrize("where", [0, 4, 8, 60], ids=["length", "check", "payload", "payload's midst"])
def test_f24_a_flipped_bit_costs_its_frame_only(settings: Settings, where: int, dead: bool) -> None:
    """F24: the frame is kept in salvage/ and counted with its bytes; everything around it is read."""
    wreck = Wreck(settings, doomed=dead)
    wreck.flip(wreck.offsets[1] + where)
    if dead:
        die(wreck.writer)
    else:
        wreck.writer.seal()
    drain_fully(settings)
    assert sorted(stored_nodes(settings.db_path)) == list("acde")
    assert rows(settings.db_path, "SELECT reason, count, bytes > 200 FROM hush_losses") == [("damaged", 1, 1)]
    (kept,) = salvaged(settings)
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert b"x" * 100 in kept.read_bytes()
    assert gone(wreck.path)


@pytest.mark.parametrize("dead", [True, False], ids=["dead", "sealed"])
def test_f24_a_zero_page_costs_what_lay_in_it(settings: Settings, dead: bool) -> None:
    """F24: a page that never reached the disk hides neither what came before nor what comes after it."""
    wreck = Wreck(settings, doomed=dead, pad=2000)
    if dead:
        die(wreck.writer)
    else:
        wreck.writer.seal()
    wreck.poke(4096, bytes(4096))
    drain_fully(settings)
    lost = {
        name
        for name, start, end in zip("abcde", wreck.offsets, [*wreck.offsets[1:], wreck.end], strict=True)
        if start < 8192 and end > 4096
    }
    assert set(stored_nodes(settings.db_path)) == set("abcde") - lost
    assert len(stored_nodes(settings.db_path)) == 5 - len(lost)
    assert losses(settings.db_path) == {"damaged": 1}
    assert gone(wreck.path)


def test_b12_a_length_bomb_costs_its_frame_only(settings: Settings) -> None:
    """B12: a length of 4 GiB allocates nothing, and the next frame is found."""
    wreck = Wreck(settings)
    wreck.poke(wreck.offsets[1], struct.pack("<I", 0xFFFFFFFF))
    wreck.writer.seal()
    drain_fully(settings)
    assert sorted(stored_nodes(settings.db_path)) == list("acde")


@pytest.mark.parametrize("start", range(0, 1288, 184))
def test_f24_garbage_at_any_offset_hangs_nothing_and_invents_nothing(settings: Settings, start: int) -> None:
    """F24: eight bytes of noise at sampled multiples of 8: at most the frames that they touch are lost."""
    for step in range(0, 184, 24):
        place = settings_for(settings.db_path.with_name(f"{start + step}.db"))
        wreck = Wreck(place)
        at = layout.HEADER_BYTES + start + step
        wreck.poke(at, b"\xa5\x5a\x11\xee\x77\x88\x99\x66")
        wreck.writer.seal()
        drain_fully(place)
        found = sorted(stored_nodes(place.db_path))
        assert set(found) <= set("abcde")
        assert len(found) == len(set(found)) >= 3
        assert gone(wreck.path)


@pytest.mark.parametrize("dead", [True, False], ids=["dead", "sealed"])
@pytest.mark.parametrize("left", [0, 200, 256, 260, 700], ids=str)
def test_f22_a_truncated_segment_ends(settings: Settings, left: int, dead: bool) -> None:
    """F22: what was cut off is lost and counted; the rest is read; nothing waits for it for ever."""
    wreck = Wreck(settings, doomed=dead)
    if dead:
        die(wreck.writer)
    else:
        wreck.writer.seal()
    os.truncate(wreck.path, left)
    drain_fully(settings)
    whole = [name for name, end in zip("abcde", [*wreck.offsets[1:], wreck.end], strict=True) if end <= left]
    assert stored_nodes(settings.db_path) == whole
    if left >= 256:
        assert gone(wreck.path)
        assert losses(settings.db_path) == {"damaged": 1}
    with owning(settings) as owner:
        assert eventually(lambda: owner.step() > 0)  # it has indexed what it has found
        for _ in range(5):
            assert owner.step() > 0 or owner.step() > 0


def test_f22_a_segment_replaced_by_another_is_no_mixture(settings: Settings) -> None:
    """F22: a file swapped for another segment's content under the reader invents no record."""
    one, other = Wreck(settings), Wreck(settings, pad=201)
    with owning(settings) as owner:
        owner.step()
        swapped = other.path.read_bytes()[256:]
        one.poke(256, swapped)
        one.writer.append(node_payload("r", "f"))
        for _ in range(3):
            owner.step()
    assert sorted(stored_nodes(settings.db_path)) == sorted([*"abcde", *"abcde", "f"])


def test_a_lost_definition_costs_the_origin_not_the_span(settings: Settings) -> None:
    """A span whose resource was damaged is stored without it, and that is counted."""
    writer = writer_of(settings)
    index = writer.definitions.intern(
        lambda i: encode((records.ORIGIN, i, {"service.name": "s"}, "", "t", "", "", {}, []))[0]
    )
    span = (records.END, index, END_OF_TRACE, b"s" * 8, None, 257, "span", 1, 1, 2, 0, None, {}, None)
    writer.append(encode(span)[0], index)
    segment = writer._segment
    assert segment is not None
    with segment.path.open("r+b") as file:
        file.seek(layout.HEADER_BYTES + 12)
        file.write(b"\xff")
    writer.seal()
    drain_fully(settings)
    assert rows(settings.db_path, "SELECT name, resource FROM spans") == [("span", "{}")]
    assert losses(settings.db_path) == {"damaged": 1, "origin_lost": 1}


def test_a_record_of_no_known_shape_is_counted(settings: Settings) -> None:
    """A whole frame that is no record costs itself only."""
    writer = writer_of(settings)
    for payload in (node_payload("r", "a"), b"\x92\x06\xc0", b"\xc1", b"\x93\x63new", node_payload("r", "b")):
        writer.append(payload)
    drain_fully(settings)
    assert stored_nodes(settings.db_path) == ["a", "b"]
    assert losses(settings.db_path)["undecodable"] >= 2


# ------------------------------------------------------------------ a disk that does not give bytes back


class BadSector:
    """`os` for readers of segments: 512 bytes of a file cannot be read, and what reaches them ends there."""

    def __init__(self, path: Path, at: int) -> None:
        self._inode, self._at = path.stat().st_ino, at

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """As the kernel does it: an error only where nothing could be read."""
        if os.fstat(fd).st_ino == self._inode and offset < self._at + 512 and offset + size > self._at:
            if offset >= self._at:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            size = self._at - offset
        return os.pread(fd, size, offset)


@pytest.mark.parametrize("dead", [True, False], ids=["dead", "living"])
@pytest.mark.parametrize("at", [0, 1024], ids=["header", "frames"])
def test_f24_a_sector_that_cannot_be_read_holds_no_other_segment_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, at: int, dead: bool
) -> None:
    """F24: what lies before it is stored, the rest waits and is told of, and is stored once it can be read."""
    wreck, other = Wreck(settings, doomed=dead), writer_of(settings)
    other.append(node_payload("r", "other-1"))
    with owning(settings) as owner:
        owner.service._intake.discover()
        if dead:
            die(wreck.writer)
        monkeypatch.setattr(reader, "os", BadSector(wreck.path, at))
        for _ in range(3):
            owner.step()
            owner.tend()
        other.append(node_payload("r", "other-2"))
        owner.step()
        assert owner.step() > 0, "it does not spin"
        before = [name for name in stored_nodes(settings.db_path) if "other" not in name]
        assert before == (list("abc") if at else [])
        assert len(stored_nodes(settings.db_path)) == len(before) + 2
        assert owner.service._intake.stuck() == [wreck.path]
        with pytest.raises(StoreError, match="cannot be read; they stay there"):
            owner.drain()
        monkeypatch.setattr(reader, "os", os)
        for source in owner.service._intake.sources.values():
            source.wait_until = min(source.wait_until, time.monotonic())
        for _ in range(4):
            owner.drain()
            owner.tend()
        assert owner.service._intake.stuck() == []
    assert [name for name in stored_nodes(settings.db_path) if "other" not in name] == list("abcde")
    assert gone(wreck.path) == dead
    assert losses(settings.db_path) == {}


@pytest.mark.parametrize("call", ["set_sleeping", "fence", "set_drained"])
def test_f24_a_header_that_cannot_be_written_holds_no_other_segment_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """F24: its writer is not told, or not buried: that is tried again."""
    wreck, other = Wreck(settings, doomed=True), writer_of(settings)
    die(wreck.writer)

    def refuse(one: SegmentReader, *_: object) -> None:
        if one.path == wreck.path:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with owning(settings) as owner:
        with monkeypatch.context() as patch:
            patch.setattr(SegmentReader, call, refuse)
            for name in "fgh":
                other.append(node_payload("r", name))
                owner.step()
                owner.service._intake.sleep()
                owner.tend()
            other.seal()
            owner.step()
            owner.tend()
        assert len(list(settings.spool_dir.glob("*.seg"))) <= 1
        for source in owner.service._intake.sources.values():
            source.wait_until = min(source.wait_until, time.monotonic())
        for _ in range(4):
            owner.drain()
            owner.tend()
    assert sorted(stored_nodes(settings.db_path)) == list("abcdefgh")
    assert gone(wreck.path)


def test_f24_a_damaged_header_that_cannot_be_read_again_holds_no_other_segment_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F24: it is to be kept in salvage/, when it can be read."""
    wreck, other = Wreck(settings), writer_of(settings)
    wreck.flip(40)
    other.append(node_payload("r", "other"))

    def refuse(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with owning(settings) as owner:
        with monkeypatch.context() as patch:
            patch.setattr(SegmentReader, "raw", refuse)
            owner.step()
        assert "other" in stored_nodes(settings.db_path)
        owner.step()
    assert losses(settings.db_path) == {"damaged": 1}


@pytest.mark.parametrize("damaged", [True, False])
def test_a_segment_that_cannot_be_opened_again_and_again_costs_no_descriptors(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    """Each look tries it anew: a day of that must not use up what this process may open."""
    wreck = Wreck(settings)
    if damaged:
        wreck.flip(0)
    with owning(settings) as owner:
        monkeypatch.setattr(reader, "os", BadSector(wreck.path, 512 if damaged else 0))
        before = left_open(settings)
        for _ in range(5):
            owner.step()
        assert left_open(settings) == before
        monkeypatch.setattr(reader, "os", os)
        owner.step()
    assert stored_nodes(settings.db_path) == list("abcde")


def test_a_segment_of_which_the_database_does_not_tell_costs_no_descriptors(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locked, it does not say how far the segment is stored: that is asked twice a second."""
    with owning(settings) as owner:
        owner.step()
        Wreck(settings)
        before = left_open(settings)

        def locked(*_: object) -> None:
            raise sqlite3.OperationalError("database is locked")

        with monkeypatch.context() as patch:
            patch.setattr(positions, "find", locked)
            for _ in range(5):
                owner.step()
            assert left_open(settings) == before
        owner.step()
    assert stored_nodes(settings.db_path) == list("abcde")


def test_i4_drops_that_cannot_be_read_give_no_record_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4: they are counted, and the records stored, once the header can be read."""
    wreck = Wreck(settings)
    segment = wreck.writer._segment
    assert segment is not None
    segment.count_drop("quota", 2)

    def refuse(_: SegmentReader) -> dict[str, int]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with owning(settings) as owner:
        with monkeypatch.context() as patch:
            patch.setattr(SegmentReader, "drops", refuse)
            owner.step()
        for source in owner.service._intake.sources.values():
            source.wait_until = min(source.wait_until, time.monotonic())
        owner.step()
    assert stored_nodes(settings.db_path) == list("abcde")
    assert losses(settings.db_path) == {"quota": 2}


def drain_fully(settings: Settings) -> None:
    """One owner until the spool holds only what living writers have open."""
    with owning(settings) as owner:
        for _ in range(6):
            owner.drain()
            owner.tend()


# ------------------------------------------------------------------ restarts


def test_f11_a_crash_between_commit_and_header_reads_nothing_twice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F11: the position in the database counts, and the header is put right by the next owner."""
    wreck = Wreck(settings)
    owner = Owner(settings)
    (source,) = _discovered(owner)
    monkeypatch.setattr(source.reader, "set_drained", lambda _position: None)
    owner.step()
    assert not wreck.writer.is_drained()
    owner.crash()
    with owning(settings) as again:
        again.step()
        assert wreck.writer.is_drained()
    assert stored_nodes(settings.db_path) == list("abcde")
    assert losses(settings.db_path) == {}


def _discovered(owner: Owner) -> list[object]:
    owner.service._intake.discover()
    return list(owner.service._intake.sources.values())  # type: ignore[arg-type]


def test_a_restart_in_the_midst_of_a_segment_keeps_the_origins(settings: Settings) -> None:
    """A new owner reads the definitions below its position again: later spans have their resource."""
    writer = writer_of(settings)

    def span(number: int) -> None:
        index = writer.definitions.intern(
            lambda i: encode((records.ORIGIN, i, {"service.name": "s"}, "", "t", "", "", {}, []))[0]
        )
        record = (
            records.END, index, END_OF_TRACE, number.to_bytes(8, "big"), None, 257, f"s{number}",
            1, 1, 2, 0, None, {}, None,
        )  # fmt: skip
        writer.append(encode(record)[0], index)

    for number in range(1, 4):
        span(number)
        owner = Owner(settings)
        owner.step()
        owner.crash()
    assert rows(settings.db_path, "SELECT count(*), count(DISTINCT resource), min(resource) FROM spans") == [
        (3, 1, '{"service.name":"s"}')
    ]
    assert losses(settings.db_path) == {}


def test_f11_an_ended_segment_that_was_not_unlinked_is_not_read_again(settings: Settings) -> None:
    """F11: a crash after the commit and before the unlink leaves a file that only has to go."""
    wreck = Wreck(settings)
    wreck.writer.seal()
    owner = Owner(settings)
    owner.service._drain.step()
    owner.crash()
    assert wreck.path.exists()
    drain_once(settings)
    assert gone(wreck.path)
    assert stored_nodes(settings.db_path) == list("abcde")


def test_f17_everything_dead_then_one_drain(settings: Settings) -> None:
    """F17: many dead writers, each with something open; one pass stores it all and leaves an empty spool."""
    for _ in range(5):
        die(Wreck(settings, doomed=True).writer)
    report = drain_once(settings)
    assert (report.spans, len(stored_nodes(settings.db_path))) == (25, 25)
    directory = SpoolDirectory(settings.spool_dir)
    assert not directory.segments()
    assert not directory.owners()
    assert rows(settings.db_path, "SELECT DISTINCT completed_by FROM requests") == [("owner_died",)]


def test_f35_spans_open_at_the_death_of_their_process_are_interrupted(settings: Settings) -> None:
    """F35: by the whole way: started, died, fenced, ended, interrupted, complete."""
    writer = writer_of(settings, doomed=True)
    index = writer.definitions.intern(lambda i: encode((records.ORIGIN, i, {}, "", "t", "", "", {}, []))[0])
    writer.append(
        encode((records.START, index, END_OF_TRACE, b"s" * 8, None, 257, "open", 1, 1, {}))[0], index
    )
    die(writer)
    drain_once(settings)
    assert rows(settings.db_path, "SELECT name, state, status_code FROM spans") == [
        ("open", "interrupted", "ERROR")
    ]
    assert rows(settings.db_path, "SELECT status, completed_by FROM requests") == [("stored", "owner_died")]


def test_i4_drops_are_counted_once_across_restarts(settings: Settings) -> None:
    """I4: the counters of a header that lives on are added to the ledger once, by whichever owner."""
    wreck = Wreck(settings)
    segment = wreck.writer._segment
    assert segment is not None
    for round_ in range(3):
        segment.count_drop("quota", 2)
        with owning(settings) as owner:
            for _ in range(3):
                owner.step()
        assert losses(settings.db_path) == {"quota": 2 * (round_ + 1)}
