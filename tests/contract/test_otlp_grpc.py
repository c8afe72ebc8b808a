"""OTLP over gRPC against a real server: what the specification and the delivery rules demand."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from certificates import Certificate
from grpc_receiver import GrpcCall, GrpcReceiver, server_credentials
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from support import held_port
from test_otlp_http import SPANS, make_span, open_to

from hush_otel import Destination
from hush_otel.config import Settings
from hush_otel.destinations import otlp_grpc
from hush_otel.destinations.otlp_answers import MAX_RETRY_AFTER_S, MAX_WORDS
from hush_otel.destinations.registry import open_sender
from hush_otel.errors import (
    ConfigError,
    OversizeError,
    PausedError,
    PermanentError,
    RefusedError,
    RetryableError,
)
from hush_otel.model import DestinationConfig, Outcome
from hush_otel.version import __version__

CODE = grpc.StatusCode


@pytest.fixture
def receiver() -> Iterator[GrpcReceiver]:
    """A receiver that accepts everything until told otherwise."""
    with GrpcReceiver() as running:
        yield running


def open_grpc(endpoint: str | None, kind: str = "otlp", **config: Any) -> Any:
    """A gRPC sender; closed by whoever cares."""
    return open_to(endpoint, kind, protocol="grpc", **config)


# What is sent.


def test_call_carries_spans_and_the_demanded_metadata(receiver: GrpcReceiver) -> None:
    """One Export call, gzip, with our User-Agent and the configured headers as metadata."""
    assert open_grpc(receiver.endpoint, headers={"X-Team": "blue"}).send(SPANS) == Outcome()
    (call,) = receiver.calls
    assert call.names == ["step", "step"]
    assert call.metadata["user-agent"].startswith(f"hush-otel/{__version__} (python grpcio) ")
    assert call.metadata["x-team"] == "blue"


@pytest.mark.parametrize(("compression", "compressed"), [(None, True), ("gzip", True), ("none", False)])
def test_gzip_is_on_unless_it_is_switched_off(
    receiver: GrpcReceiver, compression: str | None, compressed: bool
) -> None:
    """A compressed message takes far fewer bytes on the wire than it has."""
    sent = bytes_through_a_proxy(receiver.port, compression)
    assert (sent < 20_000) is compressed


def bytes_through_a_proxy(port: int, compression: str | None) -> int:
    """Send 100 KB of one letter through a forwarder that counts what the client says."""
    counted = 0
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket, *, count: bool) -> None:
        nonlocal counted
        try:
            while data := source.recv(65536):
                counted += len(data) if count else 0
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return  # the other side was faster

    def serve() -> None:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", port))
        back = threading.Thread(target=pump, args=(server, client), kwargs={"count": False}, daemon=True)
        back.start()
        pump(client, server, count=True)
        back.join(10)
        client.close()
        server.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    options = {} if compression is None else {"compression": compression}
    sender = open_grpc(f"http://127.0.0.1:{listener.getsockname()[1]}", **options)
    sender.send([make_span("x" * 100_000)])
    sender.close()
    thread.join(10)
    listener.close()
    return counted


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}", "http://127.0.0.1:{}/", "HTTP://localhost:{}"])
def test_scheme_http_is_without_tls(receiver: GrpcReceiver, form: str) -> None:
    """A URL with scheme http is spoken to in the clear."""
    open_grpc(form.format(receiver.port)).send(SPANS)
    assert len(receiver.calls) == 1


def test_host_and_port_without_scheme_is_tls_unless_insecure(receiver: GrpcReceiver) -> None:
    """The specification's default is secure; `insecure` speaks to the same port in the clear."""
    with pytest.raises(PausedError, match="TLS"):
        open_grpc(f"127.0.0.1:{receiver.port}").send(SPANS)
    open_grpc(f"127.0.0.1:{receiver.port}", insecure=True).send(SPANS)
    assert len(receiver.calls) == 1


