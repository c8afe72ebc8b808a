"""What all reading commands have in common: plain text in a pipe, JSON on request, words in the documentation."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from inprocess import no_background
from store_rows import StoreRows

from hush_otel.cli import main
from hush_otel.errors import ConfigError
from hush_otel.presentation import status

DOCS = (Path(__file__).parents[2] / "docs/commands.md").read_text(encoding="utf-8")

READING = (
    ("ls",),
    ("show", "one"),
    ("show", "one", "--node", "answer"),
    ("stats", "--since", "2000-01-01"),
    ("diff", "one", "two"),
    ("status",),
    ("deliveries",),
    ("explain", "--to", "phoenix", "one"),
    ("redact", "--check"),
    ("audit",),
    ("doctor",),
    ("prune", "--older-than", "1d", "--dry-run"),
    ("replay", "--since", "all", "--to", "there", "--dry-run"),
    ("reprice", "--dry-run"),
)


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two requests and a delivery."""
    no_background(monkeypatch, tmp_path)
    path = tmp_path / "traces.db"
    with StoreRows(path) as rows:
        there = rows.destination("there")
        for name, first in (("one", 1), ("two", 11)):
            request = rows.request(name, user_id="ana")
            rows.span(request, first, name="answer", attributes='{"input.value":"{\\"a\\":1}"}')
            rows.delivery(request, there, "delivered", settled_at=1.0)
    return path


def run(db: Path, *args: str) -> str:
    """What a command prints into a pipe."""
    result = CliRunner().invoke(main.cli, ["--db", str(db), *args], catch_exceptions=False)
    assert result.exit_code in (0, 1), result.output
    return result.stdout


@pytest.mark.parametrize("args", READING, ids=" ".join)
def test_a_pipe_gets_plain_lines(db: Path, args: tuple[str, ...]) -> None:
    """No escapes, no bars, no blanks at the end of a line."""
    out = run(db, *args)
    assert out.strip()
    assert "\x1b" not in out
    assert [line for line in out.splitlines() if line != line.rstrip()] == []


@pytest.mark.parametrize("args", READING, ids=" ".join)
def test_json_is_json(db: Path, args: tuple[str, ...]) -> None:
    """Each line, or the whole, is one document."""
    out = run(db, *args, "--json")
    assert [json.loads(line) for line in out.splitlines()]


READ_ONLY = (
    *(("ls",), ("show", "one"), ("stats",), ("diff", "one", "two"), ("share", "one", "-"), ("status",)),
    *(
        ("deliveries",),
        ("audit",),
        ("tail", "-n", "3"),
        ("explain", "--to", "phoenix", "one"),
        ("ui", "--no-open"),
    ),
    ("prune", "--older-than", "1d", "--dry-run"),
)
MISTAKES = {
    "a destination": (
        '[destination.lab]\ntype = "otlp"\nendpont = "x"\n',
        "[destination.lab] in {}: endpont",
    ),
    "what is hidden": ('[redaction]\nvaluez = ["email"]\n', "[redaction] in {} has an unknown key 'valuez'"),
}


