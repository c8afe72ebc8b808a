"""The configuration of an OTLP destination, HTTP or gRPC: from code, else from OTel's standard variables.

Sources: OpenTelemetry specification, protocol/exporter.md; for the timeout's unit the Python SDK, which
reads seconds where the specification says milliseconds. A wrong value is an error that names its key or
variable, where the SDK would warn and go on with a default.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, cast
from urllib.parse import unquote

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from hush_otel import secrets
from hush_otel.errors import PausedError
from hush_otel.model import AttributeValue, DestinationConfig
from hush_otel.options import (
    DEFAULT_ENDPOINT,
    DEFAULT_GRPC_ENDPOINT,
    GRPC_REQUEST_BYTES,
    HTTP_REQUEST_BYTES,
    Setting,
    check_grpc_verify,
    check_keys,
    check_protocol,
    check_verify,
    checked_headers,
    grpc_target,
    gzip,
    header_map,
    insecure,
    max_in_flight,
    max_request_bytes,
    no_url,
    pem_path,
    refuse,
    refuse_insecure,
    timeout_s,
)

TRACES_PATH: Final = "/v1/traces"

_VARIABLES: Final = {
    # key: the end of OTEL_EXPORTER_OTLP_TRACES_… and OTEL_EXPORTER_OTLP_…
    "endpoint": "ENDPOINT",
    "headers": "HEADERS",
    "timeout_s": "TIMEOUT",
    "compression": "COMPRESSION",
    "protocol": "PROTOCOL",
    "certificate": "CERTIFICATE",
    "client_certificate": "CLIENT_CERTIFICATE",
    "client_key": "CLIENT_KEY",
    "insecure": "INSECURE",
}
_WORDS: Final = frozenset({"compression", "protocol"})
"""Variables whose value is one of a few words, in any case, as the SDK reads them."""
_GENERIC: Final = "OTEL_EXPORTER_OTLP_"
_TRACES: Final = "OTEL_EXPORTER_OTLP_TRACES_"


Basic: TypeAlias = tuple[AttributeValue, AttributeValue]


@dataclass(frozen=True, kw_only=True)
class OtlpOptions:
    """A checked configuration, as far as it is the same for both protocols.

    Attributes:
        label: The endpoint as error messages may show it.
        fixed_headers: As they are sent, by lowercase name.
        headers: From the configuration, references kept: `request_headers` puts the secrets in.
        basic: User and password, references kept, unless `headers` say who it is.
        endpoint_secrets: What the endpoint holds of them.
        timeout_s: Bound of one attempt.
        gzip: Compress requests.
        max_request_bytes: Above it no request is sent; before compression.
        max_in_flight: Requests side by side.
    """

    label: str
    fixed_headers: Mapping[str, str]
    headers: Mapping[str, AttributeValue]
    timeout_s: float
    gzip: bool
    max_request_bytes: int
    max_in_flight: int
    basic: Basic | None
    endpoint_secrets: Sequence[str]

    def secret_values(self, headers: Mapping[str, str]) -> list[str]:
        """What a receiver may repeat and nobody shall see, `headers` being those of the request."""
        return [*headers.values(), *self.endpoint_secrets]

    def request_headers(self) -> dict[str, str]:
        """The headers of one request, by lowercase name, with secrets as they are now.

        Raises:
            PausedError: A secret is missing.
            PermanentError: A header cannot be sent.
        """
        resolved = cast("Mapping[str, AttributeValue]", secrets.resolve(self.headers))
        return {**self.fixed_headers, **self._authorization(), **checked_headers(("headers", resolved))}

    def _authorization(self) -> dict[str, str]:
        if self.basic is None:
            return {}
        return {"authorization": _basic(":".join(str(secrets.resolve(part)) for part in self.basic))}


@dataclass(frozen=True, kw_only=True)
class HttpOptions(OtlpOptions):
    """For OTLP over HTTP.

    Attributes:
        url: Where to post, without a user part.
        tls: For https; None for http.
    """

    url: str
    tls: ssl.SSLContext | None


@dataclass(frozen=True, kw_only=True)
class PemFiles:
    """The contents of certificate files; None where nothing was configured."""

    authorities: bytes | None
    client_certificate: bytes | None
    client_key: bytes | None


@dataclass(frozen=True, kw_only=True)
class GrpcOptions(OtlpOptions):
    """For OTLP over gRPC.

    Attributes:
        target: As gRPC's client takes it.
        tls: None for a channel without TLS.
    """

    target: str
    tls: PemFiles | None


def asks_for_grpc(config: DestinationConfig, environment: Mapping[str, str]) -> bool:
    """Which protocol a configuration means. Raises PermanentError for one that is unknown.

    A variable is about the variables' endpoint; `opentelemetry-instrument` makes it grpc for all.
    """
    if "endpoint" in config.config and "protocol" not in config.config:
        return False
    return check_protocol(_Source(config.config, environment).find("protocol"))


def read_options(
    config: DestinationConfig,
    environment: Mapping[str, str],
    basic: Basic | None = None,
    written: str | None = None,
) -> HttpOptions:
    """Check a configuration for HTTP; keys that it lacks come from `environment`.

    Args:
        config: Of an OTLP type, secrets by reference.
        environment: OTel's standard variables, or nothing for types that do not read them.
        basic: User and password where the vendor takes them, references kept.
        written: The endpoint with its references, where the configuration has it without.

    Raises:
        PermanentError: A key is unknown or a value cannot work; the message names it.
        PausedError: A secret or a certificate file is missing.
    """
    check_keys("otlp", config.config)
    source = _Source(config.config, environment)
    refuse_insecure(("insecure", config.config.get("insecure")))
    url, user = _endpoint(source.find("endpoint"))
    options = HttpOptions(
        url=url.url,
        tls=_tls(source) if url.scheme == "https" else None,
        label=secrets.mask_url(written) if written else _label(source, DEFAULT_ENDPOINT),
        fixed_headers={**user, **_from_environment(source, config)},
        headers=header_map(("headers", config.config.get("headers", {}))),
        timeout_s=timeout_s(source.find("timeout_s")),
        gzip=gzip(source.find("compression")),
        max_request_bytes=max_request_bytes(source.find("max_request_bytes"), HTTP_REQUEST_BYTES),
        max_in_flight=max_in_flight(source.find("max_in_flight")),
        basic=basic,
        endpoint_secrets=_endpoint_secrets(source, written),
    )
    options.request_headers()
    return options


def read_grpc_options(
    config: DestinationConfig, environment: Mapping[str, str], basic: Basic | None = None
) -> GrpcOptions:
    """Check a configuration for gRPC; otherwise as `read_options`."""
    check_keys("otlp", config.config)
    source = _Source(config.config, environment)
    check_grpc_verify(source.find("verify"))
    label = _label(source, DEFAULT_GRPC_ENDPOINT)
    plain = insecure(source.find("insecure"))
    target = grpc_target(source.find("endpoint"), label)
    user = {} if target.user is None else {"authorization": _basic(unquote(target.user))}
    secure = not plain if target.secure is None else target.secure
    options = GrpcOptions(
        target=target.target,
        tls=_pem_files(source) if secure else None,
        label=label,
        fixed_headers={**user, **_from_environment(source, config)},
        headers=header_map(("headers", config.config.get("headers", {}))),
        timeout_s=timeout_s(source.find("timeout_s")),
        gzip=gzip(source.find("compression")),
        max_request_bytes=max_request_bytes(source.find("max_request_bytes"), GRPC_REQUEST_BYTES),
        max_in_flight=max_in_flight(source.find("max_in_flight")),
        basic=basic,
        endpoint_secrets=_endpoint_secrets(source),
    )
    options.request_headers()
    return options


def _label(source: _Source, default: str) -> str:
    return secrets.mask_url(str(source.raw("endpoint") or default))


def _endpoint_secrets(source: _Source, written: str | None = None) -> list[str]:
    """What references in it stand for, and what it holds literally."""
    references = written or source.raw("endpoint")
    return secrets.values_of(references) + secrets.values_of(source.find("endpoint")[1])


class _Source:
    """One key from the configuration, else from the TRACES variable, else from the generic one."""

    def __init__(self, config: Mapping[str, AttributeValue], environment: Mapping[str, str]) -> None:
        self._config = config
        self._environment = environment

    def raw(self, key: str) -> AttributeValue:
        return self._find(key)[1]

    def find(self, key: str) -> Setting:
        """With references resolved; what a variable says is taken literally."""
        name, value = self._find(key)
        return name, secrets.resolve(value) if name == key else value

    def _find(self, key: str) -> Setting:
        if key in self._config:
            return key, self._config[key]
        for prefix in (_TRACES, _GENERIC):
            name = prefix + _VARIABLES.get(key, "")
            if name in self._environment:
                value = self._environment[name].strip()
                return name, value.lower() if key in _WORDS else value
        return key, None


def _endpoint(setting: Setting) -> tuple[Url, dict[str, str]]:
    """The URL without its user part, and the Authorization header that the user part stands for."""
    name, value = setting
    shown = secrets.mask_url(str(value))
    try:
        url = parse_url(str(value or DEFAULT_ENDPOINT))
    except LocationParseError:
        no_url(setting, shown)
    if url.scheme not in {"http", "https"} or not url.host:
        no_url(setting, shown)
    user = {} if url.auth is None else {"authorization": _basic(unquote(url.auth))}
    return url._replace(auth=None, fragment=None, path=_path(name, url.path or "")), user


def _path(name: str, path: str) -> str:
    if name == _GENERIC + "ENDPOINT":
        return path.rstrip("/") + TRACES_PATH
    if name == _TRACES + "ENDPOINT":
        return path or "/"
    return TRACES_PATH if path in {"", "/"} else path


def _basic(user: str) -> str:
    return "Basic " + base64.b64encode(user.encode()).decode()


# Headers.


def _from_environment(source: _Source, config: DestinationConfig) -> dict[str, str]:
    """The variables' headers, for a destination that has none of its own."""
    return {} if "headers" in config.config else _environment_headers(source.find("headers"))