def test_a_unix_socket_is_an_endpoint(tmp_path: Path) -> None:
    """What gRPC's client takes is accepted."""
    with pytest.raises(RetryableError, match="UNAVAILABLE"):
        open_grpc(f"unix:{tmp_path}/none.sock").send(SPANS)


def test_user_part_becomes_basic_authorization(receiver: GrpcReceiver) -> None:
    """A user part of the endpoint is sent as authorization, as over HTTP."""
    open_grpc(receiver.endpoint.replace("://", "://me:p%40ss@")).send(SPANS)
    assert receiver.calls[0].metadata["authorization"] == "Basic bWU6cEBzcw=="


def test_references_in_headers_are_resolved_at_each_send(receiver: GrpcReceiver, tmp_path: Path) -> None:
    """A token file that is rotated is read again."""
    token = tmp_path / "token"
    token.write_text("one\n")
    sender = open_grpc(receiver.endpoint, headers={"authorization": f"Bearer ${{file:{token}}}"})
    sender.send(SPANS)
    token.write_text("two\n")
    sender.send(SPANS)
    assert [call.metadata["authorization"] for call in receiver.calls] == ["Bearer one", "Bearer two"]


# Standard variables.


def test_protocol_variable_chooses_grpc(receiver: GrpcReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_EXPORTER_OTLP_PROTOCOL=grpc with the endpoint and headers of the variables."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"127.0.0.1:{receiver.port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_INSECURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "X-Key=a%20b")
    open_to(None).send(SPANS)
    assert receiver.calls[0].metadata["x-key"] == "a b"


def test_traces_protocol_variable_wins(receiver: GrpcReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The TRACES form of a variable beats the generic one."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", receiver.endpoint)
    open_to(None).send(SPANS)
    assert len(receiver.calls) == 1


def test_jaeger_takes_grpc_and_reads_no_variables(
    receiver: GrpcReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Type jaeger with protocol grpc is the same, whatever the variables of another backend say."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=1")
    open_grpc(receiver.endpoint, "jaeger").send(SPANS)
    assert "a" not in receiver.calls[0].metadata


# Configuration.


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"endpoint": "ftp://h"}, "endpoint"),
        ({"endpoint": "http://"}, "endpoint"),
        ({"endpoint": "http://h:4317/v1/traces"}, "endpoint"),
        ({"endpoint": "h:port"}, "endpoint"),
        ({"endpoint": "https://h", "verify": False}, "verify: grpc always verifies"),
        ({"insecure": "perhaps"}, "insecure"),
        ({"max_request_bytes": 10}, "max_request_bytes"),
        ({"headers": {"x-bin": "a"}}, "x-bin"),
        ({"headers": {"grpc-x": "a"}}, "grpc-x"),
        ({"headers": {"a!b": "a"}}, "a!b"),
        ({"headers": {"a": "é"}}, "headers: grpc cannot carry a"),
    ],
)
def test_wrong_configuration_names_its_key(config: dict[str, Any], words: str) -> None:
    """A configuration that cannot work over gRPC is refused at opening, with the key in the message."""
    with pytest.raises(PermanentError, match=words):
        open_sender(DestinationConfig("test", "otlp", {"protocol": "grpc", **config}))


