"""P11: one request of 50,000 spans on the page: what its server computes until the answer is JSON, zipped.

CPU time of a process that has already answered once, as `hush-otel ui` has soon. The browser's share,
decoding and drawing, has a test of its own (tests/web/test_size.py).
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Final

import backlog
import workload
from harness import fresh, in_turn, workspace
from report import Row, Target, row, run
from stored import rows

SPANS: Final = 50_000
ROUNDS: Final = 3
ANSWERS: Final = 5
"""Of one process."""


def answer(database: str) -> list[float]:
    """Milliseconds of CPU time of each answer, in a process like that of `hush-otel ui`."""
    from hush_otel.background.garbage import collect_seldom
    from hush_otel.config import Settings
    from hush_otel.web import api_requests
    from hush_otel.web.answers import Question, to_json

    collect_seldom()
    ((request_id,),) = rows(Path(database), "SELECT request_id FROM hush_requests")
    question = Question(settings=Settings.load(database), path={"id": request_id}, query={}, body={})
    found = list[float]()
    for _ in range(ANSWERS + 1):
        began = time.process_time()
        response = to_json(api_requests.tree(question), zips=True)
        found.append((time.process_time() - began) * 1e3)
        assert len(response.body) > SPANS
    return found[1:]


def measure() -> list[Row]:
    kinds = (workload.SMALL, workload.LLM)
    with workspace() as directory:
        stored = {kind: _stored(directory / kind, kind) for kind in kinds}
        found = in_turn(
            {kind: partial(fresh, "p11_page.answer", database=str(path)) for kind, path in stored.items()},
            ROUNDS,
        )
    return [
        row(
            f"a request of {SPANS:,} spans ({kind}): the server's CPU",
            [ms for of_round in found[kind] for ms in of_round],
            "ms",
            target=Target(text="≤ 500 ms", bound=500, of="ours"),
        )
        for kind in kinds
    ]


def _stored(directory: Path, kind: str) -> Path:
    """A database with one request."""
    spool, place = directory / "spool", directory / "stored"
    for one in (spool, place):
        one.mkdir(parents=True)
    backlog.drained(backlog.record(spool, kind, SPANS, spans_per_request=SPANS), place)
    return place / "traces.db"


if __name__ == "__main__":
    run(__doc__, measure)