def _environment_headers(setting: Setting) -> dict[str, str]:
    """``k=v,k2=v2``, percent-encoded (specification, "Specifying headers via environment variables")."""
    headers = {}
    for item in str(setting[1] or "").split(","):
        name, equals, value = item.partition("=")
        if equals:
            headers[unquote(name).strip()] = unquote(value).strip()
        elif item.strip():
            refuse(setting, "an item has no '='", "name=value,name2=value2")
    return checked_headers((setting[0], headers))


# TLS.


def _tls(source: _Source) -> ssl.SSLContext:
    verify, certificate = source.find("verify"), source.find("certificate")
    check_verify(verify)
    try:
        context = ssl.create_default_context(cafile=pem_path(certificate))
    except OSError as exc:
        raise _unusable(certificate, exc) from exc
    if verify[1] is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _load_client_certificate(context, source.find("client_certificate"), source.find("client_key"))
    return context


def _pem_files(source: _Source) -> PemFiles:
    """What gRPC's client takes: bytes. Python's TLS looks at them first, whose errors name the file."""
    _tls(source)
    authorities = pem_path(source.find("certificate")) or ssl.get_default_verify_paths().cafile
    files = [authorities, *(pem_path(source.find(key)) for key in ("client_certificate", "client_key"))]
    contents = [None if path is None else Path(path).read_bytes() for path in files]
    # One file may hold both: the key is looked for where Python's TLS looks.
    return PemFiles(
        authorities=contents[0], client_certificate=contents[1], client_key=contents[2] or contents[1]
    )


def _load_client_certificate(context: ssl.SSLContext, certificate: Setting, key: Setting) -> None:
    if certificate[1] is None:
        if key[1] is not None:
            refuse(key, "needs client_certificate beside it")
        return
    try:
        # An empty password: an encrypted key is an error here, not a question on some terminal.
        context.load_cert_chain(cast("str", pem_path(certificate)), pem_path(key), password="")
    except OSError as exc:
        raise _unusable(certificate, exc) from exc


def _unusable(setting: Setting, error: OSError) -> PausedError:
    return PausedError(
        f"{setting[0]}: {setting[1]!r} cannot be used: {error}", hint="a PEM file is needed there"
    )
