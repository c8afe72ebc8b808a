"""The rows S1, S2, S7, S9, S10, S11 and S12 that no other file is about."""

from __future__ import annotations

import ast
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from inprocess import App, no_background, rows
from store_rows import StoreRows

import hush_otel
from hush_otel.background import logfile, salvage
from hush_otel.cli import main
from hush_otel.config import Settings
from hush_otel.destinations.http_client import MAX_ANSWER_BYTES, HttpClient
from hush_otel.errors import HushError, SpoolError
from hush_otel.spool.directory import SpoolDirectory
from hush_otel.store.reading import Reader
from hush_otel.testing import OtlpReceiver

PACKAGE = Path(hush_otel.__file__).parent


@pytest.fixture(autouse=True)
def _nobody_drains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    no_background(monkeypatch, tmp_path)


def calls_and_imports() -> set[str]:
    """What the package calls by a bare name, and every module that it imports, with the file."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                found.add(f"{node.func.id}()")
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module or "")
    return found


def test_s11_nothing_is_executed_that_was_read() -> None:
    """No pickle or kin of it, no eval, no YAML in the whole package."""
    found = calls_and_imports()
    assert {"msgspec", "len()"} <= found
    assert not found & {"eval()", "exec()", "compile()", "__import__()"}
    assert not found & {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "xml.etree.ElementTree"}


def test_s01_a_spool_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns the directory could put segments there; its mode is left as it is."""
    path = tmp_path / "t.db.spool"
    path.mkdir(mode=0o755)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(SpoolError, match=f"{path} is no directory of this user"):
        SpoolDirectory(path).create()
    assert path.stat().st_mode & 0o777 == 0o755


