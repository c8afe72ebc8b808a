"""S4: secrets are planted wherever a configuration may hold one, deliveries fail in every way, and nobody tells.

Literal secrets may stand in the private table of the database and in the spool's segments, both 0600; what a
reference stands for, nowhere at all.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

import httpx
import pytest
from bench import App, Bench, command_line, linux_only
from plugging import install
from support import eventually, refused

pytestmark = linux_only

LITERAL: Final = "canary-literal-"
REFERRED: Final = "canary-referred-"
USER: Final = f"joe:{LITERAL}user"
FORBIDDEN: Final = (b"canary-", b"literal-u", base64.b64encode(USER.encode())[:-4])
"""Of each secret a part that no cut, no `repr` and no JSON changes; and the Basic header's."""
PRIVATE: Final = ("traces.db", "traces.db-wal", "traces.db-shm", ".seg")
COMMON: Final = {
    "host",
    "content-type",
    "content-length",
    "content-encoding",
    "accept-encoding",
    "user-agent",
}


class Lab:
    """One application, every kind of destination that fails, and every place for a secret."""

    def __init__(self, bench: Bench, receiver: str, closed: str) -> None:
        self.bench = bench
        self.told: list[bytes] = []
        self.command_lines: set[bytes] = set()
        token = bench.path / "token"
        token.write_text(f"{REFERRED}file\n")
        at = receiver.replace("://", f"://{USER}@")
        self.destinations: dict[str, dict[str, Any]] = {
            "repeats": {
                "endpoint": f"{at}/?api_key={LITERAL}query",
                "headers": {"x-key": f"{LITERAL}header"},
            },
            "refers": {
                "endpoint": receiver.replace("://", "://${LAB_REF}:x@") + "/${LAB_REF}/v1/traces",
                "headers": {"a": f"${{file:{token}}}", "b": "Bearer ${LAB_REF}"},
            },
            "unknown-name": {"endpoint": f"http://{USER}@name.invalid/?token={LITERAL}query"},
            "no-tls": {"endpoint": f"{at.replace('http:', 'https:')}/?token={LITERAL}query"},
            "closed": {"endpoint": f"{closed.replace('://', f'://{USER}@')}/?token={LITERAL}query"},
            "grpc": {
                "endpoint": closed,
                "protocol": "grpc",
                "headers": {"x": "Bearer ${LAB_TAB}", "y": f"{LITERAL}header"},
            },
            "misplaced": {"endpoint": closed, "timeout_s": "${LAB_REF}"},
        }
        config = bench.path / "hush.toml"
        config.write_text("".join(_table(name, options) for name, options in self.destinations.items()))
        names = [*self.destinations, "otlp", "langfuse"]
        bench.env |= install(bench.path / "site") | {
            "HUSH_CONFIG": str(config),
            "HUSH_DESTINATIONS": ",".join(names),
            "HUSH_IDLE_EXIT_S": "60",
            "LAB_REF": f"{REFERRED}variable",
            "LAB_TAB": f"{REFERRED}\ttab",  # a header cannot carry it
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver,
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{REFERRED}standard",
            "LANGFUSE_BASE_URL": at,
            "LANGFUSE_PUBLIC_KEY": f"{REFERRED}public",
            "LANGFUSE_SECRET_KEY": f"{REFERRED}secret",
            "NO_COLOR": "1",
        }
        self.names = names
        self.app: App = bench.obedient()
        self.commands: App = bench.start("commands", COLUMNS="400")
        assert self.commands.value(60) == "ready"

    def mark(self, request: str, tracer: str, **config: Any) -> None:
        """A node trace, complete."""
        self.app.ask(f"node {request} {request}")
        self.app.ask(f"mark {request} {tracer} {json.dumps(config, separators=(',', ':'))}")

    def look(self) -> None:
        """Remember the arguments of every process there is now."""
        for pid in self.bench.processes():
            self.command_lines.add(b" ".join(command_line(pid)))

    def ask(self, *args: str, lines: int | None = None) -> bytes:
        """What a command says, on both of its streams; interrupted once it has said so many lines."""
        self.commands.tell(json.dumps({"args": args, "lines": lines}))
        self.look()
        said: bytes = self.commands.value(60).encode("utf-8", "surrogateescape")
        assert b"Traceback" not in said, (args, said)
        self.told.append(said)
        return said

    def stored(self) -> str:
        """Every table and view but the private one, whole."""
        connection = sqlite3.connect(f"file:{self.bench.db}?mode=ro", uri=True)
        try:
            names = [
                name
                for (name,) in connection.execute(
                    # What a virtual table holds lies in tables of its own.
                    "SELECT name FROM sqlite_schema"
                    " WHERE type IN ('table', 'view') AND sql NOT LIKE 'CREATE VIRTUAL%'"
                )
            ]
            assert "hush_secrets" in names
            names.remove("hush_secrets")
            return "\n".join(
                repr(row) for name in names for row in connection.execute(f'SELECT * FROM "{name}"')
            )
        finally:
            connection.close()


