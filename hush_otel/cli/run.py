"""`hush-otel run`: the background process in the foreground, for a sidecar or a service manager."""

from __future__ import annotations

import click

from hush_otel.config import Settings

from . import standard_output


@click.command("run")
@click.pass_obj
def command(db: str | None) -> int:
    """Run the background process in the foreground.

    For a sidecar, systemd or a supervisor, with HUSH_BACKGROUND=external in the applications. Ends on SIGTERM
    or SIGINT.
    """
    # Imported here: the other commands and --help need none of what the background process loads.
    from hush_otel.background.client import owner_pid  # noqa: PLC0415
    from hush_otel.background.garbage import collect_seldom  # noqa: PLC0415
    from hush_otel.background.running import run_foreground  # noqa: PLC0415

    settings = Settings.load(db)
    try:
        click.echo(_what_it_does(settings, owner_pid(settings)))
    except OSError:
        standard_output.silence()  # closed, as daemons are started; it was for people only
    collect_seldom()
    return run_foreground(settings)


def _what_it_does(settings: Settings, owner: int | None) -> str:
    work = f"what applications leave in {settings.spool_dir} is stored in {settings.db_path} and delivered"
    return f"{work} by process {owner}; waiting to take over" if owner else f"{work}, until SIGTERM or Ctrl-C"
