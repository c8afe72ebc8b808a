"""A request as a file to give away: redacted, or not at all."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from pages import browser, serving
from store_rows import StoreRows

from hush_otel.cli import main

CANARY = "canary@example.com"
FORMS = {"html": ".html", "markdown": ".md", "json": ".json"}
TEXT_CHARS = 200_000
STEPS = 60


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A request with a secret in every place, one whose id is a path, and rules of its owner's."""
    config = tmp_path / "hush.toml"
    config.write_text('[redaction]\nkeys = ["internal"]\n')
    monkeypatch.setenv("HUSH_CONFIG", str(config))
    attributes = {
        "user.id": CANARY,
        "internal": "canary under a key",
        "api_key": "canary too",
        CANARY: CANARY,
    }
    attributes["input.value"] = json.dumps({"mail": CANARY, "ask": "why?"})
    events = [{"name": CANARY, "time_ns": 1, "attributes": {"internal": "canary"}, "dropped_attributes": 0}]
    with StoreRows(tmp_path / "t.db") as rows:
        request = rows.request("r", user_id=CANARY, error_message=CANARY, tags=json.dumps([CANARY]))
        rows.span(
            request, 1, name=CANARY, model=CANARY, status_code=2, status_message=CANARY,
            attributes=json.dumps(attributes), events=json.dumps(events),
        )  # fmt: skip
        rows.span(rows.request('../../x"\r\nX-Evil: 1'), 2)
        rows.span(rows.request(f"of {CANARY}"), 3)
        large = rows.request("large")
        for number in range(STEPS):
            said = json.dumps({"input.value": f"{number} " + "word " * (TEXT_CHARS // 5)})
            rows.span(large, 100 + number, attributes=said)
    return tmp_path / "t.db"


@pytest.fixture
def page(db: Path) -> Iterator[httpx.Client]:
    """A browser that is logged in."""
    with serving(db) as server, browser(server) as client:
        yield client


@pytest.mark.parametrize("form", FORMS)
def test_s13_a_request_leaves_the_page_redacted(page: httpx.Client, form: str) -> None:
    """By the owner's rules and the ready ones, without asking; what is no secret is there."""
    answer = page.get(f"/api/requests/r/share/{form}")
    assert answer.status_code == 200
    assert "canary" not in answer.text
    assert "[redacted]" in answer.text
    assert "why?" in answer.text


@pytest.mark.parametrize("form", FORMS)
def test_it_is_what_the_command_writes(db: Path, page: httpx.Client, form: str) -> None:
    """Byte for byte."""
    command = ["--db", str(db), "share", "r", "-", f"--{form}", "--redact"]
    done = CliRunner().invoke(main.cli, command, catch_exceptions=False)
    assert page.get(f"/api/requests/r/share/{form}").content == done.stdout_bytes


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("r", "hush-r"),
        ("..%2F..%2Fx%22%0D%0AX-Evil: 1", "hush-x-X-Evil-1"),
        ("of", "hush-redacted-"),
    ],
)
def test_s08_it_is_saved_under_a_name_of_ours(page: httpx.Client, form: str, said: str, name: str) -> None:
    """Of an id's letters and digits, and not of one that is hidden; of a type that no browser runs."""
    headers = page.get(f"/api/requests/{said}/share/{form}").headers
    saved = headers["content-disposition"]
    assert saved.startswith(f'attachment; filename="{name}')
    assert saved.endswith(f'{FORMS[form]}"')
    assert "canary" not in saved
    assert headers["content-type"] == "application/octet-stream"
    assert "x-evil" not in headers


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("[redaction]\nkeys = 3\n", "keys"),
        ('[redaction]\nkyes = ["internal"]\n', "kyes"),
        ("[redact", "hush.toml"),
        ('[redactions]\nkeys = ["internal"]\n', "redactions"),
    ],
    ids=["wrong value", "unknown key", "no TOML", "unknown table"],
)
def test_s13_without_readable_rules_nothing_is_given_away(
    page: httpx.Client, tmp_path: Path, config: str, said: str
) -> None:
    """They are read anew each time, and what is wrong with them is said before a download begins."""
    (tmp_path / "hush.toml").write_text(config)
    for path in ("share", "share/html", "share/json"):
        answer = page.get(f"/api/requests/r/{path}")
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert "nothing is given away" in error["message"]
        assert said in error["message"] + error["hint"]
        assert "content-disposition" not in answer.headers


def test_rules_that_were_added_since_the_start_hold(page: httpx.Client, tmp_path: Path) -> None:
    """Nobody has to start the page again."""
    assert "why?" in page.get("/api/requests/r/share/markdown").text
    (tmp_path / "hush.toml").write_text('[redaction]\nkeys = ["ask"]\n')
    assert "why?" not in page.get("/api/requests/r/share/markdown").text


def test_what_is_not_there_is_said(page: httpx.Client) -> None:
    """Another form, another request."""
    assert page.get("/api/requests/r/share").json() == {"forms": list(FORMS)}
    assert page.get("/api/requests/r/share/pdf").status_code == 404
    for path in ("share", "share/html"):
        assert page.get(f"/api/requests/none/{path}").status_code == 404


def test_a_large_request_needs_no_memory(page: httpx.Client) -> None:
    """It is written span by span: twelve megabytes of texts, and never more than some of them at once."""
    tracemalloc.start()
    try:
        with page.stream("GET", "/api/requests/large/share/json") as answer:
            received = sum(map(len, answer.iter_raw()))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert received > STEPS * TEXT_CHARS
    assert most < received / 2


def test_a_disk_without_room_is_said(
    page: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the directory, and what can be done."""
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: open("/dev/full", "r+b", buffering=0))  # noqa: PTH123, SIM115
    answer = page.get("/api/requests/r/share/json")
    assert answer.status_code == 503
    assert "No space left" in answer.json()["error"]["message"]
    assert "TMPDIR" in answer.json()["error"]["hint"]
