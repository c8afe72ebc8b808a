"""A Flask application under `opentelemetry-instrument gunicorn`, traced by environment variables alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3
from compare import assert_ends_agree, rows
from processes import processes_naming
from receiving_agent import AgentSession
from support import eventually

BIN = Path(sys.executable).parent
REQUESTS = 40
STOP_S = 30.0

APP = """
import multiprocessing
import os

from flask import Flask
from opentelemetry import trace

app = Flask(__name__)
tracer = trace.get_tracer("app", "1.0")
both = multiprocessing.Barrier(2)  # made in the master, shared by the workers


@app.get("/meet")
def meet():
    both.wait(30)
    return str(os.getpid())


@app.get("/work/<int:number>")
def work(number):
    with tracer.start_as_current_span("step", attributes={"number": number}):
        return str(os.getpid())
"""


class Gunicorn:
    """gunicorn under opentelemetry-instrument: two preloaded, single-threaded workers."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        (directory / "web_app.py").write_text(APP, encoding="utf-8")
        self._log = directory / "gunicorn.log"
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener, self._log.open("wb") as log:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            gunicorn = [BIN / "gunicorn", "-w", "2", "--preload", "--bind", f"fd://{listener.fileno()}"]
            self.process = subprocess.Popen(
                [BIN / "opentelemetry-instrument", *gunicorn, "web_app:app"],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[listener.fileno()],
            )

    def ask_all(self) -> set[int]:
        """REQUESTS requests, eight at a time, the first two to both workers; gives the workers' pids."""
        paths = ["/meet", "/meet", *(f"/work/{number}" for number in range(REQUESTS - 2))]
        with ThreadPoolExecutor(8) as pool, urllib3.PoolManager(maxsize=8) as http:
            answers = list(pool.map(lambda path: self._get(http, path), paths))
        return set(answers)

    def _get(self, http: urllib3.PoolManager, path: str) -> int:
        response = http.request("GET", self.url + path, timeout=60.0, retries=False)
        assert response.status == 200, self._log.read_text(errors="replace")[-3000:]
        return int(response.data)

    def stop(self) -> None:
        """SIGTERM, and wait until master and workers have ended."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


@pytest.fixture
def run_gunicorn(database: Path, agent: AgentSession, tmp_path: Path) -> Iterator[Callable[..., Gunicorn]]:
    """Start gunicorn with these environment variables; spans go to the agent by configuration file."""
    settings = {
        "HUSH_TRACES_DB": str(database),
        "HUSH_CONFIG": str(agent.write_config(tmp_path / "hush.toml")),
        "HUSH_DESTINATIONS": "agent",
        "OTEL_SERVICE_NAME": "web",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "langchain,openai",  # here for other tests; slow to import
    }
    running: list[Gunicorn] = []

    def run(**environment: str) -> Gunicorn:
        running.append(Gunicorn(tmp_path, {**os.environ, **settings, **environment}))
        return running[-1]

    yield run
    for gunicorn in running:
        gunicorn.stop()


def assert_all_arrived(database: Path, agent: AgentSession) -> None:
    """Every request's spans are in SQLite and at the receiver, once, the same, each in its own trace."""
    sql = "SELECT count(*) AS n FROM requests WHERE status = 'flushed'"

    def flushed() -> int:
        try:
            return int(rows(database, sql)[0]["n"])
        except sqlite3.OperationalError:
            return 0  # its background process has not made it yet

    eventually(lambda: flushed() == REQUESTS, 60.0, what="the delivery of every request")
    received = assert_ends_agree(database, agent.exports())
    servers = [span for span in received if span["kind"] == "SERVER"]
    steps = [span for span in received if span["name"] == "step"]
    numbers = sorted(span["attributes"][1]["number"][1] for span in steps)
    assert len(servers) == len({span["trace_id"] for span in servers}) == REQUESTS
    assert numbers == list(range(REQUESTS - 2))
    assert {span["resource"][1]["service.name"] for span in received} == {("str", "web")}
    assert {span["parent_span_id"] for span in steps} <= {span["span_id"] for span in servers}


