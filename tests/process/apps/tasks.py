"""Asyncio: nested spans in tasks that take turns.

tasks.py TASKS COUNT
"""

from __future__ import annotations

import asyncio
import sys

from common import tracer

t = tracer()


async def work(task: int, count: int) -> None:
    """One task: a span with steps, each of which lets the others have a turn."""
    with t.start_as_current_span(f"task-{task}"):
        for i in range(count):
            with t.start_as_current_span(f"step{task}-{i}"):
                await asyncio.sleep(0)


async def main(tasks: int, count: int) -> None:
    """All tasks at once."""
    await asyncio.gather(*(work(task, count) for task in range(tasks)))


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
