"""An OpenTelemetry Collector with its file exporter, one a test: OTLP in, OTLP JSON lines out. It loses nothing.

A span that comes twice is written twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compare import Fields, as_shown, from_otlp
from reading import from_otlp_json
from servers import Launch, look_for, serving


class Collector:
    """A running Collector: see `reading.Place`."""

    type = "collector"
    deduplicates = False

    def __init__(self, endpoint: str, file: Path) -> None:
        self.endpoint = endpoint
        self.headers: dict[str, str] = {}
        self._file = file

    def spans(self) -> list[Fields]:
        """All that it wrote; a line that is being written is not there yet."""
        whole = [line for line in self._file.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        return [as_shown(span) for span in from_otlp(from_otlp_json(json.loads(line)) for line in whole)]

    def kept(self, stored: Fields) -> Fields:
        """Everything."""
        return stored


def find_collector() -> str | None:
    """`$OTELCOL_BIN`, or `otelcol` on PATH."""
    return look_for("OTELCOL_BIN", None, "otelcol")


@contextmanager
def running_collector(program: str, directory: Path) -> Iterator[Collector]:
    """Run a Collector with OTLP over HTTP and its health page on free ports."""
    file = directory / "spans.jsonl"

    def plan(ports: list[int]) -> Launch:
        config = directory / "otelcol.json"  # JSON is YAML
        config.write_text(json.dumps(_config(*(f"127.0.0.1:{port}" for port in ports), file=file)))
        return Launch([program, "--config", f"file:{config}"], {}, f"http://127.0.0.1:{ports[1]}")

    with serving(directory, 2, plan) as ports:
        yield Collector(f"http://127.0.0.1:{ports[0]}", file)


def _config(otlp: str, health: str, *, file: Path) -> dict[str, object]:
    return {
        "service": {
            "extensions": ["health_check"],
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
        },
        "extensions": {"health_check": {"endpoint": health}},
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": otlp}}}},
        "exporters": {"file": {"path": str(file)}},
    }
