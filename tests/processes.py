"""Clearing up after tests that start real processes."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from support import eventually


def processes_naming(text: str) -> list[int]:
    """The processes that have `text` in their command line, but for this one. Zombies have none."""
    if Path("/proc/self/cmdline").exists():
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
        return [pid for pid in pids if pid != os.getpid() and text in _command_line(pid)]
    table = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True
    )
    lines = (line.strip().partition(" ") for line in table.stdout.splitlines())
    return [int(pid) for pid, _, args in lines if text in args and int(pid) != os.getpid()]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""  # it ended meanwhile


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return _state(stat) not in b"ZX"


def is_stopped(pid: int) -> bool:
    """Whether all of its threads are: a signal that was sent has reached the first of them, and later the others."""
    try:
        return all(
            _state((task / "stat").read_bytes()) == b"T" for task in Path(f"/proc/{pid}/task").iterdir()
        )
    except OSError:
        return False


def _state(stat: bytes) -> bytes:
    """The letter behind the name (proc(5))."""
    return stat[stat.rindex(b")") + 2 :][:1]


def stop_background(database: Path) -> None:
    """Stop the background process of a database, by its pid, and see it gone."""

    def is_gone() -> bool:
        pids = processes_naming(f"--db {database}")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        return not pids

    eventually(is_gone, what=f"the end of the background process of {database}")