def test_grpcio_missing_is_a_config_error_at_construction(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Asked for in code or in the file, where grpcio is not installed: said at once, with the install line."""
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(ConfigError, match=r"destination 'far': protocol: .*pip install 'hush-otel\[grpc\]'"):
        Settings.load(tmp_path / "t.db").choose([Destination("otlp", name="far", protocol="grpc")])
    config = tmp_path / "hush.toml"
    config.write_text('[destination.far]\ntype = "jaeger"\nprotocol = "grpc"\n')
    monkeypatch.setenv("HUSH_CONFIG", str(config))
    with pytest.raises(ConfigError, match=r"pip install 'hush-otel\[grpc\]'"):
        Settings.load(tmp_path / "t.db")


def test_grpcio_missing_where_it_delivers_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A background process without grpcio waits for somebody to install it."""
    monkeypatch.setitem(sys.modules, "grpc", None)
    monkeypatch.delitem(sys.modules, "hush_otel.destinations.otlp_grpc")
    with pytest.raises(PausedError, match=r"grpcio.*pip install 'hush-otel\[grpc\]'"):
        open_grpc("http://127.0.0.1:1")


def test_the_application_does_not_import_grpc(tmp_path: Path) -> None:
    """A processor with a gRPC destination is made without its library: the background process alone has it."""
    code = (
        "import sys; from hush_otel import HushSpanProcessor, Destination\n"
        f"HushSpanProcessor({str(tmp_path / 't.db')!r}, destinations=[Destination('otlp', protocol='grpc')])\n"
        "assert 'grpc' not in sys.modules, 'imported'"
    )
    environment = {**os.environ, "HUSH_BACKGROUND": "external"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)


def test_a_process_forked_from_one_that_used_grpc_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads of gRPC do not survive a fork: the child says so instead of hanging."""
    monkeypatch.setattr(otlp_grpc, "_opened_in", os.getpid() - 1)
    with pytest.raises(PausedError, match="forked"):
        open_grpc("http://127.0.0.1:1")


# What the receiver answers.


@pytest.mark.parametrize(
    "code",
    [
        CODE.CANCELLED,
        CODE.DEADLINE_EXCEEDED,
        CODE.ABORTED,
        CODE.OUT_OF_RANGE,
        CODE.UNAVAILABLE,
        CODE.DATA_LOSS,
    ],
)
def test_retryable_codes(receiver: GrpcReceiver, code: grpc.StatusCode) -> None:
    """These codes ask for another try, and the message says which it was."""
    receiver.respond(code, "later")
    with pytest.raises(RetryableError, match=f"{code.name}: later") as caught:
        open_grpc(receiver.endpoint).send(SPANS)
    assert caught.value.retry_after_s is None
    assert len(receiver.calls) == 1


def test_resource_exhausted_is_retryable_only_with_retry_info(receiver: GrpcReceiver) -> None:
    """With RetryInfo it is a request for a pause; without it the request itself is too much."""
    sender = open_grpc(receiver.endpoint)
    receiver.respond(CODE.RESOURCE_EXHAUSTED, "slow down", retry_info=7.5)
    with pytest.raises(RetryableError, match="slow down") as caught:
        sender.send(SPANS)
    assert caught.value.retry_after_s == 7.5
    receiver.respond(CODE.RESOURCE_EXHAUSTED, "too large")
    with pytest.raises(RefusedError, match="too large"):
        sender.send(SPANS)


@pytest.mark.parametrize(("asked_s", "wish_s"), [(0.0, 0.0), (90, 90.0), (10**9, MAX_RETRY_AFTER_S)])
def test_retry_info_is_handed_on(receiver: GrpcReceiver, asked_s: float, wish_s: float) -> None:
    """RetryInfo with UNAVAILABLE reaches the relay as seconds; an hour is the most."""
    receiver.respond(CODE.UNAVAILABLE, "busy", retry_info=asked_s)
    with pytest.raises(RetryableError) as caught:
        open_grpc(receiver.endpoint).send(SPANS)
    assert caught.value.retry_after_s == wish_s


def test_details_that_are_no_status_are_no_wish(receiver: GrpcReceiver) -> None:
    """Garbage in grpc-status-details-bin is ignored."""

    def answer(call: GrpcCall, context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff"),))
        context.abort(CODE.UNAVAILABLE, "busy")

    receiver.answer = answer
    with pytest.raises(RetryableError) as caught:
        open_grpc(receiver.endpoint).send(SPANS)
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize("code", [CODE.UNAUTHENTICATED, CODE.PERMISSION_DENIED])
def test_unauthorized_pauses(receiver: GrpcReceiver, code: grpc.StatusCode) -> None:
    """These codes need a person."""
    receiver.respond(code, "who are you")
    with pytest.raises(PausedError, match=f"{code.name}: who are you"):
        open_grpc(receiver.endpoint).send(SPANS)


def test_invalid_argument_is_about_the_content(receiver: GrpcReceiver) -> None:
    """INVALID_ARGUMENT lets the relay look for the span that is meant."""
    receiver.respond(CODE.INVALID_ARGUMENT, "no")
    with pytest.raises(RefusedError, match="INVALID_ARGUMENT: no"):
        open_grpc(receiver.endpoint).send(SPANS)


@pytest.mark.parametrize(
    "code",
    [
        CODE.UNKNOWN,
        CODE.NOT_FOUND,
        CODE.ALREADY_EXISTS,
        CODE.FAILED_PRECONDITION,
        CODE.UNIMPLEMENTED,
        CODE.INTERNAL,
    ],
)
def test_every_other_code_is_permanent(receiver: GrpcReceiver, code: grpc.StatusCode) -> None:
    """Whatever else is answered never succeeds."""
    receiver.respond(code, "no\nway")
    with pytest.raises(PermanentError, match=f"{code.name}: no way") as caught:
        open_grpc(receiver.endpoint).send(SPANS)
    assert not isinstance(caught.value, RefusedError)


@pytest.mark.parametrize(
    ("rejected", "message", "outcome"),
    [(1, "too old", Outcome(1, "too old")), (0, "soon", Outcome(0, "soon")), (99, "all", Outcome(2, "all"))],
)
def test_partial_success_is_reported(
    receiver: GrpcReceiver, rejected: int, message: str, outcome: Outcome
) -> None:
    """Rejected spans and the receiver's words come back; 0 with a message is a warning."""
    success = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    answer = ExportTraceServiceResponse(partial_success=success).SerializeToString()
    receiver.answer = lambda call, context: answer
    assert open_grpc(receiver.endpoint).send(SPANS) == outcome


def test_unreadable_answer_is_accepted(receiver: GrpcReceiver) -> None:
    """The status decides: a strange message of an OK is at most a warning."""
    receiver.answer = lambda call, context: b"\xff\xff"
    assert open_grpc(receiver.endpoint).send(SPANS).rejected == 0


def test_s04_errors_never_show_secrets_and_are_short(receiver: GrpcReceiver) -> None:
    """Neither a header that the receiver repeats nor more than 500 characters of its words."""
    receiver.respond(CODE.UNAUTHENTICATED, "bad key s3cr3t-value " + "x" * 5000)
    with pytest.raises(PausedError) as caught:
        open_grpc(receiver.endpoint, headers={"x-key": "Bearer s3cr3t-value"}).send(SPANS)
    assert "s3cr3t-value" not in str(caught.value)
    assert len(str(caught.value)) < MAX_WORDS + 200


def test_a_request_above_the_limit_is_not_sent(receiver: GrpcReceiver) -> None:
    """4 MiB is the limit unless the configuration says another one."""
    with pytest.raises(OversizeError, match=r"a span of 419\d{4} bytes, encoded, above .*4194304"):
        open_grpc(receiver.endpoint).send([make_span("x" * 4_194_304)])
    with pytest.raises(OversizeError, match="2 spans of"):
        open_grpc(receiver.endpoint, max_request_bytes=2000).send([make_span("x" * 1000)] * 2)
    open_grpc(receiver.endpoint).send([make_span("x" * 4_000_000)])
    assert len(receiver.calls) == 1


# What the network does.


def test_receiver_that_is_not_there_is_retryable_and_found_when_it_comes() -> None:
    """The next attempt connects anew, whatever the one before met."""
    with held_port() as port:
        sender = open_grpc(f"http://127.0.0.1:{port}")
        for _ in range(3):
            with pytest.raises(RetryableError, match=r"UNAVAILABLE.*refused"):
                sender.send(SPANS)
        server = grpc.server(__import__("concurrent.futures").futures.ThreadPoolExecutor(1))
        served = grpc.unary_unary_rpc_method_handler(lambda body, context: b"")
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(otlp_grpc.METHOD.split("/")[1], {"Export": served}),)
        )
        assert server.add_insecure_port(f"127.0.0.1:{port}") == port
        server.start()
        try:
            assert sender.send(SPANS) == Outcome()
        finally:
            sender.close()
            server.stop(None).wait(10)


