"""What `replay` and `export` choose of the past, and how they go through it: page by page, in order."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hush_otel.presentation.filters import STATUSES
from hush_otel.store.reading import Reader, Row

from . import completing
from .filters import moment
from .output import busy

PAGE: Final = 500
"""Requests at once. Between pages nothing is open in the database: a snapshot would let its WAL grow."""

ALL: Final = "all"

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which requests. None: whatever it is.

    Attributes:
        since: Unix seconds of when it began to be stored; `until` is not part of it.
    """

    since: float
    until: float
    workflow: str | None
    status: str | None
    user: str | None
    session: str | None

    def totals(self, reader: Reader, destination: int | None = None) -> Row:
        """How many requests and spans, and how many of the requests go to a destination already."""
        with busy("counting"):
            (found,) = reader.rows(
                "history_totals", destination=destination, since=self.since, **self._where()
            )
        return found

    def pages(self, reader: Reader, destination: int | None = None) -> Iterator[list[Row]]:
        """Requests in the order in which they came. Raises as `Reader.rows`."""
        after_at, after_id = self.since, 0
        while page := reader.rows(
            "history_requests",
            destination=destination,
            after_at=after_at,
            after_id=after_id,
            limit=PAGE,
            **self._where(),
        ):
            yield page
            after_at, after_id = page[-1]["created_at"], page[-1]["id"]

    def _where(self) -> dict[str, str | float | None]:
        return {
            "until": self.until,
            "workflow": self.workflow,
            "status": self.status,
            "user": self.user,
            "session": self.session,
        }


def _since(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    return 0.0 if value == ALL else moment(ctx, param, value)


def choosing(*, since_required: bool) -> Callable[[Command], Command]:
    """The options that make up a `Chosen`: the command gets them by its fields' names."""
    of: dict[str, Any] = {"metavar": "NAME"}
    needed: dict[str, Any] = {"required": True} if since_required else {"default": ALL}
    since = "Requests stored since: 30m, 12h, 7d, a time, or all."
    options = [
        click.option("--since", callback=_since, metavar="AGE", help=since, **needed),
        click.option("--until", callback=moment, metavar="AGE", help="Only those stored before that."),
        click.option("--workflow", shell_complete=completing.workflows, help="Only of this workflow.", **of),
        click.option("--status", type=click.Choice(STATUSES), help="Only in this state."),
        click.option("--user", shell_complete=completing.users, help="Only of this user.", **of),
        click.option("--session", shell_complete=completing.sessions, help="Only of this session.", **of),
    ]

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def chosen(
    since: float,
    until: float | None,
    workflow: str | None,
    status: str | None,
    user: str | None,
    session: str | None,
) -> Chosen:
    """What the options say. What comes while the command goes through them is not part of it."""
    end = time.time() if until is None else until
    return Chosen(since=since, until=end, workflow=workflow, status=status, user=user, session=session)


def progress(*, shown: bool = True) -> Progress:
    """A bar on standard error, where somebody looks at it."""
    out = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=out,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # a file gets what goes there
        disable=not (shown and sys.stderr.isatty()),
    )
