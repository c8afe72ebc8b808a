"""The whole way in one process: a writer, the owner of the database, and a look at its views.

No process is launched and nothing sleeps: tests call the owner's steps themselves.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from hush_otel import HushSpanProcessor, api, attachment, get_store, records
from hush_otel.attachment import attach
from hush_otel.background import intake, sources
from hush_otel.background.lanes import Lane
from hush_otel.background.service import DrainReport, Service, elect
from hush_otel.codec import encode
from hush_otel.config import Settings
from hush_otel.spool import locks
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.spool.filesystem import Append
from hush_otel.spool.segment import Identity, own_ids
from hush_otel.spool.writer import SpoolWriter

MIB = 1024 * 1024


def settings_for(db_path: Path, **overrides: Any) -> Settings:
    """Settings of a test's database: nobody is launched, whatever the environment says."""
    defaults: dict[str, Any] = {
        "db_path": db_path,
        "spool_dir": db_path.with_name(db_path.name + ".spool"),
        "known_destinations": {},
        "background": "external",
    }
    return Settings(**(defaults | overrides))


def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second between fencing a dead writer and reading its tail, and damage's, pass at once."""
    monkeypatch.setattr(sources, "FENCE_WAIT_S", 0.0)
    monkeypatch.setattr(intake, "DAMAGE_WAIT_S", 0.0)


def writer_of(
    settings: Settings, mode: Append = Append.MAP, *, doomed: bool = False, max_bytes: int = 64 * MIB
) -> SpoolWriter:
    """A process's way into the spool.

    Args:
        settings: Whose spool.
        mode: How it appends.
        doomed: It passes for a process whose pid and start are gone, once `die` frees its lock.
        max_bytes: The quota.
    """
    directory = SpoolDirectory(settings.spool_dir)
    writer = SpoolWriter(directory, mode, max_bytes, lambda: None)
    _writers.append(writer)
    if doomed:
        directory.create()
        writer._identity = Identity(directory, process_start=1)
    return writer


_writers: list[SpoolWriter] = []


class Closable(Protocol):
    """A reader, a segment, a database."""

    def close(self) -> None:
        """Idempotent."""


T = TypeVar("T", bound=Closable)
_opened = ExitStack()


def closed_later(one: T) -> T:
    """Have it closed by `let_go`."""
    _opened.callback(one.close)
    return one


def let_go() -> None:
    """Close what a test has opened: a process that runs all of them must not run out of descriptors."""
    _opened.close()
    writers = [*_writers, *(one.writer for one in attachment._attachments.values())]
    for writer in writers:
        for one in (writer, writer._nested):
            if one is not None:
                _close(one)
    _writers.clear()
    for known in (attachment._attachments, api._stores, api._backgrounds):
        known.clear()
    for lock in locks._open.values():
        os.close(lock.fd)
    locks._open.clear()


def _close(writer: SpoolWriter) -> None:
    if writer._segment is not None:
        writer._segment.close()
    if writer._identity is not None and writer._identity.writer_id in own_ids:
        writer._identity.release()
    if writer._bell is not None:
        writer._bell.close()
    writer._segment, writer._identity, writer._bell = None, None, None


def die(writer: SpoolWriter) -> None:
    """What is left of a process after SIGKILL: its files, and a free lock. Idempotent."""
    identity = writer._identity
    if identity is not None and identity.writer_id in own_ids:
        own_ids.discard(identity.writer_id)
        os.close(identity._lock.fd)
    # Whatever the object does later, it must not disturb the files.
    if writer._segment is not None:
        writer._segment.close()
    writer._segment, writer._identity = None, None


class Owner:
    """The background service of a database, stepped by hand."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        elected = elect(settings)
        assert elected is not None
        self.service: Service = elected

    def step(self) -> float:
        """One round of the main loop."""
        return self.service.step()

    def drain(self) -> DrainReport:
        """Everything that lies in the spool."""
        return self.service.drain_all()

    def tend(self) -> None:
        """What it does once a second."""
        self.service._upkeep.run()

    @property
    def connection(self) -> sqlite3.Connection:
        """The service's own connection."""
        return self.service._database._connection

    def crash(self) -> None:
        """Gone without a word: nothing is settled, what was not committed is rolled back."""
        for lane in self.service._relay._lanes.values():
            closed_later(_Left(lane))
        self.service._relay._lanes.clear()
        self.service._intake.close()
        database = self.service._database
        database._connection.close()
        if database._wal_fd is not None:
            os.close(database._wal_fd)
            database._wal_fd = None
        self.service._bell.close()

    def close(self) -> None:
        """Leave in order."""
        self.service.close()


