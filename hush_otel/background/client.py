"""What an app does about the background process: see whether one is there, start one, ask it to leave.

Imports neither SQLite nor HTTP: it runs in the app. Starting never forks the app itself, passes on
none of its descriptors, and leaves no child behind: a short-lived intermediate is reaped by its pid.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from hush_otel.config import Settings, child_environment, interpreter, spool_beside
from hush_otel.diagnostics import SAY_AGAIN_S, guard, say
from hush_otel.monotonic import LONG_AGO, monotonic
from hush_otel.spool import syscalls
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.doorbell import Doorbell
from hush_otel.spool.locks import lock_file, open_private
from hush_otel.version import __version__

LAUNCH_AGAIN_S: Final = (1.0, 30.0)
"""First and longest wait between two launches that showed no owner."""

LAUNCHES_IN_VAIN: Final = 2
"""After so many that follow one another it is said that none stays."""
WORDS_BYTES: Final = 1000
"""The end of a log in which its last line is looked for."""

ENTRY: Final = Path(__file__).with_name("__main__.py")
HANDOVER_S: Final = 10.0
"""How long the successor of an older version waits for the lock: that one has 2 s for requests in flight. So
long the older one, where it goes on, leaves it free."""
SUCCESSOR: Final = "--successor"
"""Makes it wait for the lock: an older version has been asked to give it up."""


def owner_pid(settings: Settings) -> int | None:
    """The process that owns the database now; None when there is none."""
    directory = SpoolDirectory(settings.spool_dir)
    if not directory.lock.exists():
        return None
    pid = lock_file(directory.lock).holder()
    if pid:
        return pid
    return os.getpid() if settings.db_path in threads else None


def owner_of_another_spool(settings: Settings) -> tuple[Path, int] | None:
    """The spool beside the database and the process that drains it, when the settings name another one.

    Two spools of one database have two background processes, which take it from each other for ever.
    """
    beside = SpoolDirectory(spool_beside(settings.db_path))
    if beside.path == settings.spool_dir or not beside.lock.exists():
        return None
    pid = lock_file(beside.lock).holder()
    return (beside.path, pid) if pid else None


FAULTS: Final = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT})
"""Signals that a thread gets for what it has done itself."""
threads: Final[dict[Path, threading.Thread]] = {}
"""Threads of this process that own a database or try to (HUSH_BACKGROUND=thread)."""


class BackgroundClient:
    """One app process's view of the background process of one database. Thread- and fork-safe."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._directory = SpoolDirectory(settings.spool_dir)
        self._launched: list[int] = []
        """Pids of intermediates that are not reaped yet: to wait for one would hold the app up for 10 ms."""
        self._launches = 0
        """In a row, and no owner was seen since the first of them."""
        self._exit_code = 0
        self._not_before = LONG_AGO
        self._tell_at = LONG_AGO
        self._wait_s = LAUNCH_AGAIN_S[0]
        self._asked_version = False
        self._inherited_sqlite = False

    def ensure(self) -> None:
        """See that somebody drains; start one if not. Never raises; a launch costs a few ms."""
        with guard("starting the background process"):
            self._reap()
            lock = lock_file(self._directory.lock)
            if lock.holder():
                self._wait_s, self._not_before, self._launches = LAUNCH_AGAIN_S[0], LONG_AGO, 0
                self._ask_older_to_leave(lock.read_text())
            elif self.settings.background != "external" and (now := monotonic()) >= self._not_before:
                if now > self._not_before + LAUNCH_AGAIN_S[1]:
                    self._launches = 0  # it may have come and gone, while nobody looked
                self._tell_of_launches(now)
                self._not_before = now + self._wait_s
                self._wait_s = min(self._wait_s * 2, LAUNCH_AGAIN_S[1])
                self._launch()

    def _tell_of_launches(self, now: float) -> None:
        """Nobody else would say that nothing is stored, nor why."""
        if self._launches < LAUNCHES_IN_VAIN or now < self._tell_at:
            return
        self._tell_at = now + SAY_AGAIN_S
        log, words = _last_words(self._directory)
        ended = f"exit status {self._exit_code}" if self._exit_code > 0 else f"signal {-self._exit_code}"
        known = ([ended] if self._exit_code else []) + ([repr(words)] if words else [])
        say(
            logging.ERROR,
            "hush-otel stores nothing: it has started the background process %d times, and none is there: %s;"
            " see %s",
            self._launches,
            ", ".join(known) or "it says nothing",
            log,
        )

    def ask_to_leave(self) -> bool:
        """Ask the background process to end if nobody needs it; False when there is none to ask."""
        with guard("asking the background process to end"):
            if self.settings.background == "process" and owner_pid(self.settings) is not None:
                self._directory.leave.touch(mode=0o600)
                # The next record may launch at once.
                self._wait_s, self._not_before = LAUNCH_AGAIN_S[0], LONG_AGO
                return True
        return False

    def has_answered(self) -> bool:
        """Whether it has ended, or found that others need it."""
        return owner_pid(self.settings) is None or not self._directory.leave.exists()

    def after_fork(self) -> None:
        """The parent's intermediates are not this process's children, nor does its thread run here."""
        self._launched, self._launches = [], 0
        if threads.pop(self.settings.db_path, None) is not None:
            self._inherited_sqlite = True

    def _launch(self, *options: str) -> None:
        """Start a thread or a process.

        A child of a process whose thread had the database open never opens it: its SQLite believes the
        parent's locks to be its own (sqlite.org/howtocorrupt.html, section 2.6). It launches a process.
        """
        python = interpreter(self.settings)
        if (self.settings.background == "thread" or python is None) and not self._inherited_sqlite:
            self._start_thread()
        elif python is not None and not sys.is_finalizing():
            self._launched.append(_start_process(python, self.settings, options))
            self._launches += 1

    def _start_thread(self) -> None:
        path = self.settings.db_path
        if sys.is_finalizing() or (path in threads and threads[path].is_alive()):
            return
        thread = threading.Thread(target=self._run, name="hush-otel background", daemon=True)
        threads[path] = thread
        thread.start()

    def _run(self) -> None:
        # First of all: a signal that the app has blocked in its threads would be taken by this one. Faults
        # stay: blocked, they end the process before a handler for them can say where.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - FAULTS)
        # Imported here: only the process that drains pays for SQLite and HTTP.
        from .running import run_thread  # noqa: PLC0415

        run_thread(self.settings)

    def _reap(self) -> None:
        """By pid, never by waiting for any child: those are the app's."""
        codes = {pid: syscalls.ended_with(pid) for pid in self._launched}
        self._exit_code = next((code for code in codes.values() if code is not None), self._exit_code)
        # Another thread may have launched one meanwhile.
        self._launched = [pid for pid in self._launched if codes.get(pid) is None]

    def _ask_older_to_leave(self, owner: str) -> None:
        """A newer version asks the older process to hand over; its successor reads all formats.

        The successor is launched at once, and waits for the lock: this app may have nothing more to say.
        """
        if self._asked_version or self.settings.background == "external":
            return
        self._asked_version = True
        version = owner.partition(" ")[0]
        if version and version_key(version) < version_key(__version__):
            request = self._directory.path / f"handover-{os.getpid()}"
            request.unlink(missing_ok=True)
            fd = open_private(request)
            try:
                syscalls.write(fd, __version__.encode())
            finally:
                syscalls.close(fd)
            request.replace(self._directory.handover)  # whole at once: the older process takes what it sees
            bell = Doorbell(self._directory.doorbell)
            bell.ring()
            bell.close()
            self._launch(SUCCESSOR)