@pytest.mark.parametrize(
    ("args", "mistake"),
    [
        pytest.param(args, mistake, id=f"{' '.join(args)}-{mistake}")
        for args, mistake in itertools.product(READ_ONLY, MISTAKES)
        if args[0] != "share" or mistake != "what is hidden"  # which it needs: see the next test
    ],
)
def test_a_mistake_in_what_reading_does_not_need_is_one_line(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], mistake: str
) -> None:
    """What is stored can be looked at while a table is wrong; the line names the file."""
    config, (content, said) = tmp_path / "hush.toml", MISTAKES[mistake]
    config.write_text(f"{content}[destination.none]\n")
    monkeypatch.setenv("HUSH_CONFIG", str(config))
    monkeypatch.setattr("hush_otel.cli.tail._looks", lambda *_: ())
    monkeypatch.setattr("hush_otel.cli.ui.listen", lambda *_: None)
    monkeypatch.setattr("hush_otel.cli.ui.answer", lambda *_, **__: None)
    result = CliRunner().invoke(main.cli, ["--db", str(db), *args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (line,) = [one for one in result.stderr.splitlines() if one.startswith("warning: ")]
    assert said.format(config) in line
    assert line.endswith("· and 1 more: hush-otel doctor")


@pytest.mark.parametrize(
    ("content", "args"),
    [
        ('[redactions]\nvalues = ["email"]\n', ("--db", "DB", "share", "one", "-")),
        ('[redaction]\nvalues = ["mail"]\n', ("--db", "DB", "share", "one", "-")),
        ('[redaction]\nvaluez = ["email"]\n', ("--db", "DB", "export", "-")),
        ('[redaction]\nvaluez = ["email"]\n', ("--db", "DB", "redact", "--check")),
        (
            '[destination.lab]\ntype = "otlp"\nendpont = "x"\n',
            ("--db", "DB", "explain", "--to", "lab", "one"),
        ),
        ("oops\n", ("ls",)),
        ("live = 3\n", ("--db", "DB", "drain")),
    ],
    ids=[
        *("what may hide", "what hides", "what is given away", "the rules themselves", "whom it asks about"),
        *("what may name the database", "what stores"),
    ],
)
def test_a_mistake_in_what_a_command_needs_ends_it(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, args: tuple[str, ...]
) -> None:
    """Nothing is given away under rules that nobody can read, and no database but the one meant is read."""
    config = tmp_path / "hush.toml"
    config.write_text(content)
    monkeypatch.setenv("HUSH_CONFIG", str(config))
    monkeypatch.delenv("HUSH_TRACES_DB", raising=False)
    with pytest.raises(ConfigError, match=re.escape(str(config))):
        CliRunner().invoke(
            main.cli, [str(db) if one == "DB" else one for one in args], catch_exceptions=False
        )


def test_every_command_is_documented() -> None:
    """By its name, in docs/commands.md."""
    assert [name for name in main.COMMANDS if f"`{name}" not in DOCS and f"`{name}`" not in DOCS] == []


@pytest.mark.parametrize("name", main.COMMANDS)
def test_help_has_no_escapes(name: str) -> None:
    """Marks for click in a docstring that is raw are printed, and its lines run together."""
    shown = CliRunner().invoke(main.cli, [name, "--help"], catch_exceptions=False).output
    assert "Usage: hush-otel" in shown
    assert "\\" not in shown


def test_help_for_shells_has_a_line_each() -> None:
    """`completion --help`: each can be copied as it stands."""
    shown = CliRunner().invoke(main.cli, ["completion", "--help"], catch_exceptions=False).output
    lines = [line.split() for line in shown.splitlines()]
    assert [line[0] for line in lines if "completion" in line and line[-2] == "in"] == [
        "bash:",
        "zsh:",
        "fish:",
    ]


def test_every_key_of_status_is_documented() -> None:
    """In its section, as `status --json` has it."""
    (section,) = re.findall(r"^## status --json$(.*?)^## ", DOCS, re.DOTALL | re.MULTILINE)
    parts = (status.Report, status.Database, status.Spool, status.DestinationStatus, status.Loss)
    keys = {field.name for part in parts for field in dataclasses.fields(part)}
    assert keys - set(re.findall(r"`(\w+)`", section)) == set()


BUSY = """\
import sys, threading
from hush_otel.cli import output
output.BUSY_AFTER_S = 0.01
with output.busy('counting'):
    sys.stdin.read() if sys.argv[1:] else threading.Event().wait(0.5)
"""
"""Busy for half a second, or until its standard input ends."""


def test_what_takes_longer_says_so_in_a_terminal() -> None:
    """On standard error, after a moment; a pipe gets nothing."""
    main_end, other_end = os.openpty()
    command = [sys.executable, "-c", BUSY]
    with subprocess.Popen(
        [*command, "until told"],
        stdin=subprocess.PIPE,
        stderr=other_end,
        stdout=subprocess.PIPE,
        env=os.environ | {"TERM": "xterm"},
    ) as process:
        os.close(other_end)
        said = b""
        while b"counting" not in said:
            said += os.read(main_end, 100_000)
        assert process.communicate() == (b"", None)
    os.close(main_end)
    assert process.returncode == 0
    piped = subprocess.run(command, capture_output=True, check=True)
    assert (piped.stdout, piped.stderr) == (b"", b"")