def _table(name: str, options: dict[str, Any]) -> str:
    lines = [f"[destination.{name}]", 'type = "otlp"']
    for key, value in options.items():
        plain = not isinstance(value, dict)
        inner = "" if plain else ", ".join(f"{k} = {json.dumps(v)}" for k, v in value.items())
        lines.append(f"{key} = {json.dumps(value) if plain else f'{{{inner}}}'}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def lab(bench: Bench) -> Iterator[Lab]:
    """The receiver repeats whatever it is sent, and accepts nothing."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Repeats)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        with refused() as closed:
            yield Lab(bench, f"http://127.0.0.1:{server.server_port}", closed)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Repeats(BaseHTTPRequestHandler):
    """Refuses who asks with all that it was sent of him, and more than once."""

    def do_POST(self) -> None:
        """401."""
        self.rfile.read(int(self.headers["Content-Length"]))
        user = base64.b64decode((self.headers["Authorization"] or "").removeprefix("Basic ") + "===").decode(
            "latin-1"
        )
        values = {name: value for name, value in self.headers.items() if name.lower() not in COMMON}
        words = (
            f"who is {user}? {json.dumps(values)} at {self.path}, {unquote(self.path)}, {values!r} ".encode()
        )
        self.send_response(401)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(2 * len(words)))
        self.end_headers()
        self.wfile.write(2 * words)

    def log_message(self, *args: Any) -> None:
        """The test has no use for it."""


@pytest.mark.timeout(300)  # hundreds of commands and answers
def test_s04_a_canary_is_found_nowhere(lab: Lab) -> None:
    """After every failure, in every command, file, view, message and command line."""
    bench = lab.bench
    options = {
        "until": str(bench.path / "never"),
        "path": str(bench.path / "written"),
        "pids": str(bench.path / "pid"),
    }
    lab.app.ask("end s 3")
    lab.mark("raises", "Misbehaves", way="raises", token=f"{LITERAL}mark", **options)
    lab.mark("by-reference", "Misbehaves", way="raises", pin="${LAB_REF}", token="${LAB_REF}", **options)
    lab.mark("prints", "Prints", token=f"{LITERAL}mark", dsn=f"pg://{USER}@h/db", **options)
    lab.mark("unencoded", "otlp", endpoint=f"http://joe:{LITERAL}a/b@h", headers=f"a={LITERAL}mark")
    lab.mark(
        "no-option", "otlp", api_key=f"{LITERAL}mark", endpoint=f"joe:{LITERAL}user@h:4317", protocol="grpc"
    )
    lab.mark("unknown", "Nobody", Headers={"a": f"{LITERAL}mark"}, auth=[f"{LITERAL}mark"])
    lab.mark("hangs", "Misbehaves", way="hangs", password=f"{LITERAL}mark", **options)
    eventually(lambda: Path(options["pids"]).exists(), what="a plug-in that hangs")
    lab.look()

    def all_tried() -> bool:
        left = bench.rows("SELECT destination, state, last_error FROM deliveries WHERE last_error IS NULL")
        assert [row for row in left if row[1] not in ("delivered", "sending")] == []
        return bool(bench.value("SELECT count(*) FROM deliveries") >= 3 * len(lab.names))

    eventually(all_tried, 60.0, what="an attempt at everything")
    salvage(lab)
    run_every_command(lab)
    ask_the_page(lab)
    errors = " ".join(str(error) for (error,) in bench.rows("SELECT DISTINCT last_error FROM deliveries"))
    for expected in (
        "401",
        "TLS",
        "name.invalid",
        "refused",
        "ValueError",
        "timeout_s",
        "headers: grpc",
        "Nobody",
    ):
        assert expected in errors, errors

    for name, text in {
        "what commands say": b"\n".join(lab.told),
        "command lines": b"\n".join(lab.command_lines),
        "the database but for the private table": lab.stored().encode(),
    }.items():
        assert secrets_in(text) == [], name
    assert any(b"foreign_child" in line for line in lab.command_lines), "a plug-in's process was looked at"
    bench.signal_owner(signal.SIGTERM)
    eventually(lambda: not bench.background_processes(), what="its end")
    look_into_files(bench)


def salvage(lab: Lab) -> None:
    """Damage the record of a span that is not drained yet, so that its bytes are kept."""
    bench = lab.bench
    pid = bench.stop_owner_between_transactions()
    lab.app.ask("end damaged 3")
    for segment in bench.spool.path.glob("*.seg"):
        content = segment.read_bytes()
        place = content.find(b"damaged-0")
        if place >= 0:
            with segment.open("r+b") as file:
                file.seek(place)
                file.write(b"DAMAGED-0")
    lab.app.kill()  # what a live application has not sealed is not given up
    os.kill(pid, signal.SIGCONT)
    eventually(lambda: any(bench.spool.salvage.glob("*")), what="a damaged range")


def run_every_command(lab: Lab) -> None:
    """Each as people and as programs call it."""
    dead = lab.bench.value("SELECT id FROM deliveries WHERE state = 'dead'")
    request = lab.bench.value("SELECT request_id FROM requests WHERE request_id NOT IN ('raises', 'prints')")
    for command in (
        ["ls"],
        ["show", request],
        ["show", "raises"],
        ["show", "unencoded"],
        ["stats", "--since", "1d"],
        ["diff", "raises", request, "--io"],
        ["status"],
        ["deliveries"],
        ["audit"],
        *(["explain", "--to", name, request] for name in lab.names),
        ["doctor"],
        ["retry", str(dead), "--wait", "3"],
        ["retry", "--destination", "refers", "--wait", "1"],
        ["replay", "--since", "1d", "--to", "repeats", "--again"],
        ["reprice", "--since", "1d"],
        ["prune", "--older-than", "1d", "--dry-run"],
        ["redact", "--check"],
        ["doctor", "--fix"],
    ):
        assert lab.ask(*command), command
        assert lab.ask(*command, "--json"), command
    ended = lab.bench.value("SELECT count(*) FROM spans WHERE state = 'ended'")
    for form in ([], ["--json"]):
        assert lab.ask("tail", "--last", str(ended), *form, lines=ended)
    assert lab.ask("show", "raises", "--io")
    assert lab.ask("share", "raises", "-", "--html")
    assert lab.ask("share", "raises", "raises.md")
    for kind in ("otlp", "jsonl", "csv", "parquet"):
        lab.ask("export", f"export.{kind}", "--format", kind, "--since", "1d")
        lab.ask("export", f"spans.{kind}", "--format", kind, "--rows", "spans", "--since", "1d")
        assert (lab.bench.path / f"export.{kind}").stat().st_size
    lab.ask("drain", "--json")
    lab.ask("show", "no-such-request")
    lab.ask("explain", "--to", "no-such-name", request)


def ask_the_page(lab: Lab) -> None:
    """Everything that the page could show, and what its server says."""
    command = [sys.executable, "-m", "hush_otel", "ui", "--no-open"]
    with subprocess.Popen(
        command, env=lab.bench.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            _ask(lab, process)
        finally:
            process.terminate()
        lab.told += process.communicate(timeout=30)


def _ask(lab: Lab, process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    url = process.stdout.readline().decode().strip()
    with httpx.Client(base_url=url.partition("/login")[0], timeout=30.0) as page:
        page.get(url)
        paths = ["status", "deliveries?limit=500", "requests?limit=500", "facets", "stats", "sessions"]
        for request in page.get("/api/requests", params={"limit": 500}).json()["requests"]:
            place = f"requests/{quote(request['request_id'], safe='')}"
            paths += [place, f"{place}/tree", *_spans(page, place)]
        for path in paths:
            answer = page.get(f"/api/{path}")
            assert answer.status_code == 200, path
            lab.told.append(answer.content)
        with page.stream("GET", "/api/events") as events:
            lab.told.append(next(text.encode() for text in events.iter_text() if "event: status" in text))


def _spans(page: httpx.Client, place: str) -> Iterator[str]:
    tree = page.get(f"/api/{place}/tree").json()
    columns = tree["columns"]
    assert columns["trace_id"], "spans to ask for"
    for trace, span in zip(columns["trace_id"], columns["span_id"], strict=True):
        yield f"{place}/spans/{tree['strings'][trace]}/{span}"


def look_into_files(bench: Bench) -> None:
    """Everything that was written below the test's directory, but for what the test itself has planted."""
    ours = {
        bench.path / name for name in ("hush.toml", "token", "written")
    }  # written: a tracer of the test writes there
    files = [path for path in bench.path.rglob("*") if path.is_file() and path not in ours]
    assert {"background.log", "traces.db", "export.csv"} <= {path.name for path in files}
    assert any(path.parent == bench.spool.salvage for path in files)
    for path in files:
        found = secrets_in(path.read_bytes())
        if path.name.endswith(PRIVATE):
            assert [secret for secret in found if REFERRED.encode() in secret] == [], path
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        else:
            assert found == [], path
    assert any(secrets_in(path.read_bytes()) for path in files if path.name.endswith(PRIVATE)), (
        "nothing planted"
    )


def secrets_in(text: bytes) -> list[bytes]:
    """What of the forbidden stands there, with some of what is around it."""
    places = [place for part in FORBIDDEN if (place := text.find(part)) >= 0]
    places += [place for kind in (REFERRED,) if (place := text.find(kind.encode())) >= 0]
    return [text[max(place - 60, 0) : place + 40] for place in places]
