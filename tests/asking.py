"""Commands that change something, run in a process of their own while this one owns the database."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from inprocess import Owner


def ask(owner: Owner, *args: str, timeout_s: float = 30.0, **env: str) -> subprocess.CompletedProcess[str]:
    """`hush-otel ARGS`, with the owner's main loop turning until it has ended."""
    command = [sys.executable, "-m", "hush_otel", "--db", str(owner.settings.db_path), *args]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | env
    )
    turn(owner, lambda: process.poll() is not None, timeout_s)
    out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def turn(owner: Owner, done: object, timeout_s: float = 20.0) -> None:
    """Turn the owner's main loop until `done()`."""
    deadline = time.monotonic() + timeout_s
    while not done():  # type: ignore[operator]
        assert time.monotonic() < deadline, "not done in time"
        owner.service._bell.wait(min(owner.step() or 0.001, 0.02))


def write_config(directory: Path, **destinations: dict[str, str]) -> Path:
    """A configuration file with these destinations."""
    lines = []
    for name, options in destinations.items():
        lines += [f"[destination.{name}]", *(f'{key} = "{value}"' for key, value in options.items())]
    path = directory / "hush.toml"
    path.write_text("\n".join(lines) + "\n")
    return path
