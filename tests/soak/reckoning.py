"""What was promised, against what is there: the oracle of the soak."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from receiver import Receiver

SPANS = "SELECT trace_id, span_id FROM spans"
PRUNED = "SELECT coalesce(sum(count), 0) FROM hush_ledger WHERE name = 'pruned'"
NODES = "SELECT request_id, node_name FROM node_traces WHERE workflow_name = 'flow'"
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
WHOLE_LINE = re.compile(
    "span (?P<trace>[0-9a-f]{32}) (?P<span>[0-9a-f]{16})\n"
    f"|try (?P<tried>{UUID}) (?P<attempt>[a-z.]+)\n"
    f"|node (?P<request>{UUID}) (?P<node>[a-z.]+)\n"
    f"|mark (?P<marked>{UUID}) -\n"
)
"""What app.py writes (class Log), whole."""


@dataclass(frozen=True)
class Acknowledged:
    """What applications were told is safe.

    Attributes:
        spans: Trace id and span id.
        nodes: Request id and node name.
        tried: Request id and node name of what may be stored as well: the application died before it was told.
        unmarked: Trace ids of node traces whose application died before it had them marked: they are owed to
            nobody, so that retention may delete them at any time.
    """

    spans: set[bytes]
    nodes: set[tuple[str, str]]
    tried: set[tuple[str, str]]
    unmarked: set[bytes]

    @classmethod
    def read(cls, directory: Path) -> Acknowledged:
        """From the logs of all applications that have run.

        A kill may cut the line that is being written, even where it is one `write`: at a page of the file. What
        a line lost its end from was told to nobody; the next line of another thread or a child stands behind it.
        """
        spans, nodes, tried, marked = set(), set(), set(), set()
        for log in directory.glob("app-*.log"):
            for line in WHOLE_LINE.finditer(log.read_text()):
                if line["span"]:
                    spans.add(bytes.fromhex(line["trace"] + line["span"]))
                elif line["attempt"]:
                    tried.add((line["tried"], line["attempt"]))
                elif line["node"]:
                    nodes.add((line["request"], line["node"]))
                else:
                    marked.add(line["marked"])
        unmarked = {uuid.UUID(request).bytes for request, _ in tried | nodes if request not in marked}
        return cls(spans, nodes, tried - nodes, unmarked)


@dataclass(frozen=True)
class Stored:
    """What the database holds, some of it more than once if something is wrong.

    Attributes:
        pruned: Rows with an end that retention has deleted.
    """

    spans: Counter[bytes]
    nodes: Counter[tuple[str, str]]
    pruned: int

    @classmethod
    def read(cls, database: Path) -> Stored:
        """At one moment."""
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
            db.execute("BEGIN")
            return cls(
                Counter(bytes.fromhex(trace + span) for trace, span in db.execute(SPANS)),
                Counter(db.execute(NODES)),
                db.execute(PRUNED).fetchone()[0],
            )

    def repeated(self) -> int:
        """Rows beyond the first of the same span or node trace."""
        return sum(number - 1 for rows in (self.spans, self.nodes) for number in rows.values())


@dataclass(frozen=True)
class Gone:
    """Acknowledged, and not in the database: retention may delete what the receiver has, and what nobody is owed."""

    delivered: int
    owed_to_nobody: int
    lost: int

    @classmethod
    def compare(cls, told: Acknowledged, stored: Stored, receiver: Receiver) -> Gone:
        """Each of them, by its ids."""
        spans, nodes = told.spans - stored.spans.keys(), told.nodes - stored.nodes.keys()
        named = {(uuid.UUID(request).bytes, _last_part(name)) for request, name in nodes}
        delivered = len(spans & receiver.accepted.keys()) + len(named & receiver.names)
        owed_to_nobody = sum(trace in told.unmarked for trace, _ in named - receiver.names)
        lost = len(spans) + len(named) - delivered - owed_to_nobody
        return cls(delivered=delivered, owed_to_nobody=owed_to_nobody, lost=lost)


def _last_part(node_name: str) -> str:
    """The name of a node's span."""
    return node_name.rpartition(".")[2]


def audit(database: Path) -> int:
    """The exit code of `hush-otel audit`; what it says is printed when that is not 0."""
    command = [sys.executable, "-m", "hush_otel", "--db", str(database), "audit"]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    if found.returncode:
        print(found.stdout, found.stderr)
    return found.returncode


def figures(directory: Path, database: Path, receiver: Receiver, *, settled: bool) -> dict[str, int]:
    """For people; those that must be 0 come last, after `must be 0`. Nobody writes meanwhile."""
    told, stored = Acknowledged.read(directory), Stored.read(database)
    gone = Gone.compare(told, stored, receiver)
    accepted = receiver.accepted
    missing = stored.spans.keys() - accepted.keys()
    unowed = sum(one[:16] in told.unmarked for one in missing)
    unsure = len(told.tried - stored.nodes.keys())  # stored and pruned since, or never stored
    return {
        "acknowledged spans and node traces": len(told.spans) + len(told.nodes),
        "spans in the store": stored.spans.total(),
        "spans pruned": stored.pruned,
        "acknowledged, pruned after delivery": gone.delivered,
        "pruned, owed to nobody": gone.owed_to_nobody,
        "spans delivered": len(accepted),
        "of those more than once, with the same ids": sum(number > 1 for number in accepted.values()),
        "must be 0": 0,
        "lost": gone.lost,
        "duplicated in the store": stored.repeated(),
        "gone, and not counted as pruned": max(gone.delivered + gone.owed_to_nobody - stored.pruned, 0),
        "stored anew after they were pruned": max(
            stored.pruned + stored.spans.total() - len(accepted) - gone.owed_to_nobody - unowed - unsure, 0
        ),
        "stored and not delivered": len(missing) - unowed,
        "not settled": not settled,
        "exit code of audit": audit(database),
    }
