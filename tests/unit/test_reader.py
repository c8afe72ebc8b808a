"""Reading segments: frames, damage told from "not yet", and finding the way back."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inprocess import closed_later, open_under

from hush_otel.errors import SpoolError
from hush_otel.spool import format as layout
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.filesystem import Append
from hush_otel.spool.format import HEADER_BYTES, NewerVersionError
from hush_otel.spool.reader import CHUNK_BYTES, SegmentReader, Stop
from hush_otel.spool.segment import Identity, MappedSegment, WrittenSegment, create

MIB = 1024 * 1024


class Bench:
    """One segment with its writer's and its reader's hands on it."""

    def __init__(self, path: Path, capacity: int = 64 * 1024) -> None:
        self.directory = SpoolDirectory(path / "s")
        self.directory.create()
        identity = Identity(self.directory, process_start=1)
        self.segment: MappedSegment | WrittenSegment = closed_later(
            create(self.directory, identity, 0, capacity, Append.WRITE)
        )
        identity.release()
        self.reader = closed_later(SegmentReader(self.segment.path))
        self.offsets: list[int] = []

    def append(self, *payloads: bytes) -> None:
        """Publish these, remembering where."""
        for payload in payloads:
            self.offsets.append(self.segment.offset)
            self.segment.append(payload)

    def poke(self, offset: int, data: bytes) -> None:
        """Overwrite bytes of the file."""
        with self.segment.path.open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def read(self, position: int = HEADER_BYTES, size: int = 16 * MIB) -> tuple[list[bytes], int, Stop]:
        """Payloads, position and stop of one read."""
        found = self.reader.read(position, size)
        return [payload for _, payload in found.frames], found.position, found.stop


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A segment of 64 KiB."""
    return Bench(tmp_path)


def test_an_empty_open_segment_has_nothing_yet(bench: Bench) -> None:
    """No frame, the first position, and more may come."""
    assert bench.read() == ([], HEADER_BYTES, Stop.OPEN)


def test_an_empty_sealed_segment_is_at_its_end(bench: Bench) -> None:
    """A writer that sealed without writing leaves nothing to wait for."""
    bench.segment.seal()
    assert bench.read() == ([], HEADER_BYTES, Stop.END)


def test_frames_come_in_order_from_any_frame_on(bench: Bench) -> None:
    """Reading from a frame's offset gives it and all after it, with their offsets."""
    bench.append(b"a", b"bb", b"ccc" * 100)
    found = bench.reader.read(bench.offsets[1], MIB)
    assert found.frames == [(bench.offsets[1], b"bb"), (bench.offsets[2], b"ccc" * 100)]
    assert found.position == bench.segment.offset
    assert found.stop is Stop.OPEN
    bench.segment.seal()
    assert bench.read(found.position) == ([], found.position, Stop.END)


def test_one_read_is_bounded(tmp_path: Path) -> None:
    """A read stops soon after `max_bytes` and says that there may be more."""
    bench = Bench(tmp_path, 8 * MIB)
    bench.append(*[bytes([1]) * 1000] * 6000)
    payloads, position, stop = bench.read(size=MIB)
    assert stop is Stop.LIMIT
    assert position < HEADER_BYTES + 2 * CHUNK_BYTES
    rest, _, stop = bench.read(position)
    assert len(payloads) + len(rest) == 6000
    assert stop is Stop.OPEN


