"""OTLP over HTTP against real local servers: what the specification and the delivery rules demand."""

from __future__ import annotations

import gzip
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from certificates import Certificate
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from support import held_port, refused
from urllib3.exceptions import InsecureRequestWarning

from hush_otel.destinations.base import Sender
from hush_otel.destinations.http_client import MAX_ANSWER_BYTES
from hush_otel.destinations.otlp_answers import MAX_RETRY_AFTER_S, MAX_WORDS
from hush_otel.destinations.otlp_http import retry_after_s
from hush_otel.destinations.registry import known_types, open_sender
from hush_otel.errors import OversizeError, PausedError, PermanentError, RetryableError
from hush_otel.model import DestinationConfig, Origin, Outcome, SpanData
from hush_otel.testing import OtlpReceiver
from hush_otel.version import __version__

ORIGIN = Origin(resource={"service.name": "checkout"}, scope_name="lib")
TEXT = {"Content-Type": "text/plain"}


def make_span(name: str = "step", index: int = 1) -> SpanData:
    """A small ended span."""
    return SpanData(
        trace_id=index.to_bytes(16, "big"),
        span_id=index.to_bytes(8, "big"),
        parent_span_id=None,
        flags=0x101,
        trace_state="",
        name=name,
        kind=1,
        start_ns=1,
        end_ns=2,
        status_code=0,
        status_message="",
        attributes={"k": "v"},
        events=[],
        links=[],
        dropped_attributes=0,
        dropped_events=0,
        dropped_links=0,
        origin=ORIGIN,
        request_id="r",
    )


SPANS = [make_span(index=1), make_span(index=2)]


def open_to(endpoint: str | None, kind: str = "otlp", **config: Any) -> Sender:
    """A sender, its configuration completed by `endpoint` unless that is None."""
    if endpoint is not None:
        config["endpoint"] = endpoint
    return open_sender(DestinationConfig("test", kind, config))


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A receiver that accepts everything until told otherwise."""
    with OtlpReceiver() as running:
        yield running


@contextmanager
def raw_server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that hands each connection to `serve`; yields its endpoint."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    serve(connection)
                except OSError:
                    continue

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=10)


def read_request(connection: socket.socket) -> None:
    """Read one whole request off a raw connection."""
    file = connection.makefile("rb")
    file.readline()
    headers = http.client.parse_headers(file)
    file.read(int(headers["Content-Length"]))


# What is sent.


def test_request_carries_spans_and_the_demanded_headers(receiver: OtlpReceiver) -> None:
    """One POST to /v1/traces, protobuf, gzip, with our User-Agent and the configured headers."""
    outcome = open_to(receiver.endpoint, headers={"X-Team": "blue"}).send(SPANS)
    (request,) = receiver.requests
    assert outcome == Outcome()
    assert request.path == "/v1/traces"
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers["content-encoding"] == "gzip"
    assert request.headers["user-agent"] == f"hush-otel/{__version__} (python urllib3)"
    assert request.headers["x-team"] == "blue"
    assert [span.name for span in receiver.spans()] == ["step", "step"]
    assert receiver.spans()[0].resource == {"service.name": "checkout"}
    assert ExportTraceServiceRequest.FromString(request.body).resource_spans


def test_compression_none_sends_the_bare_message(receiver: OtlpReceiver) -> None:
    """With compression none there is no Content-Encoding."""
    open_to(receiver.endpoint, compression="none").send(SPANS)
    assert "content-encoding" not in receiver.requests[0].headers
    assert len(receiver.spans()) == 2


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("", "/v1/traces"),
        ("/", "/v1/traces"),
        ("/api/otel", "/api/otel"),
        ("?a=b", "/v1/traces?a=b"),
        ("/x/", "/x/"),
    ],
)
def test_path_is_added_when_endpoint_has_none(receiver: OtlpReceiver, path: str, sent: str) -> None:
    """An endpoint without a path gets /v1/traces; one with a path is used as it is."""
    open_to(receiver.endpoint + path).send(SPANS)
    assert receiver.requests[0].path == sent


def test_user_part_becomes_basic_authorization(receiver: OtlpReceiver) -> None:
    """A user part of the endpoint is sent as an Authorization header."""
    open_to(receiver.endpoint.replace("://", "://me:p%40ss@")).send(SPANS)
    assert receiver.requests[0].headers["authorization"] == "Basic bWU6cEBzcw=="


def test_connection_is_kept_alive(receiver: OtlpReceiver) -> None:
    """Several batches travel over one connection."""
    ports = []
    process = receiver._server.process_request
    receiver._server.process_request = lambda r, a: (ports.append(a[1]), process(r, a))[1]
    sender = open_to(receiver.endpoint)
    for _ in range(3):
        sender.send(SPANS)
    receiver.respond(503, body=b"x" * 100, times=1)
    with pytest.raises(RetryableError):
        sender.send(SPANS)
    sender.send(SPANS)
    assert len(ports) == 1
    assert len(receiver.requests) == 5


def test_references_in_headers_are_resolved_at_each_send(receiver: OtlpReceiver, tmp_path: Path) -> None:
    """A token file that is rotated is read again, without opening the destination anew."""
    token = tmp_path / "token"
    token.write_text("one\n")
    sender = open_to(receiver.endpoint, headers={"authorization": f"Bearer ${{file:{token}}}"})
    sender.send(SPANS)
    token.write_text("two\n")
    sender.send(SPANS)
    assert [r.headers["authorization"] for r in receiver.requests] == ["Bearer one", "Bearer two"]


def test_missing_secret_pauses(receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference to a variable that is not set pauses the destination at once."""
    monkeypatch.delenv("HUSH_TEST_TOKEN", raising=False)
    with pytest.raises(PausedError, match="secret HUSH_TEST_TOKEN is not set"):
        open_to(receiver.endpoint, headers={"authorization": "${HUSH_TEST_TOKEN}"})


