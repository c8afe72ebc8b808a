"""Retention on a disk without a byte left: deleting, too, has to write first."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("full_disk.py")


def may_mount() -> bool:
    """Whether this machine lets us mount a filesystem in a namespace of our own."""
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(
        ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False, capture_output=True
    )
    return tried.returncode == 0


@pytest.mark.skipif(not may_mount(), reason="no filesystem can be mounted here: needs unshare -Urm")
def test_f23_retention_runs_on_a_full_disk(tmp_path: Path) -> None:
    """F23: in the room of its reserve it deletes what may go, gives it back, and the drain goes on."""
    said = subprocess.run(
        ["unshare", "-Urm", sys.executable, str(PROGRAM), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = json.loads(said.stdout.splitlines()[-1])
    assert found["free_before"] == 0
    assert found["had_reserve"]
    assert (found["requests"], found["pruned"], found["new"], found["integrity"]) == (1, 2_000, 1, 1)
    assert found["db_bytes"] < 4_000_000, "24 MB of texts are gone"
