"""One database with its real processes: applications, the background process, the command line."""

from __future__ import annotations

import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from processes import is_running, is_stopped
from support import eventually

from hush_otel.background.client import ENTRY
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.locks import LockFile

APPS = Path(__file__).with_name("apps")

PATIENCE_S = 60.0
"""How long something is waited for that takes a second or two: it bounds a failing test, not a passing one."""
LEAVE_S = 10.0
"""How long the background process may take to leave at SIGTERM before a test fails for it."""


class App:
    """A running process with a pipe each way."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.pid = process.pid
        assert process.stdout is not None
        self._out = process.stdout.fileno()
        self._pending = b""

    def read(self, timeout_s: float) -> bytes:
        """Bytes that arrive within `timeout_s`; b"" at the end of the stream or the timeout."""
        ready, _, _ = select.select([self._out], [], [], timeout_s)
        return os.read(self._out, 65536) if ready else b""

    def read_for(self, duration_s: float) -> bytes:
        """Everything that arrives during `duration_s`, which is waited out unless the stream ends."""
        return self._read_until(time.monotonic() + duration_s)

    def read_all(self, timeout_s: float = PATIENCE_S) -> bytes:
        """Everything up to the end of the stream."""
        return self._read_until(time.monotonic() + timeout_s)

    def _read_until(self, deadline: float) -> bytes:
        got, self._pending = self._pending, b""
        while (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select([self._out], [], [], left)
            if ready:
                data = os.read(self._out, 65536)
                if not data:
                    break
                got += data
        return got

    def line(self, timeout_s: float = PATIENCE_S) -> str:
        """The next line that it says.

        Raises:
            AssertionError: It ended or said nothing in time.
        """
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            data = self.read(max(left, 0))
            assert data, f"no line within {timeout_s:g} s; exit code {self.process.poll()}"
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode()

    def value(self, timeout_s: float = PATIENCE_S) -> Any:
        """The next line, as JSON."""
        return json.loads(self.line(timeout_s))

    def ask(self, text: str, timeout_s: float = PATIENCE_S) -> Any:
        """Tell it a line; returns its answer."""
        self.tell(text)
        return self.value(timeout_s)

    def tell(self, text: str = "") -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Send a signal that ends it, and reap it; returns the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Its exit code."""
        return self.process.wait(timeout_s)


