"""The page's own files: browsers keep them for good, under addresses that stand for their content."""

from __future__ import annotations

import re
from pathlib import Path

from pages import browser, serving

from hush_otel.web.pages import kept_files


def test_the_page_names_files_that_browsers_keep_for_good(tmp_path: Path) -> None:
    """All that it names are there, and asked for once; what is not there is kept nowhere."""
    with serving(tmp_path / "t.db") as server, browser(server) as client:
        named = re.findall(r'(?:href|src)="(/[^"]+)"', client.get("/").text)
        assert len(named) > 5
        for path in named:
            answer = client.get(path)
            assert (answer.status_code, "immutable" in answer.headers["cache-control"]) == (200, True), path
        missing = client.get(f"{kept_files()}/app/nothing.js")
        assert (missing.status_code, missing.headers["cache-control"]) == (404, "no-cache")


def test_files_can_be_asked_for_without_their_content_s_name(tmp_path: Path) -> None:
    """Refusals need one of them; it is asked for again each time."""
    with serving(tmp_path / "t.db") as server, browser(server) as client:
        assert client.get("/static/bare.css").headers["cache-control"] == "no-cache"