# Standard variables.


def test_generic_variables_fill_missing_keys(receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generic endpoint gets /v1/traces appended; headers are percent-decoded."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint + "/base/")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "X-Key=a%20b%3D, x-other = 2=3 ,")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    open_to(None).send(SPANS)
    (request,) = receiver.requests
    assert request.path == "/base/v1/traces"
    assert (request.headers["x-key"], request.headers["x-other"]) == ("a b=", "2=3")
    assert "content-encoding" not in request.headers


def test_traces_variables_win_and_are_used_as_is(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A TRACES variable beats the generic one; its endpoint keeps its path."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", receiver.endpoint + "/mine")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "b=2")
    open_to(None).send(SPANS)
    assert receiver.requests[0].path == "/mine"
    assert "a" not in receiver.requests[0].headers
    assert receiver.requests[0].headers["b"] == "2"


def test_configuration_beats_variables(receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that the destination sets itself is not read from the environment."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=1")
    open_to(receiver.endpoint, headers={"b": "2"}).send(SPANS)
    assert receiver.requests[0].headers["b"] == "2"
    assert "a" not in receiver.requests[0].headers


def test_a_named_endpoint_does_not_take_the_variables_protocol(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grpc that `opentelemetry-instrument` sets for everybody is not about a destination's own endpoint."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    open_to(receiver.endpoint).send(SPANS)
    assert len(receiver.spans()) == len(SPANS)


def test_jaeger_reads_no_variables(receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Type jaeger is the same protocol, whatever the variables of another backend say."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    open_to(receiver.endpoint, "jaeger").send(SPANS)
    assert "a" not in receiver.requests[0].headers


# Configuration.


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"colour": "red"}, "colour: is no option"),
        ({"endpoint": "ftp://h"}, "endpoint"),
        ({"endpoint": "localhost:4318"}, "endpoint"),
        ({"endpoint": "http://"}, "endpoint"),
        ({"endpoint": "http://h:99999"}, "endpoint"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": "fast"}, "timeout_s"),
        ({"timeout_s": True}, "timeout_s"),
        ({"timeout_s": float("inf")}, "timeout_s"),
        ({"compression": "zstd"}, "compression"),
        ({"insecure": True}, "insecure: is for protocol grpc"),
        ({"max_request_bytes": 0}, "max_request_bytes"),
        ({"max_request_bytes": "1000000"}, "max_request_bytes"),
        ({"protocol": "http/json"}, "protocol"),
        ({"headers": "a=b"}, "headers"),
        ({"headers": {"a b": "c"}}, "headers: 'a b'"),
        ({"headers": {"a": "b\r\nc: d"}}, "headers: the value of a"),
        ({"headers": {"a": 5}}, "headers: the value of a"),
        ({"headers": {"Content-Type": "text/html"}}, "headers: Content-Type"),
        ({"endpoint": "https://h", "verify": "no"}, "verify"),
        ({"endpoint": "https://h", "client_key": "/k"}, "client_key"),
        ({"endpoint": "https://h", "certificate": 5}, "certificate"),
    ],
)
def test_wrong_configuration_names_its_key(config: dict[str, Any], words: str) -> None:
    """A configuration that cannot work is refused at opening, with the key in the message."""
    with pytest.raises(PermanentError, match=words):
        open_sender(DestinationConfig("test", "otlp", config))


