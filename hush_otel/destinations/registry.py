"""Destination types and the modules that serve them.

A type's module is imported when its first sender is opened, so that a type whose library is missing
costs nothing until someone asks for it. A new type is one more line of `_FACTORIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib import import_module
from typing import Final, TypeAlias, cast

from hush_otel.destinations.base import RequestSender, Sender
from hush_otel.destinations.hiding import clean
from hush_otel.destinations.translating import translating
from hush_otel.errors import DeliveryError, PausedError
from hush_otel.model import DestinationConfig
from hush_otel.options import EXPORTER
from hush_otel.presets import PRESETS
from hush_otel.secrets import check, values_of

Factory: TypeAlias = Callable[[DestinationConfig], Sender | RequestSender]
"""Checks a configuration, with its secrets still by reference, and opens it.

Raises PermanentError with the name of a key that cannot work, PausedError for a secret or a file
that is not there.
"""

_FACTORIES: Final = {
    # type: "module:factory"
    "console": "hush_otel.destinations.console:open_console",
    "file": "hush_otel.destinations.file:open_file",
    "otlp": "hush_otel.destinations.otlp:open_otlp",
    **dict.fromkeys(PRESETS, "hush_otel.destinations.vendors:open_vendor"),
}
_EXPORTERS: Final = "hush_otel.destinations.foreign:open_exporter"
_TRACERS: Final = "hush_otel.destinations.foreign:open_tracer"


def known_types() -> list[str]:
    """The built-in types, sorted. ``local`` is none: it stands for the store alone."""
    return sorted(_FACTORIES)


def open_sender(config: DestinationConfig) -> Sender | RequestSender:
    """Open one destination.

    A type that is neither built in nor begins with `EXPORTER` is the name of a tracer.

    Raises:
        PausedError: The type is unknown here or its library is not installed, or a secret or file that
            the configuration refers to is missing, or is not what the application has.
        PermanentError: The configuration cannot work; the message names the key.
    """
    check(config.fingerprints)
    try:
        return _opened(config)
    except DeliveryError as exc:
        # A reference in the wrong place, `timeout_s = "${API_KEY}"`: the error shows what it stands for.
        raise clean(exc, values_of(config.config)) from None


def _opened(config: DestinationConfig) -> Sender | RequestSender:
    foreign = _TRACERS if takes_requests(config.type) else _EXPORTERS
    sender = _load(config, _FACTORIES.get(config.type, foreign))(config)
    if isinstance(sender, RequestSender):
        return sender
    try:
        return translating(sender, config)
    except DeliveryError:
        sender.close()
        raise


def takes_requests(kind: str) -> bool:
    """Whether a type's sender is a RequestSender: tracers' are."""
    return kind not in _FACTORIES and not kind.startswith(EXPORTER)


def unknown_type(kind: str, tracers: Collection[str]) -> PausedError:
    """What to say of a type that is neither built in nor one of these tracers."""
    own = f"; tracers: {', '.join(sorted(tracers))}" if tracers else ""
    return PausedError(
        f"unknown type {kind!r}",
        hint=f"known types: {', '.join(known_types())}, {EXPORTER}NAME{own}. A tracer of your own is found by"
        " an entry point of the group hush_otel.tracers, or in a module that tracer_modules"
        " (HUSH_TRACER_MODULES) names; register_tracer in the application alone is not seen here",
    )


def _load(config: DestinationConfig, target: str) -> Factory:
    module, _, factory = target.partition(":")
    try:
        return cast("Factory", getattr(import_module(module), factory))
    except ImportError as exc:
        raise PausedError(
            f"destination {config.name!r}: type {config.type!r} needs the module {exc.name}",
            hint="install it where the background process runs",
        ) from exc
