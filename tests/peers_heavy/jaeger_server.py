"""Jaeger 2 with its memory storage, one a test: what is in it is that test's.

It loses nothing of a span. One that comes twice is there twice, although its interface shows one: it is read raw. The configuration has no batch processor, which would answer before it stores.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compare import Fields, as_shown, from_otlp
from reading import from_otlp_json, get
from servers import ROOT, Launch, look_for, serving

TRACES = 100_000
"""What it keeps, and more than any test sends."""


class Jaeger:
    """A running Jaeger: see `reading.Place`."""

    type = "jaeger"
    deduplicates = False

    def __init__(self, endpoint: str, query: str) -> None:
        self.endpoint = endpoint
        self.headers: dict[str, str] = {}
        self._query = query

    def spans(self) -> list[Fields]:
        """All that arrived, of every service; raw, without what its interface adjusts."""
        services = get(f"{self._query}/api/v3/services").get("services", [])
        return [as_shown(span) for service in services for span in self._spans_of(service)]

    def _spans_of(self, service: str) -> list[Fields]:
        wanted = {
            "query.service_name": service,
            "query.start_time_min": "1970-01-02T00:00:00Z",
            "query.start_time_max": "2200-01-01T00:00:00Z",
            "query.num_traces": TRACES,
            "query.raw_traces": "true",
        }
        return from_otlp([from_otlp_json(get(f"{self._query}/api/v3/traces", wanted)["result"])])

    def shown(self) -> list[dict[str, Any]]:
        """The spans of its one trace, as its interface reads them: tags and references."""
        services = get(f"{self._query}/api/services")["data"] or []
        always = {"start": 1, "end": 7_000_000_000_000_000}  # microseconds; else the last hours
        found = [get(f"{self._query}/api/traces", {"service": one, **always})["data"] for one in services]
        traces = {trace["traceID"]: trace for listed in found for trace in listed}
        return [span for trace in traces.values() for span in trace["spans"]]

    def kept(self, stored: Fields) -> Fields:
        """Everything."""
        return stored


# ------------------------------------------------------------------ the server


def find_jaeger() -> str | None:
    """`$JAEGER_BIN`, what `make peers-go` has built, or `jaeger` on PATH."""
    return look_for("JAEGER_BIN", ROOT / ".peers-go" / "bin" / "jaeger", "jaeger")


@contextmanager
def running_jaeger(program: str, directory: Path) -> Iterator[Jaeger]:
    """Run Jaeger with OTLP over HTTP and its query API on free ports."""

    def plan(ports: list[int]) -> Launch:
        config = directory / "jaeger.json"  # JSON is YAML
        config.write_text(json.dumps(_config(*(f"127.0.0.1:{port}" for port in ports))))
        return Launch([program, "--config", str(config)], {}, f"http://127.0.0.1:{ports[3]}/status")

    with serving(directory, 4, plan) as ports:
        yield Jaeger(f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")


def _config(otlp: str, query: str, query_grpc: str, health: str) -> dict[str, object]:
    pipeline = {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}
    return {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query", "healthcheckv2"],
            "pipelines": {"traces": pipeline},
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
        },
        "extensions": {
            "healthcheckv2": {"use_v2": True, "http": {"endpoint": health}},
            "jaeger_query": {
                "storage": {"traces": "memory"},
                "http": {"endpoint": query},
                "grpc": {"endpoint": query_grpc},
            },
            "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": TRACES}}}},
        },
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": otlp}}}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
    }