def test_hanging_receiver_is_bounded(receiver: GrpcReceiver) -> None:
    """A call that is never answered ends near timeout_s."""
    release = threading.Event()
    receiver.answer = lambda call, context: release.wait(30) and None
    started_s = time.monotonic()
    with pytest.raises(RetryableError, match="DEADLINE_EXCEEDED"):
        open_grpc(receiver.endpoint, timeout_s=0.5).send(SPANS)
    release.set()
    assert time.monotonic() - started_s < 5.0


def test_name_that_does_not_resolve_pauses() -> None:
    """An unknown host name needs a person."""
    with pytest.raises(PausedError, match="DNS"):
        open_grpc("http://collector.invalid:4317", timeout_s=60).send(SPANS)  # a resolver may be slow


def test_close_closes_the_channel_and_is_idempotent(receiver: GrpcReceiver) -> None:
    """A closed sender has no channel; closing twice is as good as once."""
    sender = open_grpc(receiver.endpoint)
    sender.send(SPANS)
    channel = sender._sender._channel
    sender.close()
    sender.close()
    with pytest.raises(ValueError, match="closed channel"):
        channel.unary_unary("/x/y")(b"")


# TLS.


@pytest.mark.parametrize("form", ["https://127.0.0.1:{}", "127.0.0.1:{}"])
def test_s12_configured_certificate_authority_verifies(certificate: Certificate, form: str) -> None:
    """Scheme https and no scheme are TLS; with its CA in `certificate` the receiver is trusted."""
    with GrpcReceiver(server_credentials(*certificate)) as receiver:
        open_grpc(form.format(receiver.port), certificate=str(certificate[0])).send(SPANS)
        assert len(receiver.calls) == 1


