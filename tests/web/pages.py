"""A server on a port of its own, and a client that speaks to it as a browser would."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from inprocess import settings_for

from hush_otel.cli.share import FORMS
from hush_otel.web.server import PageServer


@contextmanager
def serving(db: Path, **settings: Any) -> Iterator[PageServer]:
    """A server of this process, in a thread, over a database that need not be there."""
    server = PageServer(settings_for(db, **settings), forms=FORMS)
    with running(server):
        yield server


@contextmanager
def running(server: PageServer) -> Iterator[None]:
    """It answers, in a thread. What has come since it listens is answered first."""
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join()


@contextmanager
def ui(db: Path, **env: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`hush-otel ui` in a process of its own, and the URL that it has printed. Ended with SIGTERM, if it runs."""
    command = [sys.executable, "-m", "hush_otel", "ui", "--no-open", "--db", str(db)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | env
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.terminate()


@contextmanager
def stranger(server: PageServer) -> Iterator[httpx.Client]:
    """Somebody who has no token. Connects anew for every question: one that was kept may be ended just then."""
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=server.door.url, timeout=30.0, limits=limits) as client:
        yield client


@contextmanager
def browser(server: PageServer) -> Iterator[httpx.Client]:
    """Somebody who has opened the login URL."""
    with stranger(server) as client:
        assert client.get(server.door.login_url).status_code == 303
        yield client
