"""Applications of the whole model: played ones in this process, and forks of them that are real."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inprocess import die
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Span, set_span_in_context

from hush_otel import Destination
from hush_otel.capture.nodes import NodeTraces
from hush_otel.capture.processor import SpoolingSpanProcessor
from hush_otel.spool import format as layout
from hush_otel.spool.writer import SpoolWriter

ANSWER_S = 30.0
"""Bounds a failing test."""


class FreshIds(RandomIdGenerator):
    """Hypothesis seeds `random`, from which the SDK takes its ids: these never repeat."""

    def generate_trace_id(self) -> int:
        """16 bytes."""
        return int.from_bytes(os.urandom(16), "big")

    def generate_span_id(self) -> int:
        """8 bytes."""
        return int.from_bytes(os.urandom(8), "big")


class Application:
    """Its way into the spool, and its open spans by name. Its death is played."""

    is_damaged = False
    """Whether what it writes from now on may lie behind a definition that was lost: it dies of damage."""

    def __init__(self, writer: SpoolWriter, destination: Destination) -> None:
        self.writer = writer
        self.open: dict[str, Span] = {}
        self.inherited: list[str] = []
        processor = SpoolingSpanProcessor(writer, [destination], live=True, flush=lambda _: True)
        provider = TracerProvider(shutdown_on_exit=False, id_generator=FreshIds())
        provider.add_span_processor(processor)
        self.tracer = provider.get_tracer("model")
        self.nodes = NodeTraces(writer)

    def start(self, name: str, size: int, parent: Span | None = None) -> None:
        """A root, or a child of a span, be it another process's."""
        context = set_span_in_context(parent) if parent else None
        self.open[name] = self.tracer.start_span(name, context, attributes={"text": "x" * size})

    def end(self, name: str) -> None:
        """Once this has returned it must be stored."""
        self.open.pop(name).end()

    def node(self, request_id: str, name: str, size: int) -> None:
        """A node whose span has its name."""
        values: list[Any] = [None] * 22
        values[:3], values[9], values[18] = [request_id, name, name], "x" * size, False
        self.nodes.write(values)

    def mark(self, request_id: str, path: str) -> None:
        """Its request is complete, and goes into a file."""
        self.nodes.mark(request_id, "file", {"path": path}, None)

    def kill(self) -> None:
        """What is left after SIGKILL: files, and a free lock."""
        if self.writer._identity is not None:
            die(self.writer)

    def segment(self) -> Path | None:
        """The one that it writes to, if there is a record in it."""
        segment = self.writer._segment
        return segment.path if segment is not None and segment.offset > layout.HEADER_BYTES else None


class Fork:
    """A forked child of an application, which goes on with what it has inherited, as it is told."""

    def __init__(self, parent: Application) -> None:
        self.open: dict[str, Span | None] = {}
        self.is_damaged = False
        self.inherited = list(parent.open)
        self._orders, theirs = socket.socketpair()
        self._orders.settimeout(ANSWER_S)
        self.pid = os.fork()
        if self.pid == 0:
            _obey(parent, theirs)
        theirs.close()

    def start(self, name: str, size: int, _: Span | None = None) -> None:
        """A root."""
        self._have("start", name, size)
        self.open[name] = None

    def end(self, name: str) -> None:
        """Of its own spans, or of those that its parent has left open in it."""
        self._have("end", name)
        self.open.pop(name, None)
        self.inherited = [one for one in self.inherited if one != name]

    def node(self, request_id: str, name: str, size: int) -> None:
        """As an application's."""
        self._have("node", request_id, name, size)

    def mark(self, request_id: str, path: str) -> None:
        """Likewise."""
        self._have("mark", request_id, path)

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._orders.close()

    def segment(self) -> Path | None:
        """Not known here."""
        return None

    def _have(self, *order: Any) -> None:
        self._orders.sendall(json.dumps(order).encode() + b"\n")
        assert self._orders.recv(1) == b".", f"the forked application {self.pid} has ended"


def _obey(application: Application, orders: socket.socket) -> None:
    """The child's whole life: it never comes back into the test."""
    try:
        for line in orders.makefile("rb"):
            name, *arguments = json.loads(line)
            _act(application, name, arguments)
            orders.sendall(b".")
    finally:
        os._exit(0)


def _act(application: Application, name: str, arguments: Sequence[Any]) -> None:
    getattr(application, name)(*arguments)
