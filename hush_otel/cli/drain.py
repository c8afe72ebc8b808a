"""`hush-otel drain`: one pass over the spool."""

from __future__ import annotations

import click

from hush_otel.config import Settings
from hush_otel.presentation import text
from hush_otel.presentation.waiting import require_something

from .output import busy, print_json


@click.command("drain")
@click.option("--json", "as_json", is_flag=True, help="{records, spans, owned_elsewhere} on one line.")
@click.pass_obj
def command(db: str | None, as_json: bool) -> None:
    """Store everything that is in the spool, once, and exit.

    Returns promptly when another process owns the database: that one is at work. Makes nothing where
    nothing was ever recorded.
    """
    # Imported here: the other commands and --help need none of what the background process loads.
    from hush_otel.background.garbage import collect_seldom  # noqa: PLC0415
    from hush_otel.background.running import drain_once  # noqa: PLC0415

    settings = Settings.load(db)
    require_something(settings)
    collect_seldom()
    with busy("storing"):
        report = drain_once(settings)
    if as_json:
        print_json(
            {"records": report.records, "spans": report.spans, "owned_elsewhere": report.owned_elsewhere}
        )
    elif report.owned_elsewhere:
        click.echo(f"another process drains into {settings.db_path}")
    else:
        stored = f"{text.plural(report.spans, 'span')} from {text.plural(report.records, 'record')}"
        click.echo(f"stored {stored} in {settings.db_path}")
