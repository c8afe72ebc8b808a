"""What a look has shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["ok", "note", "wrong"]
"""ok · note: somebody may want to know · wrong: somebody has to act."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the doctor's.

    Attributes:
        subject: What was looked at.
        words: What it is like.
        mend: What to do; empty where nothing is to be done.
        fix: Does it, and says what it did; None where only people can.
    """

    subject: str
    level: Level
    words: str
    mend: str = ""
    fix: Callable[[], str] | None = field(default=None, repr=False)


def ok(subject: str, words: str) -> Finding:
    """Nothing to do."""
    return Finding(subject=subject, level="ok", words=words)


def note(subject: str, words: str, mend: str = "") -> Finding:
    """Worth knowing."""
    return Finding(subject=subject, level="note", words=words, mend=mend)


def wrong(subject: str, words: str, mend: str, fix: Callable[[], str] | None = None) -> Finding:
    """To be mended."""
    return Finding(subject=subject, level="wrong", words=words, mend=mend, fix=fix)
