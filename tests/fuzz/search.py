"""One search, in a process of its own: search.py TARGET SECONDS WORK DIRECTORY. `fuzz.py` starts it.

libFuzzer ends its process itself, past every `finally`: who started it cleans up.
"""

from __future__ import annotations

import hashlib
import logging
import sys
import traceback
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["hush_otel"]):
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from targets import HERE, TARGETS, Target

TIMEOUT_S: Final = 10
"""Of one input. A hundredth of a second is usual."""
MEMORY_MIB: Final = 1500
MOST_BYTES: Final = 4096


class Search:
    """Tries inputs, and keeps those that break a promise: one for each place where that was noticed."""

    def __init__(self, target: Target, findings: Path) -> None:
        self._target = target
        self._findings = findings
        self._places: set[str] = set()

    def attempt(self, data: bytes) -> None:
        """What Atheris calls."""
        try:
            self._target.attempt(data)
        except Exception as exc:
            self._keep(data, exc)

    def _keep(self, data: bytes, exc: Exception) -> None:
        frames = traceback.extract_tb(exc.__traceback__)
        place = "|".join((type(exc).__name__, *(f"{f.filename}:{f.lineno}" for f in frames[-3:])))
        if place in self._places:
            return
        self._places.add(place)
        path = self._findings / hashlib.sha256(place.encode()).hexdigest()[:12]
        path.write_bytes(data)
        print(f"FOUND {path}\n{''.join(traceback.format_exception(exc))}", flush=True)


def main(name: str, seconds: str, work: str, directory: str) -> None:
    """Until the time is over."""
    logging.disable()  # warnings of what is dropped, by the thousand
    corpus, findings, words = Path(work) / "corpus", Path(work) / "findings", HERE / f"{name}.dict"
    search = Search(TARGETS[name](Path(directory)), findings)
    options = (
        f"-max_total_time={seconds}",
        f"-timeout={TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-max_len={MOST_BYTES}",
        f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
        *([f"-dict={words}"] if words.exists() else []),
    )
    atheris.Setup([sys.argv[0], *options, str(corpus), str(HERE / "seeds" / name)], search.attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
