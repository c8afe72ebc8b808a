"""`hush-otel share ID`: one request as a file that can be given away."""

from __future__ import annotations

import re
from typing import Final

import click

from hush_otel.presentation import text
from hush_otel.presentation.sharing import Shared, redactor_for
from hush_otel.presentation.waiting import open_reader
from hush_otel.store.reading import find_request

from .completing import request_ids
from .files import STDOUT, check_target, form_of, target_stream
from .reading import HIDES, settings_to_read
from .share_html import html
from .share_markdown import markdown

FORMS: Final = {"html": html, "markdown": markdown}
BY_SUFFIX: Final = {".html": "html", ".htm": "html", ".md": "markdown", ".markdown": "markdown"}

NAME_CHARS: Final = 60


@click.command("share")
@click.argument("request_id", metavar="ID", shell_complete=request_ids)
@click.argument("target", metavar="[PATH]", required=False)
@click.option(
    "--markdown", "form", flag_value="markdown", help="Markdown, to paste into a model or an issue."
)
@click.option(
    "--html", "form", flag_value="html", help="One HTML file.  [default: by PATH's suffix, else HTML]"
)
@click.option(
    "--redact", is_flag=True,
    help="Hide e-mail addresses, card numbers, tokens, API keys, passwords in URLs and under usual keys.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.pass_obj
def command(
    db: str | None, request_id: str, target: str | None, form: str | None, redact: bool, force: bool
) -> None:
    """Write one request into a file that can be given away.

    One HTML file that needs nothing else and runs nothing, or Markdown. The rules of [redaction] are applied
    once more; --redact adds the ready ones. Where it was sent is left out, and so are attached files. PATH is
    - for standard output, where Markdown goes without one.
    """
    form = form or form_of(target or STDOUT, BY_SUFFIX, default="html", option="--html or --markdown")
    settings = settings_to_read(db, needs=HIDES)
    redactor = redactor_for(settings.redaction, ready=redact)
    with open_reader(settings) as reader, reader.snapshot():
        shared = Shared(reader, find_request(reader, request_id), redactor)
        path = target or (
            STDOUT if form == "markdown" else f"{_file_name(shared.request['request_id'])}.html"
        )
        check_target(path, force=force)
        parts = FORMS[form](shared)
        with target_stream(path, force=force) as stream:
            for part in parts:
                stream.write(part.encode("utf-8", "replace"))
    if redactor is None:
        click.echo("nothing was hidden: there is no [redaction]; --redact applies the ready rules", err=True)
    if path != STDOUT:
        click.echo(f"written to {text.clean(path, limit=4096)}", err=True)


def _file_name(request_id: str) -> str:
    """A name of ours: letters, digits, dots and dashes of the id, and no path."""
    return "hush-" + re.sub("[^A-Za-z0-9.-]+", "-", request_id).strip("-.")[:NAME_CHARS]
