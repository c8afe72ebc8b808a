"""Who a process is, and whether it forked: identity that does not rest on pids alone.

Safe to import anywhere; `on_fork` registers one hook with the interpreter at its first call.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from hush_otel.diagnostics import failures

from . import syscalls

_LINUX: Final = sys.platform == "linux"

_MADV_WIPEONFORK: Final = 18
"""Linux >= 4.14 (madvise(2)): the page reads as zeros in a child, also after a fork at C level."""


def process_start(pid: int) -> int:
    """When a process started, in the system's own unit; 0 when unknown or gone.

    Linux: field 22 of /proc/pid/stat, clock ticks since boot. macOS: seconds, from ps.
    """
    if _LINUX:
        try:
            stat = syscalls.read_file(Path(f"/proc/{pid}/stat"), 4096)
        except OSError:
            return 0
        fields = stat[stat.rindex(b")") + 2 :].split()
        # A zombie has died: whatever it owned is free.
        return 0 if fields[0] == b"Z" else int(fields[19])
    return _start_by_ps(pid)


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped (SIGSTOP, Ctrl-Z, a debugger); False where the system does not tell."""
    try:
        stat = syscalls.read_file(Path(f"/proc/{pid}/stat"), 4096)
    except OSError:
        return False
    return stat[stat.rindex(b")") + 2 :].split()[0] in {b"T", b"t"}


def _start_by_ps(pid: int) -> int:
    try:
        out = subprocess.run(
            ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    text = out.stdout.strip()
    # Only equality matters, so any stable number made of the text will do.
    return int.from_bytes(text[-8:], "big") if text else 0


def is_running(pid: int, started: int) -> bool:
    """Whether that very process still runs: same pid and, where known, same start."""
    now = process_start(pid)
    return now != 0 and started in {0, now}


class ForkMark:
    """One byte that reads 1 in the process that made it and 0 in its forked children.

    `mark[0]` costs 40 ns, os.getpid() four times that. Where the kernel cannot wipe pages, or has none left,
    the mark stays 1 and only `on_fork` hooks notice a fork.
    """

    def __init__(self) -> None:
        self.page: mmap.mmap | bytearray = _page()


def _page() -> mmap.mmap | bytearray:
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, MemoryError):
        return bytearray(b"\1")
    if _LINUX:
        try:
            page.madvise(_MADV_WIPEONFORK)
        except OSError:
            pass  # an old kernel: fork hooks remain
    page[0] = 1
    return page


_hooks: weakref.WeakSet[Any] = weakref.WeakSet()
_registered: list[bool] = []


def on_fork(owner: Any) -> None:
    """Have `owner.after_fork()` called in every child forked by Python, as long as owner lives."""
    if not _registered:
        _registered.append(True)
        os.register_at_fork(after_in_child=run_fork_hooks)
    _hooks.add(owner)


def run_fork_hooks() -> None:
    """What the interpreter does in a forked child; whoever notices a fork at C level calls it."""
    for owner in list(_hooks):
        hook: Callable[[], None] = owner.after_fork
        try:
            hook()
        except Exception:  # noqa: BLE001 - it would end up in the app, which has called anything of ours
            # Not said: the locks of logging handlers may be those of the parent's threads still.
            failures["going on after a fork"] += 1
