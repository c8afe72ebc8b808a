"""Coverage-guided fuzzing by Atheris: `make fuzz FUZZ_MINUTES=10`, or fuzz.py MINUTES [TARGET…].

Each target starts from its seeds, and from what earlier searches have found to reach new code. An input that breaks
a promise stays in `.fuzz/TARGET/findings/`, one for each place where that was noticed, and the search goes on; one that
takes 10 s or 1.5 GB ends it. Moved to `seeds/TARGET/`, a finding is tried by every `make test`.

Ends with exit code 1 when anything was found.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

WORK: Final = Path(__file__).parents[2] / ".fuzz"
MEMORY: Final = Path("/dev/shm")
NAMES: Final = ("segments", "configuration", "node_traces")
_LAST: Final = re.compile(r"DONE +cov: (\d+) ft: (\d+) corp: (\d+)")
_RUNS: Final = re.compile(r"number_of_executed_units: (\d+)")


def search(name: str, seconds: int) -> bool:
    """One target; prints its figures. True when it ran to its end and found nothing."""
    work = WORK / name
    for part in ("corpus", "findings"):
        (work / part).mkdir(parents=True, exist_ok=True)
    before = set((work / "findings").iterdir())
    command = [sys.executable, str(Path(__file__).with_name("search.py")), name, str(seconds), str(work)]
    with (
        tempfile.TemporaryDirectory(
            prefix="hush-fuzz-", dir=MEMORY if MEMORY.is_dir() else None
        ) as directory,
        (work / "log").open("w") as log,
    ):
        ended = subprocess.run([*command, directory], stdout=log, stderr=log, check=False)
    found = sorted(set((work / "findings").iterdir()) - before)
    print(
        f"{name}: {_figures((work / 'log').read_text(errors='replace'))}, {len(found)} findings", flush=True
    )
    for path in found:
        print(f"  {path}", flush=True)
    if ended.returncode:
        print(f"  ended with {ended.returncode}: {work / 'log'}", flush=True)
    return not found and not ended.returncode


def _figures(log: str) -> str:
    last, runs = _LAST.search(log), _RUNS.search(log)
    if last is None or runs is None:
        return "did not end in order"
    return f"{int(runs[1]):,} executions, {last[1]} edges, {last[2]} features, {last[3]} inputs kept"


def main() -> int:
    """Search each target for so many minutes."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("minutes", type=float)
    options.add_argument("targets", nargs="*", default=NAMES)
    given = options.parse_args()
    is_good = [search(name, round(60 * given.minutes)) for name in given.targets]
    return int(not all(is_good))


if __name__ == "__main__":
    sys.exit(main())