def test_missing_certificate_file_pauses(tmp_path: Path) -> None:
    """A certificate that is not there can be put there: the destination is paused, not dead."""
    with pytest.raises(PausedError, match=r"certificate: '.*ca\.pem'"):
        open_to("https://h", certificate=str(tmp_path / "ca.pem"))


def test_unknown_type_pauses_and_lists_known_ones() -> None:
    """A type that is not installed here may be elsewhere: paused, with the types that are known."""
    with pytest.raises(PausedError, match="unknown type 'nosuch'") as caught:
        open_to(None, "nosuch")
    assert all(kind in str(caught.value) for kind in known_types())


def test_s04_errors_never_show_secrets(receiver: OtlpReceiver) -> None:
    """Neither the user part of an endpoint nor a header that the receiver repeats is in a message."""
    receiver.respond(401, TEXT, b"bad key s3cr3t-value for hunter22")
    endpoint = receiver.endpoint.replace("://", "://joe:hunter22@")
    sender = open_to(endpoint, headers={"x-key": "Bearer s3cr3t-value"})
    with pytest.raises(PausedError) as caught:
        sender.send(SPANS)
    assert "s3cr3t-value" not in str(caught.value)
    assert "joe" not in str(caught.value)
    with pytest.raises(PermanentError) as caught_config:
        open_to("ftp://joe:hunter22@h")
    assert "hunter22" not in str(caught_config.value)


# What the receiver answers.


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_2xx_is_accepted(receiver: OtlpReceiver, status: int) -> None:
    """Every 2xx means accepted, with or without a body."""
    receiver.respond(status)
    assert open_to(receiver.endpoint).send(SPANS) == Outcome()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_retryable_statuses(receiver: OtlpReceiver, status: int) -> None:
    """429, 502, 503 and 504 ask for another try, and the message says which it was."""
    receiver.respond(status, TEXT, b"later")
    with pytest.raises(RetryableError, match=f"{status} .*later") as caught:
        open_to(receiver.endpoint).send(SPANS)
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize("status", [401, 403])
def test_unauthorized_pauses(receiver: OtlpReceiver, status: int) -> None:
    """401 and 403 need a person: the destination is paused."""
    receiver.respond(status, TEXT, b"who are you")
    with pytest.raises(PausedError, match=f"{status} .*who are you"):
        open_to(receiver.endpoint).send(SPANS)


@pytest.mark.parametrize("status", [300, 400, 404, 405, 408, 413, 415, 422, 500, 501, 505, 599])
def test_every_other_status_is_permanent(receiver: OtlpReceiver, status: int) -> None:
    """Whatever else is answered never succeeds."""
    receiver.respond(status, TEXT, b"no\nway")
    with pytest.raises(PermanentError, match=f"{status}.*no way"):
        open_to(receiver.endpoint).send(SPANS)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_s09_redirect_is_not_followed(receiver: OtlpReceiver, status: int) -> None:
    """A 3xx is not a success, and credentials never travel to another place."""
    with OtlpReceiver() as other:
        receiver.respond(status, {"Location": other.endpoint + "/v1/traces"})
        with pytest.raises(PermanentError, match=str(status)):
            open_to(receiver.endpoint, headers={"authorization": "secret"}).send(SPANS)
        assert other.requests == []
    assert len(receiver.requests) == 1


