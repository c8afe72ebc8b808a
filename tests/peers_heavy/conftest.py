"""Receivers that nobody here wrote, one of each for all tests; a fresh place in it and a fresh database per test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import Bench
from mlflow_server import Experiment, Mlflow, running_mlflow
from phoenix_server import Phoenix, Project, running_phoenix, running_phoenix_with_auth

STARTING_S = 300
"""What a test may take: the first one of a receiver waits for its start."""


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
