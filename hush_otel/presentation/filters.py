"""Which requests a list shows: one value, whether it was said by options of a command or in a URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

from hush_otel.errors import ConfigError

from .moments import moment, seconds

STATUSES: Final = ("writing", "failed", "flushing", "pending", "flushed", "stored")
"""What the view `requests` says."""


MOST_MS: Final = 1e12
"""Thirty years: nanoseconds of more do not fit into SQLite's numbers for long."""


@dataclass(frozen=True, kw_only=True)
class Filters:
    """All of them together choose; None, False and 0 leave everything in.

    Attributes:
        model: Of at least one of its spans; `tag`: one of its tags.
        errors: Only requests in which a span failed.
        since: Unix seconds of when it began to be stored, `until` is not part of it.
        min_ms: The shortest duration, in milliseconds.
        text: What the search for words is asked.
    """

    status: str | None = None
    workflow: str | None = None
    model: str | None = None
    user: str | None = None
    session: str | None = None
    tag: str | None = None
    errors: bool = False
    since: float | None = None
    until: float | None = None
    min_ms: float = 0.0
    text: str | None = None

    def __post_init__(self) -> None:
        if self.status is not None and self.status not in STATUSES:
            raise ConfigError(f"status: no request is ever {self.status!r}", hint=f"one of {_or(STATUSES)}")
        if not self.min_ms < MOST_MS:
            raise ConfigError("min_ms: no request takes as long as that")

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Self:
        """What a URL says, by the names of the fields; other names and empty values say nothing.

        Times are ages or ISO 8601 (`moments.moment`), ``min_ms`` a number or a length of time (``2s``).

        Raises:
            ConfigError: A value cannot be what its name says.
        """
        return cls(
            **{
                name: _read(name, value)
                for name in (field.name for field in fields(cls))
                if (value := query.get(name, "").strip())
            }
        )

    @property
    def min_ns(self) -> int:
        """`min_ms` in nanoseconds."""
        return round(self.min_ms * 1_000_000)

    @property
    def chooses(self) -> bool:
        """Whether anything is left out."""
        return self != type(self)()


def _read(name: str, value: str) -> Any:
    try:
        return _READ.get(name, str)(value)
    except ConfigError as exc:
        raise ConfigError(f"{name}: {exc.message}", hint=exc.hint) from None


def _flag(value: str) -> bool:
    if value.lower() not in _FLAGS:
        raise ConfigError(f"{value!r} is neither 1 nor 0")
    return _FLAGS[value.lower()]


def _milliseconds(value: str) -> float:
    return float(value) if value.isascii() and value.isdigit() else seconds(value) * 1000


def _or(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


_FLAGS: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}

_READ: Final[Mapping[str, Callable[[str], Any]]] = {
    "errors": _flag,
    "since": moment,
    "until": moment,
    "min_ms": _milliseconds,
}
