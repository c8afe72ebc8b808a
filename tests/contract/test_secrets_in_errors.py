"""S4: receivers that repeat what they were sent, options that refer to the wrong thing: no error shows a secret."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_receiver import GrpcReceiver
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from relaying import Yard
from support import refused
from test_otlp_http import make_span

from hush_otel import Destination
from hush_otel.background.settling import MAX_MESSAGE_CHARS
from hush_otel.destinations.otlp_answers import MAX_WORDS
from hush_otel.destinations.otlp_encode import encode
from hush_otel.destinations.registry import open_sender
from hush_otel.errors import DeliveryError, HushError, PausedError, RetryableError
from hush_otel.model import DestinationConfig, Outcome
from hush_otel.testing import OtlpReceiver

CANARY = "canary-5b1f0c"
NAME = "HUSH_TEST_CANARY"
TEXT = {"Content-Type": "text/plain"}
SPANS = [make_span()]


def attempt(kind: str, **config: Any) -> tuple[Outcome | None, str]:
    """Open and send once: the outcome, and everything that the error says."""
    sender = None
    try:
        sender = open_sender(DestinationConfig("lab", kind, config))
        return sender.send(SPANS), ""  # type: ignore[union-attr]
    except HushError as exc:
        return None, f"{exc}|{exc!r}|{exc.hint}"
    finally:
        if sender is not None:
            sender.close()


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """Over HTTP."""
    with OtlpReceiver() as running:
        yield running


@pytest.fixture
def grpc_receiver() -> Iterator[GrpcReceiver]:
    """Over gRPC."""
    with GrpcReceiver() as running:
        yield running


@pytest.fixture(autouse=True)
def a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """By reference."""
    monkeypatch.setenv(NAME, CANARY)


@contextmanager
def one_answer(answer: bytes) -> Iterator[str]:
    """The endpoint of a server that says this to whatever it is asked, once, and hangs up."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            length = 0
            while (line := stream.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            stream.read(length)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve)
        server.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.join()


@pytest.mark.parametrize(
    ("at", "config"),
    [
        ("://", {"headers": {"x-key": CANARY}}),
        ("://", {"headers": {"authorization": f"Bearer ${{{NAME}}}"}}),
        (f"://joe:{CANARY}@", {}),
        (f"://${{{NAME}}}:x@", {}),
        (f"?api_key={CANARY}", {}),
        (f"/${{{NAME}}}", {}),
    ],
    ids=["header", "reference", "user part", "user part, reference", "query", "path, reference"],
)
@pytest.mark.parametrize("before", [0, MAX_WORDS - 16], ids=["whole", "cut"])
@pytest.mark.parametrize("kind", ["otlp", "phoenix"])
def test_s04_a_receiver_that_repeats_a_secret(
    at: str, config: dict[str, Any], before: int, kind: str, receiver: OtlpReceiver
) -> None:
    """In a 401, whole or where its words are cut."""
    receiver.respond(401, TEXT, f"{'.' * before} {CANARY} {'.' * MAX_WORDS}".encode())
    endpoint = receiver.endpoint.replace("://", at) if at.startswith("://") else receiver.endpoint + at
    _, said = attempt(kind, endpoint=endpoint, **config)
    assert "401" in said
    assert CANARY[:7] not in said


def test_s04_a_receiver_that_repeats_a_secret_while_it_accepts(receiver: OtlpReceiver) -> None:
    """The words of a partial success are kept, too."""
    words = ExportTracePartialSuccess(rejected_spans=1, error_message=f"quota of {CANARY}")
    receiver.respond(200, {}, ExportTraceServiceResponse(partial_success=words).SerializeToString())
    outcome, _ = attempt("otlp", endpoint=receiver.endpoint, headers={"x-key": CANARY})
    assert outcome == Outcome(1, "quota of ***")


def test_s04_a_grpc_receiver_that_repeats_a_secret(grpc_receiver: GrpcReceiver) -> None:
    """In its status, where its words are cut; and in a partial success."""
    headers = {"x-key": CANARY}
    grpc_receiver.respond(grpc.StatusCode.UNAUTHENTICATED, f"{'.' * (MAX_WORDS - 16)} {CANARY} {'.' * 500}")
    _, said = attempt("otlp", endpoint=grpc_receiver.endpoint, protocol="grpc", headers=headers)
    assert "UNAUTHENTICATED" in said
    assert CANARY[:7] not in said


def test_s04_grpc_does_not_print_the_metadata_that_it_refuses(grpc_receiver: GrpcReceiver) -> None:
    """Its own error would show names and values."""
    headers = {"x-key": f"Bearer\t{CANARY}"}
    _, said = attempt("otlp", endpoint=grpc_receiver.endpoint, protocol="grpc", headers=headers)
    assert "headers: grpc cannot carry x-key" in said
    assert CANARY not in said


