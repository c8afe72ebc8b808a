"""The boundary to the app and to the loops: failures are counted and said once a minute, never raised."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

from .monotonic import LONG_AGO, monotonic
from .signalled import let_through

log = logging.getLogger(__name__)

SAY_AGAIN_S: Final = 60.0

failures: Counter[str] = Counter()
"""How often each guarded step failed in this process, by its name."""

_next: dict[str, float] = {}


def swallow(doing: str, exc: BaseException) -> None:
    """Count a failure; log it unless the same step was logged within a minute."""
    # No lock: a signal handler or a forked child could meet it taken. A race costs a count or a second line.
    now = monotonic()
    failures[doing] += 1
    if now >= _next.get(doing, LONG_AGO):
        _next[doing] = now + SAY_AGAIN_S
        say(logging.ERROR, "hush-otel failed %s: %s: %s", doing, type(exc).__name__, exc)


def say(level: int, message: str, *args: object) -> None:
    """Log with OTel instrumentation suppressed: a log exporter must not make spans of it.

    Not while a lock is held: the app's logging handlers take locks of their own, and may end spans.
    What they raise is theirs, but would end up in the app's code that has ended a span.
    """
    token = context.attach(context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, value=True))
    try:
        log.log(level, message, *args)
    except Exception as exc:  # noqa: BLE001 - there is nowhere left to say it
        let_through(exc)
        failures["logging"] += 1
    finally:
        context.detach(token)


@contextmanager
def guard(doing: str) -> Iterator[None]:
    """Let nothing out but KeyboardInterrupt, SystemExit and their like, and what signal handlers raise.

    Args:
        doing: What is done, as the end of a sentence: "draining the spool".
    """
    try:
        yield
    except Exception as exc:  # noqa: BLE001 - the one place whose job this is
        let_through(exc)
        swallow(doing, exc)
