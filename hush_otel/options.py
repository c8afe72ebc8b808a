"""The options of the built-in destination types: which there are, and whether a value can work.

Pure functions, used twice: by `config` in the application, when a processor or a store is made, and by
`destinations` in the background process, when a sender is opened. Nothing here reads a file, a variable or a
secret: a text with a reference in it (``${NAME}``) is taken as it is by `check`.

Every function raises PermanentError, whose message begins with the key. None shows the value of a header.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, TypeAlias, cast

from .addresses import why_nowhere
from .errors import PermanentError
from .model import AttributeValue, is_64_bit
from .presets import DIALECTS, PRESETS, Preset, address_options, headers_with

DEFAULT_ENDPOINT: Final = "http://localhost:4318"
DEFAULT_GRPC_ENDPOINT: Final = "http://localhost:4317"
DEFAULT_TIMEOUT_S: Final = 10.0

HTTP_REQUEST_BYTES: Final = 64 * 1024 * 1024
"""OTLP specification, "OTLP/HTTP Request": what a receiver should accept at least, uncompressed."""
GRPC_REQUEST_BYTES: Final = 4 * 1024 * 1024
"""What gRPC servers accept unless they are told otherwise, uncompressed."""
DEFAULT_IN_FLIGHT: Final = 4
"""Requests at once, where answers take long. Four of 512 spans in 50 ms make 40,000 spans a second."""
MOST_IN_FLIGHT: Final = 32

LEAST_REQUEST_BYTES: Final = 1024
"""A limit below this would refuse spans without any content."""

EXPORTER: Final = "otel:"
"""Begins the types that are installed OpenTelemetry exporters; an entry point's name follows."""
FOREIGN_TIMEOUT_S: Final = 30.0
"""What code of others gets for one attempt. The exporters of OTLP take up to 10 s for themselves."""

INSTALL_GRPC: Final = "pip install 'hush-otel[grpc]'"
STREAMS: Final = ("stderr", "stdout")

OTLP_KEYS: Final = frozenset(
    {
        "endpoint",
        "headers",
        "timeout_s",
        "compression",
        "protocol",
        "certificate",
        "client_certificate",
        "client_key",
        "verify",
        "insecure",
        "max_request_bytes",
        "max_in_flight",
        "dialect",
        "media",
    }
)

_KEYS: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    # type: (as messages call it, its options)
    "console": ("a console destination", frozenset({"stream"})),
    "file": ("a file destination", frozenset({"path", "dialect", "media"})),
    "local": ("a local destination", frozenset()),
    "otlp": ("an OTLP destination", OTLP_KEYS),
    **{
        kind: (f"a {kind} destination", OTLP_KEYS | preset.options.keys()) for kind, preset in PRESETS.items()
    },
}

_REFERENCE_BEGINS: Final = "${"
_ENTRY_POINT: Final = re.compile(r"[\w-][\w.-]*", re.ASCII)
"""Packaging specification, "Entry points": the names that are recommended."""
_URL: Final = re.compile(
    r"https?://(?:[^/?#\\]*@)?(?P<host>\[[^\]]+\]|[^/?#\\:@\[\]\s]+)(?::(?P<port>[0-9]{0,5}))?(?=[/?#]|$)",
    re.IGNORECASE,
)
"""What has a scheme, a host and no impossible port; the rest is for the client that opens it."""
_GRPC_ENDPOINT: Final = re.compile(
    r"(?:(?P<scheme>https?)://(?:(?P<user>[^/?#\\@]*)@)?)?(?P<host>\[[^\]/?#]+\]|[^/?#\\:@\[\]\s]+)(?::(?P<port>[0-9]{1,5}))?/?",
    re.IGNORECASE,
)
_HOST_PART: Final = re.compile(r"[A-Za-z0-9.-]+")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110, section 5.6.2: token."""
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""RFC 9110, section 5.5: no line breaks, no other control characters."""
_METADATA_VALUE: Final = re.compile(r"[\x20-\x7e]*")
"""gRPC over HTTP/2, "Requests": ASCII-Value."""
_OURS: Final = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding", "host"})
"""Headers that describe the message itself; another value would make it unreadable."""

Setting: TypeAlias = tuple[str, AttributeValue]
"""A key or variable as error messages call it, and its value."""


def is_built_in(kind: str) -> bool:
    """Whether a type's options are known here."""
    return kind in _KEYS


