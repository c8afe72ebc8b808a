"""What leaves for a vendor: address, headers, authorization and body, at a real local server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inprocess import App, no_background, owning, rows
from support import eventually

from hush_otel.destinations.registry import open_sender
from hush_otel.errors import PausedError, PermanentError
from hush_otel.model import DestinationConfig, Origin, SpanData
from hush_otel.presets import PRESETS
from hush_otel.testing import OtlpReceiver, ReceivedRequest, ReceivedSpan

SPAN = SpanData(
    trace_id=bytes(15) + b"\x01",
    span_id=bytes(7) + b"\x01",
    parent_span_id=None,
    flags=0x101,
    trace_state="",
    name="chat gpt-4o",
    kind=3,
    start_ns=1,
    end_ns=2,
    status_code=0,
    status_message="",
    attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"},
    events=[],
    links=[],
    dropped_attributes=0,
    dropped_events=0,
    dropped_links=0,
    origin=Origin(resource={"service.name": "shop"}),
    request_id="r",
)


@pytest.fixture(autouse=True)
def _nobody_is_launched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests drain by themselves."""
    no_background(monkeypatch, tmp_path)


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A server that keeps every request."""
    with OtlpReceiver() as server:
        yield server


def send(receiver: OtlpReceiver, kind: str, **options: Any) -> tuple[ReceivedRequest, ReceivedSpan]:
    """Send one span as a vendor's type does; gives what arrived."""
    sender = open_sender(DestinationConfig("test", kind, {"endpoint": receiver.endpoint, **options}))
    try:
        sender.send([SPAN])
    finally:
        sender.close()
    return receiver.requests[-1], receiver.spans()[-1]


KEYS: dict[str, tuple[dict[str, Any], str, dict[str, str]]] = {
    # type: (options, the path, headers by lowercase name)
    "langfuse": (
        {"public_key": "pk-1", "secret_key": "sk-2"},
        "/api/public/otel/v1/traces",
        {
            "authorization": "Basic " + base64.b64encode(b"pk-1:sk-2").decode(),
            "x-langfuse-ingestion-version": "4",
        },
    ),
    "phoenix": ({"api_key": "k"}, "/v1/traces", {"authorization": "Bearer k"}),
    "mlflow": (
        {"experiment_id": 7, "token": "t"},
        "/v1/traces",
        {"x-mlflow-experiment-id": "7", "authorization": "Bearer t"},
    ),
    "langsmith": (
        {"api_key": "k", "project": "demo"},
        "/otel/v1/traces",
        {"x-api-key": "k", "langsmith-project": "demo"},
    ),
    "logfire": ({"token": "t"}, "/v1/traces", {"authorization": "t"}),
    "honeycomb": ({"api_key": "k"}, "/v1/traces", {"x-honeycomb-team": "k"}),
    "newrelic": ({"license_key": "k"}, "/v1/traces", {"api-key": "k"}),
    "grafana": (
        {"instance_id": 12, "token": "t"},
        "/otlp/v1/traces",
        {"authorization": "Basic " + base64.b64encode(b"12:t").decode()},
    ),
    "datadog": ({"api_key": "k"}, "/v1/traces", {"dd-api-key": "k", "dd-otlp-source": "llmobs"}),
    "braintrust": (
        {"api_key": "k", "parent": "project_name:x"},
        "/otel/v1/traces",
        {"authorization": "Bearer k", "x-bt-parent": "project_name:x"},
    ),
    "weave": ({"api_key": "k", "entity": "e", "project": "p"}, "/otel/v1/traces", {"wandb-api-key": "k"}),
    "opik": (
        {"api_key": "k", "workspace": "w", "project": "p"},
        "/v1/private/otel/v1/traces",
        {"authorization": "k", "comet-workspace": "w", "projectname": "p"},
    ),
    "dash0": (
        {"token": "t", "dataset": "d"},
        "/v1/traces",
        {"authorization": "Bearer t", "dash0-dataset": "d"},
    ),
    "axiom": (
        {"token": "t", "dataset": "d"},
        "/v1/traces",
        {"authorization": "Bearer t", "x-axiom-dataset": "d"},
    ),
    "signoz": ({"ingestion_key": "k"}, "/v1/traces", {"signoz-ingestion-key": "k"}),
    "jaeger": ({}, "/v1/traces", {}),
    "tempo": ({"tenant": "t"}, "/v1/traces", {"x-scope-orgid": "t"}),
    "collector": ({}, "/v1/traces", {}),
}