def test_a_request_above_the_limit_is_not_sent(receiver: OtlpReceiver) -> None:
    """64 MiB is the limit unless the configuration says another one; of what is sent, compressed or not."""
    part = make_span("x" * (16 * 1024 * 1024))
    with pytest.raises(OversizeError, match=r"4 spans of 671\d{5} bytes, encoded, above .*67108864"):
        open_to(receiver.endpoint).send([part] * 4)
    with pytest.raises(OversizeError, match="2 spans of"):
        open_to(receiver.endpoint, max_request_bytes=2000).send([make_span("x" * 1000)] * 2)
    assert receiver.requests == []
    open_to(receiver.endpoint, timeout_s=60).send([part] * 3)
    assert len(receiver.requests) == 1


def test_nothing_is_retried_inside(receiver: OtlpReceiver) -> None:
    """One send is one request: the relay alone retries."""
    receiver.respond(503, {"Retry-After": "0"})
    with pytest.raises(RetryableError):
        open_to(receiver.endpoint).send(SPANS)
    assert len(receiver.requests) == 1


def test_retry_after_is_handed_on(receiver: OtlpReceiver) -> None:
    """Retry-After reaches the relay as seconds."""
    receiver.respond(503, {"Retry-After": "7"})
    with pytest.raises(RetryableError) as caught:
        open_to(receiver.endpoint).send(SPANS)
    assert caught.value.retry_after_s == 7.0


NOW_S = 1_700_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("999999", MAX_RETRY_AFTER_S),
        ("9" * 5000, MAX_RETRY_AFTER_S),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        (formatdate(NOW_S + 90, usegmt=True), 90.0),
        (formatdate(NOW_S + 90), 90.0),
        (formatdate(NOW_S - 90, usegmt=True), None),
        (formatdate(NOW_S + 10**7, usegmt=True), MAX_RETRY_AFTER_S),
        ("Fri, 99 Nov 2023 99:99:99 GMT", None),
    ],
)
def test_retry_after_in_both_forms(value: str | None, seconds: float | None) -> None:
    """Seconds and HTTP dates are understood; the past and nonsense are none; an hour is the most."""
    assert retry_after_s(value, NOW_S) == seconds


def partial(rejected: int, message: str) -> bytes:
    """An ExportTraceServiceResponse with a partial success."""
    success = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return ExportTraceServiceResponse(partial_success=success).SerializeToString()


@pytest.mark.parametrize(
    ("rejected", "message", "outcome"),
    [
        (1, "too old", Outcome(1, "too old")),
        (0, "soon deprecated", Outcome(0, "soon deprecated")),
        (99, "all", Outcome(2, "all")),
        (-3, "", Outcome(0, "")),
        (1, "a\n\x1b[31mb", Outcome(1, "a [31mb")),
    ],
)
def test_partial_success_is_reported(
    receiver: OtlpReceiver, rejected: int, message: str, outcome: Outcome
) -> None:
    """Rejected spans and the receiver's words come back; 0 with a message is a warning."""
    receiver.respond(200, body=partial(rejected, message))
    assert open_to(receiver.endpoint).send(SPANS) == outcome


def test_partial_success_in_json(receiver: OtlpReceiver) -> None:
    """A receiver that answers in JSON is understood, too, unknown fields included."""
    body = b'{"partialSuccess": {"rejectedSpans": "1", "errorMessage": "no"}, "more": 1}'
    receiver.respond(200, {"Content-Type": "application/json; charset=utf-8"}, body)
    assert open_to(receiver.endpoint).send(SPANS) == Outcome(1, "no")


def test_answer_of_a_closing_connection_is_read(receiver: OtlpReceiver) -> None:
    """A receiver that closes after each answer costs a connection, not the answer."""
    receiver.respond(200, {"Connection": "close"}, partial(1, "no"))
    sender = open_to(receiver.endpoint)
    assert [sender.send(SPANS) for _ in range(2)] == [Outcome(1, "no")] * 2