def test_s12_unknown_certificate_authority_pauses(certificate: Certificate) -> None:
    """A certificate that does not verify needs a person."""
    with GrpcReceiver(server_credentials(*certificate)) as receiver:
        with pytest.raises(PausedError, match=r"CERTIFICATE_VERIFY_FAILED.*TLS"):
            open_grpc(f"https://127.0.0.1:{receiver.port}").send(SPANS)
        assert receiver.calls == []


def test_client_certificate_is_shown(certificate: Certificate) -> None:
    """A receiver that asks for a certificate gets the configured one."""
    own, key = map(str, certificate)
    with GrpcReceiver(server_credentials(*certificate, clients=certificate[0])) as receiver:
        options = {"certificate": own, "client_certificate": own, "client_key": key}
        open_grpc(f"https://127.0.0.1:{receiver.port}", **options).send(SPANS)
        assert len(receiver.calls) == 1


def test_missing_certificate_file_pauses(tmp_path: Path) -> None:
    """A certificate that is not there can be put there."""
    with pytest.raises(PausedError, match=r"certificate: '.*ca\.pem'"):
        open_grpc("https://h", certificate=str(tmp_path / "ca.pem"))


def test_https_to_a_plain_port_pauses(receiver: GrpcReceiver) -> None:
    """TLS towards a port that speaks none is a mistake in the configuration."""
    with pytest.raises(PausedError, match="TLS"):
        open_grpc(f"https://127.0.0.1:{receiver.port}").send(SPANS)