def check(kind: str, config: Mapping[str, AttributeValue]) -> None:
    """Check a configuration as far as that goes without its secrets and without the network.

    Args:
        kind: The type. Types that are not built in pass: whether there is such a tracer is known to the
            background process, which pauses their deliveries otherwise.
        config: The options, None standing for one that is left open.

    Raises:
        PermanentError: A key is unknown or a value can never work.
    """
    _refuse_large_integers(config)
    if kind.startswith(EXPORTER):
        _check_exporter(kind, config)
    if kind not in _KEYS:
        return
    check_keys(kind, config)
    over_grpc = config.get("protocol") == "grpc"
    checks = _CHECKS | _GRPC_CHECKS if over_grpc else _CHECKS
    preset = PRESETS.get(kind)
    for key, value in config.items():
        if value is None or _refers(value):
            continue
        if preset is not None and key in preset.options:
            _vendor_option(preset, (key, value), _METADATA_VALUE if over_grpc else _HEADER_VALUE)
        else:
            checks[key]((key, value))
    if preset is not None:
        check_vendor_protocol(kind, ("protocol", config.get("protocol")))
    over_http = "http/protobuf" if "endpoint" in config else None  # else a variable may say grpc
    if config.get("protocol", over_http) == "http/protobuf":
        refuse_insecure(("insecure", config.get("insecure")))
    if kind == "file" and config.get("path") is None:
        file_path(("path", None))


def _refuse_large_integers(config: Mapping[str, AttributeValue]) -> None:
    for key, value in config.items():
        if isinstance(value, int) and not is_64_bit(value):
            refuse((key, None), "is an integer beyond 64 bit")


def check_keys(kind: str, config: Mapping[str, AttributeValue]) -> None:
    """Refuse what is no option of a built-in type."""
    what, keys = _KEYS[kind]
    unknown = sorted(str(key) for key in config if key not in keys)
    if unknown:
        hint = f"options: {', '.join(sorted(keys))}" if keys else "it has no options"
        refuse((unknown[0], None), f"is no option of {what}", hint)


def check_vendor_protocol(kind: str, setting: Setting) -> None:
    """Refuse gRPC where the vendor has no such endpoint."""
    if setting[1] == "grpc" and "grpc" not in PRESETS[kind].protocols:
        refuse(setting, f"{PRESETS[kind].vendor} takes OTLP over HTTP only", "http/protobuf")


def _vendor_option(preset: Preset, setting: Setting, carried: re.Pattern[str]) -> None:
    """Text; a part of a host name where it becomes one, and within `carried` where it becomes a header."""
    name, value = setting
    if name == "host":
        _endpoint(setting)
    elif isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        refuse(setting, "is no text", f"a {preset.vendor} destination takes {preset.options[name].what}")
    elif name in address_options(preset) and not _HOST_PART.fullmatch(str(value)):
        refuse(setting, f"{value!r} is no part of a host name", preset.options[name].what)
    elif preset.options[name].one_of and value not in preset.options[name].one_of:
        refuse(
            setting, f"{value!r} is not known", f"{preset.options[name].what}; for another one give endpoint"
        )
    elif not all(carried.fullmatch(text.strip()) for text in headers_with(preset, name, value)):
        refuse(setting, "holds what no header can carry", "a line break, or a letter of another script?")


def dialect(setting: Setting) -> str | None:
    """The name of a dialect; None is the type's own."""
    value = setting[1]
    if value is not None and value not in DIALECTS:
        refuse(setting, f"{value!r} is not known", f"one of {', '.join(DIALECTS)}")
    return value


def with_media(setting: Setting) -> bool:
    """Whether images of node traces are sent, where the dialect has a place for them: yes unless false."""
    if not isinstance(setting[1], (bool, type(None))):
        refuse(setting, "is neither true nor false")
    return setting[1] is not False


def refuse(setting: Setting, what: str, hint: str = "") -> NoReturn:
    """The one form of these errors: ``key: what (hint)``."""
    raise PermanentError(f"{setting[0]}: {what}", hint=hint)


def _refers(value: AttributeValue) -> bool:
    return isinstance(value, str) and _REFERENCE_BEGINS in value


# ------------------------------------------------------------------ OTLP


def no_url(setting: Setting, shown: str) -> NoReturn:
    """Refuse an endpoint; `shown` is what may be seen of it."""
    refuse(setting, f"{shown!r} is no http or https URL", f"for example {DEFAULT_ENDPOINT}")


def _endpoint(setting: Setting) -> None:
    text = _check_text(setting, DEFAULT_ENDPOINT)
    found = _URL.match(text)
    if found is None:
        no_url(setting, _without_secrets(text))
    _refuse_nowhere(setting, found)


def _refuse_nowhere(setting: Setting, found: re.Match[str]) -> None:
    """What has the form of an address and can be none."""
    if reason := why_nowhere(found["host"], found["port"]):
        refuse(setting, reason, f"for example {DEFAULT_ENDPOINT}")


