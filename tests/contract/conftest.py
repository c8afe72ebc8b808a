"""What every destination's test has: no variable of this machine, and certificates of its own."""

from __future__ import annotations

import os

import pytest
from certificates import Certificate, make_certificate


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OTEL_EXPORTER_OTLP_", "HUSH_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A receiver's certificate."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def other_certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """One that has nothing to do with it."""
    return make_certificate(tmp_path_factory.mktemp("other-tls"))
