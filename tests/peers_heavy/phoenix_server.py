"""Arize Phoenix: started with its own SQLite, one project a test.

What it loses of a span (20.x): trace state, flags, links, OTel's kind, the resource but for the project's name, the
scope, dropped counts; times below a microsecond (it goes through a float of seconds); of an exception event,
attributes other than the four of the conventions. ``openinference.span.kind`` becomes a field of its own, and
``metadata``, a JSON object in a text, one attribute for each value in it. It takes a span id (and a session's)
once, whatever project it is sent to later. 200 is not storage: it answers before it writes, some hundred spans a
second, and bytes among the attributes lose the span. Its gRPC port listens on every interface whatever PHOENIX_HOST
says; nothing here uses it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import urllib3
from compare import Fields, typed
from reading import get, post
from servers import ROOT, Launch, find, serving

KIND = "openinference.span.kind"
PAGE = 1000
"""The largest that it gives."""


class Phoenix:
    """A running Phoenix.

    Attributes:
        endpoint: Its base URL, for OTLP too.
        api_key: What it takes as a bearer token; empty when it asks for none.
    """

    def __init__(self, endpoint: str, api_key: str = "") -> None:
        self.endpoint = endpoint
        self.api_key = api_key

    @property
    def headers(self) -> dict[str, str]:
        """What opens it."""
        return {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    def project(self) -> Project:
        """A project of a test's own; it comes to be with its first span."""
        return Project(self, f"test-{uuid.uuid4().hex}")


class Project:
    """One project: see `reading.Place`."""

    type = "otlp"
    deduplicates = True

    def __init__(self, phoenix: Phoenix, name: str) -> None:
        self.phoenix = phoenix
        self.name = name
        self.endpoint = phoenix.endpoint
        self.headers = {"x-project-name": name, **phoenix.headers}

    def raw_spans(self) -> list[dict[str, Any]]:
        """As Phoenix gives them; none when nothing has arrived yet."""
        url = f"{self.endpoint}/v1/projects/{self.name}/spans"
        found: list[dict[str, Any]] = []
        page: dict[str, Any] = {"limit": PAGE}
        while self._exists():
            answer = get(url, page, self.phoenix.headers)
            found += answer["data"]
            page["cursor"] = answer["next_cursor"]
            if page["cursor"] is None:
                break
        return found

    def _exists(self) -> bool:
        url = f"{self.endpoint}/v1/projects/{self.name}"
        return urllib3.request("GET", url, headers=self.phoenix.headers, timeout=60.0).status == 200

    def spans(self) -> list[Fields]:
        """All that arrived."""
        return [_read(span) for span in self.raw_spans()]

    def kept(self, stored: Fields) -> Fields:
        """The fields that Phoenix has."""
        _, attributes = stored["attributes"]
        return {
            **{key: stored[key] for key in ("trace_id", "span_id", "parent_span_id", "name")},
            "start": _moment(stored["start_ns"]),
            "end": _moment(stored["end_ns"]),
            "status_code": stored["status_code"],
            "status_message": stored["status_message"],
            "span_kind": attributes.get(KIND, ("str", "UNKNOWN"))[1],
            "attributes": ("map", _spread({key: one for key, one in attributes.items() if key != KIND})),
            "events": [
                {"name": event["name"], "time": _moment(event["time_ns"]), "attributes": event["attributes"]}
                for event in stored["events"]
            ],
        }


def _spread(attributes: Fields) -> Fields:
    """With one attribute for each value in ``metadata``."""
    _, text = attributes.pop("metadata", ("str", "{}"))
    return attributes | dict(_flat("metadata", typed(json.loads(text))))


def _flat(key: str, tagged: Any) -> Iterator[tuple[str, Any]]:
    kind, value = tagged
    if kind != "map":
        yield key, tagged
        return
    for name, item in value.items():
        yield from _flat(f"{key}.{name}", item)


def _read(span: dict[str, Any]) -> Fields:
    return {
        "trace_id": span["context"]["trace_id"],
        "span_id": span["context"]["span_id"],
        "parent_span_id": span["parent_id"],
        "name": span["name"],
        "start": datetime.fromisoformat(span["start_time"]),
        "end": datetime.fromisoformat(span["end_time"]),
        "status_code": span["status_code"],
        "status_message": span["status_message"],
        "span_kind": span["span_kind"],
        "attributes": typed(span["attributes"]),
        "events": [
            {
                "name": event["name"],
                "time": datetime.fromisoformat(event["timestamp"]),
                "attributes": typed(event["attributes"]),
            }
            for event in span["events"]
        ],
    }


def _moment(time_ns: int) -> datetime:
    """Phoenix's own rounding."""
    return datetime.fromtimestamp(time_ns / 1e9, tz=UTC)


# ------------------------------------------------------------------ the server


@contextmanager
def running_phoenix(directory: Path) -> Iterator[Phoenix]:
    """Run Phoenix without authentication."""
    with _running(directory, {}) as endpoint:
        yield Phoenix(endpoint)


@contextmanager
def running_phoenix_with_auth(directory: Path) -> Iterator[Phoenix]:
    """Run Phoenix with authentication; the key is one of its system keys, made by its administrator."""
    admin = uuid.uuid4().hex
    secrets = {
        "PHOENIX_ENABLE_AUTH": "true",
        "PHOENIX_SECRET": uuid.uuid4().hex + "Aa1",  # it asks for letters and digits
        "PHOENIX_ADMIN_SECRET": admin + "Aa1",
    }
    with _running(directory, secrets) as endpoint:
        yield Phoenix(endpoint, _new_key(endpoint, secrets["PHOENIX_ADMIN_SECRET"]))


def _new_key(endpoint: str, admin: str) -> str:
    expires = (datetime.now(UTC) + timedelta(hours=12)).isoformat()
    query = "mutation($i: CreateApiKeyInput!) { createSystemApiKey(input: $i) { jwt } }"
    wanted = {"query": query, "variables": {"i": {"name": "hush-otel", "expiresAt": expires}}}
    answer = post(f"{endpoint}/graphql", wanted, {"authorization": f"Bearer {admin}"})
    assert "errors" not in answer, answer
    return str(answer["data"]["createSystemApiKey"]["jwt"])


@contextmanager
def _running(directory: Path, env: dict[str, str]) -> Iterator[str]:
    own = ROOT / ".venv-phoenix" / "bin" / "phoenix"
    program = find("PHOENIX_BIN", own, "phoenix", "`make .venv-phoenix/.installed` installs it")

    def plan(ports: list[int]) -> Launch:
        settings = {
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(ports[0]),
            "PHOENIX_GRPC_PORT": str(ports[1]),
            "PHOENIX_WORKING_DIR": str(directory),
            "PHOENIX_TELEMETRY_ENABLED": "false",
            "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        }
        return Launch([program, "serve"], settings | env, f"http://127.0.0.1:{ports[0]}/healthz")

    with serving(directory, 2, plan) as ports:
        yield f"http://127.0.0.1:{ports[0]}"
