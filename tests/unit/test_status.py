"""What the filesystem says about files, by our own calls and by Python's."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import eventually

from hush_otel.spool import status
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.filesystem import Append
from hush_otel.spool.format import MAX_SEGMENT_BYTES
from hush_otel.spool.writer import SpoolWriter

NEVER_S = 1000.0


@pytest.fixture(params=["our own calls", "Python's"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways, on every machine."""
    if request.param == "Python's":
        monkeypatch.setattr(status, "_fstat", None)
        monkeypatch.setattr(status, "_stat", None)


@pytest.mark.usefixtures("way")
def test_inode_of_tells_files_apart_and_a_closed_number(tmp_path: Path) -> None:
    """Device and inode as os.stat has them; None for a number that stands for nothing."""
    path = tmp_path / "a"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    found = path.stat()
    assert status.inode_of(fd) == status.inode_at(path) == (found.st_dev, found.st_ino)
    os.close(fd)
    assert status.inode_of(fd) is None
    assert status.inode_at(tmp_path / "nothing") is None


@pytest.mark.usefixtures("way")
def test_total_size_adds_up_the_files_with_the_suffix(tmp_path: Path) -> None:
    """Large ones, too; nothing for a directory that is not there."""
    (tmp_path / "one.seg").write_bytes(b"x" * 10)
    (tmp_path / "zwei-ä.seg").write_bytes(b"x" * 7)
    (tmp_path / "other.owner").write_bytes(b"x" * 99)
    (tmp_path / "gone.seg").symlink_to(tmp_path / "nothing")
    with (tmp_path / "large.seg").open("wb") as file:
        file.truncate(5 * 2**30)
    assert status.total_size(tmp_path, ".seg") == 17 + 5 * 2**30
    assert status.total_size(tmp_path / "nothing", ".seg") == 0


def test_exists_follows_links_and_takes_what_it_may_not_look_at_for_there(tmp_path: Path) -> None:
    """As Path.exists."""
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    assert status.exists(tmp_path / "file")
    assert not status.exists(tmp_path / "dangling")
    assert not status.exists(tmp_path / "nothing")
    assert not status.exists(tmp_path / "file" / "below")


@contextmanager
def waiting_thread() -> Iterator[list[None]]:
    """A thread that waits for the GIL and gives it up at once, as often as it is given up here."""
    before, stop, got = sys.getswitchinterval(), threading.Event(), list[None]()

    def wait() -> None:
        while not stop.is_set():
            got.append(None)
            time.sleep(0)

    thread = threading.Thread(target=wait, daemon=True)
    # It never asks for the GIL, however long this thread keeps it; nor does a collection here close files.
    sys.setswitchinterval(NEVER_S)
    gc.disable()
    thread.start()
    try:
        yield got
    finally:
        stop.set()
        gc.enable()
        sys.setswitchinterval(before)
        thread.join()


@pytest.mark.skipif(not status._stat, reason="an unknown machine: Python's own calls give the GIL up")
def test_a_roll_keeps_the_gil(tmp_path: Path) -> None:
    """Whoever gives it up beside a CPU-bound thread waits a switch interval for it: nobody gets it meanwhile."""
    writer = SpoolWriter(SpoolDirectory(tmp_path / "spool"), Append.MAP, 2**30, lambda: None)
    payload = b"\x91\x01" + b"x" * 60_000
    for _ in range(10):
        writer.append(payload)
    rolls = writer._ordinal
    with waiting_thread() as got:
        eventually(lambda: got, what="a thread that waits for the GIL")
        before = len(got)
        for _ in range(2 * MAX_SEGMENT_BYTES // len(payload)):
            writer.append(payload)
        after = len(got)
    writer.release()
    assert writer._ordinal >= rolls + 2
    assert after == before
