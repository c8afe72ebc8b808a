"""The commands that read: what they print, how they end, and that nothing in the database can act."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from inprocess import drain_once, node_payload, settings_for, writer_of
from rich.console import Console
from store_rows import START_NS, START_S, StoreRows

from hush_otel.cli import ls, main, status, tree
from hush_otel.cli.contents import Pen
from hush_otel.cli.output import console, program, to_json
from hush_otel.errors import StoreError
from hush_otel.presentation import text, waiting
from hush_otel.presentation.listing import shown
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
        rows.label(good, 0, "m-1")
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
        (("--user", "ana", "--model", "m-1"), ["good-1"]),
        (("--errors", "--min-duration", "1s"), ["bad-1"]),
        (("--min-duration", "2s"), []),
        (("--since", "1h"), []),
    ]:
        objects = [json.loads(line) for line in run(db, "ls", "--json", *args).stdout.splitlines()]
        assert [one["request_id"] for one in objects] == found
    assert run(db, "ls", "--status", "stored").stdout == "no requests match\n"


def test_whoever_looks_for_failed_requests_is_told_of_errors(tmp_path: Path) -> None:
    """`failed` is said of deliveries; a step that failed is found otherwise. Not where something is found."""
    with StoreRows(tmp_path / "traces.db") as rows:
        rows.request("r1", error_count=1)
    found = run(tmp_path / "traces.db", "ls", "--status", "failed")
    assert found.stdout == "no requests match\n"
    assert found.stderr == "failed: a delivery of it is dead; requests in which a span failed: --errors\n"
    assert run(tmp_path / "traces.db", "ls", "--status", "pending").stderr == ""


def test_ls_json_has_the_columns_of_the_view(db: Path) -> None:
    """Every line is one object with the columns of `requests` and three more."""
    with Reader(db) as reader:
        columns = list(shown(reader.rows("request", request_id="good-1")[0]))
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
        "│",  # iteration[0]
        "│",  # item
        "├─ ✓ price (nodes.price)",
        "└─ ○ gone (nodes.gone)",
        "",  # child
    ]
    assert "└─ ✓ iteration[0]" in out
    assert "└─ ✓ item (nodes.load.item) [0]" in out
    assert "   └─ ✓ child (nodes.child)" in out
    (gone,) = (line for line in out.splitlines() if "nodes.gone" in line)
    assert gone.endswith("not ended yet")


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
    columns = ("name", "state", "pending", "dead", "recovered")
    assert [tuple(one[column] for column in columns) for one in report["destinations"]] == [
        ("later", "paused", 1, 0, False),
        ("there", "active", 0, 1, False),
    ]
    assert report["losses"][1] == {"reason": "spool_full", "count": 12, "bytes": 4096}


def test_what_was_cut_is_not_lost(tmp_path: Path) -> None:
    """It stands beside: the record is there."""
    with StoreRows(tmp_path / "t.db") as rows:
        rows.loss("cut", 2, 4096)
    out = run(tmp_path / "t.db", "status").stdout
    assert "none · 2 cut (4.0 KiB)" in out


def test_an_id_as_a_list_has_cut_it_is_one(db: Path) -> None:
    """With the `…` at its end; an id that ends so by itself is found first."""
    assert run(db, "show", "live…").stdout.startswith("live-1")
    with pytest.raises(StoreError, match="no request 'dead…'"):
        run(db, "show", "dead…")


def test_status_for_people(db: Path) -> None:
    """The page names what is paused, what was lost, and what of the spool is there."""
    pytest.importorskip("hush_otel.background.client")
    spool = db.with_name(db.name + ".spool")
    spool.mkdir()
    (spool / "one.seg").write_bytes(bytes(2048))
    (spool / "lock").write_bytes(b"x")
    out = run(db, "status").stdout
    for part in (
        "2.0 KiB in 1 segment",
        "1 failed · 1 flushed · 1 writing",
        "paused: secret KEY",
        "12 spool_full (4.0 KiB) · 3 duplicate",
    ):
        assert part in out


def terminal(width: int) -> Console:
    """A terminal without colours that remembers."""
    return Console(
        width=width, force_terminal=True, no_color=True, record=True, markup=False, highlight=False,
        file=open(os.devnull, "w"),  # noqa: PTH123
    )  # fmt: skip


LONG_WHY = "401 Unauthorized: " + "the key that was given is not one of those that are known here, " * 2


@pytest.fixture
def troubled(tmp_path: Path) -> Path:
    """A paused destination, one that has recovered, one that fails now, and one with partial success."""
    path = tmp_path / "traces.db"
    with StoreRows(path) as rows:
        n = rows.request("r")
        at = {"last_error_at": START_S + 50.0}
        endpoint = '{"endpoint":"http://***@lab:4318"}'
        paused = rows.destination("paused-one", paused=LONG_WHY, last_error=LONG_WHY, config=endpoint, **at)
        well = rows.destination("recovered", last_error="503 old", **at)
        rows.delivery(n, well, "delivered", settled_at=START_S + 51.0)
        rows.delivery(n, well, "delivered", settled_at=START_S + 40.0)
        ill = rows.destination("otlp#e7adcb45", last_error="400 now", config='{"path":"/x.jsonl"}', **at)
        rows.delivery(n, ill, "delivered", settled_at=START_S + 49.0)
        for _ in range(3):
            rows.delivery(n, ill, "dead")
        partial = rows.destination("partial", last_error="2 spans rejected: odd", **at)
        rows.delivery(n, partial, "delivered", settled_at=START_S + 50.0)
        rows.delivery(n, paused, "paused")
    return path


@pytest.mark.parametrize("width", [80, 200, None])
def test_status_says_each_reason_once_and_whole(troubled: Path, width: int | None) -> None:
    """A row of columns a destination, and its words below it: at 80 columns, at 200, and in a pipe."""
    now_s = START_S + 100.0
    if width is None:
        said = run(troubled, "status").stdout
    else:
        out = terminal(width)
        status.render(out, status.collect(settings_for(troubled), now_s), now_s)
        said = out.export_text()
        assert max(map(len, said.splitlines())) <= width
    header, *lines = said[said.index("destination ") :].splitlines()
    assert header.split() == list(status.HEADINGS)
    rows = {line.split()[0]: line.split() for line in lines if not line.startswith(" ")}
    assert [cells[-3] for cells in rows.values()] == ["3", "0", "0", "0"], "dead"
    below = " ".join(" ".join(lines).split())
    assert below.count("401 Unauthorized") == 1
    assert f"http://***@lab:4318 paused: {LONG_WHY.strip()} " in below
    assert "/x.jsonl last error, " in below
    assert ", before the last delivery: 503 old" in below
    assert below.count("before the last delivery") == 1


def test_show_says_where_a_generated_name_leads(troubled: Path) -> None:
    """Beside type and hash stands the path or endpoint; "sent" is said of what was delivered alone."""
    lines = run(troubled, "show", "r").stdout.splitlines()
    deliveries = [line.split("  ") for line in lines if " attempt" in line]
    assert next(cells[0].strip() for cells in deliveries) == "sent to"
    assert any("otlp#e7adcb45 /x.jsonl" in line for line in lines)
    assert not any("partial http" in line for line in lines)
    assert next(line for line in lines if "dead" in line).startswith("to ")
    document = json.loads(run(troubled, "show", "r", "--json").stdout)
    assert "http://***@lab:4318" in {one["target"] for one in document["deliveries"]}


def test_show_says_of_a_mark_with_a_type_that_nothing_here_has(tmp_path: Path) -> None:
    """While nobody has tried to send it; afterwards the error says so."""
    with StoreRows(tmp_path / "traces.db") as rows:
        for name, kind, attempts in (("new", "Nobdy", 0), ("tried", "Nobdy", 1), ("known", "otlp", 0)):
            request = rows.request(name, tags='["pro\u00df","b"]')
            rows.span(request, request, name="answer")
            rows.delivery(request, rows.destination(name, type=kind), "pending", attempts=attempts)
    words = "'Nobdy' is no type of hush-otel's: a tracer of yours must have this name"
    shown = {name: run(tmp_path / "traces.db", "show", name).stdout for name in ("new", "tried", "known")}
    assert [name for name, out in shown.items() if words in out] == ["new"]
    assert "tags     pro\u00df, b\n" in shown["new"]


def test_show_gives_a_node_the_time_between_its_times(tmp_path: Path) -> None:
    """A node trace without a duration and with both times has one in the tree; without them it has none."""
    with StoreRows(tmp_path / "traces.db") as rows:
        n = rows.request("r")
        times = {"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-01T00:00:01Z"}
        rows.node(n, 1, "timed", None, duration_ms=None, **times)
        rows.node(n, 2, "half", None, duration_ms=None, start_time="2026-01-01T00:00:00Z")
        rows.node(n, 3, "given", None, duration_ms=0, **times)
    tree = run(tmp_path / "traces.db", "show", "r").stdout.split("\n\n")[1]
    assert {line.split()[1]: line.split()[2] for line in tree.splitlines()} == {
        "timed": "12.3",
        "half": "-",
        "given": "0",
    }


def test_reading_a_database_that_is_not_there_yet_tells_what_waits(tmp_path: Path) -> None:
    """Records in the spool, and the last words of a background process that could not store them."""
    settings = settings_for(tmp_path / "traces.db")
    writer = writer_of(settings)
    size = 0
    for _ in range(10):
        payload = node_payload("r")
        writer.append(payload)
        size += (8 + len(payload) + 7) & ~7
    assert waiting.look(settings.spool_dir) == waiting.Waiting(size_bytes=size, error=None)
    for args in (("ls",), ("show", "x"), ("status",), ("ls", "--json")):
        done = process("--db", str(settings.db_path), *args)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"error: no database at {settings.db_path} (records of {text.size(size)} wait in {settings.spool_dir};"
            " `hush-otel drain` or `hush-otel run` stores them)\n"
        )
    assert not settings.db_path.exists()
    log = settings.spool_dir / "background.log"
    log.write_text(
        "2026-01-01 00:00:00,000 5 INFO fine\n2026-01-01 00:00:01,000 5 ERROR cannot work\nTraceback\n x\n"
    )
    assert (
        "background.log ends with: 2026-01-01 00:00:01,000 5 ERROR cannot work)"
        in process("--db", str(settings.db_path), "status").stderr
    )
    drain_once(settings)
    out = run(settings.db_path, "status").stdout
    assert "its last words: 2026-01-01 00:00:01,000 5 ERROR cannot work" in out
    with log.open("a") as file:
        file.write("2026-01-01 00:00:02,000 5 INFO better\n")
    assert "last words" not in run(settings.db_path, "status").stdout
    assert waiting.look(settings.spool_dir).size_bytes == 0


def test_drain_makes_nothing_where_nothing_was_recorded(tmp_path: Path) -> None:
    """Neither database nor spool: the error of `ls`, and an empty directory."""
    missing = tmp_path / "no" / "traces.db"
    done = process("--db", str(missing), "drain")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: no database at {missing} (nothing has been recorded there yet")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_or_another_file_is_named_as_what_it_is(tmp_path: Path) -> None:
    """Reading and draining say what stands at the path, and what to set."""
    (tmp_path / "text.db").write_text("not mine " * 100)
    (tmp_path / "dir.db").mkdir()
    for name, said in [("text.db", "no SQLite database"), ("dir.db", "is a directory")]:
        for command in ("ls", "status", "drain"):
            done = process("--db", str(tmp_path / name), command)
            assert (done.returncode, done.stderr.count("\n")) == (1, 1)
            assert said in done.stderr
            assert "HUSH_TRACES_DB" in done.stderr
            assert "nothing has been recorded" not in done.stderr
            assert "see `hush-otel status`" not in done.stderr


@pytest.mark.parametrize(
    ("started", "path", "said"),
    [
        ("/opt/bin/hush-otel", "/opt/bin", "hush-otel"),
        ("/opt/bin/hush-otel", "/usr/bin", "/opt/bin/hush-otel"),
        ("a b/hush-otel", "/usr/bin", "'a b/hush-otel'"),
        ("/x/hush_otel/__main__.py", "/usr/bin", f"{sys.executable} -m hush_otel"),
        ("/usr/bin/pytest", "/usr/bin", "hush-otel"),
    ],
)
def test_the_program_is_called_as_it_was_started(
    started: str, path: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name where a shell finds the same one by it, else by its path."""
    monkeypatch.setattr(sys, "argv", [started])
    monkeypatch.setattr(shutil, "which", lambda name: f"{path}/{name}" if path == "/opt/bin" else None)
    assert program() == said