def test_partial_success_in_gzip(receiver: OtlpReceiver) -> None:
    """A compressed answer is decompressed."""
    receiver.respond(200, {"Content-Encoding": "gzip"}, gzip.compress(partial(1, "no")))
    assert open_to(receiver.endpoint).send(SPANS) == Outcome(1, "no")


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("text/html", b"<html>ok</html>", ""),
        ("application/json", b"", ""),
        (
            "application/json",
            b"{",
            "accepted; the answer is no ExportTraceServiceResponse in application/json",
        ),
        (
            "application/x-protobuf",
            b"\xff\xff",
            "accepted; the answer is no ExportTraceServiceResponse in application/x-protobuf",
        ),
    ],
)
def test_unreadable_2xx_body_is_accepted(
    receiver: OtlpReceiver, kind: str, body: bytes, message: str
) -> None:
    """The status decides: a strange body of a 2xx is at most a warning."""
    receiver.respond(200, {"Content-Type": kind}, body)
    assert open_to(receiver.endpoint).send(SPANS) == Outcome(0, message)


def test_status_message_in_protobuf_is_decoded(receiver: OtlpReceiver) -> None:
    """A google.rpc.Status in the body gives its message."""
    # code (1) = 3, message (2) = "bad span", details (3) = one empty Any.
    receiver.respond(400, body=b"\x08\x03\x12\x08bad span\x1a\x00")
    with pytest.raises(PermanentError, match=r"400 Bad Request: bad span$"):
        open_to(receiver.endpoint).send(SPANS)


@pytest.mark.parametrize(
    "body", [b"x" * 5000, b"\xff" * 5000, gzip.compress(bytes(50_000_000))], ids=["text", "binary", "bomb"]
)
def test_error_text_is_bounded(receiver: OtlpReceiver, body: bytes) -> None:
    """At most 500 characters of a body are kept, and a decompression bomb does not unfold."""
    headers = {"Content-Encoding": "gzip"} if body[:2] == b"\x1f\x8b" else {}
    receiver.respond(400, TEXT | headers, body)
    with pytest.raises(PermanentError) as caught:
        open_to(receiver.endpoint).send(SPANS)
    assert len(str(caught.value)) < MAX_WORDS + 100


def test_s10_answer_above_the_bound_does_not_spoil_the_next(receiver: OtlpReceiver) -> None:
    """Of a huge body only the first MiB is read, and the next batch gets its own answer."""
    sender = open_to(receiver.endpoint)
    receiver.respond(400, TEXT, b"x" * (3 * MAX_ANSWER_BYTES), times=1)
    with pytest.raises(PermanentError):
        sender.send(SPANS)
    assert sender.send(SPANS) == Outcome()


# What the network does.


def test_refused_connection_is_retryable() -> None:
    """A receiver that is not there may come back."""
    with refused() as endpoint, pytest.raises(RetryableError, match="refused"):
        open_to(endpoint).send(SPANS)


def test_receiver_that_returns_is_used_again() -> None:
    """After an outage the same sender delivers, over a new connection."""
    with held_port() as port:
        with OtlpReceiver(port) as first:
            sender = open_to(first.endpoint)
            sender.send(SPANS)
        with pytest.raises(RetryableError):
            sender.send(SPANS)
        with OtlpReceiver(port) as second:
            sender.send(SPANS)
            assert len(second.wait_for(2)) == 2


@pytest.mark.parametrize(
    "answer",
    [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", b"HTTP/1.1 "],
    ids=["closed", "no-http", "truncated-body", "truncated-head"],
)
def test_lost_answer_is_retryable(answer: bytes) -> None:
    """A connection that ends before the whole answer leaves the outcome unknown: try again."""

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)

    with raw_server(serve) as endpoint, pytest.raises(RetryableError):
        open_to(endpoint).send(SPANS)


def test_refusal_with_a_lost_body_stays_a_refusal() -> None:
    """The status of an error counts even when its body breaks off."""

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 50\r\n\r\nshort")

    with raw_server(serve) as endpoint, pytest.raises(PermanentError, match="400 Bad Request"):
        open_to(endpoint).send(SPANS)


