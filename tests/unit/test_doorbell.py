"""The doorbell: it wakes, never blocks, and never kills."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hush_otel.spool import syscalls
from hush_otel.spool.doorbell import Doorbell


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the FIFO lies."""
    return tmp_path / "doorbell"


def test_a_ring_wakes_the_other_end(path: Path) -> None:
    """What one end rings, another one's wait sees, once."""
    sleeper, ringer = Doorbell(path), Doorbell(path)
    ringer.ring()
    assert sleeper.wait(5)
    assert not sleeper.wait(0)


def test_a_ring_before_the_sleep_is_not_lost(path: Path) -> None:
    """A ring while nobody waits ends the next wait at once; many rings are one."""
    bell = Doorbell(path)
    for _ in range(3):
        bell.ring()
    assert bell.wait(5)
    assert not bell.wait(0)


def test_a_sleeper_in_another_thread_wakes(path: Path) -> None:
    """A wait that is under way ends when the bell rings."""
    sleeper, ringer = Doorbell(path), Doorbell(path)
    woke = threading.Event()
    thread = threading.Thread(target=lambda: sleeper.wait(60) and woke.set())
    thread.start()
    ringer.ring()
    thread.join()
    assert woke.is_set()


def test_a_descriptor_above_1023_wakes_too(path: Path) -> None:
    """In an app with many connections the bell's descriptor is beyond what select(2) takes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard) if hard > 0 else 4096, hard))
    bell = Doorbell(path)
    low, bell._fd = bell._fd, fcntl.fcntl(bell._fd, fcntl.F_DUPFD_CLOEXEC, 1500)
    os.close(low)
    try:
        assert not bell.wait(0.001)
        bell.ring()
        assert bell.wait(5)
    finally:
        bell.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_full_fifo_does_not_block(path: Path) -> None:
    """Ringing without end while nobody listens returns each time."""
    bell = Doorbell(path)
    for _ in range(100_000):
        bell.ring()
    assert bell.wait(0)


def test_ringing_after_close_or_without_a_listener_is_harmless(path: Path) -> None:
    """Neither a closed end nor a missing reader raises or sends SIGPIPE."""
    bell = Doorbell(path)
    bell.ring()
    bell.close()
    bell.close()
    bell.ring()


def test_the_fifo_is_private(path: Path) -> None:
    """It is made 0600 whatever the umask lets through, and used again when it exists."""
    before = os.umask(0)
    try:
        Doorbell(path).close()
    finally:
        os.umask(before)
    status = path.stat()
    assert stat.S_ISFIFO(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o600
    Doorbell(path).close()


def test_a_regular_file_in_its_place_gives_way(path: Path) -> None:
    """A backup that was restored has made one of it."""
    path.write_bytes(b"")
    sleeper, ringer = Doorbell(path), Doorbell(path)
    ringer.ring()
    assert sleeper.wait(5)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("/dev/null")])
def test_something_else_in_its_place_is_let_be(path: Path, make: Callable[[Path], object]) -> None:
    """A directory or a symlink is not written to: there is no bell, and it says why."""
    make(path)
    before = path.lstat()
    bell = Doorbell(path)
    assert bell.refused
    bell.ring()
    assert not bell.wait(0)
    bell.close()
    assert path.lstat() == before


def test_without_a_fifo_it_is_silent_until_one_can_be_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither vfat nor some policies have any: it waits as long as it is told to, and everything goes on."""

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(syscalls, "make_fifo", refuse)
        bell = Doorbell(path)
        assert "Operation not permitted" in str(bell.refused)
        bell.ring()
        assert not bell.wait(0.001)
    bell.ring()
    assert bell.wait(5)
    bell.close()


def test_a2_a_number_that_is_the_apps_own_by_now_is_let_be(path: Path, tmp_path: Path) -> None:
    """A2: after the app closed our descriptor and got its number, we ring by another, and close only that."""
    bell, sleeper = Doorbell(path), Doorbell(path)
    number = bell._fd
    own = (tmp_path / "app").open("w+b", buffering=0)
    os.dup2(own.fileno(), number)
    try:
        bell.ring()
        assert sleeper.wait(5)
        assert bell._fd != number
        bell.ring()
        assert bell.wait(5)
        bell.close()
        assert os.fstat(number).st_ino == os.fstat(own.fileno()).st_ino
        assert (tmp_path / "app").read_bytes() == b""
    finally:
        os.close(number)
        own.close()


def test_a2_closing_a_bell_whose_number_is_the_apps_own_closes_nothing(path: Path, tmp_path: Path) -> None:
    """A2: a bell that is closed before it is rung again lets the app's file be, and opens nothing more."""
    bell = Doorbell(path)
    with (tmp_path / "app").open("w+b") as own:
        os.dup2(own.fileno(), bell._fd)
        number = bell._fd
        bell.close()
        bell.ring()
        assert os.fstat(number).st_ino == os.fstat(own.fileno()).st_ino
        os.close(number)


def test_a2_a_bell_that_cannot_be_opened_again_is_silent(path: Path) -> None:
    """A2: descriptor closed and FIFO replaced by something else: neither ring nor wait raises."""
    bell = Doorbell(path)
    os.close(bell._fd)
    path.unlink()
    path.mkdir()
    bell.ring()
    assert not bell.wait(0)
    assert path.is_dir()
    bell.close()