def test_every_preset_is_sent_to() -> None:
    """The table below leaves none out."""
    assert set(KEYS) == set(PRESETS)


@pytest.mark.parametrize("kind", KEYS)
def test_address_and_headers(kind: str, receiver: OtlpReceiver) -> None:
    """As the vendor documents them; the message is protobuf, compressed."""
    options, path, headers = KEYS[kind]
    request, span = send(receiver, kind, **options)
    assert request.path == path
    assert {name: request.headers.get(name) for name in headers} == headers
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers["content-encoding"] == "gzip"
    assert span.name == "chat gpt-4o"


@pytest.mark.parametrize("kind", KEYS)
def test_no_variable_of_otels_is_used(
    kind: str, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are meant for another receiver, and so are the keys in them."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-other=canary")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    request, _ = send(receiver, kind, **KEYS[kind][0])
    assert "x-other" not in request.headers


@pytest.mark.parametrize(
    ("kind", "options", "resource"),
    [
        ("phoenix", {"project": "lab"}, {"openinference.project.name": "lab"}),
        ("weave", KEYS["weave"][0], {"wandb.entity": "e", "wandb.project": "p"}),
        (
            "langfuse",
            {**KEYS["langfuse"][0], "environment": "prod", "release": "1.2"},
            {"langfuse.environment": "prod", "langfuse.release": "1.2"},
        ),
    ],
)
def test_what_a_destination_says_of_the_resource(
    kind: str, options: dict[str, Any], resource: dict[str, str], receiver: OtlpReceiver
) -> None:
    """Beside what the application says of it."""
    _, span = send(receiver, kind, **options)
    assert span.resource == {"service.name": "shop", **resource}


def test_a_header_of_ones_own_wins(receiver: OtlpReceiver) -> None:
    """In whatever case it is written."""
    request, _ = send(receiver, "phoenix", api_key="k", headers={"Authorization": "Bearer mine"})
    assert request.headers["authorization"] == "Bearer mine"
    request, _ = send(receiver, "langfuse", **KEYS["langfuse"][0], headers={"authorization": "Basic mine"})
    assert request.headers["authorization"] == "Basic mine"


