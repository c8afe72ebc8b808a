"""What several commands let people choose by: which requests, times and ages, destinations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from hush_otel.errors import ConfigError, HushError
from hush_otel.layers import size_bytes
from hush_otel.presentation import moments
from hush_otel.presentation.filters import STATUSES
from hush_otel.store.reading import Reader, Row

from . import completing

Command = TypeVar("Command", bound=Callable[..., Any])

COUNT: Final = click.IntRange(1, 1_000_000_000)
"""How many at most; SQLite's integers end somewhere above."""


def moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """An option's age or time as unix seconds (`moments.moment`).

    Raises:
        click.BadParameter: It is neither.
    """
    return _understood(moments.moment, value)


def milliseconds(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float:
    """An option's length of time (``250ms``, ``2s``); 0 without one.

    Raises:
        click.BadParameter: It is none.
    """
    return (_understood(moments.seconds, value) or 0.0) * 1000


def _understood(read: Callable[[str], float], value: str | None) -> float | None:
    try:
        return None if value is None else read(value)
    except ConfigError as exc:
        raise click.BadParameter(exc.message) from None


def filtering(command: Command) -> Command:
    """The options that make up `Filters`: the command gets them by its fields' names."""
    of: dict[str, Any] = {"metavar": "NAME"}
    options = [
        click.option("--status", type=click.Choice(STATUSES), help="Only requests in this state."),
        click.option("--workflow", shell_complete=completing.workflows, help="Only of this workflow.", **of),
        click.option(
            "--model", shell_complete=completing.models, help="Only with a span of this model.", **of
        ),
        click.option("--user", shell_complete=completing.users, help="Only of this user.", **of),
        click.option("--session", shell_complete=completing.sessions, help="Only of this session.", **of),
        click.option("--tag", shell_complete=completing.tags, help="Only with this tag.", **of),
        click.option("--errors", is_flag=True, help="Only those in which a span failed."),
        click.option("--since", callback=moment, metavar="AGE", help="Only since: 30m, 12h, 7d, or a time."),
        click.option("--until", callback=moment, metavar="AGE", help="Only before that."),
        click.option(
            "--min-duration",
            "min_ms",
            callback=milliseconds,
            metavar="TIME",
            help="Only slower ones: 250ms, 2s.",
        ),
        click.option(
            "--text", metavar="WORDS", help='Only with all of these words: refund, "two words", beginn*.'
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def size(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """An option's size (``1500000``, ``500MB``, ``2 GiB``) in bytes.

    Raises:
        click.BadParameter: It is none.
    """
    if value is None:
        return None
    found = size_bytes(value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no size (500MB, 2GiB, or a number of bytes)")
    return found


def stored_destination(reader: Reader, name: str) -> Row:
    """The row of a destination that the database knows.

    Raises:
        HushError: It knows none of this name; the message lists those that it does.
    """
    found = reader.row("destination", name=name)
    if found is None:
        names = ", ".join(row["name"] for row in reader.each("destination_names")) or "none yet"
        raise HushError(f"no destination {name!r} in {reader.path}", hint=f"known: {names}")
    return found