def version_key(version: str) -> tuple[int, ...]:
    """Versions in order; anything unreadable sorts first."""
    parts = version.split(".")[:3]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def _last_words(directory: SpoolDirectory) -> tuple[Path, str]:
    """The newest of the files that a background process writes to, and its last line."""
    found = [(directory.path, "", 0.0)]
    for path in (directory.launch_log, directory.background_log):
        with suppress(OSError), path.open("rb") as file:
            status = os.fstat(file.fileno())
            file.seek(max(status.st_size - WORDS_BYTES, 0))
            lines = file.read(WORDS_BYTES).decode("utf-8", "replace").split("\n")
            found += [(path, line.strip(), status.st_mtime) for line in lines if line.strip()][-1:]
    path, words, _ = max(found, key=lambda one: one[2])
    return path, words


def _launch_log(directory: SpoolDirectory) -> int:
    """A descriptor of an empty file for what a process says before it has its log; -1 where there is none."""
    try:
        fd = open_private(directory.launch_log)
    except OSError:
        return -1
    with suppress(OSError):  # something else stands in its place
        os.ftruncate(fd, 0)
    return fd


def _start_process(python: str, settings: Settings, options: tuple[str, ...]) -> int:
    """Start the intermediate, which forks the background process and ends; returns its pid.

    By posix_spawn: one call that keeps the GIL, a millisecond, where `subprocess` gives it up a dozen times.
    What that one could do besides, ENTRY does first of all: it closes descriptors and leaves the directory.
    Isolated mode (-I): neither the working directory, nor PYTHONPATH, nor a sitecustomize that
    instruments every process can get between; ENTRY puts the import path together again.
    """
    actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    said = _launch_log(SpoolDirectory(settings.spool_dir))
    if said >= 0:
        actions += [(os.POSIX_SPAWN_DUP2, said, fd) for fd in (1, 2)]
    try:
        return os.posix_spawnp(
            python,
            [python, "-I", str(ENTRY), "--db", str(settings.db_path), *options],
            child_environment(settings),
            file_actions=actions,
            setsigmask=(),
            # Python ignores them, and would have its children do so.
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
        )
    finally:
        if said >= 0:
            syscalls.close(said)
