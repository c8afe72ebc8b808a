"""Runs every program and writes RESULTS.md: `make bench`. BENCH_FULL=1 takes the sizes that the targets name.

A program that fails is said in its place; the others run all the same, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from os import cpu_count, sysconf
from pathlib import Path
from typing import Any, Final

from harness import FULL, HERE
from report import COLUMNS

RESULTS: Final = HERE / "RESULTS.md"
PACKAGES: Final = (
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
    "msgspec",
    "protobuf",
    "urllib3",
)


def programs() -> list[Path]:
    return sorted(HERE.glob("p[0-9][0-9]_*.py"))


def run(program: Path) -> dict[str, Any] | None:
    """What it found; None when it failed."""
    with tempfile.TemporaryDirectory() as directory:
        kept = Path(directory, "rows.json")
        command = [sys.executable, str(program), "--json", str(kept)]
        if subprocess.run(command, check=False).returncode:
            return None
        return json.loads(kept.read_text(encoding="utf-8"))


# ------------------------------------------------------------------ RESULTS.md


def machine() -> Iterator[tuple[str, str]]:
    """What the figures depend on."""
    yield "date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    yield "processor", f"{cpu_count()} x {_processor()}"
    yield "memory", f"{sysconf('SC_PAGE_SIZE') * sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB"
    yield "kernel", f"{platform.system()} {platform.release()}"
    yield "filesystem", _filesystem(tempfile.gettempdir())
    yield "Python", platform.python_version()
    yield "SQLite", sqlite3.sqlite_version
    yield from ((name, version(name)) for name in ("hush-otel", *PACKAGES))
    yield "sizes", "those of the targets (BENCH_FULL=1)" if FULL else "of a quick run"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _filesystem(path: str) -> str:
    """The type of the mount with the longest path that leads to `path`."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    holding = [(len(at), kind) for _, at, kind, *_ in mounts if Path(path).is_relative_to(at)]
    return max(holding)[1]


def markdown(results: dict[str, dict[str, Any] | None], took_s: float) -> Iterator[str]:
    yield "# Results\n"
    yield "Written by `make bench`; [README.md](README.md) says how to read it.\n"
    yield "| | |\n|---|---|"
    yield from (f"| {name} | {value} |" for name, value in machine())
    yield f"| took | {took_s / 60:.0f} minutes |\n"
    yield _summary(results) + "\n"
    for name, result in results.items():
        if result is None:
            yield f"## {name}\n\nfailed\n"
            continue
        yield f"## {result['title']}\n\n`{name}`\n"
        yield _line(COLUMNS)
        yield "|---" * len(COLUMNS) + "|"
        yield from (_line(tuple(one.values())) for one in result["rows"])
        yield ""


def _summary(results: dict[str, dict[str, Any] | None]) -> str:
    verdicts = [one["verdict"] for result in results.values() if result for one in result["rows"]]
    counts = {verdict: verdicts.count(verdict) for verdict in ("met", "MISSED")}
    failed = sum(result is None for result in results.values())
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) + (
        f"; {failed} programs failed" if failed else ""
    )


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="programs to run, by the beginning of their names")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    chosen = [one for one in programs() if not options.only or one.name.startswith(tuple(options.only))]
    began = time.monotonic()
    results: dict[str, dict[str, Any] | None] = {}
    for program in chosen:
        results[program.name] = run(program)
    text = "\n".join(markdown(results, time.monotonic() - began))
    options.output.write_text(text.rstrip() + "\n", encoding="utf-8")
    print(f"{_summary(results)}: {options.output.name}")
    return 1 if None in results.values() else 0


if __name__ == "__main__":
    sys.exit(main())