class _Left:
    """A lane of an owner that is gone. What it sends arrives; the files that it sends to stay until it has."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    def close(self) -> None:
        """End its threads."""
        self._lane.close(60.0)


@contextmanager
def owning(settings: Settings) -> Iterator[Owner]:
    """An owner that is closed at the end."""
    owner = Owner(settings)
    try:
        yield owner
    finally:
        owner.close()


def drain_once(settings: Settings) -> DrainReport:
    """One owner, one pass."""
    with owning(settings) as owner:
        return owner.drain()


def rows(db_path: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Rows as any reader sees them."""
    connection = sqlite3.connect(f"file:{db_path}?mode=ro", uri=True)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def dicts(db_path: Path, sql: str, *values: object) -> list[dict[str, Any]]:
    """The same by column name."""
    connection = sqlite3.connect(f"file:{db_path}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(sql, values)]
    finally:
        connection.close()


def losses(db_path: Path) -> dict[str, int]:
    """The ledger's counts by reason."""
    return dict(rows(db_path, "SELECT reason, count FROM hush_losses"))


class Passed:
    """Stands for `time` where somebody waits: it passes by sleeping only, however busy the machine is."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self.slept_s = 0.0

    @classmethod
    def for_waiting(cls, monkeypatch: pytest.MonkeyPatch) -> Passed:
        """In `api` and `attachment`, where an application waits for the store."""
        passed = cls()
        monkeypatch.setattr(attachment, "time", passed)
        for waiting in (api, attachment):
            monkeypatch.setattr(waiting, "monotonic", passed.monotonic)
        return passed

    def monotonic(self) -> float:
        """Seconds."""
        return self._began_s + self.slept_s

    def sleep(self, seconds: float) -> None:
        """It has passed at once."""
        self.slept_s += seconds


def open_under(directory: Path) -> list[str]:
    """The files below `directory` that this process has open, deleted ones too; none where that cannot be told.

    Of the process as a whole nothing can be said: what earlier tests left is closed whenever it is collected.
    """
    found = []
    for descriptor in Path("/proc/self/fd").glob("*"):
        with suppress(FileNotFoundError):  # the one that reads the directory
            found.append(str(descriptor.readlink()))
    return sorted(path for path in found if path.startswith(f"{directory.resolve()}/"))


def left_open(settings: Settings) -> list[str]:
    """What this process has open of the database and its spool, but the lock: that stays open once it was asked for."""
    lock = str(settings.spool_dir.resolve() / "lock")
    return [path for path in open_under(settings.db_path.parent) if path != lock]


def close_under(directory: Path) -> None:
    """Close the files below `directory` that nobody has any more: interrupted between opening and having them."""
    for descriptor in Path("/proc/self/fd").glob("*"):
        with suppress(FileNotFoundError):
            if str(descriptor.readlink()).startswith(f"{directory.resolve()}/"):
                os.close(int(descriptor.name))


# ------------------------------------------------------------------ forks


def in_child(work: Callable[[], None], fork: Callable[[], int] = os.fork) -> int:
    """Run it in a forked child, which may close descriptors that are not its own. Its exit code."""
    pid = fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:  # whatever it is, it must not run on as a second pytest
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def fork_at_c_level() -> int:
    """A fork that the interpreter does not hear of. By a process of one thread, as a child of `in_child` is.

    Of several, another one may just ask for the GIL: the child would give it up, and wait for ever for a
    thread that it does not have to take it.
    """
    assert threading.active_count() == 1
    return ctypes.PyDLL(None).fork()  # type: ignore[no-any-return]


# ------------------------------------------------------------------ records


def node_payload(request_id: str, node_name: str = "node", **fields: Any) -> bytes:
    """An encoded node trace."""
    names = (
        "parent_name",
        "context_id",
        "execution_order",
        "start_time",
        "end_time",
        "duration_ms",
        "input_data",
        "output_data",
        "user_id",
        "session_id",
        "model",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "cost_usd",
        "contain_generation",
        "metadata",
        "node_type",
        "error",
    )
    workflow = fields.pop("workflow_name", "flow")
    received_ns = fields.pop("received_ns", 1_700_000_000_000_000_000)
    defaults = {"contain_generation": False}
    values = [fields.pop(name, defaults.get(name)) for name in names]
    assert not fields, fields
    return encode((records.NODE, received_ns, [request_id, workflow, node_name, *values]))[0]


def stored_nodes(db_path: Path) -> list[str]:
    """Node names in the order in which they were stored."""
    return [row[0] for row in rows(db_path, "SELECT node_name FROM node_traces ORDER BY id")]


def stored_spans(db_path: Path) -> Counter[str]:
    """How often each name is stored as ended."""
    return Counter(name for (name,) in rows(db_path, "SELECT name FROM spans WHERE state = 'ended'"))


# ------------------------------------------------------------------ an application


def no_background(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """An environment in which an app launches nothing and finds no settings of this machine."""
    for key in list(os.environ):
        if key.startswith(("HUSH_", "OTEL_")):
            monkeypatch.delenv(key)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HUSH_BACKGROUND", "external")


class App:
    """An application with a tracer provider, a database of its own, and nobody draining."""

    def __init__(self, db_path: Path, **processor: Any) -> None:
        self.db_path = db_path
        self.processor = HushSpanProcessor(db_path, **processor)
        self.provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
        self.provider.add_span_processor(self.processor)
        self.tracer = self.provider.get_tracer("tests", "1.0")
        self.store = get_store(db_path)
        self.settings = attach(db_path).settings

    def drain(self) -> DrainReport:
        """Everything into the database."""
        return drain_once(self.settings)

    def spans(self) -> list[dict[str, Any]]:
        """The public view, in the order of storing."""
        return dicts(self.db_path, "SELECT * FROM spans")

    def span(self, name: str) -> dict[str, Any]:
        """The one span of a name."""
        (found,) = [span for span in self.spans() if span["name"] == name]
        return found

    def deliveries(self) -> list[dict[str, Any]]:
        """The public view of deliveries."""
        return dicts(self.db_path, "SELECT * FROM deliveries ORDER BY id")

    def nodes(self) -> list[dict[str, Any]]:
        """The public view of node traces."""
        return dicts(self.db_path, "SELECT * FROM node_traces ORDER BY id")
