"""The one thing that the page changes: deliveries that are sent again, by the background process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from asking import turn, write_config
from inprocess import App, Owner, no_background, owning, rows, settings_for
from pages import browser, serving, ui

from hush_otel.config import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A database whose deliveries go into a directory that is not there."""
    no_background(monkeypatch, tmp_path)
    config = write_config(tmp_path, out={"type": "file", "path": f"{tmp_path}/out/x.jsonl"})
    monkeypatch.setenv("HUSH_CONFIG", str(config))
    return settings_for(tmp_path / "traces.db")


def meanwhile(owner: Owner, ask: Callable[[], Any]) -> Any:
    """What `ask` gives, with the owner's main loop turning until it has."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(ask()))
    thread.start()
    turn(owner, lambda: not thread.is_alive(), 60)
    return answers[0]


def paused(owner: Owner, settings: Settings) -> int:
    """A delivery that waits for somebody; its number."""
    App(settings.db_path, destinations=["out"]).tracer.start_span("s").end()
    owner.drain()
    turn(owner, lambda: rows(settings.db_path, "SELECT id FROM deliveries WHERE state = 'paused'"))
    return rows(settings.db_path, "SELECT id FROM deliveries")[0][0]


@pytest.mark.parametrize("by", ["ids", "destination"])
def test_a_paused_delivery_is_sent_again(settings: Settings, tmp_path: Path, by: str) -> None:
    """Once its cause is mended, by its number or with all of its destination."""
    with owning(settings) as owner, ui(settings.db_path) as (_, url), httpx.Client(timeout=30.0) as page:
        meanwhile(owner, lambda: page.get(url))
        number = paused(owner, settings)
        (tmp_path / "out").mkdir()
        body = {"ids": [number]} if by == "ids" else {"destination": "out"}
        address, origin = httpx.URL(url).join("/api/deliveries/retry"), {"Origin": url.partition("/login")[0]}
        answer = meanwhile(owner, lambda: page.post(address, json=body, headers=origin))
        assert answer.json() == {"retried": 1, "resumed": ["out"]}
        turn(owner, (tmp_path / "out" / "x.jsonl").exists)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"ids": [1], "destination": "out"}, 400),
        ({"ids": ["1"]}, 400),
        ({"ids": [0]}, 400),
        ({"ids": list(range(1, 1002))}, 400),
        ({"destination": "out", "states": ["delivered"]}, 400),
        ({"destination": "out", "endpoint": "http://evil"}, 400),
        ({"destination": "nowhere"}, 404),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(
    settings: Settings, body: dict[str, object], status: int
) -> None:
    """Nothing of it reaches the spool."""
    with owning(settings):
        pass
    before = sorted(settings.spool_dir.glob("*.seg"))
    with serving(settings.db_path) as server, browser(server) as page:
        answer = page.post("/api/deliveries/retry", json=body, headers={"Origin": server.door.url})
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]
    assert sorted(settings.spool_dir.glob("*.seg")) == before
