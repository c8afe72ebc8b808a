"""Where a command's words go: the console for people, JSON for programs."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import click
import msgspec
from rich.console import Console

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bytes | bool | None"

NAME: Final = "hush-otel"

PIPED_WIDTH: Final = 4000
"""Columns where nobody looks at a terminal: rows keep their natural width and stay greppable."""

_UNSAFE: Final = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e0fff]"
)
"""What `text.clean` removes and JSON leaves as it is. All of it can stand only inside strings."""


STATUS_STYLES: Final = {
    "writing": "cyan",
    "failed": "bold red",
    "flushing": "yellow",
    "pending": "yellow",
    "flushed": "green",
    "stored": "green",
    "sending": "yellow",
    "delivered": "green",
    "paused": "yellow",
    "dead": "bold red",
}
"""Of requests and deliveries. Calm: colour says whether someone has to look."""


def awaits_spans(request: Mapping[str, Any]) -> bool:
    """Whether a row of the view `requests` was marked complete, and no span of it has come."""
    return request["completed_by"] == "mark" and not request["node_count"]


def program() -> str:
    """How this command was started, as a shell takes it: a line that is printed can be run as it stands."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m hush_otel"
    if started.name != NAME:
        return NAME  # called from another program
    found = shutil.which(NAME)
    return NAME if found and Path(found).absolute() == started.absolute() else shlex.quote(str(started))


def console() -> Console:
    """Standard output: colours and width of the terminal; plain and as wide as needed when piped."""
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False)


def to_json(value: Json) -> str:
    """Compact JSON on one line, harmless to a terminal."""
    return harmless(msgspec.json.encode(value).decode())


def harmless(json: str) -> str:
    r"""JSON with the same values, in which what could act on a terminal is written ``\uXXXX``."""
    return _UNSAFE.sub(_escape, json)


def print_json(value: Json) -> None:
    """One JSON document on one line."""
    click.echo(to_json(value))


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be")  # JSON writes what lies beyond 16 bits as two units
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
