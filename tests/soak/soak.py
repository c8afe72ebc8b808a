"""Everything is killed again and again, and nothing may be lost: `make soak MINUTES=3`.

Four applications of two threads each record, a receiver takes what is delivered. Applications and the background
process get SIGKILL, SIGTERM and SIGSTOP at random moments, the receiver answers 503 and 429, cuts connections, is
late, accepts what it does not answer. In the end everything gets time to settle, and is compared:

- what an application was told is safe (its log of acknowledgements) with the rows of the store: I1, I2
- the same with what the receiver accepted, and how often: I5
- the ledger: `hush-otel audit`: I4

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
from dataclasses import dataclass, field
from pathlib import Path

from receiver import FAULTS, Receiver

from hush_otel.background.client import BackgroundClient, owner_pid
from hush_otel.config import Settings

APPS = 4
SETTLE_S = 180.0
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
        """All of them, as cruelly as before."""
        for app in self.apps:
            app.kill()
            app.wait()

    def settle(self) -> bool:
        """A good receiver and time: whether all that is owed was delivered."""
        self.receiver.fault = ""
        client = BackgroundClient(self.settings)
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            client.ensure()
            if self._is_settled():
                return True
            time.sleep(0.5)
        return False

    def _is_settled(self) -> bool:
        if any(self.settings.spool_dir.glob("*.seg")):
            return False
        open_states = "SELECT count(*) FROM deliveries WHERE state <> 'delivered'"
        writing = "SELECT count(*) FROM requests WHERE status = 'writing'"
        return not self.count(open_states) and not self.count(writing)

    def count(self, sql: str) -> int:
        """A number from the database."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30) as db:
            return int(db.execute(sql).fetchone()[0])


def acknowledged(directory: Path) -> tuple[set[bytes], set[tuple[str, str]]]:
    """Spans and node traces that an application was told are safe."""
    spans, nodes = set(), set()
    for log in directory.glob("app-*.log"):
        for line in log.read_text().splitlines():
            kind, one, other = line.split()
            if kind == "span":
                spans.add(bytes.fromhex(one + other))
            else:
                nodes.add((one, other))
    return spans, nodes


def compare(yard: Yard, *, settled: bool) -> dict[str, int]:
    """Figures; those that must be 0 come last, after `must be 0`."""
    spans, nodes = acknowledged(yard.directory)
    with sqlite3.connect(f"file:{yard.database}?mode=ro", uri=True) as db:
        rows = [bytes.fromhex(row[0] + row[1]) for row in db.execute("SELECT trace_id, span_id FROM spans")]
        found = Counter(
            db.execute("SELECT request_id, node_name FROM node_traces WHERE workflow_name = 'flow'")
        )
    stored = set(rows)
    audit = subprocess.run(
        [sys.executable, "-m", "hush_otel", "--db", str(yard.database), "audit"], check=False
    )
    accepted = yard.receiver.accepted
    return {
        "kills": sum(number for blow, number in yard.blows.items() if "SIGKILL" in blow or "SIGTERM" in blow),
        "applications": yard.started,
        "acknowledged": len(spans) + len(nodes),
        "stored": len(rows),
        "accepted by the receiver": len(accepted),
        "of those more than once, with the same ids": sum(number > 1 for number in accepted.values()),
        "must be 0": 0,
        "lost": len(spans - stored) + len(nodes - found.keys()),
        "twice in the store": len(rows) - len(stored) + sum(found[node] > 1 for node in nodes),
        "stored and not accepted": len(stored - accepted.keys()),
        "not settled": not settled,
        "exit code of audit": audit.returncode,
    }


def main() -> int:
    """Run, compare, print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=3.0)
    options.add_argument("--seed", type=int, default=None)
    given = options.parse_args()
    seed = given.seed if given.seed is not None else random.randrange(10**6)
    print(f"soak: {given.minutes:g} minutes, seed {seed}", flush=True)
    receiver = Receiver()
    receiver.start()
    with tempfile.TemporaryDirectory(prefix="hush-soak-") as directory:
        yard = Yard(Path(directory), receiver, random.Random(seed))
        end = time.monotonic() + 60 * given.minutes
        try:
            while time.monotonic() < end:
                yard.keep_up()
                time.sleep(yard.chance.uniform(*PAUSE_S))
                yard.strike()
        finally:
            yard.end_apps()
        figures = compare(yard, settled=yard.settle())
        if (pid := owner_pid(yard.settings)) is not None:
            os.kill(pid, signal.SIGTERM)
    receiver.stop()
    print("\n".join(f"  {blow:<28} {number:>8}" for blow, number in sorted(yard.blows.items())))
    print("\n".join(f"{what:<42} {number:>10,}" for what, number in figures.items()))
    names = list(figures)
    return int(any(figures[name] for name in names[names.index("must be 0") :]))


if __name__ == "__main__":
    sys.exit(main())
