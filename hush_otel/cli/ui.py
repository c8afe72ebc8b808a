"""`hush-otel ui`: the local page over the database."""

from __future__ import annotations

import socket
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from html import escape
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hush_otel.background.garbage import collect_seldom
from hush_otel.config import Settings
from hush_otel.errors import ConfigError

from .reading import settings_to_read
from .share import FORMS

if TYPE_CHECKING:
    from hush_otel.web.server import PageServer

EXTRA = frozenset({"starlette", "uvicorn", "anyio"})
"""Packages of the extra [ui]."""


@click.command("ui")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Default: any that is free."
)
@click.option("--no-open", is_flag=True, help="Print the URL only; open no browser.")
@click.pass_obj
def command(db: str | None, host: str, port: int, no_open: bool) -> int:
    """Look at requests in the browser, live.

    Prints one URL with a token, which lets a browser in as long as the command runs, and opens it. Reads the
    database only; retrying a delivery is asked of the background process. Ends on Ctrl-C or SIGTERM.
    """
    settings, host = settings_to_read(db), plain_host(host)
    server = listen(settings, host, port)
    if not settings.db_path.exists():
        click.echo(f"no database at {settings.db_path} yet: the page waits for it", err=True)
    if not _is_loopback(host):
        click.echo("warning: others can reach this address, and nothing is encrypted on the way", err=True)
    answer(server, no_open=no_open)
    return 0


def answer(server: PageServer, *, no_open: bool) -> None:
    """Print the login URL, open it, and answer until Ctrl-C or SIGTERM."""
    click.echo(server.door.login_url)
    with nullcontext() if no_open else _browser(server.door.login_url):
        server.run()


def listen(settings: Settings, host: str = "127.0.0.1", port: int = 0) -> PageServer:
    """The page's server, which listens already. From now on SIGINT and SIGTERM only end it.

    Raises:
        ConfigError: The extra [ui] is not installed, or it cannot listen there.
    """
    try:
        from hush_otel.web.server import PageServer, end_quietly  # noqa: PLC0415 - an extra, and 0.2 s
    except ModuleNotFoundError as exc:
        if exc.name not in EXTRA:
            raise
        raise ConfigError(f"the page needs {exc.name}", hint="pip install 'hush-otel[ui]'") from exc
    server = PageServer(settings, host, port, forms=FORMS)
    collect_seldom()
    end_quietly(server)
    return server


@contextmanager
def _browser(url: str) -> Iterator[None]:
    """Open a browser by a file that leads it to the URL: arguments of programs are read by everybody here."""
    with tempfile.TemporaryDirectory(prefix="hush-otel-") as directory:  # 0700
        page = Path(directory) / "open.html"
        link = escape(url, quote=True)
        page.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={link}">', "utf-8")
        browser = _window()
        if browser is not None:
            browser.open(page.as_uri())
        yield


def _window() -> webbrowser.BaseBrowser | None:
    """A browser with a window of its own; one that takes the terminal would keep the server from starting."""
    try:
        found = webbrowser.get()
    except webbrowser.Error:
        return None
    takes_terminal = type(found) is webbrowser.GenericBrowser
    return None if takes_terminal else found


def plain_host(host: str) -> str:
    """An address as browsers write it, whatever short form the system takes (``0``, ``127.1``)."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host.lower()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
