"""A database on a filesystem without a byte left, in a mount namespace of its own: run by test_full_disk.py.

`python full_disk.py DIRECTORY`; prints a JSON object of what was found.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1])]

from inprocess import App, owning, settings_for  # noqa: E402 - beside it

from hush_otel.background.ageing import SEEN  # noqa: E402
from hush_otel.background.reserve import Reserve  # noqa: E402

DISK_BYTES = 120 * 1024 * 1024
REQUESTS = 2_000


def fill_up(directory: Path) -> None:
    """Others take all that is left."""
    with (directory / "of-others").open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


def counted(db: Path, sql: str) -> int:
    """One number."""
    connection = sqlite3.connect(f"file:{db}?mode=ro", uri=True)
    try:
        return int(connection.execute(sql).fetchone()[0])
    finally:
        connection.close()


def main(directory: Path) -> dict[str, Any]:
    """Fill the disk, and have an owner work on it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(directory)], check=True)
    db = directory / "traces.db"
    app = App(db)
    for _ in range(REQUESTS):
        with app.tracer.start_as_current_span("root", attributes={"text": "x" * 12_000}):
            pass
    app.drain()
    then = time.time() - 31 * 24 * 3600
    with sqlite3.connect(db) as connection:
        connection.execute("UPDATE hush_requests SET created_at = ?1, last_at = ?1", (then,))
        connection.execute("INSERT OR REPLACE INTO hush_meta VALUES (?, ?)", (SEEN, time.time()))
    connection.close()
    Reserve(db).keep()
    had_reserve = Reserve(db).path.exists()
    with app.tracer.start_as_current_span("new"):
        pass
    with owning(settings_for(db, retention_days=30.0)) as owner:
        # As it is in the midst of work: a WAL of which nothing is in the database yet.
        owner.connection.execute("PRAGMA wal_autocheckpoint = 0")
        if sys.argv[2:] == ["without-reserve"]:
            Reserve(db).give_up()
        fill_up(directory)
        free = shutil.disk_usage(directory).free
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and counted(db, "SELECT count(*) FROM requests") > 1:
            owner.step()
            owner.service._retention._next = 0.0
        for _ in range(200):
            owner.step()
            owner.service._retention._next = 0.0
    return {
        "had_reserve": had_reserve,
        "free_before": free,
        "requests": counted(db, "SELECT count(*) FROM requests"),
        "pruned": counted(db, "SELECT count FROM hush_ledger WHERE name = 'pruned'"),
        "new": counted(db, "SELECT count(*) FROM spans WHERE name = 'new'"),
        "db_bytes": db.stat().st_size,
        "integrity": counted(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
    }


if __name__ == "__main__":
    os.environ["HUSH_BACKGROUND"] = "external"
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))) + "\n")
