"""The configuration of an OTLP destination: from code, else from OTel's standard variables.

Sources: OpenTelemetry specification, protocol/exporter.md; for the timeout's unit the Python SDK, which
reads seconds where the specification says milliseconds. A wrong value is an error that names its key or
variable, where the SDK would warn and go on with a default.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import unquote

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from hush_otel import secrets
from hush_otel.errors import PausedError
from hush_otel.model import AttributeValue, DestinationConfig
from hush_otel.options import (
    DEFAULT_ENDPOINT,
    Setting,
    check_keys,
    check_protocol,
    check_verify,
    checked_headers,
    gzip,
    header_map,
    no_url,
    pem_path,
    refuse,
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
}
_GENERIC: Final = "OTEL_EXPORTER_OTLP_"
_TRACES: Final = "OTEL_EXPORTER_OTLP_TRACES_"


@dataclass(frozen=True, kw_only=True)
class OtlpOptions:
    """A checked configuration.

    Attributes:
        url: Where to post, without a user part.
        label: The endpoint as error messages may show it.
        fixed_headers: As they are sent, by lowercase name.
        headers: From the configuration, references kept: `request_headers` puts the secrets in.
        timeout_s: Bound of one attempt.
        gzip: Compress requests.
        tls: For https; None for http.
    """

    url: str
    label: str
    fixed_headers: Mapping[str, str]
    headers: Mapping[str, AttributeValue]
    timeout_s: float
    gzip: bool
    tls: ssl.SSLContext | None

    def request_headers(self) -> dict[str, str]:
        """The headers of one request, by lowercase name, with secrets as they are now.

        Raises:
            PausedError: A secret is missing.
            PermanentError: A header cannot be sent.
        """
        resolved = cast("Mapping[str, AttributeValue]", secrets.resolve(self.headers))
        return {**self.fixed_headers, **checked_headers(("headers", resolved))}


def read_options(config: DestinationConfig, environment: Mapping[str, str]) -> OtlpOptions:
    """Check a configuration; keys that it lacks come from `environment`.

    Args:
        config: Of an OTLP type, secrets by reference.
        environment: OTel's standard variables, or nothing for types that do not read them.

    Raises:
        PermanentError: A key is unknown or a value cannot work; the message names it.
        PausedError: A secret or a certificate file is missing.
    """
    check_keys("otlp", config.config)
    source = _Source(config.config, environment)
    if "endpoint" not in config.config or "protocol" in config.config:
        # The variable is about the variables' endpoint; `opentelemetry-instrument` makes it grpc for all.
        check_protocol(source.find("protocol"))
    raw_headers = config.config.get("headers", {})
    from_environment = {} if "headers" in config.config else _environment_headers(source.find("headers"))
    url, user = _endpoint(source.find("endpoint"))
    options = OtlpOptions(
        url=url.url,
        label=secrets.mask_url(str(source.raw("endpoint") or DEFAULT_ENDPOINT)),
        fixed_headers={**user, **from_environment},
        headers=header_map(("headers", raw_headers)),
        timeout_s=timeout_s(source.find("timeout_s")),
        gzip=gzip(source.find("compression")),
        tls=_tls(source) if url.scheme == "https" else None,
    )
    options.request_headers()
    return options


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
                return name, self._environment[name]
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