def test_exporter_by_environment(
    run_gunicorn: Callable[..., Gunicorn], database: Path, agent: AgentSession
) -> None:
    """OTEL_TRACES_EXPORTER=hush: after an orderly stop every request of both workers has arrived once."""
    gunicorn = run_gunicorn(OTEL_TRACES_EXPORTER="hush")
    assert len(gunicorn.ask_all()) == 2
    gunicorn.stop()
    assert_all_arrived(database, agent)


def test_processor_by_environment(
    run_gunicorn: Callable[..., Gunicorn], database: Path, agent: AgentSession
) -> None:
    """OTEL_PYTHON_CONFIGURATOR=hush: after an orderly stop every request of both workers has arrived once."""
    gunicorn = run_gunicorn(OTEL_PYTHON_CONFIGURATOR="hush")
    assert len(gunicorn.ask_all()) == 2
    gunicorn.stop()
    assert_all_arrived(database, agent)


def test_processor_by_environment_loses_nothing_to_sigkill(
    run_gunicorn: Callable[..., Gunicorn], database: Path, agent: AgentSession
) -> None:
    """OTEL_PYTHON_CONFIGURATOR=hush: workers killed right after their answers take no request with them."""
    gunicorn = run_gunicorn(OTEL_PYTHON_CONFIGURATOR="hush")
    workers = gunicorn.ask_all()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    assert len(workers) == 2
    gunicorn.stop()
    assert_all_arrived(database, agent)


# ------------------------------------------------------------------ installed, and not chosen

DESCRIBE = """
import json
from opentelemetry import metrics, propagate, trace

def described(one):
    return f"{type(one).__module__}.{type(one).__qualname__}"

provider = trace.get_tracer_provider()
resource = {k: v for k, v in provider.resource.attributes.items() if k != "service.instance.id"}
with trace.get_tracer("app").start_as_current_span("one") as span:
    pass
print(json.dumps({
    "provider": described(provider),
    "processors": [described(one) for one in provider._active_span_processor._span_processors],
    "exporters": [described(one.span_exporter) for one in provider._active_span_processor._span_processors],
    "sampler": provider.sampler.get_description(),
    "resource": resource,
    "propagator": described(propagate.get_global_textmap()),
    "meters": described(metrics.get_meter_provider()),
    "recording": span.get_span_context().is_valid,
}))
"""

CALL_HUSH = """
from opentelemetry.instrumentation.version import __version__
from hush_otel.configurator import HushConfigurator
HushConfigurator().configure(auto_instrumentation_version=__version__)
"""


def describe(home: Path, command: list[str], **environment: str) -> dict[str, object]:
    """Run a program that says how its SDK was set up; the chosen exporter is the SDK's own for the console."""
    chosen = {
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }
    done = subprocess.run(
        command,
        cwd=home,
        env={**os.environ, **chosen, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith('{"provider"'))
    said: dict[str, object] = json.loads(line)
    return said


def test_installed_but_not_chosen_it_changes_nothing(home: Path) -> None:
    """`opentelemetry-instrument` sets the same SDK up whether it takes our configurator or its own."""
    instrument = str(BIN / "opentelemetry-instrument")
    program = home / "program.py"
    program.write_text(DESCRIBE, encoding="utf-8")
    own = describe(home, [instrument, sys.executable, str(program)], OTEL_PYTHON_CONFIGURATOR="configurator")
    unchosen = describe(home, [instrument, sys.executable, str(program)])
    called = describe(home, [sys.executable, "-c", CALL_HUSH + DESCRIBE])
    assert own == unchosen == called
    assert own["exporters"] == ["opentelemetry.sdk.trace.export.ConsoleSpanExporter"]
    assert not (home / ".hush").exists()
    assert processes_naming(str(home)) == []
