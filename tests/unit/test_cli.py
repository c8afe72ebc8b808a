"""The commands that read: what they print, how they end, and that nothing in the database can act."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from store_rows import START_NS, StoreRows

from hush_otel.cli import ls, main, text, tree
from hush_otel.cli.output import to_json
from hush_otel.store.reading import Reader

HOSTILE = (
    "a\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b]8;;http://evil\x1b\\link\x9b2J"
    "\r\nnext\u202egnp.exe\u2066\u200b\x00\x7f[bold]m[/bold] :smile: \u2028end\U000e0041"
)
HARMLESS = "aredlink↵nextgnp.exe[bold]m[/bold] :smile: ↵end"


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database with one delivered and one failing request, a live node trace, and losses."""
    path = tmp_path / "traces.db"
    with StoreRows(path) as rows:
        there, later = rows.destination("there", delivered=3), rows.destination("later", paused="secret KEY")
        good = rows.request(
            "good-1", node_count=4, prompt_tokens=123, completion_tokens=45, cost_usd=0.00123, user_id="ana"
        )
        rows.span(good, 1, name="answer", end_ns=START_NS + 1_240_000_000)
        rows.span(
            good, 3, 1, name="second", model="m-1", prompt_tokens=123, completion_tokens=45, cost_usd=0.00123
        )
        rows.span(good, 2, 1, name="first")
        rows.span(good, 4, 2, name="running", state=0, end_ns=None, end_seq=None)
        rows.delivery(good, there, "delivered", attempts=2)
        bad = rows.request("bad-1", workflow_name="other", error_count=1, error_message="boom")
        rows.span(bad, 5, 99, name="lost", status_code=2, status_message="boom\nat line 1")
        rows.span(bad, 6, 98, name="remote", flags=257 | 512)
        rows.span(bad, 7, 5, name="died", state=2)
        rows.delivery(bad, there, "dead", last_error="400 Bad Request")
        rows.delivery(bad, later, "paused")
        live = rows.request("live-1", workflow_name="nodes", completed_by=None)
        rows.node(live, 21, "nodes.load.item", "nodes.load", context_id="[0]", execution_order=3)
        rows.node(live, 22, "nodes.price", "nodes", execution_order=2)
        rows.node(live, 23, "nodes.load", "nodes", execution_order=1)
        rows.node(live, 24, "nodes", None, execution_order=0)
        rows.node(live, 25, "nodes.child", "nodes.gone", execution_order=4)
        rows.loss("spool_full", 12, 4096)
        rows.loss("duplicate", 3)
    return path


def run(db: Path, *args: str) -> Result:
    """One command in this process, as `main` runs it, without its exit code."""
    return CliRunner().invoke(main.cli, ["--db", str(db), *args], catch_exceptions=False)


def process(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """One command in a process of its own."""
    command = [sys.executable, "-m", "hush_otel", *args]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=os.environ | env, check=False
    )


def test_ls_lists_the_newest_first(db: Path) -> None:
    """A line each, newest first, with status, duration, tokens and cost."""
    header, *lines = run(db, "ls").stdout.splitlines()
    assert header.split() == list(ls.COLUMNS)
    assert [line.split()[0] for line in lines] == ["live-1", "bad-1", "good-1"]
    assert lines[2].split()[1:3] == ["answer", "flushed"]
    assert lines[2].endswith("1.24 s      4       0  123→45  $0.00123")


def test_ls_filters_and_limits(db: Path) -> None:
    """--status, --workflow and --limit each leave out the rest."""
    for args, found in [
        (("--status", "failed"), ["bad-1"]),
        (("--workflow", "nodes"), ["live-1"]),
        (("--limit", "1"), ["live-1"]),
    ]:
        objects = [json.loads(line) for line in run(db, "ls", "--json", *args).stdout.splitlines()]
        assert [one["request_id"] for one in objects] == found
    assert run(db, "ls", "--status", "stored").stdout == "no requests match\n"