def test_one_request_with_huge_names_makes_no_list_huge(tmp_path: Path) -> None:
    """They are cut there, with the mark of it, and the id that is left finds the request."""
    huge = "N" * 1_000_000
    with StoreRows(tmp_path / "traces.db") as rows:
        columns = dict.fromkeys(("workflow_name", "user_id", "session_id", "error_message"), huge)
        n = rows.request("r" + huge, tags=json.dumps([huge] * 200), **columns)
        rows.label(n, 0, huge)
        rows.span(n, 1)
        rows.delivery(n, rows.destination("lab"), "pending")
    db = tmp_path / "traces.db"
    (line,) = run(db, "ls", "--json").stdout.splitlines()
    assert len(line) < 200_000
    request = json.loads(line)
    assert request["workflow_name"] == "N" * 999 + "…"
    assert request["models"] == ["N" * 999 + "…"]
    assert json.loads(request["tags"])[-1] == "…"
    assert len(run(db, "deliveries", "--json").stdout) < 10_000
    assert json.loads(run(db, "show", request["request_id"], "--json").stdout)["request"]["user_id"] == huge


def test_what_to_do_is_shown_however_long_an_error_is(tmp_path: Path) -> None:
    """By every command that shows the last error of a delivery or a destination."""
    error = "the receiver says " + "no, " * 200 + "(check its headers)"
    with StoreRows(tmp_path / "traces.db") as rows:
        lab = rows.destination("lab", paused=error, last_error=error, last_error_at=1.0)
        other = rows.destination("other", last_error=error, last_error_at=1.0)
        n = rows.request("r1")
        rows.span(n, 1)
        rows.delivery(n, lab, "paused", last_error=error)
        rows.delivery(n, other, "dead", last_error=error)
    db = tmp_path / "traces.db"
    for args in (("status",), ("deliveries",), ("show", "r1")):
        shown = run(db, *args).stdout
        assert shown.count("the receiver says no") == shown.count("… (check its headers)") >= 2, shown


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("to", [">&-", ">/dev/full"])
@pytest.mark.parametrize(
    "command", [("ls",), ("ls", "--json"), ("show", "good-1"), ("export", "-"), ("--help",), ("doctor",)]
)
def test_a_standard_output_that_takes_nothing_is_said_in_one_line(
    db: Path, command: tuple[str, ...], to: str, unbuffered: str
) -> None:
    """Closed, or on a full disk."""
    line = [sys.executable, "-m", "hush_otel", "--db", str(db), *command]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {to}', "sh", *line],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        check=False,
    )
    why = "Bad file descriptor" if to == ">&-" else "No space left on device"
    where = "" if unbuffered and to != ">&-" else " to standard output"
    assert (done.returncode, done.stderr) == (1, f"error: cannot write{where}: {why}\n")


