"""Every file of `examples/`, run as a user would run it: a fresh home directory, real processes, a real receiver."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import urllib3
from processes import stop_background
from support import eventually, held_port

from hush_otel.testing import OtlpReceiver

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
BIN = Path(sys.executable).parent
BLOCKS = re.findall(
    r"^```sh\n(.*?)^```$", (EXAMPLES / "any_exporter_env.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
)
"""The blocks that run as they stand; what is only shown is fenced as `console`."""
CHOSEN = 'echo "chosen: ${OTEL_PYTHON_CONFIGURATOR:-} ${OTEL_TRACES_EXPORTER:-}"'
"""Said after each block: what it chose, and what an earlier block left behind."""
RUN_S = 240.0


class User:
    """Somebody with an empty home directory and the environment's commands on PATH."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.databases = [home / ".hush" / "traces.db"]
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HUSH_", "OTEL_"))}
        self.environment = {
            **kept,
            "HOME": str(home),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "HUSH_IDLE_EXIT_S": "0.5",
            "NO_PROXY": "127.0.0.1,localhost",
            # They are here for other tests, and take three seconds of each `opentelemetry-instrument`.
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "langchain,openai",
        }

    def run(self, *command: str | Path, cwd: Path | None = None, **environment: str) -> str:
        """Run to the end, successfully; gives what it wrote."""
        done = subprocess.run(
            command,
            cwd=cwd or self.home,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=RUN_S,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command[-1]} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def run_example(self, name: str, **environment: str) -> str:
        """`python examples/NAME`."""
        return self.run("python", EXAMPLES / name, **environment)

    def rows(self, sql: str, database: Path | None = None) -> list[dict[str, Any]]:
        """What a query on a database gives."""
        path = database or self.databases[0]
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql)]

    def rows_eventually(
        self, sql: str, reached: Callable[[list[dict[str, Any]]], bool], database: Path | None = None
    ) -> list[dict[str, Any]]:
        """The same, once it gives what the background process has yet to write."""

        def look() -> list[dict[str, Any]] | None:
            try:
                found = self.rows(sql, database)
            except sqlite3.OperationalError:
                return None  # there is no database yet, or no table in it
            assert reached(found), found
            return found

        return cast("list[dict[str, Any]]", eventually(look, 60.0, what=sql))


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """A user whose background processes are gone in the end."""
    home = tmp_path / "home"
    home.mkdir()
    user = User(home)
    yield user
    for database in user.databases:
        stop_background(database)


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """What stands for Jaeger."""
    with OtlpReceiver() as receiver:
        yield receiver


def are_complete(requests: list[dict[str, Any]]) -> bool:
    """Whether none is being written, or waits for its deliveries to be queued: a moment after it is stored."""
    return bool(requests) and all(request["status"] != "writing" for request in requests)


def test_quickstart(user: User) -> None:
    """One request of three spans in the default database; the commands that it names show it."""
    said = user.run_example("quickstart.py")
    commands = [line for line in said.splitlines() if line.startswith("hush-otel ")]
    shown = [user.run(*command.split()) for command in commands]
    assert len(shown) == 2
    assert all("answer" in text for text in shown)
    (request,) = user.rows_eventually("SELECT * FROM requests", are_complete)
    assert (request["workflow_name"], request["node_count"], request["status"]) == ("answer", 3, "stored")
    assert (request["prompt_tokens"], request["completion_tokens"]) == (1204, 38)
    assert request["session_id"] == "quickstart"


def test_node_traces(user: User) -> None:
    """The workflow and its three steps are stored as one complete request; the command that it names shows it."""
    said = user.run_example("node_traces.py")
    (command,) = [line for line in said.splitlines() if line.startswith("hush-otel ")]
    shown = user.run(*command.split())
    nodes = {row["node_name"]: row for row in user.rows("SELECT * FROM node_traces")}
    assert all(name.rpartition(".")[2] in shown for name in nodes)
    assert {name: node["parent_name"] for name, node in nodes.items()} == {
        "digest": None,
        "digest.split": "digest",
        "digest.rank": "digest",
        "digest.summarize": "digest",
    }
    (request,) = user.rows_eventually("SELECT * FROM requests", are_complete)
    assert (request["status"], request["completed_by"], request["prompt_tokens"]) == ("stored", "mark", 212)


