"""`hush-otel export`: every form holds what is stored, and a file is whole or not there."""

from __future__ import annotations

import csv
import importlib
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from inprocess import App, dicts, drain_once, no_background

from hush_otel.cli import formats, main

TEXT = 'a,"b"\nä\x9b1m\u202e\x00'


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """An app with two traces of many types, a span that runs, and a run of node traces."""
    no_background(monkeypatch, tmp_path)
    app = App(tmp_path / "traces.db")
    with app.tracer.start_as_current_span("a", attributes={"x": 2**60, "b": True, "t": TEXT, "user.id": "u"}):
        for n in range(700):
            app.tracer.start_span(f"inner-{n}", attributes={"f": float("nan"), "l": [1, 2]}).end()
    app.tracer.start_span("b").end()
    app.running = app.tracer.start_span("runs")  # type: ignore[attr-defined]
    app.store.insert_node_trace("run-1", "flow", "root", None, None, 1, None, None, 2.5, {"q": TEXT}, [1])
    app.store.insert_node_trace("run-1", "flow", "root.odd", "root", None, 2, None, None, None, 1, 2)
    app.store.mark_request_complete("run-1", "local")
    drain_once(app.settings)
    return app


def export(app: App, *args: str | Path) -> int:
    """The exit code."""
    return main.main(["--db", str(app.db_path), "export", *map(str, args)])


def stored(app: App, view: str) -> list[dict[str, Any]]:
    """The rows of a view, in order of nothing."""
    return sorted(dicts(app.db_path, f"SELECT * FROM {view}"), key=lambda row: row["span_id"])  # noqa: S608