@pytest.mark.parametrize(
    "option",
    [
        "endpoint",
        "timeout_s",
        "compression",
        "protocol",
        "certificate",
        "verify",
        "max_request_bytes",
        "dialect",
    ],
)
@pytest.mark.parametrize("kind", ["otlp", "langfuse", "phoenix"])
def test_s04_a_reference_in_the_wrong_place(option: str, kind: str) -> None:
    """The error tells which option it is, not what the variable holds."""
    keys = {"public_key": "p", "secret_key": "s"} if kind == "langfuse" else {}
    config = {"endpoint": "https://127.0.0.1:1", option: f"${{{NAME}}}"} | keys
    outcome, said = attempt(kind, **config)
    assert outcome is None
    assert option in said
    assert CANARY not in said


def test_s04_a_bug_of_ours_shows_no_secret(
    tmp_path: Path, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is raised, and the traceback that is logged of it."""

    def broken(spans: object) -> bytes:
        encode(spans)  # type: ignore[arg-type]
        raise ZeroDivisionError(f"while {CANARY} was at hand")

    monkeypatch.setattr("hush_otel.destinations.otlp_http.encode", broken)
    with caplog.at_level(logging.INFO), Yard(tmp_path / "t.db") as yard:
        lab = Destination("otlp", name="lab", endpoint=receiver.endpoint, headers={"x-key": CANARY})
        yard.take(["s"], lab)
        yard.deliver()
        assert yard.states() == {"dead": 1}
        assert yard.destination()["last_error"] == "cannot be sent: ZeroDivisionError: while *** was at hand"
    assert "Traceback" in caplog.text
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    "said",
    [
        "Authorization: Bearer {}\r\n\r\n",
        "HTTP/1.1 {} OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\n",
        "HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\n",
        "\x1b[31m" + "x" * 60_000 + "{}\r\n\r\n",
        "x" * (MAX_WORDS - 16) + "{}" + "x" * MAX_WORDS + "\r\n\r\n",
    ],
    ids=["status line", "status", "chunk size", "chunk size of a refusal", "long line", "cut"],
)
def test_s04_a_receiver_that_repeats_a_secret_where_http_has_no_words(said: str) -> None:
    """What breaks the protocol is named as a receiver's words are: short, printable, without secrets."""
    with one_answer(said.format(CANARY).encode()) as endpoint:
        outcome, shown = attempt("otlp", endpoint=endpoint, headers={"authorization": f"Bearer {CANARY}"})
    assert outcome is None
    assert CANARY[:7] not in shown
    assert "\x1b" not in shown
    assert len(shown) < 4 * MAX_WORDS


@pytest.mark.parametrize("kind", [RetryableError, PausedError])
def test_s04_what_is_kept_of_an_error_is_bounded_and_printable(
    tmp_path: Path, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch, kind: type[DeliveryError]
) -> None:
    """Whoever raised it, and however it came by its words; what to do about it stays."""

    def broken(spans: object) -> bytes:
        raise kind("\x1b]0;title\x07" + "x" * 100_000, hint="call the owner")

    monkeypatch.setattr("hush_otel.destinations.otlp_http.encode", broken)
    with Yard(tmp_path / "t.db") as yard:
        yard.take(["s"], Destination("otlp", name="lab", endpoint=receiver.endpoint))
        yard.deliver()
        kept = str(yard.destination()["last_error"])
    assert len(kept) < MAX_MESSAGE_CHARS + 100
    assert kept.isprintable()
    assert kept.endswith("… (call the owner)")


def test_s04_errors_of_the_network_show_no_secret() -> None:
    """Nobody listens, the name is unknown, TLS where there is none."""
    with refused() as nobody:
        for endpoint in (nobody, "http://name.invalid:4318", nobody.replace("http://", "https://")):
            for at in (f"://joe:{CANARY}@", f"://${{{NAME}}}:x@"):
                _, said = attempt(
                    "otlp", endpoint=f"{endpoint.replace('://', at)}/?token={CANARY}", timeout_s=2
                )
                assert "***@" in said or NAME in said
                assert CANARY not in said


def test_s04_only_delivery_errors_come_out(receiver: OtlpReceiver) -> None:
    """A literal that no URL can hold is an error with the option's name."""
    for user in ("joe:pa/ss-canary@", "joe:pa#ss-canary@", "joe:pa?ss-canary@"):
        with pytest.raises(DeliveryError) as caught:
            open_sender(DestinationConfig("lab", "otlp", {"endpoint": f"http://{user}127.0.0.1:1"}))
        assert "canary" not in str(caught.value)
        assert "endpoint" in str(caught.value)
