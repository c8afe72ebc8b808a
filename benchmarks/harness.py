"""What the programs share: fresh processes, sides in turn, workspaces that leave nothing behind.

Linux only: the memory and the CPU of other processes are read from /proc.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

HERE: Final = Path(__file__).parent
ROUNDS: Final = 5
FULL: Final = os.environ.get("BENCH_FULL") == "1"
"""The sizes that the targets name, instead of those that a quick run takes."""
LEAVE_S: Final = 10.0
"""How long a background process gets to leave at SIGTERM, before SIGKILL."""

T = TypeVar("T")


def environment(**extra: str) -> dict[str, str]:
    """The environment of a side: nothing of the caller's configures either of them."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HUSH_", "OTEL_"))}
    kept["HUSH_SEARCH"] = "off"  # it has rows of its own in P4, and is on in P5
    return kept | {"HOME": str(HERE)} | extra


def start(function: str, env: Mapping[str, str] | None = None, **arguments: Any) -> subprocess.Popen[str]:
    """Start `MODULE.FUNCTION` of this directory in a process of its own, with a pipe each way."""
    return subprocess.Popen(
        [sys.executable, str(HERE / "child.py"), function, json.dumps(arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(**(env or {})),
    )


def fresh(function: str, env: Mapping[str, str] | None = None, **arguments: Any) -> Any:
    """What `MODULE.FUNCTION` returns, run to its end in a process of its own.

    Raises:
        RuntimeError: It failed; its traceback stands on standard error.
    """
    return result(start(function, env, **arguments))


def result(process: subprocess.Popen[str]) -> Any:
    """What a started function returns: its last line. Ends its standard input.

    Raises:
        RuntimeError: It failed; its traceback stands on standard error.
    """
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args} ended with {process.returncode}")
    return json.loads(out.splitlines()[-1])


@contextlib.contextmanager
def beside(function: str, env: Mapping[str, str] | None = None, **arguments: Any) -> Iterator[Any]:
    """`MODULE.FUNCTION` runs beside; yields the first line that it prints, as JSON."""
    with start(function, env, **arguments) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.kill()


def in_turn(sides: Mapping[str, Callable[[], T]], rounds: int = ROUNDS) -> dict[str, list[T]]:
    """Every side once a round, A B A B: what drifts on the machine meets all of them."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, run in sides.items():
            _say(f"round {number + 1} of {rounds}: {name}")
            found[name].append(run())
    _say("")
    return found


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(text, end="\x1b[K\r", file=sys.stderr, flush=True)


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """A directory for databases and spools. Afterwards no process works in it, and it is gone."""
    with tempfile.TemporaryDirectory(prefix="hush-bench-", ignore_cleanup_errors=True) as name:
        try:
            yield Path(name)
        finally:
            end_processes(name)


def end_processes(directory: str) -> None:
    """End what was started for a directory: the next side must not share the machine with it."""
    deadline = time.monotonic() + LEAVE_S
    while pids := processes_of(directory):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
        time.sleep(0.05)


def processes_of(directory: str) -> list[int]:
    """Processes whose command line names the directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if directory.encode() in entry.joinpath("cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def background_pid(directory: Path) -> int:
    """The background process of the database in a workspace, once it is there."""
    from hush_otel import get_background

    handle = get_background(directory / "traces.db")
    return until(lambda: handle.pid, "a background process")


def until(look: Callable[[], T | None], what: str, timeout_s: float = 60.0) -> T:
    """What `look` gives as soon as it gives something.

    Raises:
        TimeoutError: It did not in time.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.005)
    raise TimeoutError(f"waited {timeout_s:g} s for {what}")


def memory_mb(field: str, pid: int | str = "self") -> float:
    """A field of /proc/PID/status (VmRSS now, VmHWM the peak), in megabytes."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise KeyError(field)


def cpu_s(pid: int) -> float:
    """The CPU time that all threads of a process have used so far.

    From schedstat, in nanoseconds: the ticks of /proc/PID/stat are as long as what an idle process uses.
    """
    return sum(_thread_cpu_ns(task) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def _thread_cpu_ns(task: Path) -> int:
    try:
        return int(task.joinpath("schedstat").read_text(encoding="ascii").split()[0])
    except FileNotFoundError:
        return 0  # the thread has ended meanwhile


def quantile(ordered: list[float], share: float) -> float:
    """Of values in order: the smallest that at least `share` of them do not exceed."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def total(values: Iterable[float]) -> float:
    """A sum that is a float also of integers."""
    return float(sum(values))