def test_drain_leaves_somebody_elses_database_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no spool says that it is meant, its tables would only be mixed with ours."""
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE orders (id INTEGER)")
    db.close()
    before = path.read_bytes()
    assert main.main(["--db", str(path), "drain"]) == 1
    assert f"{path} is not a hush-otel database" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("args", [("--db", "", "ls"), ("ls", "--db", "")])
def test_an_empty_path_is_no_database(args: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Of a script whose variable is not set: it does not mean the default one, of which `prune` deletes."""
    assert main.main(args) == 2
    assert "--db is empty" in capsys.readouterr().err


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


def test_b13_a_hostile_id_is_inert_where_show_says_how_to_see_all(tmp_path: Path) -> None:
    """The line that can be run as it stands has the trace id then, and finds the same request."""
    with StoreRows(tmp_path / "traces.db") as rows:
        for request_id in (HOSTILE, "order 1"):
            n = rows.request(request_id)
            rows.span(n, n, attributes=json.dumps({"input.value": "x" * 5000}))
    db = tmp_path / "traces.db"
    shown = run(db, "show", HOSTILE, "--io").stdout
    assert not set(shown) & set("\x1b\x9b\x07\x00\x7f\r\u202e\u2066\u200b\u2028")
    (how,) = (line for line in shown.splitlines() if " show " in line)
    arguments = shlex.split(how.partition(" show ")[2])
    assert "x" * 5000 in run(db, "show", *arguments).stdout
    assert "show 'order 1' --node" in run(db, "show", "order 1", "--io").stdout


