"""What a power loss may leave on a disk: a model of files whose pages reach it in any order until they are synced.

What was written before a sync that has returned is there. Of everything later each page of 4 KiB is in any state
that it has gone through since, or torn between two of them at a sector of 512 bytes. Names come and go in order, as
a journalling filesystem keeps them; a sync of a file keeps its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from traced import Call

PAGE_BYTES = 4096
SECTOR_BYTES = 512
_SYNCS = frozenset({"fsync", "fdatasync"})


@dataclass
class Written:
    """A file that is written by calls.

    Attributes:
        synced: What the disk has for certain.
        pending: Writes, and new sizes, since the last sync.
    """

    synced: bytearray = field(default_factory=bytearray)
    pending: list[Call] = field(default_factory=list)

    def sync(self, began: float) -> None:
        """What had been asked for by then is on the disk."""
        for call in self.pending:
            if call.began < began:
                _apply(self.synced, call, call.data, call.offset)
        self.pending = [call for call in self.pending if call.began >= began]

    def after_power_loss(self, fate: str, random: Random) -> bytes:
        """One of the states that it may be in."""
        image = bytearray(self.synced)
        pieces = [(call, *piece) for call in self.pending for piece in _pieces(call)]
        versions: dict[int, int] = {}
        for _, page, _, _ in pieces:
            versions[page] = versions.get(page, 0) + 1
        kept = {page: _choose(random, fate, count) for page, count in versions.items()}
        for call, page, data, offset in pieces:
            kept[page] -= 1
            if kept[page] >= 0:
                torn = fate == "some" and kept[page] == 0 and random.random() < 0.2
                _apply(image, call, data[: _sectors(random, data)] if torn else data, offset)
        return bytes(image)


def _apply(image: bytearray, call: Call, data: bytes, offset: int) -> None:
    if call.name == "ftruncate":
        image[:] = image[: call.offset].ljust(call.offset, b"\0")
        return
    if len(image) < offset + len(data):
        image.extend(bytes(offset + len(data) - len(image)))
    image[offset : offset + len(data)] = data


def _pieces(call: Call) -> Iterator[tuple[int, bytes, int]]:
    """A call, cut at the borders of pages: page, data, offset. A new size has a page of its own."""
    if call.name == "ftruncate":
        yield -1, b"", 0
    at = 0
    while at < len(call.data):
        offset = call.offset + at
        size = PAGE_BYTES - offset % PAGE_BYTES
        yield offset // PAGE_BYTES, call.data[at : at + size], offset
        at += size


FATES = ("none", "all", "some")
"""How much of what was not synced has reached the disk."""


def _choose(random: Random, fate: str, count: int) -> int:
    """How many of the versions of a page have come to pass."""
    return {"none": 0, "all": count}.get(fate, random.randint(0, count))


def _sectors(random: Random, data: bytes) -> int:
    return random.randrange(0, len(data) + 1, SECTOR_BYTES)


@dataclass
class Seen:
    """A file that is written through mapped memory, of which we have copies.

    Attributes:
        copies: The file, each with the Unix seconds at which it had been copied.
    """

    copies: list[tuple[float, bytes]] = field(default_factory=list)

    def after_power_loss(self, at: float, synced_at: float, fate: str, random: Random) -> bytes:
        """One of the states that it may be in, given the beginning of the last sync that has returned."""
        known = [bytes(len(self.copies[0][1])), *(copy for copied, copy in self.copies if copied <= at)]
        synced = sum(copied <= synced_at for copied, _ in self.copies)
        if not synced and random.random() < 0.2:
            return b""  # a name, without a block
        known = known[synced:]
        image = bytearray()
        for offset in range(0, len(known[-1]), PAGE_BYTES):
            page = known[_choose(random, fate, len(known) - 1)][offset : offset + PAGE_BYTES]
            image += page
        return bytes(image)


class Disk:
    """A recording of what processes have asked for, and what a power loss at some moment leaves of it."""

    def __init__(self, calls: Sequence[Call], seen: dict[str, Seen], written: Sequence[str]) -> None:
        """`written` and the keys of `seen` are the paths of the files that count."""
        self._calls = [call for call in calls if call.path in seen or call.path in written]
        self._seen = seen
        self._written = written

    @property
    def moments(self) -> list[float]:
        """When something changed."""
        return sorted({moment for call in self._calls for moment in (call.began, call.ended)})

    def syncs(self, path: str, at: float) -> list[float]:
        """The beginnings of the syncs of a file that have returned by then."""
        done = (call for call in self._calls if call.ended <= at and call.name in _SYNCS)
        return [call.began for call in done if call.path == path]

    def synced_copy(self, path: str, at: float) -> float:
        """When the last copy was made that a sync of the file has certainly put on the disk by then; or 0."""
        last = max(self.syncs(path, at), default=0.0)
        return max((copied for copied, _ in self._seen[path].copies if copied <= last), default=0.0)

    def unlinked(self, at: float) -> set[str]:
        """The names that were taken away by then."""
        return {call.path for call in self._calls if call.name == "unlink" and call.began <= at}

    def after_power_loss(self, at: float, random: Random) -> tuple[float, dict[str, bytes]]:
        """The files that are there, and up to when names were kept."""
        made = self._made()
        kept = [when for path, when in made.items() if self.syncs(path, at)]
        names_at = random.choice([at, max(kept, default=0.0), random.uniform(max(kept, default=at), at)])
        there = {path for path, when in made.items() if when <= names_at} - self.unlinked(names_at)
        one_for_all = random.choice([*FATES, ""])
        files = {
            path: self._file(path, at, one_for_all or random.choice(FATES), random) for path in sorted(there)
        }
        return names_at, files

    def _made(self) -> dict[str, float]:
        made: dict[str, float] = {path: seen.copies[0][0] for path, seen in self._seen.items()}
        for call in self._calls:
            made[call.path] = min(made.get(call.path, call.began), call.began)
        return made

    def _file(self, path: str, at: float, fate: str, random: Random) -> bytes:
        if path in self._seen:
            synced_at = max(self.syncs(path, at), default=0.0)
            return self._seen[path].after_power_loss(at, synced_at, fate, random)
        file = Written()
        for call in self._calls:
            if call.path != path or call.began > at:
                continue
            if call.name in _SYNCS:
                if call.ended <= at:
                    file.sync(call.began)
            elif call.name in {"write", "pwrite64", "ftruncate"}:
                file.pending.append(call)
        return file.after_power_loss(fate, random)
