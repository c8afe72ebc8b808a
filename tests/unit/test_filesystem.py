"""What a directory's filesystem is trusted with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hush_otel.errors import ConfigError
from hush_otel.spool import filesystem
from hush_otel.spool.filesystem import Append, append_mode, filesystem_type


def pretend(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The machine's mount table says `kind` for every path."""
    monkeypatch.setattr(filesystem, "filesystem_type", lambda _path: kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "tmpfs"])
def test_a_filesystem_that_preallocates_is_mapped(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """ext4, xfs and tmpfs really reserve blocks, so records are stored through a mapping."""
    pretend(monkeypatch, kind)
    assert append_mode(Path("/x"), key="HUSH_SPOOL_DIR", force=False) is Append.MAP


@pytest.mark.parametrize("kind", ["btrfs", "zfs", "overlay", "apfs", ""])
def test_f21_any_other_local_filesystem_is_written(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """F21: where a full disk would be SIGBUS, or nothing is known, records go in by pwrite."""
    pretend(monkeypatch, kind)
    assert append_mode(Path("/x"), key="HUSH_SPOOL_DIR", force=False) is Append.WRITE


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuseblk", "ceph", "virtiofs"]
)
def test_a_remote_filesystem_is_refused_by_the_name_of_its_setting(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A network or FUSE filesystem is a ConfigError that names key, path and kind, unless forced."""
    pretend(monkeypatch, kind)
    with pytest.raises(
        ConfigError, match=rf"HUSH_SPOOL_DIR: /mnt/x lies on a {kind}.*HUSH_FORCE_FILESYSTEM=1"
    ):
        append_mode(Path("/mnt/x"), key="HUSH_SPOOL_DIR", force=False)
    assert append_mode(Path("/mnt/x"), key="HUSH_SPOOL_DIR", force=True) is Append.WRITE


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/mountinfo")
def test_the_type_comes_from_the_mount_table(tmp_path: Path) -> None:
    """A path's type is that of its mount; one that does not exist yet has its nearest parent's."""
    assert filesystem_type(Path("/proc")) == "proc"
    assert filesystem_type(Path("/proc/self/no/such/place")) == "proc"
    assert filesystem_type(tmp_path / "a" / "b") == filesystem_type(tmp_path) != ""


def test_another_system_knows_no_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mount table to read the type is unknown, which means writing."""
    monkeypatch.setattr(filesystem.sys, "platform", "darwin")
    assert filesystem_type(Path("/")) == ""
