"""The database in the hands of its one writer: opened, migrated, fenced, written in transactions.

No caller sees the connection outside of a closure given to `write()` or `read()`.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar

from hush_otel.config import Durability
from hush_otel.errors import StoreBusy, StoreError, StoreFenced
from hush_otel.failpoints import reach
from hush_otel.private import make_private_directory
from hush_otel.sqlite_file import why_no_database
from hush_otel.version import __version__

from . import space
from .integrity import is_corrupt

SCHEMA_VERSION: Final = 1
BUSY_TIMEOUT_S: Final = 5.0
CACHE_KIB: Final = 16 * 1024
WAL_CHECKPOINT_PAGES: Final = 4000
"""16 MiB of WAL: rarer checkpoints than SQLite's 1000 pages, still bounded."""

T = TypeVar("T")


class StoreDamaged(StoreError):  # noqa: N818 - a state
    """It is a database, and broken inside."""


class StoreLost(StoreError):  # noqa: N818 - a state, as StoreFenced is
    """The file is not at its path any more: what was committed reaches nobody. Open a new Database."""


class Database:
    """The writer's connection. Used by one thread; idempotent close.

    Durability: WAL. `synchronous=NORMAL` survives any process death; FULL also a power loss, commit
    by commit (sqlite.org/pragma.html#pragma_synchronous).

    Raises:
        StoreBusy: Somebody else holds it, or there is no room.
        StoreError: The file cannot be made, opened or migrated, is of a newer version, or is drained into
            from another spool by a process that lives.

    Args:
        path: The file; made when it is missing.
        durability: See above.
        spool: Where its records come from.
        is_drained: Whether some process drains a spool now.
    """

    def __init__(
        self,
        path: Path,
        durability: Durability = "process",
        *,
        spool: Path | None = None,
        is_drained: Callable[[Path], bool] = lambda _: False,
    ) -> None:
        self.path = path
        self._spool = spool
        self._is_drained = is_drained
        _make_private(path)
        # One thread at a time uses it; thread mode opens it in a thread of the app.
        self._connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        self._lost = False
        self._wal_fd: int | None = None
        self._is_in_doubt = False
        self._wal = Path(f"{path}-wal")
        self._files = [(path, _identity(path))]
        try:
            self._open(durability)
            # Where the filesystem allows no WAL there is none.
            if wal := _identity(self._wal):
                self._files.append((self._wal, wal))
                # From now on: an error that SQLite has heard of is not told to a descriptor opened later. The
                # file carries no POSIX locks (those are on -shm), so closing it frees none of SQLite's.
                self._wal_fd = os.open(self._wal, os.O_RDONLY | os.O_CLOEXEC)
        except sqlite3.Error as exc:
            self.close()
            raise cannot_open(path, exc) from exc
        except (StoreError, OSError):
            self.close()
            raise

    def _open(self, durability: Durability) -> None:
        version = self._version()
        if version > SCHEMA_VERSION:  # before anything is written: even the journal mode is in the file
            raise StoreError(
                f"{self.path} has schema version {version}, newer than {SCHEMA_VERSION}",
                hint="upgrade hush-otel",
            )
        space.prepare(self._connection, self.path)
        self._connection.execute("PRAGMA journal_mode = WAL")
        # A WAL that a reader has let grow is cut down to this when it begins anew.
        self._connection.execute(f"PRAGMA journal_size_limit = {WAL_CHECKPOINT_PAGES * 4096}")
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
        self._connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_CHECKPOINT_PAGES}")
        reach("store.opened")
        self._migrate(version)
        reach("store.migrated")
        self._check_spool()
        self._epoch = self._take_over()

    def _migrate(self, version: int) -> None:
        """Bring the schema to SCHEMA_VERSION, one transaction a version: a kill leaves no half."""
        if version == 0:
            self._run_script(load_sql("schema.sql"), SCHEMA_VERSION)
        for number in range(version + 1, SCHEMA_VERSION + 1) if version else ():
            self._run_script(load_migration(number), number)

    def _version(self) -> int:
        # hush_meta, not PRAGMA user_version: the seed's tables may live in the same file and use it.
        exists = self._connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'hush_meta'").fetchone()
        if not exists:
            return 0
        row = self._connection.execute("SELECT value FROM hush_meta WHERE key = 'schema_version'").fetchone()
        return int(row[0]) if row else 0

    def _run_script(self, script: str, version: int) -> None:
        mark = f"REPLACE INTO hush_meta (key, value) VALUES ('schema_version', {version});"  # noqa: S608
        try:
            self._connection.executescript(f"BEGIN IMMEDIATE;\n{script}\n{mark}\nCOMMIT;")
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.rollback()
            raise

    def _check_spool(self) -> None:
        """Two owners by two spools would fence each other without end: the second one stays away."""
        if self._spool is None:
            return
        row = self._connection.execute("SELECT value FROM hush_meta WHERE key = 'spool'").fetchone()
        other = Path(os.fsdecode(row[0])) if row else self._spool
        if other != self._spool and self._is_drained(other):
            raise StoreError(
                f"{self.path} is drained into from {other}, so not from {self._spool}",
                hint="give all processes the same HUSH_SPOOL_DIR, or none of them",
            )
        self._connection.execute(
            "INSERT OR REPLACE INTO hush_meta (key, value) VALUES ('spool', ?)", (_as_value(self._spool),)
        )

    def _take_over(self) -> int:
        """Begin a new epoch: whoever wrote before and wakes up again finds itself fenced."""
        sql = (
            "INSERT INTO hush_meta (key, value) VALUES ('epoch', 1) "
            "ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value"
        )
        (epoch,) = self._connection.execute(sql).fetchall()[0]
        by = f"{__version__} {int(time.time())}"
        self._connection.execute("INSERT OR REPLACE INTO hush_meta (key, value) VALUES ('owner', ?)", (by,))
        return int(epoch)

    def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Run `change` in one transaction: all of it or nothing.

        Raises:
            StoreFenced: Another process has taken over; nothing was changed.
            StoreLost: The file was removed or replaced: the change may be in nobody's file.
            sqlite3.Error: Full, busy, corrupt: nothing was changed; try again later.
        """
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            (epoch,) = connection.execute("SELECT value FROM hush_meta WHERE key = 'epoch'").fetchone()
            self._check_epoch(epoch)
            reach("store.begun")
            result = change(connection)
            reach("store.committing")
            connection.execute("COMMIT")
        except BaseException as exc:
            if connection.in_transaction:
                connection.rollback()
            if isinstance(exc, sqlite3.Error):
                self._check_files()
            raise
        reach("store.committed")
        self._check_files()
        return result

    def _check_files(self) -> None:
        """Whether the paths still lead to what the connection writes: an open inode is never reused."""
        for path, identity in self._files:
            if _identity(path) != identity:
                self._lost = True
                raise StoreLost(
                    f"the database {self.path} was removed or replaced while it was open ({path.name})",
                    hint="stop the background process before you remove, move or restore it",
                )

    def _check_epoch(self, epoch: int) -> None:
        if epoch != self._epoch:
            raise StoreFenced(f"another process has taken over {self.path}")

    def read(self, look: Callable[[sqlite3.Connection], T]) -> T:
        """Run `look` without a transaction of its own."""
        return look(self._connection)

    def sync(self) -> None:
        """Push everything committed to the disk: what was committed now survives a power loss.

        Commits under synchronous=NORMAL lie in the WAL unsynced. After a failed sync the kernel may take for
        written what is not, and the next sync would succeed without it: it is written anew, into the
        database, before anything is said to be on the disk.

        Raises:
            StoreLost: The database or its WAL was removed or replaced: nothing may be unlinked.
            StoreError: It may not be on the disk: likewise. Try again later.
            sqlite3.Error: It could not be written anew: likewise.
        """
        self._check_files()
        if self._is_in_doubt:
            self._write_anew()
        if self._wal_fd is None:
            return  # a filesystem without WAL: SQLite has synced the database
        try:
            os.fsync(self._wal_fd)
        except OSError as exc:
            self._is_in_doubt = True
            raise StoreError(
                f"cannot sync {self._wal}: {exc.strerror or exc}",
                hint="the spool keeps every record until it is written anew; see whether the disk is sound",
            ) from exc

    def _write_anew(self) -> None:
        if not space.truncate_wal(self._connection):
            raise StoreBusy(
                f"cannot write {self._wal} anew after a failed sync: somebody reads {self.path}",
                hint="the spool keeps every record until they have ended",
            )
        self._is_in_doubt = False

    def checkpoint(self) -> int:
        """Bring the WAL into the file, as far as no reader needs it; returns how many pages it had.

        Waits for nobody. What fails the next one does: until then all of it is in the WAL; and 0 is returned.
        """
        with suppress(sqlite3.OperationalError):
            _, pages, _ = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            return max(int(pages), 0)  # -1 while another connection is at it
        return 0

    def truncate_wal(self) -> bool:
        """Bring the WAL into the file, which then has its size; False while a reader needs it."""
        self._check_files()
        return space.truncate_wal(self._connection)

    def close(self) -> None:
        """Idempotent."""
        if self._lost:
            self._leave_lost_files()
        self._connection.close()
        if self._wal_fd is not None:
            os.close(self._wal_fd)
            self._wal_fd = None

    def _leave_lost_files(self) -> None:
        """Bring the WAL into the file that it belongs to, wherever that is now, and out of the way.

        Beside a restored file it would be taken for that one's, and corrupt it.
        (sqlite.org/howtocorrupt.html, section 1.4.) SQLite itself leaves it when the file has moved.
        """
        self._lost = False
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (path, file), *rest = self._files
        if _identity(path) != file and rest and _identity(self._wal) == rest[0][1]:
            self._wal.unlink(missing_ok=True)
            Path(f"{self.path}-shm").unlink(missing_ok=True)


def _as_value(path: Path) -> str | bytes:
    """A path as SQLite can hold it: its bytes, where they are no UTF-8."""
    raw = os.fsencode(path)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def cannot_open(path: Path, exc: sqlite3.Error) -> StoreError:
    """Which of our errors it is that a database cannot be begun with."""
    kind = StoreBusy if _may_pass(exc) else StoreDamaged if is_corrupt(exc) else StoreError
    return kind(f"cannot open the database {path}: {exc}", hint="the spool keeps every record")


def _may_pass(exc: sqlite3.Error) -> bool:
    """Locked by somebody, or no room (sqlite.org/rescode.html, primary result codes)."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF in _PASSING