def _check_text(setting: Setting, example: str) -> str:
    if not isinstance(setting[1], str):
        refuse(setting, f"is no text but of type {type(setting[1]).__name__}", f"for example {example}")
    return setting[1]


def _without_secrets(url: str) -> str:
    """A URL that may have no scheme, without its user part and query: either may hold a secret."""
    return re.sub("^.*@", "***@", url.partition("?")[0], flags=re.DOTALL)


def check_protocol(setting: Setting) -> bool:
    """Whether it is gRPC; ``http/protobuf`` unless said."""
    if setting[1] not in (None, "http/protobuf", "grpc"):
        refuse(setting, f"{setting[1]!r} is not supported", "http/protobuf or grpc")
    return setting[1] == "grpc"


def _grpc_is_here(setting: Setting) -> None:
    """Looked for without importing it: the application never opens a channel."""
    if find_spec("grpc") is None:
        refuse(setting, "grpc needs grpcio, which is not installed", INSTALL_GRPC)


class GrpcTarget(NamedTuple):
    """Where a gRPC endpoint leads.

    Attributes:
        target: As gRPC's client takes it.
        secure: Whether the endpoint asks for TLS; None when it does not say.
        user: The user part of a URL, as written.
    """

    target: str
    secure: bool | None
    user: str | None


def grpc_target(setting: Setting, shown: str) -> GrpcTarget:
    """A URL with scheme http or https, ``host:port``, or ``unix:path``.

    Without a port: 443 for https, else 4317.
    Source: OpenTelemetry specification, protocol/exporter.md, "Endpoint URLs for OTLP/gRPC".
    """
    text = str(setting[1] or DEFAULT_GRPC_ENDPOINT)
    if text.startswith("unix:"):
        return GrpcTarget(text, secure=False, user=None)
    found = _GRPC_ENDPOINT.fullmatch(text)
    if found is None:
        refuse(
            setting, f"{shown!r} is no gRPC endpoint", f"for example {DEFAULT_GRPC_ENDPOINT}, without a path"
        )
    _refuse_nowhere(setting, found)
    scheme = (found["scheme"] or "").lower()
    port = found["port"] or ("443" if scheme == "https" else "4317")
    return GrpcTarget(f"{found['host']}:{port}", scheme == "https" if scheme else None, found["user"])


def _grpc_endpoint(setting: Setting) -> None:
    _check_text(setting, DEFAULT_GRPC_ENDPOINT)
    grpc_target(setting, _without_secrets(str(setting[1])))


def check_grpc_verify(setting: Setting) -> None:
    """True or nothing: gRPC's client has no way to leave a certificate unverified."""
    check_verify(setting)
    if setting[1] is False:
        refuse(
            setting, "grpc always verifies certificates", "give the authority's certificate in certificate"
        )


def insecure(setting: Setting) -> bool:
    """Whether an endpoint without a scheme is spoken to without TLS. Variables say it in words."""
    value = setting[1].strip().lower() if isinstance(setting[1], str) else setting[1]
    if value not in (None, True, False, "true", "false"):
        refuse(setting, "is neither true nor false")
    return value in (True, "true")


def refuse_insecure(setting: Setting) -> None:
    """Over HTTP the endpoint's scheme says it."""
    if setting[1] is not None:
        refuse(setting, "is for protocol grpc", "an endpoint that begins with http:// has no TLS")


def max_request_bytes(setting: Setting, default: int = HTTP_REQUEST_BYTES) -> int:
    """The limit of one request before compression, in bytes."""
    value = default if setting[1] is None else setting[1]
    if isinstance(value, bool) or not isinstance(value, int) or value < LEAST_REQUEST_BYTES:
        refuse(setting, f"{value!r} is no limit", f"a whole number of bytes, {LEAST_REQUEST_BYTES} at least")
    return value


def request_limit(config: Mapping[str, AttributeValue]) -> int:
    """The limit of a destination with these options: its own, else that of its protocol."""
    default = GRPC_REQUEST_BYTES if config.get("protocol") == "grpc" else HTTP_REQUEST_BYTES
    return max_request_bytes(("max_request_bytes", config.get("max_request_bytes")), default)


def max_in_flight(setting: Setting) -> int:
    """How many requests are sent side by side."""
    value = DEFAULT_IN_FLIGHT if setting[1] is None else setting[1]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_IN_FLIGHT:
        refuse(setting, f"{value!r} is not possible", f"a whole number from 1 to {MOST_IN_FLIGHT}")
    return value


def timeout_s(setting: Setting, default: float = DEFAULT_TIMEOUT_S) -> float:
    """Seconds above 0; None is the default."""
    value = default if setting[1] is None else setting[1]
    try:
        seconds = math.nan if isinstance(value, bool) else float(cast("str | float", value))
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        refuse(setting, f"{value!r} is no timeout", "seconds, above 0")
    return seconds


