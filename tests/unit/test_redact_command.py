"""`hush-otel redact --check`: what would be hidden, where, how often, and never the secret itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from inprocess import App, no_background
from redacting import configure

from hush_otel.cli.main import main

MAIL = "planted@corp.example"


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """Two requests, stored without any rule; one with secrets."""
    no_background(monkeypatch, tmp_path)
    app = App(tmp_path / "t.db", live=False)
    with app.tracer.start_as_current_span(f"GET /{MAIL}", attributes={"hush.request_id": "r1"}) as span:
        span.set_attribute("input.value", json.dumps({"pin": 1234, "from": MAIL, "to": MAIL}))
        span.set_attribute(f"key {MAIL}", 1)
        span.add_event("e", {"pin": "12"})
    app.store.insert_node_trace("r2", "w", "n", None, None, 1, None, None, 1.0, "nothing", "here")
    app.drain()
    return app


def check(app: App, *args: str) -> int:
    """The command, with --check."""
    return main(["--db", str(app.db_path), "redact", "--check", *args])


def found(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Its JSON."""
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_it_names_places_rules_and_counts(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the configured rules; nothing of a secret but its beginning."""
    configure(monkeypatch, tmp_path, keys=["pin"], values=["email"])
    assert check(app, "--json") == 1
    report = found(capsys)
    assert (report["requests"], report["spans"]) == (2, 2)
    assert {(f["where"], f["rule"]): f["count"] for f in report["findings"]} == {
        ("input.value", "email"): 2,
        ("input.value", "key pin"): 1,
        ("name", "email"): 1,
        ("event pin", "key pin"): 1,
        ("(a key)", "email"): 1,
    }
    assert {f["sample"] for f in report["findings"]} == {"pl… (20 characters)", "<int>", "… (2 characters)"}


def test_one_request_by_its_id(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0 when nothing would be hidden. Without a configuration the ready patterns are tried."""
    assert check(app, "r2", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"requests": 1, "spans": 1, "findings": []}
    assert "ready patterns" in captured.err
    assert check(app, "r1", "--json") == 1
    assert found(capsys)["requests"] == 1


def test_those_chosen(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    """By the options of export and replay."""
    assert check(app, "--workflow", "w", "--json") == 0
    assert found(capsys)["requests"] == 1
    assert check(app, "--since", "2999-01-01", "--json") == 0
    assert found(capsys)["requests"] == 0


def test_what_a_mark_an_attachment_and_a_scope_say_is_looked_at(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rules hide it when it is recorded: the check must not call it clean."""
    media = {"__media__": {"note.txt": {"content_type": "text/plain", "bytes": f"to {MAIL}".encode()}}}
    app.store.insert_node_trace("r3", "w", "n", None, None, 1, None, None, 1.0, media, None)
    app.store.mark_request_complete("r3", "local", {}, ["prod", MAIL])
    app.provider.get_tracer("lib", MAIL, MAIL).start_span("x", attributes={"hush.request_id": "r4"}).end()
    app.drain()
    assert check(app, "--json", "r3") == 1
    assert {(f["where"], f["rule"]) for f in found(capsys)["findings"]} == {
        ("tags", "email"),
        ("attachment", "email"),
    }
    assert check(app, "--json", "r4") == 1
    assert {(f["where"], f["rule"]) for f in found(capsys)["findings"]} == {
        ("scope version", "email"),
        ("scope schema_url", "email"),
    }


def test_people_get_a_table(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    """And a sentence; no secret, no escape sequence."""
    assert check(app) == 1
    out = capsys.readouterr().out
    assert "input.value" in out
    assert "4 values would be hidden in 2 spans of 2 requests" in out
    assert "planted@" not in out


def test_nothing_is_changed(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    """It only looks."""
    before = app.spans()
    check(app)
    assert app.spans() == before


@pytest.mark.parametrize(
    ("args", "message"), [((), "--check"), (("--check", "r1", "--workflow", "w"), "not both")]
)
def test_what_is_not_possible_is_a_usage_error(
    app: App, args: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rewriting, and two ways to choose."""
    assert main(["--db", str(app.db_path), "redact", *args]) == 2
    assert message in capsys.readouterr().err


def test_what_is_hidden_already_is_not_hidden_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A database of which the rules have hidden all is clean: exit code 0."""
    no_background(monkeypatch, tmp_path)
    configure(monkeypatch, tmp_path, keys=["pin"], values=["email"])
    app = App(tmp_path / "t.db", live=False)
    app.tracer.start_span("one", attributes={"pin": "1234", "text": f"from {MAIL}"}).end()
    app.drain()
    assert check(app, "--json") == 0
    assert found(capsys)["findings"] == []
