"""Everything is killed again and again, and nothing may be lost: `make soak MINUTES=3`.

Four applications of two threads each record, a receiver takes what is delivered, and retention deletes what is half
a minute old. Applications and the background process get SIGKILL, SIGTERM and SIGSTOP at random moments, the receiver
answers 503 and 429, cuts connections, is late, accepts what it does not answer. In the end everything gets time to
settle, and is compared (reckoning.py):

- what an application was told is safe (its log of acknowledgements) with the rows of the store, and what has no row
  any more with what the receiver accepted: I1, I2
- every row with what the receiver accepted, and how often: I5
- the ledger: `hush-otel audit`: I4

Spool and database are bounded: together they stay below 1 GB however long it runs.

Ends with exit code 1 when anything is lost, twice in the store, not delivered, or does not add up.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from processes import processes_naming, stop_background
from receiver import FAULTS, Receiver
from reckoning import figures
from support import eventually

from hush_otel.background.client import BackgroundClient, owner_pid
from hush_otel.background.settling import LONGEST_BACKOFF_S
from hush_otel.config import Settings

APPS = 4
MIB = 1024 * 1024
SETTINGS = {
    "HUSH_RETENTION_DAYS": f"{30 / 86_400:.6f}",
    "HUSH_MAX_DB_BYTES": str(256 * MIB),
    "HUSH_SPOOL_MAX_BYTES": str(512 * MIB),
}
STALLED_S = LONGEST_BACKOFF_S + 120.0
"""Settling has failed when nothing has changed for so long, however slow the machine is: a receiver that has failed
again and again is left alone for the longest backoff."""
SETTLE_AT_MOST_S = 1800.0
APP = Path(__file__).with_name("app.py")
PAUSE_S = (0.1, 0.8)
"""Between two blows."""


@dataclass
class Yard:
    """What runs, and what was done to it."""

    directory: Path
    receiver: Receiver
    chance: random.Random
    apps: list[subprocess.Popen[bytes]] = field(default_factory=list)
    started: int = 0
    blows: Counter[str] = field(default_factory=Counter)
    largest: int = 0

    @property
    def database(self) -> Path:
        """Of all applications."""
        return self.directory / "traces.db"

    @property
    def settings(self) -> Settings:
        """As the applications have them."""
        return Settings.load(str(self.database))

    def start_app(self) -> subprocess.Popen[bytes]:
        """One more, with a log of its own."""
        self.started += 1
        log = self.directory / f"app-{self.started}.log"
        return subprocess.Popen(
            [
                sys.executable,
                str(APP),
                str(self.database),
                self.receiver.endpoint,
                str(log),
                str(self.started),
            ],
            stdin=subprocess.DEVNULL,
        )

    def keep_up(self) -> None:
        """Whoever was killed is replaced."""
        self.largest = max(self.largest, footprint(self.directory))
        alive = [app for app in self.apps if app.poll() is None]
        self.apps = alive + [self.start_app() for _ in range(APPS - len(alive))]

    def strike(self) -> None:
        """One blow."""
        blow = self.chance.choice((self._strike_app, self._strike_background, self._spoil_receiver))
        blow()

    def _strike_app(self) -> None:
        self._strike("app", self.chance.choice(self.apps).pid)

    def _strike_background(self) -> None:
        pid = owner_pid(self.settings)
        if pid:
            self._strike("background", pid)

    def _strike(self, what: str, pid: int) -> None:
        sign = self.chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP))
        try:
            os.kill(pid, sign)
            if sign == signal.SIGSTOP:
                time.sleep(self.chance.uniform(0.1, 2.0))
                os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return
        self.blows[f"{what} {sign.name}"] += 1

    def _spoil_receiver(self) -> None:
        self.receiver.fault = "" if self.receiver.fault else self.chance.choice(FAULTS)
        if self.receiver.fault:
            self.blows[f"receiver {self.receiver.fault}"] += 1

    def end_apps(self) -> None:
        """All of them and the children that they leave, as cruelly as before: nobody says anything after this."""
        for app in self.apps:
            app.kill()
            app.wait()
        eventually(self._no_child_is_left, 60.0, what="the end of forked children")

    def _no_child_is_left(self) -> bool:
        pids = processes_naming(f"{APP} {self.database} ")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids

    def settle(self) -> bool:
        """A good receiver and time: whether all that is owed was delivered."""
        self.receiver.fault = ""
        client = BackgroundClient(self.settings)
        end = time.monotonic() + SETTLE_AT_MOST_S
        before, stalled_at = None, 0.0
        while (now := time.monotonic()) < end:
            client.ensure()
            left = self._left()
            if not any(left):
                return True
            if left != before:
                before, stalled_at = left, now + STALLED_S
            if now >= stalled_at:
                print(f"nothing happens; left are (segments, deliveries, requests) {left}")
                return False
            time.sleep(0.5)
        return False

    def _left(self) -> tuple[int, int, int]:
        """What is not drained, not delivered, not complete or not queued yet."""
        return (
            len(list(self.settings.spool_dir.glob("*.seg"))),
            self.count("SELECT count(*) FROM deliveries WHERE state <> 'delivered'"),
            self.count("SELECT count(*) FROM requests WHERE status IN ('writing', 'pending')"),
        )

    def end_background(self) -> None:
        """In order, and waited for; one, too, that was started and has not the database yet."""
        stop_background(self.database)

    def count(self, sql: str) -> int:
        """A number from the database."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30) as db:
            return int(db.execute(sql).fetchone()[0])


def footprint(directory: Path) -> int:
    """Bytes on the disk of all files below it; of those that go meanwhile, none."""
    found = 0
    for path in directory.rglob("*"):
        try:
            found += 512 * path.lstat().st_blocks
        except FileNotFoundError:
            continue
    return found


def main() -> int:
    """Run, compare, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=3.0)
    options.add_argument("--seed", type=int, default=None)
    given = options.parse_args()
    seed = given.seed if given.seed is not None else random.randrange(10**6)
    print(f"soak: {given.minutes:g} minutes, seed {seed}", flush=True)
    os.environ.update(SETTINGS)
    receiver = Receiver()
    receiver.start()
    with tempfile.TemporaryDirectory(prefix="hush-soak-") as directory:
        yard = Yard(Path(directory), receiver, random.Random(seed))
        found = soak(yard, 60 * given.minutes)
    receiver.stop()
    print("\n".join(f"  {blow:<28} {number:>8}" for blow, number in sorted(yard.blows.items())))
    print("\n".join(f"{what:<44} {number:>10,}" for what, number in found.items()))
    names = list(found)
    return int(any(found[name] for name in names[names.index("must be 0") :]))


def soak(yard: Yard, seconds: float) -> dict[str, int]:
    """Strike for so long, let it settle; gives the figures."""
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            yard.keep_up()
            time.sleep(yard.chance.uniform(*PAUSE_S))
            yard.strike()
    finally:
        yard.end_apps()
    settled = yard.settle()
    yard.end_background()
    kills = sum(number for blow, number in yard.blows.items() if "SIGKILL" in blow or "SIGTERM" in blow)
    done = {"kills": kills, "applications": yard.started, "largest footprint, MB": yard.largest // 1_000_000}
    return done | figures(yard.directory, yard.database, yard.receiver, settled=settled)


if __name__ == "__main__":
    sys.exit(main())
