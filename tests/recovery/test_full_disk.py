"""Real disks without a byte left: what records goes on, and so does what deletes, which has to write first."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RETENTION = Path(__file__).with_name("full_disk.py")
SPOOL = Path(__file__).with_name("small_disk.py")


def may_mount() -> bool:
    """Whether this machine lets us mount a filesystem in a namespace of our own."""
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(
        ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False, capture_output=True
    )
    return tried.returncode == 0


def found_by(program: Path, directory: Path) -> Any:
    """What it says of a disk of its own, mounted in or over this directory."""
    said = subprocess.run(
        ["unshare", "-Urm", sys.executable, str(program), str(directory)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(said.stdout.splitlines()[-1])


pytestmark = pytest.mark.skipif(
    not may_mount(), reason="no filesystem can be mounted here: needs unshare -Urm"
)


def test_f20_an_application_on_a_full_disk_lives_and_counts_its_drops(tmp_path: Path) -> None:
    """F20: no partial file, each drop counted once, one warning that names the spool; with room it goes on."""
    found = found_by(SPOOL, tmp_path)
    assert found["dropped"] > 300, "of 600 records the disk holds a third at most"
    assert found["counted"] == found["dropped"]
    assert found["left"] == 0
    assert 0 < found["size_bytes"] <= 2 * 1024 * 1024
    assert found["stored"] > 20
    assert found["after"] == 1
    assert found["balanced"]
    (warning,) = [line for line in found["log"].splitlines() if "drops spans" in line]
    assert found["spool"] in warning
    assert "make room there" in warning


def test_f23_retention_runs_on_a_full_disk(tmp_path: Path) -> None:
    """F23: in the room of its reserve it deletes what may go, gives it back, and the drain goes on."""
    found = found_by(RETENTION, tmp_path)
    assert found["free_before"] == 0
    assert found["had_reserve"]
    assert (found["requests"], found["pruned"], found["new"], found["integrity"]) == (1, 2_000, 1, 1)
    assert found["db_bytes"] < 4_000_000, "24 MB of texts are gone"
