"""ddapm-test-agent, a receiver that keeps every OTLP request as it came: started, read back, stopped."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import urllib3
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support import eventually, held_port

from hush_otel import Destination

ROOT = Path(__file__).parents[2]
READY_S = 60.0
PATIENCE_S = 60.0
"""For an answer of it: what it has without having said so would be sent once more."""
TOKEN_HEADER = "X-Datadog-Test-Session-Token"  # noqa: S105 - no secret
"""Requests with the same token belong to one session; retries of another test stay in that one's."""


class AgentEndpoints(NamedTuple):
    """Where a running agent listens for OTLP, as URLs."""

    http: str
    grpc: str


class AgentRequest(NamedTuple):
    """One request as it came: headers by lowercase name, body after decompression."""

    url: str
    headers: dict[str, str]
    body: bytes


class AgentSession:
    """What one test sent to the agent."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.token = uuid.uuid4().hex
        self._http = urllib3.PoolManager()
        self._get("start")

    @property
    def headers(self) -> dict[str, str]:
        """What a sender adds for its requests to land here."""
        return {TOKEN_HEADER: self.token}

    def destination(self, **options: Any) -> Destination:
        """This session as a destination."""
        where: dict[str, Any] = {"endpoint": self.endpoint, "headers": self.headers, "timeout_s": PATIENCE_S}
        return Destination("otlp", name="agent", **where | options)

    def write_config(self, path: Path) -> Path:
        """This session as the destination `agent` of a configuration file."""
        path.write_text(
            f'[destination.agent]\ntype = "otlp"\nendpoint = "{self.endpoint}"\ntimeout_s = {PATIENCE_S}\n'
            f'[destination.agent.headers]\n{TOKEN_HEADER} = "{self.token}"\n',
            encoding="utf-8",
        )
        return path

    def requests(self) -> list[AgentRequest]:
        """The OTLP requests, in the order in which they came."""
        return [
            AgentRequest(
                one["url"],
                {name.lower(): value for name, value in one["headers"].items()},
                base64.b64decode(one["body"]),
            )
            for one in reversed(self._get("requests"))
            if one["url"].partition("?")[0].endswith("/v1/traces")
        ]

    def traces(self) -> list[dict[str, Any]]:
        """The agent's own reading of them: protobuf's JSON, field names as in the .proto file."""
        found: list[dict[str, Any]] = self._get("traces")
        return found

    def exports(self) -> list[ExportTraceServiceRequest]:
        """The requests as protobuf messages, decoded from the bodies."""
        return [ExportTraceServiceRequest.FromString(request.body) for request in self.requests()]

    def close(self) -> None:
        """Have the agent forget this session."""
        self._get("clear")
        self._http.clear()

    def _get(self, what: str) -> Any:
        url = f"{self.endpoint}/test/session/{what}"
        response = self._http.request("GET", url, headers=self.headers, retries=False, timeout=30.0)
        assert response.status == 200, f"{url} answered {response.status}: {response.data[:500]!r}"
        return response.json() if what in ("requests", "traces") else None


def find_agent() -> str:
    """The command: $HUSH_TEST_AGENT, the project's own environment for receivers, PATH."""
    given = os.environ.get("HUSH_TEST_AGENT")
    own = ROOT / ".venv-receivers" / "bin" / "ddapm-test-agent"
    found = shutil.which(given or own) or (None if given else shutil.which("ddapm-test-agent"))
    if found is None:
        pytest.fail(
            f"ddapm-test-agent is not at {given or f'{own} or on PATH'}: `make .venv-receivers/.installed` "
            "installs it, HUSH_TEST_AGENT names another one",
            pytrace=False,
        )
    return found


@contextmanager
def running_agent(directory: Path) -> Iterator[AgentEndpoints]:
    """Run the agent in `directory`; gives its endpoints. Gone afterwards."""
    command, log = find_agent(), directory / "agent.log"
    with held_port() as plain, held_port() as http, held_port() as grpc:
        arguments = ["-p", plain, "--otlp-http-port", http, "--otlp-grpc-port", grpc]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [command, "--host", "127.0.0.1", *map(str, arguments), "--disable-llmobs-data-forwarding"],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            if not _is_ready(process, http):
                said = log.read_text(errors="replace")[-2000:]
                pytest.fail(f"ddapm-test-agent does not start:\n{said}", pytrace=False)
            yield AgentEndpoints(f"http://127.0.0.1:{http}", f"http://127.0.0.1:{grpc}")
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _is_ready(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait for its first answer; False when it ended instead."""
    eventually(lambda: process.poll() is not None or _answers(port), READY_S, what="ddapm-test-agent")
    return process.poll() is None


def _answers(port: int) -> bool:
    try:
        url = f"http://127.0.0.1:{port}/test/session/traces"
        return urllib3.request("GET", url, retries=False, timeout=5.0).status == 200
    except urllib3.exceptions.HTTPError:
        return False
