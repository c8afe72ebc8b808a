"""Settings for commands that only read: a mistake in what they do not need is a warning."""

from __future__ import annotations

import click

from hush_otel.config import Settings, survey
from hush_otel.presentation import text


def settings_to_read(db: str | None, *, needs: frozenset[str] = frozenset()) -> Settings:
    """Settings, and one line on standard error where something is wrong with others than those needed.

    Args:
        db: The database, where the command line names one.
        needs: Parts (`config.Survey`) in which a mistake counts.

    Raises:
        ConfigError: A mistake in one of these, or nobody can tell which database is meant.
    """
    found = survey(db)
    for part, mistake in found.mistakes.items():
        if part in needs or not found.sure:
            raise mistake
    if found.mistakes:
        first, *others = map(str, found.mistakes.values())
        more = f" · and {len(others)} more: hush-otel doctor" if others else ""
        click.echo(f"warning: {text.clean(first, limit=2000)}{more}", err=True)
    return found.settings
