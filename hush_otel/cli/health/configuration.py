"""The settings: every mistake in them, whichever stops applications first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hush_otel.config import Survey, config_path
from hush_otel.errors import ConfigError

from .finding import Finding, ok, wrong

MEND: Final = "correct it: applications, run and drain do not start with it"


def look(found: Survey) -> Iterator[Finding]:
    """One finding for each."""
    yield from map(mistake, found.mistakes.values())
    if not found.mistakes:
        yield ok("configuration", f"nothing is wrong with the variables HUSH_* and {_file()}")


def mistake(error: ConfigError) -> Finding:
    """What is wrong, and what it can be instead."""
    return wrong("configuration", error.message, f"{error.hint}; {MEND}" if error.hint else MEND)


def _file() -> str:
    try:
        path = config_path()
    except ConfigError:
        return "no configuration file"
    return str(path) if path.exists() else f"no {path} is there"
