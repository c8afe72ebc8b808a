"""Receivers that nobody here wrote, one of each for all tests; a fresh place in it and a fresh database per test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_server import Session, agent_session
from bench import Bench
from collector_server import Collector, find_collector, running_collector
from jaeger_server import Jaeger, find_jaeger, running_jaeger
from mlflow_server import Experiment, Mlflow, running_mlflow
from phoenix_server import Phoenix, Project, running_phoenix, running_phoenix_with_auth
from processes import stop_background
from reading import Place

from hush_otel import TraceStore, get_background

STARTING_S = 300
"""What a test may take: the first one of a receiver waits for its start."""

REQUIRED = os.environ.get("HUSH_REQUIRE_JAEGER") == "1"
"""Whether Jaeger and the Collector have to be there."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this directory gets that time, unless it says otherwise."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(STARTING_S))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A fresh database whose processes have all ended after the test."""
    bench = Bench(tmp_path)
    try:
        yield bench
    finally:
        bench.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TraceStore]:
    """A store; its background process is stopped in the end."""
    path = tmp_path / "traces.db"
    yield TraceStore(path)
    get_background(path).shutdown()
    stop_background(path)


@pytest.fixture(scope="session")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phoenix]:
    """Phoenix, open to everybody."""
    with running_phoenix(tmp_path_factory.mktemp("phoenix")) as running:
        yield running


@pytest.fixture(scope="session")
def phoenix_with_auth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phoenix]:
    """Phoenix, open to its API key."""
    with running_phoenix_with_auth(tmp_path_factory.mktemp("phoenix-auth")) as running:
        yield running


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    """MLflow."""
    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture
def project(phoenix: Phoenix) -> Project:
    """A project of Phoenix that only this test sends to."""
    return phoenix.project()


@pytest.fixture
def locked_project(phoenix_with_auth: Phoenix) -> Project:
    """The same where a key is asked for."""
    return phoenix_with_auth.project()


@pytest.fixture
def experiment(mlflow: Mlflow) -> Experiment:
    """An experiment of MLflow that only this test sends to."""
    return mlflow.experiment()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A session of a ddapm-test-agent."""
    with agent_session(tmp_path) as session:
        yield session


@pytest.fixture
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger]:
    """A Jaeger of this test's own."""
    with running_jaeger(there(find_jaeger(), "JAEGER_BIN"), tmp_path_factory.mktemp("jaeger")) as running:
        yield running


@pytest.fixture
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A Collector of this test's own."""
    program = there(find_collector(), "OTELCOL_BIN")
    with running_collector(program, tmp_path_factory.mktemp("collector")) as running:
        yield running


def there(program: str | None, variable: str) -> str:
    """A program that need not be there: without it the test is skipped, or fails when all are required."""
    if program is None:
        (pytest.fail if REQUIRED else pytest.skip)(f"no ${variable}, and none on PATH")
    return program


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One loud line for each receiver that did not take part."""
    for name, program, variable in (
        ("Jaeger", find_jaeger(), "JAEGER_BIN"),
        ("the OpenTelemetry Collector", find_collector(), "OTELCOL_BIN"),
    ):
        if program is None:
            line = f"NOT TESTED: {name} is neither ${variable} nor on PATH; HUSH_REQUIRE_JAEGER=1 makes that a failure"
            terminalreporter.write_line(line, red=True, bold=True)


@pytest.fixture(params=["session", "project", "locked_project", "experiment", "jaeger", "collector"])
def place(request: pytest.FixtureRequest) -> Place:
    """One place of each receiver."""
    found: Place = request.getfixturevalue(request.param)
    return found
