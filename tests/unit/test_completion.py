"""What a shell completes: commands, options, and what is in the database; silence where there is nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from store_rows import StoreRows

from hush_otel.cli import completing, main


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Two requests, a destination, and an id that would act on a shell."""
    path = tmp_path / "traces.db"
    with StoreRows(path) as rows:
        request = rows.request("run-1", workflow_name="answer", user_id="ana", session_id="s-1")
        rows.label(request, 0, "m-1")
        rows.label(request, 1, "prod")
        rows.destination("phoenix")
        rows.request("run-2", workflow_name="import")
        for acting in (
            "run-\x1b[31m3\n",
            "buy$(touch x)",
            "buy`x`",
            "buy;x",
            "buy x",
            "buy*",
            "buy'",
            "~buy",
            "--buy",
        ):
            rows.request(acting)
    return path


def completed(*args: str) -> list[str]:
    """What the last word may become, as click asks it."""
    shell = ShellComplete(main.cli, {}, "hush-otel", "_HUSH_OTEL_COMPLETE")
    return [item.value for item in shell.get_completions(list(args[:-1]), args[-1])]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("show", ""), ["run-2", "run-1"]),
        (("show", "run-1"), ["run-1"]),
        (("show", "x"), []),
        (("show", "buy"), []),
        (("show", "~"), []),
        (("diff", "run-1", "run"), ["run-1", "run-2"]),
        (("share", "run"), ["run-1", "run-2"]),
        (("explain", "--to", ""), ["phoenix", *(kind for kind in completing.TYPES if kind != "phoenix")]),
        (("explain", "--to", "lang"), ["langfuse", "langsmith"]),
        (("replay", "--to", "p"), ["phoenix"]),
        (("ls", "--workflow", ""), ["answer", "import"]),
        (("ls", "--model", ""), ["m-1"]),
        (("ls", "--user", "a"), ["ana"]),
        (("ls", "--session", ""), ["s-1"]),
        (("ls", "--tag", ""), ["prod"]),
        (("ls", "--status", "f"), ["failed", "flushing", "flushed"]),
        (("export", "x", "--workflow", "i"), ["import"]),
        (("tail", "--workflow", "a"), ["answer"]),
    ],
)
def test_from_the_database(db: Path, args: tuple[str, ...], expected: list[str]) -> None:
    """Ids, names and destinations, where each belongs; nothing that acts on a terminal."""
    assert completed("--db", str(db), *args) == expected


@pytest.mark.parametrize("command", ["explain", "replay"])
def test_destinations_are_those_of_the_configuration_file_too(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Each once; a mistake in one of them hides no other."""
    config = tmp_path / "hush.toml"
    config.write_text(
        '[destination.phoenix]\ntype = "phoenix"\n[destination.archive]\ntype = "file"\npath = "/x"\n[destination.odd]\n'
    )
    monkeypatch.setenv("HUSH_CONFIG", str(config))
    types = [kind for kind in completing.TYPES if kind != "phoenix"] if command == "explain" else []
    assert completed("--db", str(db), command, "--to", "") == ["phoenix", "archive", *types]


def test_the_database_may_be_said_after_the_command(db: Path) -> None:
    """As on the command line."""
    assert completed("show", "--db", str(db), "run-1") == ["run-1"]


@pytest.mark.parametrize("what", ["nothing", "no database", "a directory"])
def test_silent_when_there_is_none(tmp_path: Path, what: str, capfd: pytest.CaptureFixture[str]) -> None:
    """No error, and nothing is made."""
    path = tmp_path / "traces.db"
    if what == "no database":
        path.write_text("not one")
    if what == "a directory":
        path.mkdir()
    assert completed("--db", str(path), "show", "") == []
    assert completed("--db", str(path), "ls", "--user", "") == []
    assert capfd.readouterr() == ("", "")
    assert [one.name for one in tmp_path.iterdir()] == ([] if what == "nothing" else ["traces.db"])


def test_commands_are_completed_without_importing_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """With their help lines, the group's options beside them."""
    monkeypatch.setattr(main.LazyGroup, "get_command", lambda *_: pytest.fail("imported"))
    shell = ShellComplete(main.cli, {}, "hush-otel", "_HUSH_OTEL_COMPLETE")
    found = {item.value: item.help for item in shell.get_completions([], "re")}
    assert found == {name: line for name, line in main.COMMANDS.items() if name.startswith("re")}
    assert "--db" in completed("--")


def test_a_slow_database_is_given_up() -> None:
    """Whoever presses Tab does not wait."""
    assert completing.TIME_LIMIT_S + completing.BUSY_TIMEOUT_S < 0.5


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    """That asks this program, by its name and click's variable."""
    result = CliRunner().invoke(main.cli, ["completion", shell])
    assert result.exit_code == 0
    assert "_HUSH_OTEL_COMPLETE" in result.stdout
    assert "hush-otel" in result.stdout


def test_bash_completes(db: Path, tmp_path: Path) -> None:
    """The script in a real bash: a request's id from its beginning."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    program = tmp_path / "bin/hush-otel"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "from hush_otel.cli.main import main; main()" "$@"\n'
    )
    program.chmod(0o755)
    script = """
        eval "$(hush-otel completion bash)"
        COMP_WORDS=(hush-otel show run-1); COMP_CWORD=2
        _hush_otel_completion hush-otel
        echo "${COMPREPLY[@]}"
    """
    path = f"{program.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [bash, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": path, "HUSH_TRACES_DB": str(db)},
    )
    assert (done.stdout, done.stderr) == ("run-1\n", "")


def test_every_command_is_a_click_command() -> None:
    """So that its options can be completed."""
    for name in main.COMMANDS:
        assert isinstance(main.cli.get_command(click.Context(main.cli), name), click.Command)
