"""`hush-otel doctor`: what is wrong here, and what mends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hush_otel.config import survey
from hush_otel.errors import ConfigError
from hush_otel.presentation import text

from .health import configuration, delivery, installation, literals, place, searching, spool, storage
from .health.finding import Finding, wrong
from .output import busy, console, print_json

LOOKS: Final = (
    ("versions", installation.look),
    ("place", place.look),
    ("spool", spool.look),
    ("database", storage.look),
    ("search", searching.look),
    ("secrets", literals.look),
    ("destinations", delivery.look),
)
STYLES: Final = {"ok": "green", "note": "yellow", "wrong": "bold red"}
EXIT_WRONG: Final = 1


@click.command("doctor")
@click.option("--fix", is_flag=True, help="Mend what is safe to mend: permissions, strange files, damage.")
@click.option("--json", "as_json", is_flag=True, help="All findings as a JSON list.")
@click.pass_obj
def command(db: str | None, fix: bool, as_json: bool) -> int:
    """Look at everything that delivery depends on, and say what mends it.

    The exit code is 1 when something is wrong and was not mended.
    """
    with busy("looking at everything"):
        found = [(finding, _mended(finding) if fix else "") for finding in examine(db)]
    if as_json:
        print_json([_as_json(finding, done) for finding, done in found])
    else:
        render(console(), found)
    return EXIT_WRONG if any(finding.level == "wrong" and not done for finding, done in found) else 0


def examine(db: str | None) -> Iterator[Finding]:
    """Everything, in the order of what depends on what. Without a place to look at, the settings alone."""
    try:
        found = survey(db)
    except ConfigError as exc:
        yield configuration.mistake(exc)
        return
    yield from configuration.look(found)
    for subject, look in LOOKS:
        try:
            yield from look(found.settings)
        except OSError as exc:
            yield _unseen(subject, exc)


def _unseen(subject: str, error: OSError) -> Finding:
    """What may not be looked at, or cannot be there at all, keeps nobody from the rest."""
    words = f"{error.filename or 'it'} cannot be looked at: {error.strerror or error}"
    return wrong(subject, words, "give it to this user, or set HUSH_TRACES_DB or HUSH_SPOOL_DIR elsewhere")


def _mended(finding: Finding) -> str:
    return finding.fix() if finding.fix is not None else ""


def _as_json(finding: Finding, done: str) -> dict[str, Any]:
    return {
        "subject": finding.subject,
        "level": finding.level,
        "words": finding.words,
        "mend": finding.mend or None,
        "can_fix": finding.fix is not None,
        "fixed": done or None,
    }


def render(out: Console, found: list[tuple[Finding, str]]) -> None:
    """For people: a line each, below it what to do."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding, done in found:
        style = STYLES[finding.level]
        words = Text(text.said(finding.words, limit=1000))
        grid.add_row(Text(finding.level, style=style), Text(text.clean(finding.subject, limit=60)), words)
        if done:
            grid.add_row("", "", Text(f"mended: {text.clean(done, limit=500)}", style="green"))
        elif finding.mend and finding.level != "ok":
            grid.add_row("", "", Text(text.clean(finding.mend, limit=500), style="bright_black"))
    out.print(grid)