def test_ls_json_has_the_columns_of_the_view(db: Path) -> None:
    """Every line is one object with exactly the columns of `requests`."""
    with Reader(db) as reader:
        columns = list(dict(reader.rows("request", request_id="good-1")[0]))
    for line in run(db, "ls", "--json").stdout.splitlines():
        assert list(json.loads(line)) == columns


def test_empty_database_lists_nothing(tmp_path: Path) -> None:
    """A database without requests is no error."""
    with StoreRows(tmp_path / "traces.db"):
        pass
    assert run(tmp_path / "traces.db", "ls").stdout == "no requests recorded yet\n"
    assert run(tmp_path / "traces.db", "ls", "--json").stdout == ""


def test_show_draws_the_tree_in_order_of_start(db: Path) -> None:
    """Children stand below their parent, sorted, with aligned columns and marks of what still runs."""
    out = run(db, "show", "good").stdout
    assert out.splitlines()[0] == "good-1  answer  flushed (completed by root)"
    assert "there  delivered  3 spans  2 attempts" in out
    assert "4 spans · 123→45 tokens · $0.00123" in out
    assert [line.rstrip() for line in out.split("\n\n")[1].splitlines()] == [
        "✓ answer          1.24 s",
        "├─ ✓ first       12.3 ms",
        "│  └─ ● running        …                    running",
        "└─ ✓ second      12.3 ms  123→45  $0.00123  m-1",
    ]


def test_show_marks_errors_orphans_and_interrupted_spans(db: Path) -> None:
    """A span without its parent stands at the root level and says so; error texts stand below."""
    out = run(db, "show", "bad-1").stdout
    assert [line.rstrip() for line in out.split("\n\n")[1].splitlines()] == [
        "✗ lost     12.3 ms  parent 0000000000000063 not stored",
        "│ boom↵at line 1",
        "└─ ◌ died  12.3 ms  interrupted",
        "✓ remote   12.3 ms  parent in another service",
    ]
    assert "dead    3 spans  1 attempt  400 Bad Request" in out


def test_show_places_live_nodes_by_name(db: Path) -> None:
    """Node traces hang below the parents that they name before their parents are resolved."""
    out = run(db, "show", "live").stdout
    assert [line.split("  ")[0].rstrip() for line in out.split("\n\n")[1].splitlines()] == [
        "✓ nodes",
        "├─ ✓ load (nodes.load)",
        "│",
        "└─ ✓ price (nodes.price)",
        "✓ child (nodes.child)",
    ]
    assert "└─ ✓ item (nodes.load.item) [0]" in out
    assert "parent nodes.gone not stored" in out


def test_show_json_is_one_document(db: Path) -> None:
    """Request, deliveries and nodes; the nodes have the view's columns and their parent's span id."""
    document = json.loads(run(db, "show", "good-1", "--json").stdout)
    assert list(document) == ["request", "deliveries", "nodes"]
    assert document["request"]["status"] == "flushed"
    assert [delivery["state"] for delivery in document["deliveries"]] == ["delivered"]
    parents = {node["node_name"]: node["parent_span_id"] for node in document["nodes"]}
    assert parents["answer"] is None
    assert parents["first"] == "0000000000000001"
    assert document["nodes"][0]["status"] == "running"


def test_status_counts_everything(db: Path) -> None:
    """--json carries what the page of text says."""
    pytest.importorskip("hush_otel.background.client")
    report = json.loads(run(db, "status", "--json").stdout)
    assert report["database"]["path"] == str(db)
    assert report["background_pid"] is None
    assert report["spool"] == {"path": f"{db}.spool", "size_bytes": 0, "segments": 0}
    assert report["requests"] == {"failed": 1, "flushed": 1, "writing": 1}
    assert report["spans"] == 12
    assert report["deliveries"] == {"delivered": 1, "paused": 1, "dead": 1}
    assert [(one["name"], one["state"], one["pending"]) for one in report["destinations"]] == [
        ("later", "paused", 1),
        ("there", "active", 0),
    ]
    assert report["losses"][1] == {"reason": "spool_full", "count": 12, "bytes": 4096}


