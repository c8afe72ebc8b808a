"""What is installed, and what the settings say."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from shutil import which

from hush_otel.config import Settings, interpreter
from hush_otel.version import __version__

from .finding import Finding, note, ok, wrong

PACKAGES = ("opentelemetry-sdk", "opentelemetry-proto", "protobuf", "msgspec", "grpcio")


def look(settings: Settings) -> Iterator[Finding]:
    """Versions; whether a background process can be started."""
    found = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    words = f"hush-otel {__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    yield ok("versions", f"{words}, {found}")
    python = interpreter(settings)
    if python is None:
        yield note(
            "HUSH_PYTHON", "no interpreter is known: the background process is a thread", "set HUSH_PYTHON"
        )
    elif which(python) is None:
        words = f"{python} is no program that can be run: no background process is started"
        yield wrong("HUSH_PYTHON", words, "set HUSH_PYTHON to a Python that has hush-otel")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "is not installed"
