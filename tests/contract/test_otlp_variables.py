"""OpenTelemetry's standard variables, each in all its forms, as the receiver sees them.

Sources: OpenTelemetry specification, protocol/exporter.md, "Configuration Options"; configuration/
sdk-environment-variables.md, "Parsing empty value".
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Protocol

import pytest
from certificates import Certificate
from receivers import GRPC, HTTP, PROTOCOLS, Receiver, receiving
from test_otlp_grpc import bytes_through_a_proxy
from test_otlp_http import SPANS, open_to

from hush_otel.errors import PausedError, PermanentError, RetryableError
from hush_otel.model import Outcome

GENERIC = "OTEL_EXPORTER_OTLP_"
TRACES = "OTEL_EXPORTER_OTLP_TRACES_"
NOWHERE = "http://127.0.0.1:1"


class Say(Protocol):
    """Set a variable to what must be heard, in one of its forms; `wrong` is what must not be."""

    def __call__(self, name: str, right: object, wrong: object) -> None:
        """The variable is called by the end of its name."""


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Either protocol, chosen by its variable."""
    monkeypatch.setenv(GENERIC + "PROTOCOL", request.param)
    return str(request.param)


@pytest.fixture
def receiver(protocol: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver of that protocol, found by its variable."""
    with receiving(protocol) as running:
        monkeypatch.setenv(GENERIC + "ENDPOINT", running.endpoint)
        yield running


@pytest.fixture(params=["generic", "traces", "traces beside generic", "generic beside empty traces"])
def say(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Every form in which a variable may come."""

    def set_variables(name: str, right: object, wrong: object) -> None:
        generic, traces = {
            "generic": (right, None),
            "traces": (None, right),
            "traces beside generic": (wrong, right),
            "generic beside empty traces": (right, ""),
        }[request.param]
        for variable, value in ((GENERIC + name, generic), (TRACES + name, traces)):
            monkeypatch.delenv(variable, raising=False)
            if value is not None:
                monkeypatch.setenv(variable, str(value))

    return set_variables


# Each variable in each form, over each protocol.


def test_otlp10_endpoint(receiver: Receiver, say: Say) -> None:
    """The receiver is found where the variable says."""
    say("ENDPOINT", receiver.endpoint, NOWHERE)
    assert open_to(None).send(SPANS) == Outcome()
    assert len(receiver.bodies()) == 1


def test_otlp10_headers(receiver: Receiver, say: Say) -> None:
    """Headers arrive decoded, and those of the other form do not join them."""
    say("HEADERS", "X-Key=a%20b%3D,x-second = 2=3", "x-other=1")
    open_to(None).send(SPANS)
    (headers,) = receiver.headers()
    assert (headers["x-key"], headers["x-second"]) == ("a b=", "2=3")
    assert "x-other" not in headers


def test_otlp10_timeout(receiver: Receiver, say: Say) -> None:
    """An attempt ends after so many seconds, as the Python SDK reads the number."""
    release = threading.Event()
    receiver.hang(release)
    say("TIMEOUT", "0.3", "600")
    with pytest.raises(RetryableError, match=r"within 0.3 s|timed out|DEADLINE_EXCEEDED"):
        open_to(None).send(SPANS)
    release.set()


def test_otlp10_certificate(
    protocol: str,
    say: Say,
    certificate: Certificate,
    other_certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The receiver is trusted because of the file that the variable names."""
    with receiving(protocol, certificate) as receiver:
        monkeypatch.setenv(GENERIC + "ENDPOINT", receiver.endpoint)
        say("CERTIFICATE", certificate.path, other_certificate.path)
        assert open_to(None).send(SPANS) == Outcome()


def test_otlp10_client_certificate_and_key(
    protocol: str,
    say: Say,
    certificate: Certificate,
    other_certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A receiver that asks for a certificate gets the one that the variables name."""
    with receiving(protocol, certificate, clients=other_certificate) as receiver:
        monkeypatch.setenv(GENERIC + "ENDPOINT", receiver.endpoint)
        monkeypatch.setenv(GENERIC + "CERTIFICATE", str(certificate.path))
        say("CLIENT_CERTIFICATE", other_certificate.path, certificate.path)
        say("CLIENT_KEY", other_certificate.key, certificate.key)
        assert open_to(None).send(SPANS) == Outcome()


def test_otlp10_client_certificate_is_needed_where_it_is_asked_for(
    protocol: str,
    certificate: Certificate,
    other_certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the variables that receiver is not reached: the test above shows something."""
    with receiving(protocol, certificate, clients=other_certificate) as receiver:
        monkeypatch.setenv(GENERIC + "ENDPOINT", receiver.endpoint)
        monkeypatch.setenv(GENERIC + "CERTIFICATE", str(certificate.path))
        with pytest.raises((PausedError, RetryableError)):
            open_to(None).send(SPANS)
        assert receiver.bodies() == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_otlp10_protocol(protocol: str, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable chooses between HTTP and gRPC."""
    with receiving(protocol) as receiver:
        monkeypatch.setenv(GENERIC + "ENDPOINT", receiver.endpoint)
        say("PROTOCOL", protocol, HTTP if protocol == GRPC else GRPC)
        open_to(None).send(SPANS)
        assert len(receiver.bodies()) == 1


def test_otlp10_compression_over_http(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    """`none` leaves out what is on by default."""
    with receiving(HTTP) as receiver:
        monkeypatch.setenv(GENERIC + "ENDPOINT", receiver.endpoint)
        say("COMPRESSION", "none", "gzip")
        open_to(None).send(SPANS)
        assert "content-encoding" not in receiver.headers()[0]


def test_otlp10_compression_over_grpc(say: Say) -> None:
    """The same, seen by the bytes on the wire."""
    with receiving(GRPC) as receiver:
        say("COMPRESSION", "none", "gzip")
        port = int(receiver.endpoint.rpartition(":")[2])
        assert bytes_through_a_proxy(port, None) > 100_000


def test_otlp10_insecure(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint without a scheme is spoken to in the clear when the variable says so."""
    with receiving(GRPC) as receiver:
        monkeypatch.setenv(GENERIC + "PROTOCOL", GRPC)
        monkeypatch.setenv(GENERIC + "ENDPOINT", receiver.endpoint.removeprefix("http://"))
        say("INSECURE", "true", "false")
        assert open_to(None).send(SPANS) == Outcome()


# How a value is read.


@pytest.mark.parametrize(("name", "empty"), [("HEADERS", ""), ("COMPRESSION", ""), ("TIMEOUT", "")])
def test_otlp10_an_empty_variable_is_an_unset_one(
    receiver: Receiver, name: str, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is said by a variable without a value."""
    monkeypatch.setenv(GENERIC + name, empty)
    monkeypatch.setenv(TRACES + name, empty)
    assert open_to(None).send(SPANS) == Outcome()


@pytest.mark.parametrize(("name", "value"), [("PROTOCOL", "HTTP/Protobuf"), ("COMPRESSION", " GZIP ")])
def test_otlp10_words_are_read_in_any_case(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the SDK reads them: a word that works there works here."""
    with receiving(HTTP) as receiver:
        monkeypatch.setenv(GENERIC + "ENDPOINT", receiver.endpoint)
        monkeypatch.setenv(GENERIC + name, value)
        open_to(None).send(SPANS)
        assert receiver.headers()[0]["content-encoding"] == "gzip"


def test_otlp10_insecure_is_no_business_of_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP the scheme says it, and a variable that is about gRPC is in nobody's way."""
    with receiving(HTTP) as receiver:
        monkeypatch.setenv(GENERIC + "ENDPOINT", receiver.endpoint)
        monkeypatch.setenv(GENERIC + "INSECURE", "false")
        assert open_to(None).send(SPANS) == Outcome()


@pytest.mark.parametrize("prefix", [GENERIC, TRACES])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROTOCOL", "http/json"),
        ("TIMEOUT", "soon"),
        ("TIMEOUT", "0"),
        ("COMPRESSION", "zstd"),
        ("ENDPOINT", "ftp://h"),
        ("HEADERS", "novalue"),
        ("INSECURE", "perhaps"),
    ],
)
def test_otlp10_a_value_that_cannot_work_is_named(
    prefix: str, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the SDK would warn and go on with a default, the delivery says which variable is wrong."""
    if name == "INSECURE":
        monkeypatch.setenv(GENERIC + "PROTOCOL", GRPC)
    monkeypatch.setenv(prefix + name, value)
    with pytest.raises(PermanentError, match=prefix + name):
        open_to(None)


def test_otlp10_a_certificate_file_that_is_missing_is_named(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be put there: paused, with the variable's name."""
    monkeypatch.setenv(GENERIC + "ENDPOINT", "https://127.0.0.1:1")
    monkeypatch.setenv(TRACES + "CERTIFICATE", "/nowhere/ca.pem")
    with pytest.raises(PausedError, match=TRACES + "CERTIFICATE"):
        open_to(None)