def test_forward_to_jaeger(user: User, receiver: OtlpReceiver) -> None:
    """It says that the receiver has accepted everything, and the receiver has, once."""
    said = user.run_example("forward_to_jaeger.py", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    assert f"accepted by {receiver.endpoint}" in said
    received = Counter(span.name for span in receiver.spans())
    assert received == {"nightly orders": 1, "checkout": 3, "charge card": 6, "send receipt": 3}
    (trace_id,) = {span.trace_id for span in receiver.spans()}
    assert f"/trace/{trace_id}" in said
    (request,) = user.rows("SELECT * FROM requests")
    assert (request["status"], request["error_count"]) == ("flushed", 3)


def test_own_tracer(user: User) -> None:
    """The tracer of the script itself is called with the whole request, once."""
    said = user.run_example("own_tracer.py")
    assert said == "run-7  digest  3212 tokens  $0.0230\n"
    assert (user.home / "costs.txt").read_text("utf-8") == said
    sql = "SELECT destination, state, span_count FROM deliveries"
    (delivery,) = user.rows(sql)
    assert delivery["destination"].startswith("CostLedger#")
    assert (delivery["state"], delivery["span_count"]) == ("delivered", 3)


SNIPPETS = re.findall(
    r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
)


def test_snippets_of_the_readme(user: User, tmp_path: Path) -> None:
    """Both run as they stand; the second leaves a whole workflow, delivered to a file."""
    out = tmp_path / "run-1.jsonl"
    assert len(SNIPPETS) == 2
    for snippet in SNIPPETS:
        user.run("python", "-c", snippet.replace("/tmp/run-1.jsonl", str(out)))
    sql = "SELECT status, node_count FROM requests WHERE request_id = 'run-1'"
    # No database yet is no error: the background process has just been started.
    with_shell = ("sh", "-c", "hush-otel ls --json --status flushed || true")
    eventually(lambda: "run-1" in user.run(*with_shell), 60.0, what="the delivery")
    assert user.rows(sql) == [{"status": "flushed", "node_count": 2}]
    assert out.read_text("utf-8").count("digest") >= 2
    shown = user.run("hush-otel", "show", "run-1")
    assert "✓ digest" in shown
    assert "└─ ✓ rank (digest.rank)  1.00 s" in shown, "the duration is what lies between the times"


def test_the_demo_prints_commands_that_run(user: User) -> None:
    """Started by its path, as `make demo` does, it names that path; its two halves agree on tokens and cost."""
    user.environment["PATH"] = os.environ["PATH"].replace(str(BIN), "/nowhere")
    database = user.home / "demo dir" / "traces.db"
    user.databases.append(database)
    said = user.run(BIN / "hush-otel", "demo", "--dir", database.parent)
    commands = [line for line in said.splitlines() if line.startswith(str(BIN))]
    page = [command for command in commands if command.endswith(" ui")]  # ends on Ctrl-C; tests/web runs it
    assert (len(commands), len(page)) == (4, 1)
    for command in commands:
        if command not in page:
            user.run("sh", "-c", command)
    totals = [line.strip() for line in said.splitlines() if line.startswith("totals")]
    assert len(totals) == 2
    assert len(set(totals)) == 1
    again = user.run(sys.executable, "-m", "hush_otel", "demo", "--dir", database.parent)
    assert again.count(f"{sys.executable} -m hush_otel --db") == 4


@contextmanager
def serving(user: User) -> Iterator[str]:
    """examples/gunicorn_app.py under gunicorn, two preloaded workers; gives its address. Stopped afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bind = ["--bind", f"fd://{listener.fileno()}"]
        server = subprocess.Popen(
            [BIN / "gunicorn", "-w", "2", "--preload", *bind, "examples.gunicorn_app:app"],
            cwd=ROOT,
            env=user.environment | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
        )
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield url
    finally:
        server.terminate()
        server.wait(60)


def test_gunicorn_app(user: User, receiver: OtlpReceiver) -> None:
    """Every request is stored and delivered once; one that brings a trace continues it."""
    user.environment |= {"HUSH_DESTINATIONS": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    callers = [{"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}, *[{}] * 15]
    with serving(user) as url, urllib3.PoolManager(maxsize=4) as http, ThreadPoolExecutor(4) as pool:

        def ask(headers: dict[str, str]) -> Any:
            return http.request("GET", f"{url}/ask?q=hello", headers=headers, timeout=60.0).json()

        answers = list(pool.map(ask, callers))
    assert {answer["answer"] for answer in answers} == {"olleh"}
    assert answers[0]["trace_id"] == trace_id

    sql = "SELECT trace_id FROM requests WHERE status = 'flushed' AND node_count = 2"
    flushed = user.rows_eventually(sql, lambda found: len(found) == len(answers))
    assert {row["trace_id"] for row in flushed} == {answer["trace_id"] for answer in answers}
    received = Counter((span.trace_id, span.name) for span in receiver.spans())
    assert received == {(a["trace_id"], name): 1 for a in answers for name in ("GET /ask", "chat echo-1")}


@pytest.mark.parametrize("terminals", ["one terminal", "a terminal each"])
def test_blocks_of_any_exporter_env(user: User, terminals: str, tmp_path: Path) -> None:
    """The blocks run as they stand, in their order, in an empty directory, in one shell or in a shell each."""
    directory = tmp_path / "empty"
    directory.mkdir()
    traces, killed, web = (directory / f"{name}.db" for name in ("traces", "killed", "web"))
    user.databases += [traces, killed, web]
    blocks = [f"{block}{CHOSEN}\n" for block in BLOCKS]
    scripts = ["".join(blocks)] if terminals == "one terminal" else blocks
    with held_port() as port:
        run = partial(user.run, "bash", "-e", "-c", cwd=directory, PORT=str(port))
        said = "".join(run(script) for script in scripts)

    assert '{"answer":"42"}' in said
    chosen = {line for line in said.splitlines() if line.startswith("chosen:") and len(line.split()) > 1}
    assert chosen == {"chosen: hush none", "chosen:  hush"}, "the processor or the exporter, never both"
    # `hush-otel drain` leaves it to a background process that is at it.
    three_runs = [("invoke_workflow digest", "ended"), ("chat gpt-4o-mini", "ended")] * 3
    left = [("invoke_workflow digest", "interrupted"), ("chat gpt-4o-mini", "ended")]
    asked = [("GET /ask", "ended"), ("chat gpt-4o-mini", "ended")]
    names = "SELECT name, state FROM spans ORDER BY start_ns, name"
    for database, spans in ((traces, three_runs), (killed, left), (web, asked)):
        user.rows_eventually(
            names, lambda found, s=spans: [tuple(row.values()) for row in found] == s, database
        )
    (delivery,) = user.rows_eventually("SELECT destination, span_count FROM deliveries", bool, traces)
    assert delivery == {"destination": "jaeger", "span_count": 2}
