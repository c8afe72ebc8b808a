"""Destinations: what holds them, whether they can be reached from here, whether their secrets are there."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from hush_otel import secrets
from hush_otel.config import Settings
from hush_otel.errors import PausedError, StoreError
from hush_otel.options import DEFAULT_ENDPOINT, DEFAULT_GRPC_ENDPOINT
from hush_otel.presets import PRESETS
from hush_otel.store.reading import Reader, Row

from .finding import Finding, note, ok, wrong

TIMEOUT_S: Final = 3.0
PORTS: Final = {"http": 80, "https": 443}


def look(settings: Settings) -> Iterator[Finding]:
    """Those that the database knows; no request is made."""
    if not settings.db_path.exists():
        return
    try:
        with Reader(settings.db_path) as reader:
            rows = reader.rows("doctor_destinations")
    except StoreError:
        return  # said where the database is looked at
    for row in rows:
        yield from _state(row)
        config: dict[str, Any] = msgspec.json.decode(row["config"])
        yield from _secrets(row["name"], config)
        yield from _reached(row["name"], row["type"], config)


def _state(row: Row) -> Iterator[Finding]:
    subject = f"destination {row['name']}"
    if row["paused"]:
        mend = f"mend that, then hush-otel retry --destination {row['name']}"
        yield wrong(subject, f"paused: {row['paused']}", mend)
    if row["dead"]:
        words = f"dead deliveries: {row['dead']:,}; the last error: {row['last_error']}"
        yield note(subject, words, "hush-otel deliveries --state dead")


def _secrets(name: str, config: dict[str, Any]) -> Iterator[Finding]:
    try:
        secrets.resolve(config)
    except PausedError as exc:
        words = f"{exc.message}, as far as this command can see"
        yield note(f"destination {name}", words, "the background process has its own environment")


def _reached(name: str, kind: str, config: dict[str, Any]) -> Iterator[Finding]:
    subject, place = f"destination {name}", _place(kind, config)
    if place is None:
        return
    scheme, host, port = place
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as connection:
            if scheme == "https" and config.get("verify") is not False and not config.get("certificate"):
                ssl.create_default_context().wrap_socket(connection, server_hostname=host).close()
    except ssl.SSLError as exc:
        yield wrong(
            subject, f"{host}:{port} has no certificate that is trusted here: {exc.reason}", "certificate"
        )
    except (OSError, ValueError) as exc:  # the latter of a host that is no name
        mend = "is it running, is the address right, does a proxy or firewall stand between"
        yield wrong(subject, f"{host}:{port} cannot be reached from here: {_reason(exc)}", mend)
    else:
        yield ok(subject, f"{host}:{port} answers")


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error.__cause__ or error)


def _place(kind: str, config: dict[str, Any]) -> tuple[str, str, int] | None:
    """Scheme, host and port; None where there is no network, or the address is not known here."""
    if kind in ("file", "console", "local") or kind.startswith("otel:"):
        return None
    endpoint = config.get("endpoint")
    if endpoint is None and kind not in (*PRESETS, "otlp", "jaeger"):
        return None  # a tracer's type, or an unknown one
    if endpoint is None:
        preset = PRESETS.get(kind)
        grpc = config.get("protocol") == "grpc"
        endpoint = DEFAULT_GRPC_ENDPOINT if grpc else preset.endpoint if preset else DEFAULT_ENDPOINT
    if not isinstance(endpoint, str) or "{" in endpoint or endpoint.startswith("unix:"):
        return None
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname and port else None