def test_status_for_people(db: Path) -> None:
    """The page names what is paused, what was lost, and what of the spool is there."""
    pytest.importorskip("hush_otel.background.client")
    spool = db.with_name(db.name + ".spool")
    spool.mkdir()
    (spool / "one.seg").write_bytes(bytes(2048))
    (spool / "lock").write_bytes(b"x")
    out = run(db, "status").stdout
    for part in (
        "2.0 KiB in 1 segments",
        "1 failed · 1 flushed · 1 writing",
        "paused: secret KEY",
        "12 spool_full (4.0 KiB) · 3 duplicate",
    ):
        assert part in out


def test_b13_hostile_text_is_inert(tmp_path: Path) -> None:
    """Escapes, controls, bidi marks, markup and line breaks from the database do nothing to a terminal."""
    pytest.importorskip("hush_otel.background.client")
    with StoreRows(tmp_path / "traces.db") as rows:
        there = rows.destination(HOSTILE, paused=HOSTILE, last_error=HOSTILE, last_error_at=1.0)
        columns = dict.fromkeys(("workflow_name", "user_id", "session_id", "tags", "error_message"), HOSTILE)
        n = rows.request(HOSTILE, **columns)
        rows.span(n, 1, name=HOSTILE, model=HOSTILE, status_code=2, status_message=HOSTILE)
        rows.node(n, 2, HOSTILE, HOSTILE, context_id=HOSTILE)
        rows.delivery(n, there, "paused", last_error=HOSTILE)
        rows.loss(HOSTILE, 1)
        rows.request("a\x1b[31mother")
    db = tmp_path / "traces.db"
    outputs = [run(db, "ls"), run(db, "show", HOSTILE), run(db, "status")]
    outputs += [run(db, "ls", "--json"), run(db, "show", HOSTILE, "--json"), run(db, "status", "--json")]
    for result in outputs:
        assert result.exit_code == 0
        unsafe = set(result.stdout) & set("\x1b\x9b\x07\x00\x7f\r\u202e\u2066\u200b\u2028\U000e0041")
        assert not unsafe, (result.stdout, unsafe)
    assert HARMLESS in outputs[0].stdout
    assert json.loads(outputs[3].stdout.splitlines()[-1])["workflow_name"] == HOSTILE
    failed = process("--db", str(db), "show", "a")
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert "\x1b" not in failed.stderr


@pytest.mark.parametrize(
    "value", [HOSTILE, "\x1b\x1b[31m[31m", "\x1b]" * 50_000, "x" * 10_000_000, b"\xff", 3]
)
def test_b13_clean_leaves_one_printable_line(value: object) -> None:
    """Whatever goes in, a bounded line without control characters comes out, quickly."""
    start = time.monotonic()
    cleaned = text.clean(value)
    assert cleaned.isprintable()
    assert len(cleaned) <= 200
    assert time.monotonic() - start < 1


def test_json_keeps_values_that_it_escapes() -> None:
    """What is written as an escape is read back as it was, also beyond 16 bits; NaN becomes null."""
    assert json.loads(to_json({"a": HOSTILE})) == {"a": HOSTILE}
    assert to_json([float("nan"), 2**60]) == "[null,1152921504606846976]"


def test_deep_chain_and_wide_fan_render(tmp_path: Path) -> None:
    """5,000 spans below each other need no recursion, and cost no more than beside each other."""
    with StoreRows(tmp_path / "traces.db") as rows:
        deep, wide = rows.request("deep"), rows.request("wide")
        for n in range(1, 5001):
            rows.span(deep, n, n - 1 or None)
            rows.span(wide, n, 1 if n > 1 else None)
    for request_id in ("deep", "wide"):
        out = run(tmp_path / "traces.db", "show", request_id).stdout
        assert sum("span-" in line for line in out.splitlines()) == 5000
        assert max(map(len, out.splitlines())) < 140
    assert len(json.loads(run(tmp_path / "traces.db", "show", "deep", "--json").stdout)["nodes"]) == 5000