class Drip:
    """Answers with `prefix`, then one byte every 50 ms until `stop`."""

    def __init__(self, prefix: bytes, stop: threading.Event) -> None:
        self._prefix, self._stop = prefix, stop
        self.drops = 0

    def __call__(self, connection: socket.socket) -> None:
        """Serve one connection."""
        read_request(connection)
        connection.sendall(self._prefix)
        while not self._stop.wait(0.05):
            connection.sendall(b"a")
            self.drops += 1


@pytest.mark.parametrize(
    "prefix",
    [b"", b"HTTP/1.1 200 OK\r\nX-", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"],
    ids=["status", "header", "body"],
)
def test_dripping_server_is_bounded_in_total(prefix: bytes) -> None:
    """A byte every 50 ms resets no timeout: the attempt ends near timeout_s, after some ten of them.

    Of its end the bytes tell, not the clock, which goes on while a busy machine lets neither side run.
    """
    stop = threading.Event()
    drip = Drip(prefix, stop)
    with raw_server(drip) as endpoint:
        started_s = time.monotonic()
        with pytest.raises(RetryableError, match=r"no complete answer within 0.5 s|timed out"):
            open_to(endpoint, timeout_s=0.5).send(SPANS)
        took_s, drops = time.monotonic() - started_s, drip.drops
        stop.set()
    assert took_s > 0.4
    assert drops < 60


def test_server_that_never_reads_is_bounded() -> None:
    """A request that nobody takes off the socket ends near timeout_s, too."""
    stop = threading.Event()
    big = [make_span("x" * 20_000_000)]
    with raw_server(lambda _connection: stop.wait(20) and None) as endpoint:
        started_s = time.monotonic()
        with pytest.raises(RetryableError):
            open_to(endpoint, timeout_s=0.5, compression="none").send(big)
        took_s = time.monotonic() - started_s
        stop.set()
    assert took_s < 5.0


@pytest.mark.parametrize(
    ("number", "error"),
    [(socket.EAI_NONAME, PausedError), (socket.EAI_AGAIN, RetryableError)],
    ids=["unknown", "again"],
)
def test_name_that_does_not_resolve(
    number: int, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown host name pauses; a resolver that says 'try again' is tried again."""

    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise socket.gaierror(number, "no address")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(error, match="no address"):
        open_to("http://collector.test:4318").send(SPANS)


# TLS.


@pytest.fixture
def tls_receiver(certificate: Certificate) -> Iterator[OtlpReceiver]:
    """A receiver behind TLS; its endpoint still says http."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    running = OtlpReceiver()  # its thread looks for the socket as soon as it runs
    running._server.socket = context.wrap_socket(running._server.socket, server_side=True)
    with running:
        yield running


def https(receiver: OtlpReceiver) -> str:
    """The endpoint of a receiver behind TLS."""
    return receiver.endpoint.replace("http:", "https:")


def test_s12_unknown_certificate_authority_pauses(tls_receiver: OtlpReceiver) -> None:
    """A certificate that does not verify needs a person."""
    with pytest.raises(PausedError, match="certificate verify failed"):
        open_to(https(tls_receiver)).send(SPANS)
    assert tls_receiver.requests == []


def test_s12_configured_certificate_authority_verifies(
    tls_receiver: OtlpReceiver, certificate: Certificate
) -> None:
    """With its CA in `certificate` the receiver is trusted."""
    sender = open_to(https(tls_receiver), certificate=str(certificate[0]))
    sender.send([make_span("x" * 100_000)])
    sender.send(SPANS)
    assert len(tls_receiver.spans()) == 3


def test_s12_verify_false_trusts_anyone(tls_receiver: OtlpReceiver) -> None:
    """`verify = false` is honoured."""
    with pytest.warns(InsecureRequestWarning):
        open_to(https(tls_receiver), verify=False).send(SPANS)
    assert len(tls_receiver.spans()) == 2


def test_https_to_a_plain_port_pauses(receiver: OtlpReceiver) -> None:
    """TLS towards a port that speaks none is a mistake in the configuration."""
    with pytest.raises(PausedError, match="TLS"):
        open_to(https(receiver)).send(SPANS)


def test_close_is_idempotent(receiver: OtlpReceiver) -> None:
    """Closing twice is as good as once."""
    sender = open_to(receiver.endpoint)
    sender.send(SPANS)
    sender.close()
    sender.close()
