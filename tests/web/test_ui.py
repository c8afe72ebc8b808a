"""`hush-otel ui`: one line with a URL, and a clean end."""

from __future__ import annotations

import re
import signal
import socket
import stat
import subprocess
import sys
import webbrowser
from pathlib import Path

import httpx
import pytest
from inprocess import settings_for
from pages import ui
from store_rows import StoreRows

from hush_otel.cli import ui as ui_command
from hush_otel.errors import ConfigError
from hush_otel.web.server import PageServer


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ui_prints_one_url_answers_and_ends_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    """The URL lets in; the end has exit code 0 and says nothing."""
    with StoreRows(tmp_path / "t.db") as rows:
        rows.request("r")
    with ui(tmp_path / "t.db") as (process, url):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/login\?token=[\w-]{43}", url)
        with httpx.Client(follow_redirects=True, timeout=30.0) as client:
            assert client.get(url).status_code == 200
            assert client.get(httpx.URL(url).join("/api/requests")).json()["requests"]
        process.send_signal(number)
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 0


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """One line, and no traceback."""
    without = (
        "import sys; sys.modules['uvicorn'] = None; from hush_otel.cli.main import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", without, "ui", "--no-open", "--db", str(tmp_path / "t.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: the page needs uvicorn (pip install 'hush-otel[ui]')\n"


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    """With the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}") as failure:
            PageServer(settings_for(tmp_path / "t.db"), port=port)
    assert "--port 0" in failure.value.hint


def test_an_address_that_is_not_here_is_said(tmp_path: Path) -> None:
    """Another port would not help (192.0.2.1 is for documentation: RFC 5737)."""
    with pytest.raises(ConfigError) as failure:
        PageServer(settings_for(tmp_path / "t.db"), host="192.0.2.1")
    assert "--host" in failure.value.hint
    assert "--port" not in failure.value.hint


def test_a_database_that_is_not_there_is_said(tmp_path: Path) -> None:
    """A mistyped path is noticed; the page waits for it all the same."""
    with ui(tmp_path / "no.db") as (process, url):
        assert url.startswith("http://")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert str(tmp_path / "no.db") in said


def test_s05_the_browser_is_opened_by_a_private_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program's arguments have the token; the file goes with the server."""
    opened: list[str] = []

    class Window(webbrowser.BaseBrowser):
        def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
            opened.append(url)
            return True

    monkeypatch.setattr(webbrowser, "get", Window)
    with ui_command._browser("http://127.0.0.1:1/login?token=secret"):
        page = Path(httpx.URL(opened[0]).path)
        assert "secret" not in opened[0]
        assert "token=secret" in page.read_text(encoding="utf-8")
        assert stat.S_IMODE(page.parent.stat().st_mode) == 0o700
    assert not page.exists()
