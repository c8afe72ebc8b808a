"""Forks a process for each piece of work, so that none of them begins with imports: run by traced.py.

A line of JSON each way: the work and its arguments, then the pid of the process, which is stopped until somebody
has it go on; what it says; and its exit code.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1])]

from inprocess import settings_for  # noqa: E402 - beside it
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402

from hush_otel import Destination, HushSpanProcessor  # noqa: E402
from hush_otel.attachment import attach  # noqa: E402
from hush_otel.background import intake, sources, upkeep  # noqa: E402
from hush_otel.background.service import elect  # noqa: E402
from hush_otel.destinations import file as _  # noqa: E402, F401 - else imported while calls fail
from hush_otel.errors import HushError  # noqa: E402
from hush_otel.spool.filesystem import Append  # noqa: E402
from hush_otel.store import database  # noqa: E402


def record(db: str, sent: str, mode: str, count: int, size: int) -> dict[str, Any]:
    """An application: spans whose ends are acknowledged, or dropped and counted."""
    destination = Destination("file", name="file", path=sent)
    processor = HushSpanProcessor(db, destinations=[destination], live=False)
    writer = attach(db).writer
    writer._mode = Append[mode]
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("app")
    wait_to_go_on()
    for number in range(count):
        tracer.start_span(f"n-{number}", attributes={"padding": f"{number}" * size}).end()
    return {"dropped": writer.dropped}


def store(
    db: str, durability: str, checkpoint_pages: int, upkeep_s: float = 0.05, idle_exit_s: float = 60.0
) -> dict[str, Any]:
    """A background process, with short pauses and early checkpoints."""
    sources.FENCE_WAIT_S = intake.DAMAGE_WAIT_S = 0.0  # type: ignore[misc]
    upkeep.UPKEEP_S = upkeep_s  # type: ignore[misc]
    database.WAL_CHECKPOINT_PAGES = checkpoint_pages  # type: ignore[misc]
    wait_to_go_on()
    settings: Any = {"durability": durability, "idle_exit_s": idle_exit_s}
    service = elect(settings_for(Path(db), **settings))
    assert service is not None
    service.run(leave_when_idle=True)
    service.close()
    return {"lost": service.lost}


WORK = {"record": record, "store": store}


def say(value: Any) -> None:
    """One line; calls that fail are none of ours."""
    with suppress(OSError):
        os.write(1, json.dumps(value).encode() + b"\n")
        return
    say(value)


def wait_to_go_on() -> None:
    """What comes now is what somebody wants to look at."""
    os.kill(os.getpid(), signal.SIGSTOP)


def work(order: dict[str, Any]) -> int:
    """Do it. What an operator would see as an error is an answer; with another one it ends as a program does."""
    try:
        say(WORK[order.pop("work")](**order))
    except (HushError, OSError, sqlite3.Error) as exc:  # the next one does it
        say({"raised": str(exc)})
        return 1
    return 0


def main() -> None:
    """One piece of work after the other."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                code = work(json.loads(line))
            finally:
                os._exit(code)
        say({"pid": pid})
        say({"left": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])})


main()