@pytest.mark.parametrize("size", [CHUNK_BYTES - 16, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_a_frame_larger_than_a_chunk_is_read_whole(tmp_path: Path, size: int) -> None:
    """The reader's chunk size shows nowhere."""
    bench = Bench(tmp_path, 8 * MIB)
    large = os.urandom(size)
    bench.append(b"before", large, b"after")
    assert bench.read()[0] == [b"before", large, b"after"]


def test_a_segment_filled_to_its_last_byte_ends(tmp_path: Path) -> None:
    """When no word fits behind the last frame, reading stops there."""
    bench = Bench(tmp_path, 4096)
    bench.append(bytes(4096 - HEADER_BYTES - 8))
    assert bench.segment.offset == 4096
    assert bench.read()[1:] == (4096, Stop.OPEN)
    bench.segment.seal()
    assert bench.read()[1:] == (4096, Stop.END)


# ------------------------------------------------------------------ damage


def test_a_payload_without_its_word_is_not_published(bench: Bench) -> None:
    """The word is stored last: until then there is nothing."""
    bench.append(b"a")
    bench.poke(bench.segment.offset + 8, b"half a record")
    assert bench.read() == ([b"a"], bench.segment.offset, Stop.OPEN)


def test_a_word_without_its_payload_is_damage(bench: Bench) -> None:
    """On a machine that reorders stores the CRC says "not yet"."""
    bench.append(b"a", b"bbbb")
    bench.poke(bench.offsets[1] + 8, b"\0\0\0\0")
    assert bench.read() == ([b"a"], bench.offsets[1], Stop.DAMAGED)


def test_an_empty_word_below_the_seal_is_damage(bench: Bench) -> None:
    """What the writer said it wrote and is not there is lost, not "not yet"."""
    bench.append(b"a", b"b")
    bench.segment.seal()
    bench.poke(bench.offsets[0], bytes(8))
    assert bench.read() == ([], HEADER_BYTES, Stop.DAMAGED)


def test_garbage_behind_the_seal_is_no_damage(bench: Bench) -> None:
    """A record that a full disk refused may leave bytes behind the last frame."""
    bench.append(b"a")
    bench.segment.seal()
    bench.poke(bench.segment.offset, b"\xff" * 64)
    assert bench.read() == ([b"a"], bench.segment.offset, Stop.END)


def test_b12_a_length_bomb_is_refused_before_it_is_read(bench: Bench) -> None:
    """B12: a length beyond the segment or the largest record is damage; nothing of that size is allocated."""
    for length in (0xFFFFFFFF, 0x7FFFFFFF, 64 * 1024):
        bench.poke(HEADER_BYTES, struct.pack("<II", length, 1))
        assert bench.read() == ([], HEADER_BYTES, Stop.DAMAGED)


def test_a_length_of_zero_with_a_checksum_is_damage(bench: Bench) -> None:
    """No frame is empty."""
    bench.poke(HEADER_BYTES, struct.pack("<II", 0, 7))
    assert bench.read() == ([], HEADER_BYTES, Stop.DAMAGED)


def test_a_frame_moved_or_copied_is_no_frame(tmp_path: Path, bench: Bench) -> None:
    """The checksum ties a frame to its offset and its segment."""
    bench.append(b"a" * 24, b"b" * 24)
    data = bench.segment.path.read_bytes()
    size = bench.offsets[1] - bench.offsets[0]
    bench.poke(bench.offsets[1], data[bench.offsets[0] : bench.offsets[1]])
    assert bench.read()[1:] == (bench.offsets[1], Stop.DAMAGED)
    other = Bench(tmp_path / "other")
    other.append(b"c" * 24)
    other.poke(HEADER_BYTES, data[HEADER_BYTES : HEADER_BYTES + size])
    assert other.read()[1:] == (HEADER_BYTES, Stop.DAMAGED)


def test_resync_finds_the_next_whole_frame(bench: Bench) -> None:
    """Behind damage the next frame that its checksum confirms is where reading goes on."""
    bench.append(b"a" * 50, b"b" * 50, b"c" * 50)
    bench.poke(bench.offsets[0] + 20, b"\xff")
    assert bench.reader.resync(bench.offsets[0]) == bench.offsets[1]
    bench.poke(bench.offsets[1], os.urandom(40))
    assert bench.reader.resync(bench.offsets[0]) == bench.offsets[2]


def test_resync_without_a_frame_is_the_end(bench: Bench) -> None:
    """When nothing valid follows, it is the capacity."""
    bench.append(b"a")
    bench.poke(bench.offsets[0] + 8, b"x")
    assert bench.reader.resync(bench.offsets[0]) == bench.reader.header.capacity


def test_resync_finds_a_record_that_ends_in_zeros(bench: Bench) -> None:
    """A last frame whose payload is all zeros is found, too."""
    bench.append(b"a", bytes(40))
    bench.poke(bench.offsets[0] + 8, b"x")
    assert bench.reader.resync(bench.offsets[0]) == bench.offsets[1]


def test_f24_resync_is_bounded(tmp_path: Path) -> None:
    """F24: a segment full of words that look like long frames costs bounded time."""
    bench = Bench(tmp_path, 4 * MIB)
    words = struct.pack("<II", 2 * MIB, 1) * ((4 * MIB - HEADER_BYTES) // 8)
    bench.poke(HEADER_BYTES, words)
    assert bench.reader.resync(HEADER_BYTES) == 4 * MIB


def test_f22_a_truncated_segment_ends_instead_of_waiting(tmp_path: Path) -> None:
    """F22: what was cut off is damage once sealed, whether between frames or inside a large one."""
    for name, size in (("small", 100), ("large", 2 * CHUNK_BYTES)):
        bench = Bench(tmp_path / name, 4 * MIB)
        bench.append(b"a", os.urandom(size), b"c")
        bench.segment.seal()
        os.truncate(bench.segment.path, bench.offsets[1] + size // 2)
        payloads, position, stop = bench.read()
        assert (payloads, position, stop) == ([b"a"], bench.offsets[1], Stop.DAMAGED)
        end = bench.reader.resync(position)
        assert end == bench.reader.header.capacity
        assert bench.read(end) == ([], end, Stop.END)


@pytest.mark.parametrize("left", [0, 1, 7, 8, 9])
def test_f22_a_truncation_inside_a_word_does_not_hang(bench: Bench, left: int) -> None:
    """F22: however many bytes of a word are left, a read returns."""
    bench.append(b"a", b"bb")
    os.truncate(bench.segment.path, bench.offsets[1] + left)
    payloads, position, _ = bench.read()
    assert (payloads, position) == ([b"a"], bench.offsets[1])


def test_f22_a_truncated_segment_whose_header_is_damaged_ends_where_it_was_read(bench: Bench) -> None:
    """F22: its size is known by the file alone then, and more than that may have been read before."""
    bench.append(b"a", b"b" * 1000)
    os.truncate(bench.segment.path, bench.offsets[1])
    bench.poke(0, b"damage")
    reader = SegmentReader(bench.segment.path)
    assert reader.header.capacity < bench.segment.offset
    assert reader.resync(bench.segment.offset) == bench.segment.offset
    reader.close()


# ------------------------------------------------------------------ definitions


def test_definitions_are_what_lies_below_the_position(bench: Bench) -> None:
    """Reading again for definitions gives every payload before the position, and none after."""
    bench.append(b"a", b"b", b"c")
    assert list(bench.reader.definitions(bench.offsets[2])) == [b"a", b"b"]
    assert list(bench.reader.definitions(bench.segment.offset)) == [b"a", b"b", b"c"]
    assert not list(bench.reader.definitions(HEADER_BYTES))


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("damage", [bytes(32), b"\xff" * 32], ids=["zeros", "garbage"])
def test_definitions_behind_damage_are_found(bench: Bench, damage: bytes, sealed: bool) -> None:
    """Damage that was passed by once is passed by again."""
    bench.append(b"a", b"b" * 20, b"c", b"d")
    bench.poke(bench.offsets[1], damage[: bench.offsets[2] - bench.offsets[1]])
    if sealed:
        bench.segment.seal()
    assert list(bench.reader.definitions(bench.offsets[3])) == [b"a", b"c"]


# ------------------------------------------------------------------ what is refused


def test_f29_a_newer_segment_is_left_untouched(bench: Bench) -> None:
    """F29: a higher version is refused with the hint to upgrade, and not a byte is changed."""
    bench.poke(8, struct.pack("<II", 2, 7))
    before = bench.segment.path.read_bytes()
    with pytest.raises(NewerVersionError, match="upgrade hush-otel"):
        SegmentReader(bench.segment.path)
    assert bench.segment.path.read_bytes() == before


def test_what_is_no_segment_is_refused(tmp_path: Path, bench: Bench) -> None:
    """An empty file, a foreign one and a symlink are errors, and leak no descriptor."""
    empty = tmp_path / ("00" * 16 + ".seg")
    empty.touch()
    link = tmp_path / "link.seg"
    link.symlink_to(bench.segment.path)
    before = open_under(tmp_path)
    with pytest.raises(SpoolError, match="no segment"):
        SegmentReader(empty)
    with pytest.raises(OSError, match="symbolic"):
        SegmentReader(link)
    with pytest.raises(FileNotFoundError):
        SegmentReader(tmp_path / "gone.seg")
    assert open_under(tmp_path) == before


# ------------------------------------------------------------------ any bytes


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=20),
    st.integers(0, 2000),
    st.binary(min_size=1, max_size=40),
)
def test_f24_no_damage_invents_a_record(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes], at: int, garbage: bytes
) -> None:
    """F24: whatever is written over the frames, reading and resyncing gives only what was published."""
    bench = Bench(tmp_path_factory.mktemp("any"), 8192)
    bench.append(*payloads)
    bench.segment.seal()
    bench.poke(HEADER_BYTES + at, garbage)
    found, position, reads = [], HEADER_BYTES, 0
    while True:
        reads += 1
        assert reads <= 2 * len(payloads) + 2
        some, position, stop = bench.read(position)
        found += some
        if stop is Stop.END:
            break
        assert stop is Stop.DAMAGED
        position = bench.reader.resync(position)
    # What is left is a subsequence of what was written.
    remaining = iter(payloads)
    assert all(payload in remaining for payload in found)
    untouched = [
        payload
        for payload, offset in zip(payloads, bench.offsets, strict=True)
        if HEADER_BYTES + at + len(garbage) <= offset
        or offset + layout.frame_end(0, len(payload)) <= HEADER_BYTES + at
    ]
    assert len(found) >= len(untouched)
