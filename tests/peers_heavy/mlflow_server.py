"""MLflow's tracking server: started with its own SQLite, one experiment a test.

What it loses of a span (3.x): trace state, flags, kind, the scope, dropped counts; the resource becomes tags of the
trace, as text. Times are exact, events and links whole but for a link's trace state and flags. Text that is a JSON
object or array comes back as one. It adds attributes of its own, ``mlflow.…``: the request's id, the span's type, and
what else it reads out of other conventions.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compare import Fields, from_otlp, typed
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from reading import get, post
from servers import ROOT, Launch, find, serving

PAGE = 100
"""Traces that are asked for at once: they are named in the URL."""
KEPT = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "start_ns",
    "end_ns",
    "status_code",
    "status_message",
)


class Mlflow:
    """A running MLflow."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def experiment(self) -> Experiment:
        """An experiment of a test's own."""
        name = {"name": f"test-{uuid.uuid4().hex}"}
        made = post(f"{self.endpoint}/api/2.0/mlflow/experiments/create", name)
        return Experiment(self, made["experiment_id"])


class Experiment:
    """One experiment: see `reading.Place`."""

    type = "otlp"
    deduplicates = True

    def __init__(self, mlflow: Mlflow, experiment_id: str) -> None:
        self.endpoint = mlflow.endpoint
        self.experiment_id = experiment_id
        self.headers = {"x-mlflow-experiment-id": experiment_id}
        self._api = f"{mlflow.endpoint}/api/3.0/mlflow/traces"

    def trace_infos(self) -> list[dict[str, Any]]:
        """Every trace without its spans, as MLflow gives it: state, tags, metadata."""
        here = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": self.experiment_id}}
        wanted: dict[str, Any] = {"locations": [here], "max_results": 500}
        found: list[dict[str, Any]] = []
        while True:
            answer = post(f"{self._api}/search", wanted)
            found += answer.get("traces", [])
            if not answer.get("next_page_token"):
                return found
            wanted["page_token"] = answer["next_page_token"]

    def traces(self) -> list[dict[str, Any]]:
        """Every trace with its spans, as MLflow gives it: `trace_info` and `spans`."""
        ids = [info["trace_id"] for info in self.trace_infos()]
        pages = [ids[at : at + PAGE] for at in range(0, len(ids), PAGE)]
        return [
            trace for page in pages for trace in get(f"{self._api}/batchGet", {"trace_ids": page})["traces"]
        ]

    def spans(self) -> list[Fields]:
        """All that arrived."""
        return [_read(span) for span in _spans(self.traces())]

    def kept(self, stored: Fields) -> Fields:
        """The fields that MLflow has."""
        kind, attributes = stored["attributes"]
        return _kept(stored) | {"attributes": (kind, {key: _parsed(one) for key, one in attributes.items()})}


def _parsed(tagged: Any) -> Any:
    kind, value = tagged
    if kind != "str" or value[:1] not in ("{", "["):
        return tagged
    try:
        return typed(json.loads(value))
    except ValueError:
        return tagged


def _spans(traces: Sequence[dict[str, Any]]) -> list[Fields]:
    """Its JSON is protobuf's; attributes that it adds are still there."""
    spans = [ParseDict(span, Span()) for trace in traces for span in trace.get("spans", [])]
    scope_spans = [ScopeSpans(spans=spans)]
    return from_otlp([ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=scope_spans)])])


def _read(span: Fields) -> Fields:
    kind, attributes = span["attributes"]
    sent = {key: value for key, value in attributes.items() if not key.startswith("mlflow.")}
    return _kept(span) | {"attributes": (kind, sent)}


def _kept(span: Fields) -> Fields:
    return {
        **{key: span[key] for key in KEPT},
        "events": [_without(event, "dropped_attributes") for event in span["events"]],
        "links": [_without(link, "dropped_attributes", "flags", "trace_state") for link in span["links"]],
    }


def _without(part: Fields, *lost: str) -> Fields:
    return {key: value for key, value in part.items() if key not in lost}


# ------------------------------------------------------------------ the server


@contextmanager
def running_mlflow(directory: Path) -> Iterator[Mlflow]:
    """Run MLflow with one worker."""
    own = ROOT / ".venv-mlflow" / "bin" / "mlflow"
    program = find("MLFLOW_BIN", own, "mlflow", "`make .venv-mlflow/.installed` installs it")

    def plan(ports: list[int]) -> Launch:
        command = [program, "server", "--host", "127.0.0.1", "--port", str(ports[0]), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{directory}/mlflow.db"]
        command += ["--artifacts-destination", str(directory / "artifacts")]
        settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        return Launch(command, settings, f"http://127.0.0.1:{ports[0]}/health")

    with serving(directory, 1, plan) as ports:
        yield Mlflow(f"http://127.0.0.1:{ports[0]}")
