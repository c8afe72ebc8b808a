"""Destination types and the modules that serve them.

A type's module is imported when its first sender is opened, so that a type whose library is missing
costs nothing until someone asks for it. A new type is one more line of `_FACTORIES`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final, TypeAlias, cast

from hush_otel.destinations.base import Sender
from hush_otel.errors import PausedError
from hush_otel.model import DestinationConfig

Factory: TypeAlias = Callable[[DestinationConfig], Sender]
"""Checks a configuration, with its secrets still by reference, and opens it.

Raises PermanentError with the name of a key that cannot work, PausedError for a secret or a file
that is not there.
"""

_FACTORIES: Final = {
    # type: "module:factory"
    "console": "hush_otel.destinations.console:open_console",
    "file": "hush_otel.destinations.file:open_file",
    "jaeger": "hush_otel.destinations.otlp:open_jaeger",
    "otlp": "hush_otel.destinations.otlp:open_otlp",
}


def known_types() -> list[str]:
    """The types that `open_sender` opens, sorted. ``local`` is none: it stands for the store alone."""
    return sorted(_FACTORIES)


def open_sender(config: DestinationConfig) -> Sender:
    """Open one destination.

    Raises:
        PausedError: The type is unknown here or its library is not installed, or a secret or file that
            the configuration refers to is missing.
        PermanentError: The configuration cannot work; the message names the key.
    """
    target = _FACTORIES.get(config.type)
    if target is None:
        raise PausedError(
            f"destination {config.name!r} has the unknown type {config.type!r}",
            hint=f"known types: {', '.join(known_types())}",
        )
    return _load(config, target)(config)


def _load(config: DestinationConfig, target: str) -> Factory:
    module, _, factory = target.partition(":")
    try:
        return cast("Factory", getattr(import_module(module), factory))
    except ImportError as exc:
        raise PausedError(
            f"destination {config.name!r}: type {config.type!r} needs the module {exc.name}",
            hint="install it where the background process runs",
        ) from exc
