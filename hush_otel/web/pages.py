"""The HTML that the server itself writes, and the one file that every page is."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from html import escape
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from hush_otel.errors import PageError

STATIC: Final = Path(__file__).with_name("static")
FILES: Final = "/static"
_NAME_BYTES: Final = 8

PATHS: Final = (
    "/",
    "/requests/{id}",
    "/sessions",
    "/sessions/{id}",
    "/compare",
    "/stats",
    "/deliveries",
)
"""Where the page is. What it shows there is decided in the browser."""

_BARE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">{head}
<title>hush-otel</title><link rel="stylesheet" href="/static/bare.css"></head>
<body><main>{body}</main></body>
</html>
"""


@cache
def kept_files() -> str:
    """Where the page has its files from: a path named by their content, so that each is asked for once."""
    content = blake2b(digest_size=_NAME_BYTES)
    for path in sorted(STATIC.rglob("*.*")):
        content.update(path.read_bytes())
    return f"{FILES}/{content.hexdigest()}"


@cache
def _page() -> str:
    text = (STATIC / "index.html").read_text(encoding="utf-8")
    return text.replace(f'"{FILES}/', f'"{kept_files()}/')


async def index(_request: Request) -> Response:
    """The page."""
    return HTMLResponse(_page())


def refusal(exc: PageError, *, again: bool = True) -> Response:
    """What went wrong, for people. `again`: whether the same address may be answered another time."""
    hint = f"<p>{escape(exc.hint[:1].upper() + exc.hint[1:])}.</p>" if exc.hint else ""
    # From here a browser sends its cookie along, which it did not if a link elsewhere has led here.
    link = '<p><a href="">Try again</a></p>' if again and exc.status == 401 else ""  # noqa: PLR2004
    link = '<p><a href="/">All requests</a></p>' if exc.status == 404 else link  # noqa: PLR2004
    title = escape(exc.message[:1].upper() + exc.message[1:])
    return HTMLResponse(_BARE.format(head="", body=f"<h1>{title}</h1>{hint}{link}"), exc.status)


def onwards(path: str) -> str:
    """A page that leads to another at once."""
    target = escape(path, quote=True)
    head = f'<meta http-equiv="refresh" content="0; url={target}">'
    return _BARE.format(head=head, body=f'<p><a href="{target}">On to the page</a></p>')
