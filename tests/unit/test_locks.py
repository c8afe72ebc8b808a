"""POSIX record locks: what one process, its children and the others see of them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from inprocess import settings_for

from hush_otel.background.service import elect
from hush_otel.errors import StoreError
from hush_otel.spool import locks
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.locks import LockFile, is_locked_elsewhere, lock_file


def in_child(ask: object) -> int:
    """The exit code of a forked child that runs `ask`, a callable giving a small int."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            code = int(ask())  # type: ignore[operator]
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def test_a_lock_keeps_another_process_out(tmp_path: Path) -> None:
    """While one process holds the lock, another's try fails; when it is given up, the try succeeds."""
    lock = LockFile(tmp_path / "lock")
    assert lock.try_lock()
    assert in_child(lambda: LockFile(lock.path).try_lock()) == 0
    lock.unlock()
    assert in_child(lambda: LockFile(lock.path).try_lock()) == 1


def test_taking_ones_own_lock_again_succeeds(tmp_path: Path) -> None:
    """A record lock belongs to the process: a second try in it succeeds and changes nothing."""
    lock = LockFile(tmp_path / "lock")
    assert lock.try_lock()
    assert lock.try_lock()
    assert in_child(lambda: LockFile(lock.path).holder() == os.getppid()) == 1


def test_a_forked_child_inherits_no_lock(tmp_path: Path) -> None:
    """The child of the holder does not hold the lock, and sees its parent as the holder."""
    lock = LockFile(tmp_path / "lock")
    lock.try_lock()
    assert in_child(lock.try_lock) == 0
    assert in_child(lambda: lock.holder() == os.getppid()) == 1


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    """A process that ends without unlocking leaves the lock free."""
    path = tmp_path / "lock"
    assert in_child(lambda: LockFile(path).try_lock()) == 1
    assert not is_locked_elsewhere(path)
    assert LockFile(path).try_lock()


def test_the_holder_is_named_without_acquiring(tmp_path: Path) -> None:
    """`holder` gives the other process's pid, and 0 when nobody else holds the lock."""
    lock = LockFile(tmp_path / "lock")
    assert lock.holder() == 0
    read, write = os.pipe()
    done_read, done_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        LockFile(lock.path).try_lock()
        os.write(write, b"!")
        os.read(done_read, 1)
        os._exit(0)
    os.read(read, 1)
    try:
        assert lock.holder() == pid
        assert is_locked_elsewhere(lock.path)
        assert not lock.try_lock()
    finally:
        os.write(done_write, b"!")
        os.waitpid(pid, 0)
        for fd in (read, write, done_read, done_write):
            os.close(fd)
    assert lock.holder() == 0


def test_bytes_of_one_file_are_locks_of_their_own(tmp_path: Path) -> None:
    """Holding byte 0 leaves byte 1 free."""
    lock = LockFile(tmp_path / "lock")
    lock.try_lock(0)
    assert in_child(lambda: LockFile(lock.path).try_lock(1)) == 1


def test_s01_s02_the_file_is_private_and_no_symlink(tmp_path: Path) -> None:
    """It is made 0600, and a symlink in its place is refused."""
    before = os.umask(0)
    try:
        lock = LockFile(tmp_path / "lock")
    finally:
        os.umask(before)
    assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600
    (tmp_path / "link").symlink_to(lock.path)
    with pytest.raises(OSError, match="symbolic"):
        LockFile(tmp_path / "link")


def test_one_lock_file_a_path_and_a_new_one_when_it_was_replaced(tmp_path: Path) -> None:
    """`lock_file` opens a path once in a process, until something else stands there."""
    path = tmp_path / "lock"
    first = lock_file(path)
    assert lock_file(path) is first
    path.unlink()
    second = lock_file(path)
    assert second is not first
    assert lock_file(path) is second
    os.close(first.fd)


def test_what_the_holder_says_about_itself_is_replaced_whole(tmp_path: Path) -> None:
    """A shorter text leaves nothing of a longer one; odd bytes are replaced, not raised."""
    lock = LockFile(tmp_path / "lock")
    lock.write_text("1.10.0 /usr/bin/python3.13")
    lock.write_text("2.0 x")
    assert lock.read_text() == "2.0 x"
    os.pwrite(lock.fd, b"\xff\xfe", 0)
    assert lock.read_text().startswith("\ufffd")


def test_a_missing_file_is_locked_by_nobody(tmp_path: Path) -> None:
    """Asking about a file that is gone gives False and makes none."""
    assert not is_locked_elsewhere(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_the_flock_layout_fits_this_platform() -> None:
    """The packed struct is as long as the kernel's."""
    assert locks._FLOCK.size in (24, 32)


def test_f28_a_lock_that_cannot_be_opened_is_a_clear_error(tmp_path: Path) -> None:
    """F28: whoever would own the database is told which file it is, and which setting names its place."""
    settings = settings_for(tmp_path / "t.db")
    directory = SpoolDirectory(settings.spool_dir)
    directory.create()
    directory.lock.symlink_to(directory.path / "elsewhere")
    with pytest.raises(StoreError, match=f"cannot open the lock {directory.lock}.*HUSH_SPOOL_DIR"):
        elect(settings)
