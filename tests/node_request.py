"""Node traces of one request, and the background process that places them, stepped by hand."""

from __future__ import annotations

import time
from typing import Any

from inprocess import App, Owner, node_payload, rows, writer_of

REQUEST = "r"
NOWHERE = {"endpoint": "http://127.0.0.1:9", "headers": {"a": "${NOT_SET}"}}
"""Lacks a secret: deliveries are queued, and none is sent."""

HANGS = """SELECT p.name FROM spans s LEFT JOIN spans p ON p.span_id = s.parent_span_id WHERE s.name = ?"""


class Request:
    """Node traces of one request, and the background process that places them."""

    def __init__(self, app: App, owner: Owner) -> None:
        self.app = app
        self.owner = owner
        self.writer = writer_of(app.settings)

    def record(self, name: str, parent: str | None, **values: Any) -> None:
        """A node trace."""
        assert self.writer.append(node_payload(REQUEST, name, parent_name=parent, **values))

    def queue(self) -> None:
        """What has come is complete, and placed."""
        self.app.store.mark_request_complete(REQUEST, "otlp", NOWHERE)
        self.owner.drain()
        self.owner.service._relay.queue_due(time.time() + 60)

    def parent_of(self, name: str) -> str | None:
        """The name of the span that a span hangs below."""
        ((found,),) = rows(self.app.db_path, HANGS, name)
        return found
