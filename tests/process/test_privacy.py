"""S1: what the processes of one database make is for its user alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bench import Bench, names
from support import eventually


def test_s01_everything_is_private_under_any_umask(bench: Bench) -> None:
    """Directories 0700, files, lock, log and FIFO 0600, while everything runs and after it has ended."""
    place = bench.path / "home" / ".hush"
    bench.db = place / "traces.db"
    bench.spool = bench.spool._replace(path=place / "traces.db.spool")
    bench.env["HUSH_TRACES_DB"] = str(bench.db)
    before = os.umask(0)
    try:
        app = bench.obedient(HUSH_DESTINATIONS="console")
        app.ask("end a 5")
        app.ask("open left")
        bench.expect(names("a", 5))
        eventually(
            lambda: bench.value("SELECT count(*) FROM deliveries WHERE state = 'delivered'") == 5,
            what="deliveries",
        )
        kinds = look(place.parent)
        assert {".seg", ".owner", "lock", "doorbell", "traces.db", "traces.db-wal", "output.log"} <= kinds
        drained = bench.hush("export", str(place.parent / "out.csv"))
        assert drained.wait() == 0
        app.kill()
        eventually(lambda: not bench.background_processes(), what="an idle exit")
        assert "out.csv" in look(place.parent)
    finally:
        os.umask(before)


def look(directory: Path) -> set[str]:
    """Check what lies there; what there was, by name or suffix."""
    found = set()
    for path in [directory, *directory.rglob("*")]:
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue  # a drained segment is unlinked
        assert stat.S_IMODE(mode) == (0o700 if stat.S_ISDIR(mode) else 0o600), path
        found |= {path.name, path.suffix}
    return found