def otlp_spans(path: Path) -> list[dict[str, Any]]:
    """All spans of a file of OTLP JSON lines."""
    return [
        span
        for line in path.read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def test_otlp_has_every_span_that_ended(app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By their ids and with their types, as a receiver gets them; a large request takes several lines."""
    out = tmp_path / "out.jsonl"
    assert export(app, out) == 0
    assert capsys.readouterr().out.startswith(f"704 spans written to {out} (")
    found = otlp_spans(out)
    ended = [row for row in stored(app, "spans") if row["state"] != "running"]
    assert {(span["traceId"], span["spanId"]) for span in found} == {
        (row["trace_id"], row["span_id"]) for row in ended
    }
    assert len(found) == len(ended) == 704
    attributes = {
        one["key"]: one["value"] for span in found if span["name"] == "a" for one in span["attributes"]
    }
    assert attributes["x"] == {"intValue": str(2**60)}
    assert attributes["t"] == {"stringValue": TEXT}
    assert {"doubleValue": "NaN"} in [one["value"] for span in found for one in span.get("attributes", [])]
    parents = {span["name"]: span.get("parentSpanId") for span in found}
    assert parents["odd"] == next(span["spanId"] for span in found if span["name"] == "flow")
    assert max(line.count('"spanId"') for line in out.read_text().splitlines()) == formats.SPANS_IN_LINE
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


@pytest.mark.parametrize("view", ["node_traces", "spans"])
def test_json_lines_are_the_rows(app: App, tmp_path: Path, view: str) -> None:
    """Every column with its type, running spans too."""
    out = tmp_path / "rows.jsonl"
    assert export(app, out, "--format", "jsonl", "--rows", view) == 0
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(found, key=lambda row: row["span_id"]) == stored(app, view)
    assert "\x9b" not in out.read_text()


@pytest.mark.parametrize("view", ["node_traces", "spans"])
def test_csv_has_names_and_rows(app: App, tmp_path: Path, view: str) -> None:
    """Quotes, commas, line breaks and control characters survive; NULL is empty."""
    out = tmp_path / "rows.csv"
    assert export(app, out, "--rows", view) == 0
    with out.open(newline="", encoding="utf-8") as file:
        found = sorted(csv.DictReader(file), key=lambda row: row["span_id"])
    expected = [{key: "" if v is None else str(v) for key, v in row.items()} for row in stored(app, view)]
    assert found == expected


def test_an_unknown_suffix_is_refused(app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With those that are known; `--format` writes to any path."""
    assert export(app, tmp_path / "rows.xlsx") == 2
    known = "'rows.xlsx': nothing is written as '.xlsx', but as .jsonl, .ndjson, .json, .csv, .parquet"
    assert known in " ".join(capsys.readouterr().err.split())
    assert export(app, tmp_path / "rows.xlsx", "--format", "csv") == 0


def test_an_empty_choice_is_a_file_with_names_only(app: App, tmp_path: Path) -> None:
    """No rows is no error."""
    out = tmp_path / "rows.csv"
    assert export(app, out, "--user", "nobody") == 0
    assert out.read_text().startswith("id,request_id,workflow_name,")
    assert len(out.read_text().splitlines()) == 1


@pytest.mark.parametrize("view", ["node_traces", "spans"])
def test_parquet_has_typed_columns(
    app: App, tmp_path: Path, view: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers are numbers, in groups of rows; a value of another type is left out, and said."""
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(formats, "GROUP_ROWS", 100)
    with sqlite3.connect(app.db_path) as db:
        db.execute("UPDATE hush_spans SET prompt_tokens = 'many' WHERE name = 'b'")
    out = tmp_path / "rows.parquet"
    assert export(app, out, "--rows", view) == 0
    table = parquet.read_table(out)
    expected = stored(app, view)
    for row in expected:
        for key, value in row.items():
            fits = isinstance(value, int) or key not in formats.INTEGERS
            row[key] = value if fits else None
    assert sorted(table.to_pylist(), key=lambda row: row["span_id"]) == expected
    assert parquet.ParquetFile(out).num_row_groups == 8
    said = "left out: 1 value of another type than the column\n"
    assert capsys.readouterr().err == (said if view == "node_traces" else "")


def test_parquet_without_pyarrow_says_what_to_install(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line; no file."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert export(app, tmp_path / "rows.parquet") == 1
    assert capsys.readouterr().err == "error: Parquet needs pyarrow (pip install 'hush-otel[parquet]')\n"
    assert not list(tmp_path.glob("*rows*"))
    monkeypatch.undo()
    importlib.invalidate_caches()


@pytest.mark.parametrize(
    ("args", "count"),
    [
        (("--workflow", "b"), 1),
        (("--user", "u"), 701),
        (("--since", "1h"), 704),
        (("--until", "1h"), 0),
        (("--status", "writing"), 0),
        (("--session", "x"), 0),
    ],
)
def test_filters(app: App, tmp_path: Path, args: tuple[str, ...], count: int) -> None:
    """Those of replay."""
    assert export(app, tmp_path / "x", *args) == 0
    assert len(otlp_spans(tmp_path / "x")) == count


def test_a_file_that_is_there_stays(app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --force, and with it until all is written."""
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    assert export(app, out) == 1
    assert capsys.readouterr().err == f"error: {out} exists (--force replaces it)\n"
    assert out.read_text() == "mine"
    assert export(app, out, "--force", "--workflow", "b") == 0
    assert len(otlp_spans(out)) == 1
    link = tmp_path / "link"
    link.symlink_to(out)
    for target, said in [
        (link, "no regular file"),
        (tmp_path, "no regular file"),
        (tmp_path / "no/x", "no dir"),
    ]:
        assert export(app, target, "--force") == 1
        assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir() if "part" in path.name) == []


def test_a_failed_export_leaves_nothing(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A disk that is full in its midst: the file that was there stays, and no part of the new one."""
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    program = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "from hush_otel.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    line = [sys.executable, "-c", program, "--db", str(app.db_path), "export", str(out), "--force"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"error: cannot write {out}: File too large\n")
    assert out.read_text() == "mine"
    assert not [path for path in tmp_path.iterdir() if "part" in path.name]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("ignored", [False, True])
def test_what_ends_it_leaves_no_part_of_a_file(tmp_path: Path, end: signal.Signals, *, ignored: bool) -> None:
    """As Ctrl-C does not; with nohup it goes on."""
    program = (
        "import os, signal, sys\n"
        "from hush_otel.cli.files import target_stream\n"
        f"if {ignored}: signal.signal({end.value}, signal.SIG_IGN)\n"
        "with target_stream(sys.argv[1], force=False) as out:\n"
        "    out.write(b'half')\n"
        f"    os.kill(os.getpid(), {end.value})\n"
        "    out.write(b' and half')\n"
        f"assert signal.getsignal({end.value}) == (signal.SIG_IGN if {ignored} else signal.SIG_DFL)\n"
    )
    line = [sys.executable, "-c", program, str(tmp_path / "out.jsonl")]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0 if ignored else 128 + end, "")
    assert [path.read_text() for path in tmp_path.iterdir()] == (["half and half"] if ignored else [])


def test_standard_output_can_be_cut_off(app: App) -> None:
    """`-` is standard output, and nothing but the spans is there; a reader that leaves ends it quietly."""
    command = [sys.executable, "-m", "hush_otel", "--db", str(app.db_path), "export", "-"]
    whole = subprocess.run(command, capture_output=True, check=True)
    assert whole.stderr == b""
    assert len(whole.stdout.splitlines()) == 4
    assert all(json.loads(line) for line in whole.stdout.splitlines())
    reading, writing = os.pipe()
    os.close(reading)
    for form in ("otlp", "csv"):
        done = subprocess.run(
            [*command, "--format", form], stdout=writing, stderr=subprocess.PIPE, check=False
        )
        assert (done.returncode, done.stderr) == (141, b"")
    os.close(writing)


def test_rows_of_otlp_are_refused(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    """A usage error, before anything is made."""
    assert export(app, "x.jsonl", "--rows", "spans") == 2
    assert "--rows goes with" in capsys.readouterr().err