class Bench:
    """A database of one test. Everything that it started has ended after `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db = path / "traces.db"
        self.spool = SpoolDirectory(path / "traces.db.spool")
        self._apps: list[App] = []
        self._lock: LockFile | None = None
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("HUSH_", "OTEL_"))},
            "HOME": str(path),
            "HUSH_TRACES_DB": str(self.db),
            "HUSH_IDLE_EXIT_S": "1",
        }

    # ------------------------------------------------------------------ applications

    def start(self, app: str, *args: object, within: Sequence[str] = (), **env: str) -> App:
        """Start `apps/<app>.py`, `within` another command; other keywords are environment variables."""
        return self._start([str(APPS / f"{app}.py"), *map(str, args)], env, within)

    def hush(self, *args: object, **env: str) -> App:
        """Start `hush-otel ARGS`."""
        return self._start(["-m", "hush_otel", *map(str, args)], env)

    def _start(self, command: list[str], env: dict[str, str], within: Sequence[str] = ()) -> App:
        app = App(
            subprocess.Popen(
                [*within, sys.executable, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self.env | env,
                cwd=self.path,
            )
        )
        self._apps.append(app)
        return app

    def run(self, app: str, *args: object, code: int = 0, **env: str) -> list[Any]:
        """Run an app to its end; returns the lines that it said, each read as JSON."""
        started = self.start(app, *args, **env)
        said = started.read_all(60.0)
        assert started.wait() == code
        return [json.loads(line) for line in said.splitlines()]

    def obedient(self, endpoint: str = "", **env: str) -> App:
        """Start `apps/obey.py` and wait until it listens; see there for what it can be asked."""
        app = self.start("obey", *([endpoint] if endpoint else []), **env)
        assert app.value() == app.pid
        return app

    def drain(self, **env: str) -> dict[str, Any]:
        """`hush-otel drain --json`: its report."""
        app = self.hush("drain", "--json", **env)
        said = app.read_all(60.0)
        assert app.wait() == 0
        return json.loads(said)

    # ------------------------------------------------------------------ the background process

    def owner(self) -> int | None:
        """The process that holds the database's lock now."""
        if self._lock is None or not self._is_current(self._lock):
            if not self.spool.lock.exists():
                return None
            self._lock = LockFile(self.spool.lock)
        return self._lock.holder() or None

    def _is_current(self, lock: LockFile) -> bool:
        try:
            return os.fstat(lock.fd).st_ino == self.spool.lock.stat().st_ino
        except OSError:
            return False

    def owner_eventually(self, *, other_than: int | None = None, timeout_s: float = 20.0) -> int:
        """The owner's pid once there is one (another one than `other_than`)."""

        def look() -> int | None:
            pid = self.owner()
            return pid if pid != other_than else None

        return eventually(look, timeout_s, what=f"an owner other than {other_than}")  # type: ignore[return-value]

    def signal_owner(self, number: int) -> int:
        """Signal the owner, once there is one; returns its pid. After SIGSTOP it does nothing any more."""
        pid = self.owner_eventually()
        os.kill(pid, number)
        if number == signal.SIGSTOP:
            eventually(lambda: is_stopped(pid), what=f"all threads of {pid} stopped")
        return pid

    def stop_owner_between_transactions(self) -> int:
        """SIGSTOP the owner where it does not hold SQLite's write lock; returns its pid."""

        def stopped() -> int | None:
            pid = self.signal_owner(signal.SIGSTOP)
            if self._can_write():
                return pid
            os.kill(pid, signal.SIGCONT)
            return None

        return eventually(stopped, what="an owner between two transactions")  # type: ignore[return-value]

    def _can_write(self) -> bool:
        connection = sqlite3.connect(self.db, timeout=0, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
        finally:
            connection.close()
        return True

    def kill_owner(self) -> int:
        """SIGKILL the owner and wait until it is gone; returns its pid.

        Its lock is free only when the last of its threads is gone.
        """
        pid = self.signal_owner(signal.SIGKILL)
        eventually(lambda: not is_running(pid) and self.owner() != pid, what=f"the end of {pid}")
        return pid

    def processes(self) -> list[int]:
        """Every process that works with this database, zombies excepted."""
        mark = f"HUSH_TRACES_DB={self.db}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    belongs = mark in (entry / "environ").read_bytes().split(b"\0")
                except OSError:
                    continue
                if belongs and is_running(int(entry.name)):
                    found.append(int(entry.name))
        return found

    def background_processes(self) -> list[int]:
        """Those among them that were launched to drain, owner or not."""
        return [pid for pid in self.processes() if str(ENTRY).encode() in command_line(pid)]

    # ------------------------------------------------------------------ what is stored

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Read from the database; nothing when there is none yet."""
        if not self.db.exists():
            return []
        connection = sqlite3.connect(f"file:{self.db}?mode=ro", uri=True, timeout=PATIENCE_S)
        try:
            return connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError as exc:
            if "no such table" in str(exc):
                return []
            raise
        finally:
            connection.close()

    def value(self, sql: str, *values: object) -> Any:
        """One value; None when there is no row."""
        found = self.rows(sql, *values)
        return found[0][0] if found else None

    def names(self, state: str = "ended") -> Counter[str]:
        """How many rows of a state each span name has."""
        return Counter(name for (name,) in self.rows("SELECT name FROM spans WHERE state = ?", state))

    def expect(self, names: Iterable[str], timeout_s: float = PATIENCE_S) -> None:
        """Wait until exactly these spans are stored as ended, each once, and nothing was lost."""
        wanted = Counter(names)
        count = wanted.total()

        def look() -> bool:
            stored = self.value("SELECT count(*) FROM spans WHERE state = 'ended'")
            assert stored == count, f"{stored} of {count} spans"
            return True

        eventually(look, timeout_s, what=f"{count} rows")
        assert self.names() == wanted
        assert self.losses() == {}

    def losses(self) -> dict[str, int]:
        """The loss ledger, duplicates too."""
        return dict(self.rows("SELECT reason, count FROM hush_losses WHERE count <> 0"))

    # ------------------------------------------------------------------ the end

    def close(self) -> None:
        """End everything that was started, each by its pid, and see that nothing is left.

        Raises:
            AssertionError: The background process did not leave at SIGTERM.
        """
        for app in self._apps:
            app.process.kill()
            app.process.wait()
            for pipe in (app.process.stdin, app.process.stdout):
                if pipe is not None:
                    _close(pipe)
        left = [pid for pid in self.processes() if pid not in self.background_processes()]
        for pid in left:
            _signal(pid, signal.SIGKILL)
        try:
            eventually(self._all_asked_to_leave, LEAVE_S, what="the end of all processes")
        finally:
            for pid in self.processes():
                _signal(pid, signal.SIGKILL)

    def _all_asked_to_leave(self) -> bool:
        pids = self.processes()
        for pid in pids:
            _signal(pid, signal.SIGTERM)
            _signal(pid, signal.SIGCONT)
        return not pids


def names(prefix: str, count: int) -> set[str]:
    """What `apps/common.py` calls `count` spans of one prefix."""
    return {f"{prefix}-{i}" for i in range(count)}


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal (proc(5), SigCgt)."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def command_line(pid: int) -> list[bytes]:
    """Its arguments; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _close(pipe: Any) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        pass


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
