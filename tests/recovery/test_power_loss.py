"""F25, power loss: whatever of the unsynced pages is lost, the levels of durability hold, and nothing is invented."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from disk import Disk, Seen
from inprocess import die, drain_once, losses, no_waits, node_payload, rows, settings_for, writer_of
from support import eventually
from traced import Workers, calls, may_trace, traced

from hush_otel.cli import audit
from hush_otel.config import Durability, Settings
from hush_otel.spool.filesystem import Append

pytestmark = pytest.mark.skipif(not may_trace(), reason="F25 needs strace, and a system that allows ptrace")

RECORDS = 60
STATES = 100 if os.environ.get("HUSH_TEST_FAULTS") == "all" else 12
"""Power losses for each level: `make faults` tries more."""


@dataclass
class Recording:
    """What an application, a background process and a reader have seen, moment by moment.

    Attributes:
        told: Record to the moment at which its append had returned, its segment and its content.
        visible: Moments, and what a reader had seen by then.
    """

    settings: Settings
    disk: Disk
    told: dict[str, tuple[float, str, str]] = field(default_factory=dict)
    visible: list[tuple[float, set[str]]] = field(default_factory=list)

    def must_survive(self, at: float, names_at: float, level: Durability) -> set[str]:
        """Rows that were synced, or committed where each commit is; segments that were synced; all of the unlinked."""
        log = self.disk.syncs(f"{self.settings.db_path}-wal", at)
        bound = at if level == "full" else max(log, default=0.0)
        seen = [names for moment, names in self.visible if moment <= bound]
        survive = set(seen[-1]) if seen else set()
        gone = self.disk.unlinked(names_at)
        for name, (moment, segment, _) in self.told.items():
            if segment in gone or moment <= self.disk.synced_copy(segment, at):
                survive.add(name)
        return survive


def content(random: Random) -> str:
    """Text that no other record has."""
    return random.randbytes(random.choice([200, 2_000, 9_000, 20_000])).hex()


def record(
    settings: Settings, workers: Workers, level: Durability, mode: Append, random: Random
) -> Recording:
    """Append beside a traced background process, looking at the files after each stretch; then all are killed."""
    log = settings.db_path.with_name("log")
    seen: dict[str, Seen] = {}
    recording = Recording(settings, Disk([], seen, []))
    writer = writer_of(settings, mode, doomed=True)

    def look() -> None:
        for path in settings.spool_dir.glob("*.seg"):
            try:
                copy = path.read_bytes()
            except FileNotFoundError:
                continue  # stored whole, and removed since it was listed
            seen.setdefault(str(path), Seen()).copies.append((time.time(), copy))
        if settings.db_path.exists():
            names = set(stored(settings.db_path))
            recording.visible.append((time.time(), names))

    # At `full` each commit is to be synced by itself, not by what is done once in a while.
    upkeep_s = 1.0 if level == "full" else 0.05
    pid = workers.begin(
        "store", db=str(settings.db_path), durability=level, upkeep_s=upkeep_s, checkpoint_pages=60
    )
    with traced(pid, log, "-e", "trace=openat,write,pwrite64,ftruncate,fsync,fdatasync,unlink"):
        for number in range(RECORDS):
            text = content(random)
            assert writer.append(node_payload(f"r{number % 7}", f"n{number}", input_data=text))
            assert writer._segment is not None
            recording.told[f"n{number}"] = (time.time(), str(writer._segment.path), digest(text))
            if number % 3 == 0:
                look()
            if number % 10 == 0:
                eventually(writer.is_drained, what="a stretch that is stored", poll_s=0.005)
                look()
                if level == "interval":  # by the clock: however fast this machine is, no segment ends before
                    path = str(writer._segment.path)
                    eventually(lambda path=path: is_synced(log, path), what="a segment that is synced")
        eventually(writer.is_drained, what="all that is stored", poll_s=0.005)
        eventually(lambda: len(list(settings.spool_dir.glob("*.seg"))) == 1, what="those that ended gone")
        look()
        os.kill(pid, signal.SIGKILL)
        assert workers.end() == {"left": -signal.SIGKILL}
    die(writer)
    assert losses(settings.db_path) == {}, "nothing has happened yet"
    recording.disk = Disk(calls(log), seen, [str(settings.db_path), f"{settings.db_path}-wal"])
    return recording


def is_synced(log: Path, path: str) -> bool:
    """Whether a file was synced, by what the tracer has written so far."""
    name = "".join(f"\\x{byte:02x}" for byte in os.fsencode(path)).encode()
    synced = re.compile(rb"f(?:data)?sync\(\d+<" + re.escape(name) + rb">\) += 0")
    return any(synced.search(part.read_bytes()) for part in log.parent.glob(f"{log.name}.*"))


def digest(text: str) -> str:
    """For comparing."""
    return hashlib.sha256(text.encode()).hexdigest()


def stored(db_path: Path) -> dict[str, str]:
    """Record to content; nothing when there is no schema yet."""
    try:
        return dict(rows(db_path, "SELECT node_name, input_data FROM node_traces"))
    except Exception as exc:
        if "no such table" in str(exc):
            return {}
        raise


def put_back(files: dict[str, bytes], settings: Settings, into: Path) -> Settings:
    """A machine that has started again with what its disk had. Owners' files are as good as any: nobody holds them."""
    again = settings_for(into / "traces.db")
    again.spool_dir.mkdir(parents=True, mode=0o700)
    for path, data in files.items():
        place = into / Path(path).relative_to(settings.db_path.parent)
        place.write_bytes(data)
        place.chmod(0o600)
    return again


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    """Processes of ours."""
    with Workers(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    ("level", "mode"), [("process", Append.WRITE), ("interval", Append.MAP), ("full", Append.WRITE)]
)
def test_f25_a_power_loss_takes_at_most_what_the_level_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: Workers, level: Durability, mode: Append
) -> None:
    """At many moments, each time with other pages lost: a whole database, rows that are exact, no debt unpaid."""
    no_waits(monkeypatch)
    recording = record(settings_for(tmp_path / "traces.db"), workers, level, mode, Random(level))
    moments = recording.disk.moments
    end = moments[-1]
    least = 1 if level == "process" else RECORDS // 2
    assert len(recording.must_survive(end, end, level)) >= least, "else it shows nothing"
    if level == "interval":
        *past, _ = dict.fromkeys(segment for _, segment, _ in recording.told.values())
        assert all(recording.disk.syncs(segment, end) for segment in past)
    for seed in range(STATES):
        random = Random(seed)
        at = random.choice(random.choice([moments, [moment for moment, _ in recording.visible]]))
        names_at, files = recording.disk.after_power_loss(at, random)
        again = put_back(files, recording.settings, tmp_path / str(seed))
        drain_once(again)
        found = stored(again.db_path)
        state = f"power loss {seed}"
        assert rows(again.db_path, "PRAGMA integrity_check") == [("ok",)], state
        assert recording.must_survive(at, names_at, level) - set(found) == set(), state
        exact = {name: told[2] for name, told in recording.told.items() if name in found}
        assert {name: digest(text) for name, text in found.items()} == exact, state
        assert len(found) == rows(again.db_path, "SELECT count(*) FROM node_traces")[0][0], state
        assert audit.collect(again).balanced, state
