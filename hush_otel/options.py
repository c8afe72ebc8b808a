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
from pathlib import Path
from typing import Final, NoReturn, TypeAlias, cast

from .errors import PermanentError
from .model import AttributeValue

DEFAULT_ENDPOINT: Final = "http://localhost:4318"
DEFAULT_TIMEOUT_S: Final = 10.0
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
    }
)

_KEYS: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    # type: (as messages call it, its options)
    "console": ("a console destination", frozenset({"stream"})),
    "file": ("a file destination", frozenset({"path"})),
    "jaeger": ("an OTLP destination", OTLP_KEYS),
    "local": ("a local destination", frozenset()),
    "otlp": ("an OTLP destination", OTLP_KEYS),
}

_REFERENCE_BEGINS: Final = "${"
_URL: Final = re.compile(
    r"https?://(?:[^/?#\\]*@)?(?:\[[^\]]+\]|[^/?#\\:@\[\]\s]+)(?::[0-9]{0,5})?(?=[/?#]|$)", re.IGNORECASE
)
"""What has a scheme, a host and no impossible port; the rest is for the client that opens it."""
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110, section 5.6.2: token."""
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""RFC 9110, section 5.5: no line breaks, no other control characters."""
_OURS: Final = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding", "host"})
"""Headers that describe the message itself; another value would make it unreadable."""

Setting: TypeAlias = tuple[str, AttributeValue]
"""A key or variable as error messages call it, and its value."""


def check(kind: str, config: Mapping[str, AttributeValue]) -> None:
    """Check a configuration as far as that goes without its secrets and without the network.

    Args:
        kind: The type. Types that are not built in pass: their deliveries are paused.
        config: The options, None standing for one that is left open.

    Raises:
        PermanentError: A key is unknown or a value can never work.
    """
    if kind not in _KEYS:
        return
    check_keys(kind, config)
    for key, value in config.items():
        if value is not None and not _refers(value):
            _CHECKS[key]((key, value))
    if kind == "file" and config.get("path") is None:
        file_path(("path", None))


def check_keys(kind: str, config: Mapping[str, AttributeValue]) -> None:
    """Refuse what is no option of a built-in type."""
    what, keys = _KEYS[kind]
    unknown = sorted(str(key) for key in config if key not in keys)
    if unknown:
        hint = f"options: {', '.join(sorted(keys))}" if keys else "it has no options"
        refuse((unknown[0], None), f"is no option of {what}", hint)


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
    value = setting[1]
    if not isinstance(value, str):
        refuse(setting, f"is no text but of type {type(value).__name__}", f"for example {DEFAULT_ENDPOINT}")
    if not _URL.match(value):
        no_url(setting, _without_secrets(value))


def _without_secrets(url: str) -> str:
    """A URL that may have no scheme, without its user part and query: either may hold a secret."""
    return re.sub("^.*@", "***@", url.partition("?")[0], flags=re.DOTALL)


def check_protocol(setting: Setting) -> None:
    """``http/protobuf``, or nothing."""
    protocol = setting[1]
    if protocol in (None, "http/protobuf"):
        return
    if protocol == "grpc":
        refuse(
            setting, "grpc is not supported by this destination", "use http/protobuf, usually on port 4318"
        )
    refuse(setting, f"{protocol!r} is not supported", "use http/protobuf")


def timeout_s(setting: Setting) -> float:
    """Seconds above 0; None is the default."""
    value = DEFAULT_TIMEOUT_S if setting[1] is None else setting[1]
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


_CHECKS: Final[Mapping[str, Callable[[Setting], object]]] = {
    "endpoint": _endpoint,
    "headers": _headers,
    "timeout_s": timeout_s,
    "compression": gzip,
    "protocol": check_protocol,
    "certificate": pem_path,
    "client_certificate": pem_path,
    "client_key": pem_path,
    "verify": check_verify,
    "path": file_path,
    "stream": stream,
}
