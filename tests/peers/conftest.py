"""A real receiver per worker, a fresh session of it and a fresh database per test, a recording provider."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import stop_background
from receiving_agent import AgentEndpoints, AgentSession, running_agent
from recording import Recording

from hush_otel import get_background


@pytest.fixture(scope="session")
def agent_endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentEndpoints]:
    """One ddapm-test-agent for all tests of this worker."""
    with running_agent(tmp_path_factory.mktemp("agent")) as endpoints:
        yield endpoints


@pytest.fixture
def agent(agent_endpoints: AgentEndpoints) -> Iterator[AgentSession]:
    """A session of the agent that only this test sends to."""
    session = AgentSession(agent_endpoints.http)
    yield session
    session.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory, and no setting of hush-otel or OpenTelemetry but a short idle exit."""
    for name in list(os.environ):
        if name.startswith(("HUSH_", "OTEL_")):
            monkeypatch.delenv(name)
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.setenv("HUSH_IDLE_EXIT_S", "0.5")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return path


@pytest.fixture
def database(home: Path) -> Iterator[Path]:
    """A database that is not there yet; its background process is stopped in the end."""
    path = home / "traces.db"
    yield path
    get_background(path).shutdown()
    stop_background(path)


@pytest.fixture
def record(database: Path, agent: AgentSession) -> Iterator[Callable[..., Recording]]:
    """Make a Recording; arguments go to its TracerProvider."""
    made: list[Recording] = []

    def make(**options: Any) -> Recording:
        made.append(Recording(database, agent, **options))
        return made[-1]

    yield make
    for recording in made:
        recording.provider.shutdown()


@pytest.fixture
def recording(record: Callable[..., Recording]) -> Recording:
    """A Recording with the usual resource and the SDK's own limits."""
    return record()