def gzip(setting: Setting) -> bool:
    """Whether to compress: yes unless ``none``."""
    value = setting[1]
    if value not in (None, "gzip", "none"):
        refuse(setting, f"{value!r} is not supported", "gzip or none")
    return value != "none"


def header_map(setting: Setting) -> Mapping[str, AttributeValue]:
    """Headers as a mapping, unchecked."""
    if not isinstance(setting[1], Mapping):
        refuse(setting, "is no table of names and values")
    return setting[1]


def checked_headers(setting: Setting) -> dict[str, str]:
    """By lowercase name, values stripped."""
    headers = {}
    for name, value in header_map(setting).items():
        _check_header_name(setting, name)
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value.strip()):
            refuse(setting, f"the value of {name} is no text that HTTP can carry")
        headers[name.lower()] = value.strip()
    return headers


def _check_header_name(setting: Setting, name: object) -> None:
    if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
        refuse(setting, f"{name!r} is no header name")
    if name.lower() in _OURS:
        refuse(setting, f"{name} cannot be set: it describes the request that is sent")


def _headers(setting: Setting) -> None:
    """As `checked_headers`; a value that refers to a secret is checked when that is known."""
    given = header_map(setting)
    checked_headers((setting[0], {name: "" if _refers(value) else value for name, value in given.items()}))


def _grpc_headers(setting: Setting) -> None:
    """The same with what gRPC carries."""
    _headers(setting)
    for name, value in header_map(setting).items():
        if not _refers(value) and not _METADATA_VALUE.fullmatch(str(value).strip()):
            refuse(setting, f"grpc cannot carry the value of {name}", "printable ASCII")


def check_verify(setting: Setting) -> None:
    """True, false, or nothing."""
    if not isinstance(setting[1], (bool, type(None))):
        refuse(setting, "is neither true nor false", "a CA bundle goes to certificate")


def pem_path(setting: Setting) -> str | None:
    """The path of a PEM file, or None."""
    if not isinstance(setting[1], (str, type(None))):
        refuse(setting, "is no path of a PEM file")
    return setting[1]


# ------------------------------------------------------------------ file, console


def file_path(setting: Setting) -> Path:
    """An absolute path, ``~`` expanded."""
    path = setting[1]
    if path is not None and not isinstance(path, str):
        refuse(setting, f"is no text but of type {type(path).__name__}")
    if not path or "\0" in path:
        refuse(setting, "a file destination needs the path of its file")
    try:
        expanded = Path(path).expanduser()
    except RuntimeError:
        refuse(setting, f"{path!r} has no home directory to expand")
    if not expanded.is_absolute():
        # The background process has a working directory of its own.
        refuse(setting, f"{path!r} is relative", "use an absolute path")
    return expanded


def stream(setting: Setting) -> str:
    """The name of a standard stream; None is stderr."""
    value = setting[1]
    if value is not None and value not in STREAMS:
        refuse(setting, f"{value!r} is not supported", "stderr or stdout")
    return str(value or STREAMS[0])


# ------------------------------------------------------------------ installed exporters


def exporter_name(kind: str) -> str:
    """The entry point's name in a type that begins with `EXPORTER`."""
    name = kind.removeprefix(EXPORTER)
    if not _ENTRY_POINT.fullmatch(name):
        refuse(("type", kind), f"{kind!r} names no exporter", f"for example {EXPORTER}console")
    if name == "hush":
        refuse(("type", kind), "otel:hush is hush-otel itself: every delivery would make the next one")
    return name


def _check_exporter(kind: str, config: Mapping[str, AttributeValue]) -> None:
    exporter_name(kind)
    for key, value in config.items():
        if not key.isidentifier():
            refuse((key, value), "cannot be an option: exporters take their options by name")
        if key == "timeout_s" and not _refers(value):
            timeout_s((key, value))


_CHECKS: Final[dict[str, Callable[[Setting], object]]] = {
    "endpoint": _endpoint,
    "headers": _headers,
    "timeout_s": timeout_s,
    "compression": gzip,
    "protocol": check_protocol,
    "certificate": pem_path,
    "client_certificate": pem_path,
    "client_key": pem_path,
    "verify": check_verify,
    "insecure": insecure,
    "max_request_bytes": max_request_bytes,
    "max_in_flight": max_in_flight,
    "path": file_path,
    "stream": stream,
    "dialect": dialect,
    "media": with_media,
}

_GRPC_CHECKS: Final[dict[str, Callable[[Setting], object]]] = {
    "protocol": _grpc_is_here,
    "endpoint": _grpc_endpoint,
    "headers": _grpc_headers,
    "verify": check_grpc_verify,
}
"""What differs with ``protocol = "grpc"``."""
