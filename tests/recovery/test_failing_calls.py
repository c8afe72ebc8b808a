"""The N-th system call fails, for each N: what an application was told is stored or counted, and nothing twice.

F20, F23, F28: no space, a disk that errs, and whatever else the kernel may refuse at any step.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from inprocess import Owner, losses, no_waits, rows, settings_for
from support import eventually
from traced import Workers, injected, may_trace

from hush_otel.cli import audit
from hush_otel.config import Settings

pytestmark = pytest.mark.skipif(not may_trace(), reason="needs strace, and a system that allows ptrace")

ALL = os.environ.get("HUSH_TEST_FAULTS") == "all"
SPANS = 12
SIZES = {"count": SPANS, "size": 60_000}
"""Two segments and more: the first ones are left in the midst."""
OF_APPLICATIONS = ("open,openat", "fallocate", "ftruncate", "pwrite64", "mmap", "rename", "fchmod", "write")
OF_THE_BACKGROUND = (
    "openat",
    "pwrite64",
    "write",
    "ftruncate",
    "fsync,fdatasync",
    "unlink",
    "mmap",
    "fallocate",
)
ERRORS = ("ENOSPC", "EIO")
LATE = (150, 251)
"""Writes with which records are stored; the first ones make the database."""


EACH = 60
STRIDE = 7
"""A background process writes a page of the database a thousand times: of those that come later some will do."""


def failures(*few: int) -> Iterator[tuple[int, str]]:
    """Which call fails, and how: in `make faults` one N after the other with every error, else a few in turn."""
    if ALL:
        turns = itertools.chain(range(1, EACH), itertools.count(EACH, STRIDE))
        yield from ((turn, error) for turn in turns for error in ERRORS)
    yield from ((turn, ERRORS[turn % 2]) for turn in few)


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Processes of ours, for all tests of this module."""
    with Workers(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    no_waits(monkeypatch)


def sent(place: Path) -> Counter[str]:
    """Span ids in the file that is the destination, torn lines passed over."""
    found: Counter[str] = Counter()
    for line in (place / "sent.jsonl").read_text().splitlines() if (place / "sent.jsonl").exists() else ():
        try:
            groups = json.loads(line)["resourceSpans"]
        except ValueError:
            continue
        found.update(s["spanId"] for group in groups for scope in group["scopeSpans"] for s in scope["spans"])
    return found


def settled(place: Path) -> Settings:
    """The database after everything has been tried again, without a failure, and delivered."""
    settings = settings_for(place / "traces.db")
    owner = Owner(settings)

    def is_done() -> bool:
        owner.step()
        owner.tend()
        owner.connection.execute("UPDATE hush_deliveries SET next_attempt_at = 0 WHERE state = 'pending'")
        owner.connection.execute("UPDATE hush_destinations SET hold_until = 0")
        open_ones = "SELECT count(*) FROM deliveries WHERE state IN ('pending', 'sending')"
        idle = not list(settings.spool_dir.glob("*.seg"))
        return bool(idle and rows(settings.db_path, open_ones) == [(0,)])

    try:
        eventually(is_done, 30, what="everything stored and delivered", poll_s=0.001)
    finally:
        owner.close()
    return settings


def failing(names: str, turn: int, error: str) -> tuple[str, ...]:
    """Options of strace."""
    return "-e", f"trace={names}", "-e", f"inject={names}:error={error}:when={turn}"


@pytest.mark.parametrize("names", OF_APPLICATIONS)
def test_f20_an_application_whose_nth_call_fails_goes_on(
    tmp_path: Path, workers: Workers, names: str
) -> None:
    """Nothing is raised into it; each of its spans is stored or counted, by mapped memory and by writes."""
    done: set[str] = set()
    for turn, error, mode in ((*failure, mode) for failure in failures(1, 4) for mode in ("MAP", "WRITE")):
        if done == {"MAP", "WRITE"}:
            return
        place = tmp_path / f"{turn}-{error}-{mode}"
        place.mkdir()
        files = {"db": str(place / "traces.db"), "sent": str(place / "sent.jsonl")}
        said = workers.do("record", place / "log", failing(names, turn, error), mode=mode, **SIZES, **files)
        state = f"{names} {turn} {error} {mode}: {said}"
        assert said["left"] == 0, state
        settings = settled(place)
        found = [name for (name,) in rows(settings.db_path, "SELECT name FROM spans WHERE state = 'ended'")]
        assert len(found) == len(set(found)) == SPANS - said["dropped"], state
        assert sum(losses(settings.db_path).values()) == said["dropped"], state
        assert audit.collect(settings).balanced, state
        if not injected(place / "log"):
            done.add(mode)


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory, workers: Workers) -> Path:
    """A place with a spool that an application has left. A copy, `kept`, stands beside it."""
    place = tmp_path_factory.mktemp("left") / "place"
    place.mkdir()
    files = {"db": str(place / "traces.db"), "sent": str(place / "sent.jsonl")}
    assert workers.do("record", place.with_name("log"), mode="MAP", **SIZES, **files)["dropped"] == 0
    shutil.copytree(place, place.with_name("kept"), ignore=shutil.ignore_patterns("doorbell"))
    return place


@pytest.mark.parametrize("names", OF_THE_BACKGROUND)
def test_f23_a_background_process_whose_nth_call_fails_loses_nothing(
    left_behind: Path, workers: Workers, names: str
) -> None:
    """It goes on, or leaves and the next one does: rows once, a whole file, each span delivered."""
    place = left_behind
    for turn, error in failures(2, 7, *(LATE if names == "pwrite64" else ())):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(place.with_name("kept"), place)
        log = place / "log"
        # Where memory for a thread is refused, Python itself waits for that thread for ever.
        only = ("-P", str(place / "traces.db-shm")) if names == "mmap" else ()
        options = (*only, *failing(names, turn, error))
        said = workers.do(
            "store",
            log,
            options,
            db=str(place / "traces.db"),
            durability="full",
            idle_exit_s=0.05,
            checkpoint_pages=60,
        )
        state = f"{names} {turn} {error}: {said}"
        assert said["left"] in {0, 1}, state
        settings = settled(place)
        assert rows(settings.db_path, "PRAGMA integrity_check") == [("ok",)], state
        spans = rows(settings.db_path, "SELECT name, span_id FROM spans WHERE state = 'ended'")
        assert {name for name, _ in spans} == {f"n-{number}" for number in range(SPANS)}, state
        assert len(spans) == SPANS, state
        assert set(sent(place)) == {span_id for _, span_id in spans}, state
        assert losses(settings.db_path) == {}, state
        assert audit.collect(settings).balanced, state
        if not injected(log):
            return
