"""`hush-otel run`: the background process in the foreground, for a sidecar or a service manager."""

from __future__ import annotations

import click

from hush_otel.config import Settings


@click.command("run")
@click.pass_obj
def command(db: str | None) -> int:
    """Run the background process in the foreground.

    For a sidecar, systemd or a supervisor, with HUSH_BACKGROUND=external in the applications. Ends on SIGTERM
    or SIGINT.
    """
    # Imported here: the other commands and --help need none of what the background process loads.
    from hush_otel.background.service import run_foreground  # noqa: PLC0415

    return run_foreground(Settings.load(db))
