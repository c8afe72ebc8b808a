"""The configuration of an OTLP destination: from code, else from OTel's standard variables.

Sources: OpenTelemetry specification, protocol/exporter.md; for the timeout's unit the Python SDK, which
reads seconds where the specification says milliseconds. A wrong value is an error that names its key or
variable, where the SDK would warn and go on with a default.
"""

from __future__ import annotations

import base64
import math
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias, cast
from urllib.parse import unquote

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from hush_otel import secrets
from hush_otel.errors import PausedError, PermanentError
from hush_otel.model import AttributeValue, DestinationConfig

DEFAULT_ENDPOINT: Final = "http://localhost:4318"
TRACES_PATH: Final = "/v1/traces"
DEFAULT_TIMEOUT_S: Final = 10.0

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
_KEYS: Final = frozenset({*_VARIABLES, "verify"})
_GENERIC: Final = "OTEL_EXPORTER_OTLP_"
_TRACES: Final = "OTEL_EXPORTER_OTLP_TRACES_"

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110, section 5.6.2: token."""
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""RFC 9110, section 5.5: no line breaks, no other control characters."""
_OURS: Final = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding", "host"})
"""Headers that describe the message itself; another value would make it unreadable."""

Setting: TypeAlias = tuple[str, AttributeValue]
"""A key or variable as error messages call it, and its value."""


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
        return {**self.fixed_headers, **_checked_headers(("headers", resolved))}


def read_options(config: DestinationConfig, environment: Mapping[str, str]) -> OtlpOptions:
    """Check a configuration; keys that it lacks come from `environment`.

    Args:
        config: Of an OTLP type, secrets by reference.
        environment: OTel's standard variables, or nothing for types that do not read them.

    Raises:
        PermanentError: A key is unknown or a value cannot work; the message names it.
        PausedError: A secret or a certificate file is missing.
    """
    unknown = sorted(set(config.config) - _KEYS)
    if unknown:
        _refuse(
            (unknown[0], None), "is no option of an OTLP destination", f"options: {', '.join(sorted(_KEYS))}"
        )
    source = _Source(config.config, environment)
    if "endpoint" not in config.config or "protocol" in config.config:
        # The variable is about the variables' endpoint; `opentelemetry-instrument` makes it grpc for all.
        _check_protocol(source.find("protocol"))
    raw_headers = config.config.get("headers", {})
    from_environment = {} if "headers" in config.config else _environment_headers(source.find("headers"))
    url, user = _endpoint(source.find("endpoint"))
    options = OtlpOptions(
        url=url.url,
        label=secrets.mask_url(str(source.raw("endpoint") or DEFAULT_ENDPOINT)),
        fixed_headers={**user, **from_environment},
        headers=_header_map(("headers", raw_headers)),
        timeout_s=_timeout_s(source.find("timeout_s")),
        gzip=_gzip(source.find("compression")),
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


def _refuse(setting: Setting, what: str, hint: str = "") -> NoReturn:
    raise PermanentError(f"{setting[0]}: {what}", hint=hint)


def _check_protocol(setting: Setting) -> None:
    protocol = setting[1]
    if protocol in {None, "http/protobuf"}:
        return
    if protocol == "grpc":
        _refuse(
            setting, "grpc is not supported by this destination", "use http/protobuf, usually on port 4318"
        )
    _refuse(setting, f"{protocol!r} is not supported", "use http/protobuf")


def _endpoint(setting: Setting) -> tuple[Url, dict[str, str]]:
    """The URL without its user part, and the Authorization header that the user part stands for."""
    name, value = setting
    shown = secrets.mask_url(str(value))
    hint = f"an http or https URL, for example {DEFAULT_ENDPOINT}"
    try:
        url = parse_url(str(value or DEFAULT_ENDPOINT))
    except LocationParseError:
        _refuse(setting, f"{shown!r} is no URL", hint)
    if url.scheme not in {"http", "https"} or not url.host:
        _refuse(setting, f"{shown!r} is no http or https URL", hint)
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


def _timeout_s(setting: Setting) -> float:
    value = DEFAULT_TIMEOUT_S if setting[1] is None else setting[1]
    try:
        timeout_s = math.nan if isinstance(value, bool) else float(cast("str | float", value))
    except (TypeError, ValueError):
        timeout_s = math.nan
    if not 0 < timeout_s < math.inf:
        _refuse(setting, f"{value!r} is no timeout", "seconds, above 0")
    return timeout_s


def _gzip(setting: Setting) -> bool:
    value = setting[1]
    if value not in {None, "gzip", "none"}:
        _refuse(setting, f"{value!r} is not supported", "gzip or none")
    return value != "none"


# Headers.


def _environment_headers(setting: Setting) -> dict[str, str]:
    """``k=v,k2=v2``, percent-encoded (specification, "Specifying headers via environment variables")."""
    headers = {}
    for item in str(setting[1] or "").split(","):
        name, equals, value = item.partition("=")
        if equals:
            headers[unquote(name).strip()] = unquote(value).strip()
        elif item.strip():
            _refuse(setting, "an item has no '='", "name=value,name2=value2")
    return _checked_headers((setting[0], headers))


def _header_map(setting: Setting) -> Mapping[str, AttributeValue]:
    if not isinstance(setting[1], Mapping):
        _refuse(setting, "is no table of names and values")
    return setting[1]


def _checked_headers(setting: Setting) -> dict[str, str]:
    """By lowercase name, values stripped. The messages never show a value."""
    headers: dict[str, str] = {}
    for name, value in _header_map(setting).items():
        if not _HEADER_NAME.fullmatch(name):
            _refuse(setting, f"{name!r} is no header name")
        if name.lower() in _OURS:
            _refuse(setting, f"{name} cannot be set: it describes the request that is sent")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value.strip()):
            _refuse(setting, f"the value of {name} is no text that HTTP can carry")
        headers[name.lower()] = value.strip()
    return headers


# TLS.


def _tls(source: _Source) -> ssl.SSLContext:
    verify, certificate = source.find("verify"), source.find("certificate")
    if not isinstance(verify[1], (bool, type(None))):
        _refuse(verify, "is neither true nor false", "a CA bundle goes to certificate")
    try:
        context = ssl.create_default_context(cafile=_file(certificate))
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
            _refuse(key, "needs client_certificate beside it")
        return
    try:
        # An empty password: an encrypted key is an error here, not a question on some terminal.
        context.load_cert_chain(cast("str", _file(certificate)), _file(key), password="")
    except OSError as exc:
        raise _unusable(certificate, exc) from exc


def _file(setting: Setting) -> str | None:
    if not isinstance(setting[1], (str, type(None))):
        _refuse(setting, "is no path of a PEM file")
    return setting[1]


def _unusable(setting: Setting, error: OSError) -> PausedError:
    return PausedError(
        f"{setting[0]}: {setting[1]!r} cannot be used: {error}", hint="a PEM file is needed there"
    )