def is_without_room(exc: sqlite3.Error) -> bool:
    """Whether it may be for want of room: SQLite tells some of that as an input/output error."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_IOERR,
    }
)


def is_of_the_database(exc: Exception) -> bool:
    """Locked, full, corrupt, removed, or not ours any more; as opposed to a row that cannot be written."""
    of_a_row = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError)
    return isinstance(exc, (sqlite3.DatabaseError, StoreError)) and not isinstance(exc, of_a_row)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file stands at a path; None when none does, or that cannot be told."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _make_private(path: Path) -> None:
    """Create the file 0600 before SQLite would with the umask; -wal and -shm follow its mode.

    An existing file is never opened here: closing it would free SQLite's locks in this process.
    """
    try:
        make_private_directory(path.parent)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        _check_private(path)
    except OSError as exc:
        raise StoreError(
            f"cannot make the database {path}: {exc.strerror or exc}", hint="set HUSH_TRACES_DB"
        ) from exc
    else:
        os.fchmod(fd, 0o600)
        os.close(fd)


def _check_private(path: Path) -> None:
    wrong = why_no_database(path)
    status = path.lstat()
    if not wrong and status.st_uid != os.geteuid():
        wrong = "no file of this user"
    if wrong:  # before anything is done to it: it is somebody's
        raise StoreError(
            f"{path} is {wrong}", hint="set HUSH_TRACES_DB to another path; the spool keeps every record"
        )
    if status.st_mode & 0o077:
        path.chmod(0o600)


def load_sql(name: str) -> str:
    """A SQL file of this package."""
    return resources.files("hush_otel.store").joinpath(name).read_text(encoding="utf-8")


def load_migration(number: int) -> str:
    """The script that leads from `number - 1` to `number`."""
    for entry in resources.files("hush_otel.store").joinpath("migrations").iterdir():
        if entry.name.startswith(f"{number:04d}_"):
            return entry.read_text(encoding="utf-8")
    raise StoreError(f"migration {number} is missing from this installation", hint="reinstall hush-otel")


Row = tuple[Any, ...]