def test_secrets_are_resolved_with_each_request(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that was replaced is used at once, in Basic authorization, too."""
    monkeypatch.setenv("LF_SECRET", "first")
    config = {"endpoint": receiver.endpoint, "public_key": "pk", "secret_key": "${LF_SECRET}"}
    sender = open_sender(DestinationConfig("test", "langfuse", config))
    sender.send([SPAN])
    monkeypatch.setenv("LF_SECRET", "second")
    sender.send([SPAN])
    sender.close()
    sent = [base64.b64decode(one.headers["authorization"].split()[1]) for one in receiver.requests]
    assert sent == [b"pk:first", b"pk:second"]


def test_a_secret_that_is_not_there_pauses(receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name of the vendor's variable, where nobody named another."""
    monkeypatch.delenv("LANGFUSE_SECRET_KEY", raising=False)
    with pytest.raises(PausedError, match="secret LANGFUSE_SECRET_KEY is not set"):
        send(receiver, "langfuse", public_key="pk")


def test_what_else_is_missing_is_named(receiver: OtlpReceiver) -> None:
    """A mark is taken as it is: its delivery says what it lacks."""
    with pytest.raises(PermanentError, match="experiment_id: a mlflow destination needs the experiment"):
        send(receiver, "mlflow")


@pytest.mark.parametrize("kind", ["otlp", "jaeger"])
def test_a_dialect_can_be_asked_for(kind: str, receiver: OtlpReceiver) -> None:
    """A collector in front of Langfuse."""
    _, plain = send(receiver, kind)
    assert "langfuse.observation.type" not in plain.attributes
    _, translated = send(receiver, kind, dialect="langfuse")
    assert translated.attributes["langfuse.observation.type"] == "generation"


def test_a_dialect_can_be_switched_off(receiver: OtlpReceiver) -> None:
    """Then the vendor gets what was recorded, and nothing else."""
    _, span = send(receiver, "langfuse", **KEYS["langfuse"][0], dialect="none")
    assert span.attributes == SPAN.attributes


def test_the_file_destination_speaks_dialects(tmp_path: Path) -> None:
    """To look at what a vendor would get."""
    path = tmp_path / "out.jsonl"
    sender = open_sender(DestinationConfig("f", "file", {"path": str(path), "dialect": "langsmith"}))
    sender.send([SPAN])
    assert '"langsmith.span.kind"' in path.read_text()


# ------------------------------------------------------------------ whole requests, recorded

GOLDEN = Path(__file__).parent / "recorded"
TIMES = {"start_time": "2026-01-31T09:00:00Z", "end_time": "2026-01-31T09:00:01Z", "duration_ms": 1000.0}


def workflow(app: App, request_id: str) -> None:
    """Three nodes of a run, children first, as Hush writes them."""
    common = {"request_id": request_id, "workflow_name": "digest", "context_id": None, **TIMES}
    app.store.insert_node_trace(
        node_name="digest.ask",
        parent_name="digest",
        execution_order=1,
        input_data={"messages": [{"role": "user", "content": "Why?"}]},
        output_data={"role": "assistant", "content": "Because."},
        model="gpt-4o",
        prompt_tokens=49,
        completion_tokens=19,
        total_tokens=68,
        cost_usd=0.0003,
        contain_generation=True,
        node_type="llm",
        **common,
    )
    app.store.insert_node_trace(
        node_name="digest.search",
        parent_name="digest",
        execution_order=2,
        input_data={"q": "cats"},
        output_data=None,
        node_type="tool",
        error="TimeoutError: 5 s",
        **common,
    )
    app.store.insert_node_trace(
        node_name="digest",
        parent_name=None,
        execution_order=0,
        input_data={"q": "Why?"},
        output_data={"a": 42},
        user_id="ada",
        session_id="session-1",
        metadata={"tier": "gold"},
        node_type="workflow",
        **common,
    )


@pytest.mark.parametrize(
    ("tracer_type", "options"),
    [
        ("langfuse", {"public_key": "pk-1", "secret_key": "${RECORDED_SECRET}"}),
        ("langsmith", {"api_key": "${RECORDED_SECRET}", "project": "demo"}),
    ],
)
def test_a_recorded_request(
    tracer_type: str,
    options: dict[str, Any],
    receiver: OtlpReceiver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A marked run of the seed's users, by way of spool, store and relay, is what tests/contract/recorded has."""
    monkeypatch.setenv("RECORDED_SECRET", "s3cret")
    app = App(tmp_path / "t.db")
    workflow(app, "run-1")
    app.store.mark_request_complete(
        "run-1", tracer_type, {"endpoint": receiver.endpoint, **options}, tags=["prod", "team:search"]
    )
    with owning(app.settings) as owner:

        def delivered() -> bool:
            owner.service._bell.wait(min(owner.step(), 0.05))
            return bool(rows(app.db_path, "SELECT 1 FROM deliveries WHERE state = 'delivered'"))

        eventually(delivered, 60.0, what="the delivery", poll_s=0)
    (request,) = receiver.requests
    found = {
        "path": request.path,
        "headers": {
            name: value
            for name, value in sorted(request.headers.items())
            if name not in {"host", "user-agent", "content-length", "accept-encoding"}
        },
        "spans": {span.name: recorded(span) for span in receiver.spans()},
    }
    assert found == json.loads((GOLDEN / f"{tracer_type}.json").read_text(encoding="utf-8"))
    assert "s3cret" not in str(rows(app.db_path, "SELECT config FROM hush_destinations"))


def recorded(span: ReceivedSpan) -> dict[str, Any]:
    """What a recorded request says of a span; bytes and the SDK's version aside, all of it."""
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.span.parent_span_id.hex(),
        "kind": span.span.kind,
        "status": [span.span.status.code, span.span.status.message],
        "start": span.span.start_time_unix_nano,
        "end": span.span.end_time_unix_nano,
        "attributes": dict(sorted(span.attributes.items())),
    }
