"""`hush-otel completion SHELL`: what a shell must read to complete commands, options, ids and names."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from .output import NAME

SHELLS: Final = ("bash", "zsh", "fish")
VARIABLE: Final = "_HUSH_OTEL_COMPLETE"
"""By which the shell asks; click's name for a program of this name."""


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print what makes your shell complete commands, options, ids and names.

    \b
    bash: eval "$(hush-otel completion bash)"       in ~/.bashrc
    zsh:  eval "$(hush-otel completion zsh)"        in ~/.zshrc
    fish: hush-otel completion fish | source        in ~/.config/fish/config.fish
    """  # noqa: D301 - click takes lines as they stand behind the character itself, which a raw text lacks
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - one of SHELLS
    click.echo(found(ctx.find_root().command, {}, NAME, VARIABLE).source())
