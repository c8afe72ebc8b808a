"""A spool on a filesystem of 2 MB, in a mount namespace of its own: run by test_full_disk.py.

`python small_disk.py DIRECTORY`; prints a JSON object of what was found.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1])]

from inprocess import App, losses, stored_spans  # noqa: E402 - beside it

from hush_otel.cli import audit  # noqa: E402
from hush_otel.spool.directory import SpoolDirectory  # noqa: E402

DISK_BYTES = 2 * 1024 * 1024
TEXT = "x" * 20_000
SPANS = 300
"""Three times what the disk holds."""


def main(directory: Path) -> dict[str, Any]:
    """Fill the disk by what is recorded, have it drained, go on."""
    small = directory / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(small)], check=True)
    os.environ |= {"HUSH_BACKGROUND": "external", "HUSH_SPOOL_DIR": str(small), "HOME": str(directory)}
    logging.basicConfig(filename=directory / "log")
    app = App(directory / "traces.db")
    writer = app.processor._pipeline.writer
    for _ in range(SPANS):
        app.tracer.start_span("span", attributes={"text": TEXT}).end()
    dropped = writer.dropped
    spool = SpoolDirectory(app.settings.spool_dir)
    left, size_bytes = len(spool.temporaries()), spool.size_bytes()
    app.drain()
    writer._retry_at = 0.0
    app.tracer.start_span("after").end()
    app.drain()
    stored = stored_spans(app.db_path)
    return {
        "dropped": dropped,
        "counted": losses(app.db_path).get("no_space", 0),
        "left": left,
        "size_bytes": size_bytes,
        "stored": stored["span"],
        "after": stored["after"],
        "balanced": audit.collect(app.settings).balanced,
        "spool": str(spool.path),
        "log": (directory / "log").read_text(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))) + "\n")
