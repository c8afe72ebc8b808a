"""`hush-otel share ID`: one request as a file that can be given away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import click

from hush_otel.config import HIDES
from hush_otel.presentation import text
from hush_otel.presentation.files import shared_name
from hush_otel.presentation.sharing import Form, Shared, redactor_for
from hush_otel.presentation.waiting import open_reader
from hush_otel.store.reading import find_request

from .completing import request_ids
from .files import STDOUT, check_target, form_of, target_stream
from .output import busy
from .reading import settings_to_read
from .share_html import html
from .share_json import json
from .share_markdown import markdown

FORMS: Final[Mapping[str, Form]] = {"html": html, "markdown": markdown, "json": json}
BY_SUFFIX: Final = {
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".json": "json",
}
WITHOUT_PATH: Final = "html"
"""What a file is made for, of which nobody has said the name; the others go to standard output."""


@click.command("share")
@click.argument("request_id", metavar="ID", shell_complete=request_ids)
@click.argument("target", metavar="[PATH]", required=False)
@click.option(
    "--markdown", "form", flag_value="markdown", help="Markdown, to paste into a model or an issue."
)
@click.option("--json", "form", flag_value="json", help="One JSON object: request, and spans in full.")
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

    One HTML file that needs nothing else and runs nothing, or Markdown, or JSON. The rules of [redaction] are
    applied once more; --redact adds the ready ones. Where it was sent is left out, and so are attached files.
    PATH is - for standard output, where Markdown and JSON go without one.
    """
    form = form or form_of(target or STDOUT, BY_SUFFIX, default="html", option="--html, --markdown or --json")
    settings = settings_to_read(db, needs=HIDES)
    redactor = redactor_for(settings.redaction, ready=redact)
    with open_reader(settings) as reader, reader.snapshot(), busy("reading") as make_way:
        shared = Shared(reader, find_request(reader, request_id), redactor)
        named = shared_name(shared.request["request_id"], form) if form == WITHOUT_PATH else STDOUT
        path = target or named
        check_target(path, force=force)
        parts = FORMS[form](shared)
        with target_stream(path, force=force) as stream:
            for part in parts:
                if path == STDOUT:
                    make_way()
                stream.write(part.encode("utf-8", "replace"))
    if redactor is None:
        click.echo("nothing was hidden: there is no [redaction]; --redact applies the ready rules", err=True)
    if path != STDOUT:
        click.echo(f"written to {text.clean(path, limit=4096)}", err=True)
