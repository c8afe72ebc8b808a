"""How everything is: what `hush-otel status` says, and what waits in the spool."""

from __future__ import annotations

import time
from dataclasses import asdict

from hush_otel.presentation.status import collect
from hush_otel.presentation.waiting import look

from .answers import Answer, Question


def status(question: Question) -> Answer:
    """The report of `hush-otel status --json`, and `backlog_bytes`: records that are not stored yet."""
    report = asdict(collect(question.settings, time.time()))
    return report | {"backlog_bytes": look(question.settings.spool_dir).size_bytes}
