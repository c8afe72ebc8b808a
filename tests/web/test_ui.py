"""`hush-otel ui`: one line with a URL, and a clean end."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import httpx
import pytest
from pages import ui
from store_rows import StoreRows


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