def test_b13_a_label_is_inert_whatever_it_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever writes one need not think of it."""
    Pen(out=console(), whole=True).label(f"event {HOSTILE}", "yellow")
    assert capsys.readouterr().out == f"  event {HARMLESS}\n"


@pytest.mark.parametrize(
    "value", [HOSTILE, "\x1b\x1b[31m[31m", "\x1b]" * 50_000, "x" * 10_000_000, b"\xff", 3]
)
@pytest.mark.alone
def test_b13_clean_leaves_one_printable_line(value: object) -> None:
    """Whatever goes in, a bounded line without control characters comes out, quickly."""
    start = time.thread_time()  # what it computes, whatever else the machine does meanwhile
    cleaned = text.clean(value)
    assert cleaned.isprintable()
    assert len(cleaned) <= 200
    assert time.thread_time() - start < 1


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


def test_nodes_whose_parents_form_a_cycle_say_so(tmp_path: Path) -> None:
    """Their parents are stored, so that nobody looks for them; of one that is not, a row says so."""
    with StoreRows(tmp_path / "traces.db") as rows:
        n = rows.request("cycle")
        for span_id, (name, parent) in enumerate(
            [("root", None), ("a", "b"), ("b", "a"), ("self", "self"), ("lost", "nobody")], 1
        ):
            rows.node(n, span_id, name, parent)
    out = run(tmp_path / "traces.db", "show", "cycle").stdout
    ends = [line for line in out.splitlines() if line.endswith(("cycle", "stored"))]
    noted = {next(filter(str.isalpha, line.split())): line for line in ends}
    assert sorted(noted) == ["a", "nobody", "self"]
    assert noted["a"].endswith("its parents form a cycle")
    assert noted["self"].endswith("its parents form a cycle")
    assert noted["nobody"].endswith("not stored")
    assert "└─ ✓ lost" in out.partition(noted["nobody"])[2]


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


@pytest.mark.parametrize("command", ["ls", "status", "audit"])
def test_a_path_that_cannot_be_used_is_one_line(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the path, and who says more, instead of a traceback."""
    path = tmp_path / ("x" * 300)
    assert main.main(["--db", str(path), command]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: cannot use {path}")
    assert "File name too long (`hush-otel doctor`" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "args",
    [
        ("nope",),
        ("ls", "--limit", "0"),
        ("ls", "--status", "odd"),
        ("show",),
        ("ls", "--limit", str(2**63)),
        ("deliveries", "--limit", str(2**63)),
    ],
)
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
    reading, writing = os.pipe()
    os.close(reading)  # before anything is written: what is short would all be in the pipe
    for args in (
        *(["show", "big", "--json"], ["show", "big"], ["show", "big", "--io"], ["ls"], ["ls", "--json"]),
        *(["status"], ["share", "big", "-"], ["export", "-"], ["--help"]),
    ):
        command = [sys.executable, "-m", "hush_otel", "--db", str(tmp_path / "traces.db"), *args]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
        assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b""), args
    os.close(writing)


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


@pytest.mark.parametrize(
    ("minutes_ago", "into_it_s", "rate"),
    [(0, 30.0, 1.5), (0, 0.0, 2.0), (1, 0.0, 1.0), (1, 45.0, 0.25), (2, 0.0, 0.0), (-5, 0.0, 0.0)],
)
def test_the_rate_is_that_of_the_last_minute(
    tmp_path: Path, minutes_ago: int, into_it_s: float, rate: float
) -> None:
    """From two counters: this minute's, and as much of the one before as belongs to the last 60 seconds."""
    now_s = START_S // 60 * 60 + into_it_s
    with StoreRows(tmp_path / "t.db") as rows:
        minute = int(now_s // 60) - minutes_ago
        rows.destination("lab", minute=minute, minute_spans=60, minute_before=60)
    ((lab,),) = [status.collect(settings_for(tmp_path / "t.db"), now_s).destinations]
    assert lab.spans_per_s == pytest.approx(rate, abs=0.001)