def test_s02_a_link_in_the_place_of_the_spool_is_refused(tmp_path: Path) -> None:
    """Also to a directory of ours."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "t.db.spool").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SpoolError, match="no directory of this user"):
        SpoolDirectory(tmp_path / "t.db.spool").create()


@pytest.mark.parametrize("name", ["background.log", "output.log", "salvage"])
def test_s02_links_in_the_spool_are_not_followed(name: str, tmp_path: Path) -> None:
    """Neither what is logged and printed, nor what is kept of damage, goes through one."""
    target = tmp_path / "target"
    target.write_text("mine")
    directory = tmp_path / "spool"
    directory.mkdir()
    writes: dict[str, Callable[[Path], object]] = {
        "background.log": logfile._PrivateFile,
        "output.log": lambda path: logfile._redirect_output(SpoolDirectory(path.parent)),
        "salvage": lambda path: salvage.write_privately(path, b"bytes"),
    }
    (directory / name).symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        writes[name](directory / name)
    assert target.read_text() == "mine"


def test_s02_the_default_place_is_at_home(tmp_path: Path) -> None:
    """Not below a directory that everybody may write to; what is temporary is 0700, or has no name there."""
    settings = Settings.load()
    assert settings.db_path == tmp_path / ".hush" / "traces.db"
    assert settings.spool_dir == tmp_path / ".hush" / "traces.db.spool"
    users = sorted(path.name for path in PACKAGE.rglob("*.py") if "tempfile" in path.read_text("utf-8"))
    assert users == ["demo.py", "sharing.py", "ui.py"]


HOSTILE = ["x' OR '1'='1", "x'; DROP TABLE hush_requests; --", '" OR ""="', "%", "*", "\\"]


@pytest.mark.parametrize("value", HOSTILE)
def test_s07_values_are_bound(value: str, tmp_path: Path) -> None:
    """An id, a name or a workflow from outside is compared, never read as SQL."""
    db = tmp_path / "t.db"
    with StoreRows(db) as stored:
        number = stored.request("r-1")
        stored.delivery(number, stored.destination("lab"), "dead")
    result = CliRunner().invoke(main.cli, ["--db", str(db), "ls", "--json", "--workflow", value])
    assert (result.exit_code, result.output) == (0, "")
    with pytest.raises(HushError, match="no destination"):
        CliRunner().invoke(
            main.cli, ["--db", str(db), "deliveries", "--destination", value], catch_exceptions=False
        )
    with Reader(db) as reader:
        assert reader.rows("request", request_id=value) == []
        assert [row["request_id"] for row in reader.rows("request", request_id="r-1")] == ["r-1"]


def test_s07_no_statement_is_put_together_from_values() -> None:
    """They stand in .sql files; the one that is formatted takes a number of ours."""
    verbs = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "REPLACE ", "ATTACH ")
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr) and isinstance(first := node.values[0], ast.Constant):
                found += [path.name for _ in (1,) if str(first.value).lstrip().startswith(verbs)]
    assert found == ["database.py"]


def test_s01_the_log_is_private_under_any_umask(tmp_path: Path) -> None:
    """Also the one that is begun when it is full."""
    before = os.umask(0)
    try:
        log = logfile._PrivateFile(tmp_path / "background.log", maxBytes=10, backupCount=1)
        log.doRollover()
        log.close()
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert len(list(tmp_path.iterdir())) == 2


def test_s09_spans_name_no_destination(tmp_path: Path) -> None:
    """Whatever attributes, events, inputs and metadata say: nothing is sent anywhere."""
    said = {
        "tracer_type": "otlp",
        "tracer_config": json.dumps({"endpoint": "http://169.254.169.254"}),
        "destination": "otlp",
        "destinations": ["otlp", "http://169.254.169.254"],
        "hush.destination": "otlp",
        "endpoint": "http://169.254.169.254/latest/meta-data",
    }
    app = App(tmp_path / "t.db")
    with app.tracer.start_as_current_span("s", attributes=said) as span:
        span.add_event("e", said)
    node = {"start_time": None, "end_time": None, "duration_ms": 1.0, "input_data": said, "output_data": said}
    app.store.insert_node_trace("r", "flow", "n", None, None, 0, **node, metadata=said)
    app.store.mark_request_complete("r", "local", said)
    app.drain()
    assert len(app.nodes()) == 2
    for table in ("hush_destinations", "hush_routes", "hush_request_destinations", "hush_deliveries"):
        assert rows(app.db_path, f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
def test_s10_an_answer_is_read_up_to_its_bound(encoding: str) -> None:
    """A bomb of 256 MiB in 256 KiB, and a body of 4 MiB: a MiB of either."""
    body = (
        gzip.compress(bytes(256 * MAX_ANSWER_BYTES), 9)
        if encoding != "identity"
        else bytes(4 * MAX_ANSWER_BYTES)
    )
    with OtlpReceiver() as receiver:
        receiver.respond(400, {"Content-Type": "text/plain", "Content-Encoding": encoding}, body)
        client = HttpClient(receiver.endpoint, label="lab", timeout_s=20, tls=None)
        answer = client.post(b"", {})
        client.close()
    assert len(answer.body) == MAX_ANSWER_BYTES


def test_s12_status_shows_whose_certificate_is_not_verified(tmp_path: Path) -> None:
    """For people and for programs; who said nothing of it is verified."""
    db = tmp_path / "t.db"
    with StoreRows(db) as stored:
        stored.destination("lax", config='{"endpoint":"https://a","verify":false}')
        stored.destination("strict", config='{"endpoint":"https://b","verify":true}')
        stored.destination("usual", config='{"endpoint":"https://c"}')
    said = CliRunner().invoke(main.cli, ["--db", str(db), "status"], catch_exceptions=False).output
    report = (
        CliRunner().invoke(main.cli, ["--db", str(db), "status", "--json"], catch_exceptions=False).output
    )
    assert said.count("verify = false") == 1
    assert said.index("https://a") < said.index("verify = false") < said.index("https://b")
    unverified = {one["name"]: one["unverified"] for one in json.loads(report)["destinations"]}
    assert unverified == {"lax": True, "strict": False, "usual": False}