def test_cycles_show_every_span_once(tmp_path: Path) -> None:
    """Spans that are their own ancestors are drawn once each and marked."""
    with StoreRows(tmp_path / "traces.db") as rows:
        n = rows.request("cycle")
        for span_id, parent in [(1, 2), (2, 1), (3, 3), (4, 2), (5, None)]:
            rows.span(n, span_id, parent)
    out = run(tmp_path / "traces.db", "show", "cycle").stdout
    assert sorted(word for word in out.split() if word.startswith("span-")) == [
        f"span-{n}" for n in range(1, 6)
    ]
    assert out.count("its parents form a cycle") == 2


def test_tree_fits_a_narrow_terminal(db: Path) -> None:
    """On a terminal no line is wider than it, and names are cut with an ellipsis."""
    with Reader(db) as reader:
        request_id = reader.rows("request", request_id="good-1")[0]["request_id"]
        rows = [dict(row) | {"name": "n" * 70} for row in reader.rows("request_tree", request_id=request_id)]
    terminal = Console(width=60, force_terminal=True, no_color=True, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    terminal.print(tree.SpanTree(rows))
    lines = terminal.export_text().splitlines()
    assert len(lines) == 4
    assert all(len(line) <= 60 for line in lines)
    assert all("…" in line for line in lines)


def test_no_colour_when_piped_or_refused(db: Path) -> None:
    """A pipe gets no escape codes; NO_COLOR takes the colours even where they are forced."""
    assert "\x1b" not in process("--db", str(db), "ls").stdout
    forced = process("--db", str(db), "ls", FORCE_COLOR="1", TERM="xterm").stdout
    assert "\x1b[32m" in forced
    refused = process("--db", str(db), "ls", FORCE_COLOR="1", TERM="xterm", NO_COLOR="1").stdout
    assert "\x1b[32m" not in refused


def test_errors_are_one_line_and_exit_1(tmp_path: Path) -> None:
    """A missing database ends every reading command with one line that names it, and no traceback."""
    missing = tmp_path / "none.db"
    for args in (("ls",), ("show", "x"), ("ls", "--json")):
        done = process("--db", str(missing), *args)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr == (
            f"error: no database at {missing} (nothing has been recorded there yet; check HUSH_TRACES_DB or --db)\n"
        )
    assert not missing.exists()


@pytest.mark.parametrize("args", [("nope",), ("ls", "--limit", "0"), ("ls", "--status", "odd"), ("show",)])
def test_usage_errors_exit_2(args: tuple[str, ...]) -> None:
    """Click's own errors keep their exit code and show the usage."""
    done = process(*args)
    assert done.returncode == 2
    assert "Usage:" in done.stderr
    assert "Traceback" not in done.stderr


def test_interrupt_exits_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is no error of ours."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main.cli, "invoke", interrupted)
    assert main.main(["ls"]) == 130


def test_closed_pipe_is_quiet(tmp_path: Path) -> None:
    """A reader that leaves early (`| head`) causes no complaint, for short and for long output."""
    with StoreRows(tmp_path / "traces.db") as rows:
        n = rows.request("big")
        for span_id in range(1, 3001):
            rows.span(n, span_id)
    for args in (["show", "big", "--json"], ["show", "big"], ["ls"], ["ls", "--json"]):
        command = [sys.executable, "-m", "hush_otel", "--db", str(tmp_path / "traces.db"), *args]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            child.stdout.close()
            assert child.stderr.read() == b""
        assert child.returncode in {0, 1}


def test_narrow_encoding_shows_question_marks(db: Path) -> None:
    """A terminal that cannot show a character gets '?', not a traceback."""
    done = process("--db", str(db), "show", "good-1", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0
    assert "123?45" in done.stdout


def test_help_lists_every_command_without_importing_them() -> None:
    """The lines of `--help` are those of the commands themselves."""
    done = process("--help")
    assert done.returncode == 0
    for name, line in main.COMMANDS.items():
        assert f"  {name}" in done.stdout
        if name != "demo":
            command = main.cli.get_command(click.Context(main.cli), name)
            assert command is not None
            assert (command.help or "").splitlines()[0] == line
