"""A process under strace: what it asks of the kernel, and calls of it that fail. Linux, where ptrace is allowed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from support import eventually

WORKER = Path(__file__).with_name("worker.py")
_LINE = re.compile(r"^(\d+\.\d+) (\w+)\((.*)\) = \d+(?:<[^>]*>)? <(\d+\.\d+)>$")
_QUOTED = re.compile(r'"((?:\\x[0-9a-f]{2})*)"|\d+<((?:\\x[0-9a-f]{2})*)>')


class Call(NamedTuple):
    """One successful system call on a file.

    Attributes:
        began: Unix seconds, as `ended`.
        name: As in the manual.
        path: Of the file that it concerns.
        data: What was written, for a write.
        offset: Where; for ftruncate the new size.
    """

    began: float
    ended: float
    name: str
    path: str
    data: bytes
    offset: int


@cache
def may_trace() -> bool:
    """Whether strace is there and the system lets it work."""
    if shutil.which("strace") is None:
        return False
    return (
        subprocess.run(["strace", "-o", "/dev/null", "true"], check=False, capture_output=True).returncode
        == 0
    )


@contextmanager
def traced(pid: int, log: Path, *options: str) -> Iterator[None]:
    """Trace a stopped process and have it go on; its threads too, a file of lines each (`log`.TID)."""
    command = ["strace", "-ff", "-y", "-xx", "-s", "10000000", "-ttt", "-T", *options, "-o", str(log)]
    strace = subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE)
    try:
        assert strace.stderr is not None
        said = strace.stderr.readline()  # once it has attached
        assert b"attached" in said, said
        os.kill(pid, signal.SIGCONT)
        yield
    finally:
        strace.terminate() if _exists(pid) else None
        strace.wait(60)
        strace.stderr.close()


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def calls(log: Path) -> list[Call]:
    """What all threads have done to files, in order."""
    lines = (line for path in log.parent.glob(f"{log.name}.*") for line in path.read_text().splitlines())
    return sorted(call for line in lines if (call := _parsed(line)) is not None)


def _parsed(line: str) -> Call | None:
    found = _LINE.match(line)
    if found is None:
        return None  # a signal, the end, a call that failed
    began, name, said, took = found.groups()
    texts = [bytes.fromhex((a or b).replace("\\x", "")) for a, b in _QUOTED.findall(said)]
    data = texts[1] if name in {"write", "pwrite64"} and len(texts) > 1 else b""
    last = said.rpartition(", ")[2]
    offset = int(last) if name in {"pwrite64", "ftruncate"} else 0
    return Call(float(began), float(began) + float(took), name, os.fsdecode(texts[0]), data, offset)


def injected(log: Path) -> int:
    """How many calls were made to fail."""
    return sum(path.read_text().count("(INJECTED)") for path in log.parent.glob(f"{log.name}.*"))


class Workers:
    """A process that forks another for each piece of work (worker.py). Use as a context manager."""

    def __init__(self, home: Path) -> None:
        env = {key: value for key, value in os.environ.items() if not key.startswith(("HUSH_", "OTEL_"))}
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env | {"HOME": str(home), "HUSH_BACKGROUND": "external"},
        )
        self._working = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._working:
            os.kill(self._working, signal.SIGKILL)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def begin(self, work: str, **order: Any) -> int:
        """Have a piece of work ready; returns the pid of its process, which is stopped."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"work": work, **order}) + "\n")
        self._process.stdin.flush()
        pid = self._working = self._said()["pid"]
        stat = Path(f"/proc/{pid}/stat")
        eventually(lambda: ") T " in stat.read_text(), what="a worker that has stopped")
        return pid

    def end(self) -> dict[str, Any]:
        """What it said, and as `left` the exit code with which it has left."""
        said = self._said()
        said = said if "left" in said else said | self._said()
        self._working = 0
        return said

    def _said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said

    def do(self, work: str, log: Path, options: Sequence[str] = (), **order: Any) -> dict[str, Any]:
        """A whole piece of work, traced."""
        with traced(self.begin(work, **order), log, *options):
            return self.end()
