"""How everything is, in figures that are cheap to ask for, and what waits in the spool."""

from __future__ import annotations

import time
from dataclasses import asdict

from hush_otel.presentation.status import glance
from hush_otel.presentation.waiting import look

from .answers import Answer, Question


def status(question: Question) -> Answer:
    """Part of what `hush-otel status --json` says, and `backlog_bytes`: records that are not stored yet."""
    seen = asdict(glance(question.settings, time.time()))
    return seen | {"backlog_bytes": look(question.settings.spool_dir).size_bytes}
