"""What a directory's filesystem can be trusted with: mapping, writing, or nothing."""

from __future__ import annotations

import os
import sys
from enum import Enum
from pathlib import Path
from typing import Final

from hush_otel.errors import ConfigError

MAPPABLE: Final = frozenset({"ext4", "xfs", "tmpfs"})
"""posix_fallocate really reserves blocks there, so a store into a mapped page finds its space.
Elsewhere (btrfs, zfs, overlay, APFS, …) a full disk would be SIGBUS, which kills the app."""

REMOTE: Final = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "fuse",
    "ceph",
    "glusterfs",
    "lustre",
    "afs",
    "virtiofs",
    "vboxsf",
)
"""Neither POSIX locks nor a WAL database can be relied on there (sqlite.org/wal.html, section 1)."""


class Append(Enum):
    """How records get into a segment."""

    MAP = "mmap"
    WRITE = "pwrite"


def append_mode(path: Path, *, key: str, force: bool) -> Append:
    """How to append below `path`, whose nearest existing parent decides.

    Args:
        path: A directory that may not exist yet.
        key: The setting that chose the path, for the message.
        force: Use a remote filesystem all the same, by writing.

    Raises:
        ConfigError: The filesystem is a network or FUSE one, and `force` is off.
    """
    kind = filesystem_type(path)
    if kind.startswith(REMOTE) and not force:
        raise ConfigError(
            f"{key}: {path} lies on a {kind} filesystem, which cannot keep the promises of a local one",
            hint=f"point {key} to a local disk, or set HUSH_FORCE_FILESYSTEM=1",
        )
    return Append.MAP if kind in MAPPABLE else Append.WRITE


def filesystem_type(path: Path) -> str:
    """The type name from /proc/self/mountinfo, empty when unknown (proc(5))."""
    if sys.platform != "linux":
        return ""
    device = _device_of(path)
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(" - ")
        if before.split()[2] == device:
            return after.split()[0]
    return ""


def _device_of(path: Path) -> str:
    for candidate in (path, *path.parents):
        try:
            number = candidate.stat().st_dev
        except OSError:
            continue
        return f"{os.major(number)}:{os.minor(number)}"
    return ""
