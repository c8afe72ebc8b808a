"""Exporters that nobody here wrote, fed with spans that were rebuilt from their rows."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from compare import from_sdk
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanKind, Status, StatusCode
from recording import Recording
from test_rich_span import rich  # noqa: F401 - the fixture

from hush_otel import Destination, HushSpanProcessor, TraceStore
from hush_otel.destinations.foreign_wire import Export, decode_question, encode, pack, unpack
from hush_otel.destinations.readable import readable_spans
from hush_otel.store.history import HistoryReader


def rebuilt(database: Path) -> list[ReadableSpan]:
    """The spans of the first request, as the process of an exporter gets them."""
    reader = HistoryReader(database)
    spans = list(reader.spans_of(1))
    reader.close()
    question = decode_question(encode(Export(pack(spans))))
    assert isinstance(question, Export)
    return readable_spans(unpack(question.spans))


def test_a_rich_span_is_rebuilt_field_by_field(rich: tuple[Recording, ReadableSpan]) -> None:  # noqa: F811
    """All that the SDK kept, to the type of each value in attributes, events, links, resource and scope."""
    recording, original = rich
    (span,) = rebuilt(recording.database)
    assert from_sdk(span) == from_sdk(original)


def test_the_official_encoder_makes_the_same_of_it(rich: tuple[Recording, ReadableSpan]) -> None:  # noqa: F811
    """What the SDK's own OTLP exporters would send of the original and of the rebuilt span."""
    recording, original = rich
    assert encode_spans(rebuilt(recording.database)) == encode_spans([original])


# ------------------------------------------------------------------ Zipkin


@contextmanager
def zipkin() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A receiver of Zipkin's JSON, version 2: its endpoint, and the spans that came."""
    received: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/api/v2/spans"
            received.extend(json.loads(body))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/v2/spans", received
    finally:
        server.shutdown()
        server.server_close()


def test_zipkins_exporter_delivers(database: Path) -> None:
    """A protocol that hush-otel does not speak: its package does, from options alone."""
    with zipkin() as (endpoint, received):
        destination = Destination("otel:zipkin_json", name="zipkin", endpoint=endpoint, timeout=5)
        provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
        provider.add_span_processor(HushSpanProcessor(database, destinations=[destination]))
        tracer = provider.get_tracer("shop")
        with tracer.start_as_current_span("order", kind=SpanKind.SERVER) as root:
            child = tracer.start_span("charge", attributes={"amount": 5})
            child.add_event("refused")
            child.set_status(Status(StatusCode.ERROR, "no money"))
            child.end()
        store = TraceStore(database)
        assert store.wait_delivered(), "why: the deliveries view"
        provider.shutdown()
    spans = {span["name"]: span for span in received}
    assert spans.keys() == {"order", "charge"}
    trace_id = f"{root.get_span_context().trace_id:032x}"
    assert [span["traceId"] for span in spans.values()] == [trace_id, trace_id]
    assert spans["charge"]["parentId"] == spans["order"]["id"] == f"{root.get_span_context().span_id:016x}"
    assert (spans["order"]["kind"], spans["order"]["localEndpoint"]) == ("SERVER", {"serviceName": "shop"})
    assert spans["charge"]["tags"]["amount"] == "5"
    assert spans["charge"]["tags"]["error"] == "no money"
    assert "refused" in json.dumps(spans["charge"]["annotations"])
