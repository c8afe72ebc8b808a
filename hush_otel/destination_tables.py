"""Destinations by their names: what the configuration file defines, and what names and types stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from .errors import ConfigError, PermanentError
from .layers import Mistakes
from .model import Destination
from .options import EXPORTER, check
from .presets import PRESETS

BARE_TYPES: Final = frozenset({"otlp", "console", "local", *PRESETS})
"""Types that work without configuration: standard variables or local defaults fill them."""


def defined(tables: object, file: str, mistakes: Mistakes) -> dict[str, Destination]:
    """Each table that can work, by its name; what is wrong with another is its mistake."""
    known: dict[str, Destination] = {}
    with mistakes.of("destination"):
        if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
            raise ConfigError(f"'destination' in {file} is no table of tables", hint="[destination.NAME]")
        for name, table in tables.items():
            with mistakes.of(f"destination.{name}"):
                known[name] = _destination(name, table, f"[destination.{name}] in {file}")
    return known


def _destination(name: str, table: dict[str, Any], place: str) -> Destination:
    options = dict(table)
    kind = options.pop("type", None)
    if not isinstance(kind, str):
        raise ConfigError(f"{place} has no type", hint='for example type = "otlp"')
    options.pop("name", None)
    try:
        destination = Destination(kind, name=name, **options)
    except TypeError as exc:  # an option with the name of an argument
        raise ConfigError(f"{place} cannot work: {exc}") from None
    _check_options(destination, place)
    return destination


def resolve(
    asked: Iterable[Destination | str], known: Mapping[str, Destination], key: str, file: str
) -> tuple[Destination, ...]:
    """Destination objects as they are; names from the file; bare types that need no configuration.

    Raises:
        ConfigError: A name is neither, or an option cannot work.
    """
    if isinstance(asked, (str, Destination)):
        asked = (asked,)
    if not isinstance(asked, Iterable):
        raise ConfigError(f"{key} is of type {type(asked).__name__}", hint="a list of destinations and names")
    found: dict[str, Destination] = {}
    for item in asked:
        destination = item if isinstance(item, Destination) else _by_name(item, known)
        if destination is None:
            shown = repr(item) if isinstance(item, str) else f"of type {type(item).__name__}"
            raise ConfigError(
                f"{key} names the destination {shown}, which {file} does not define",
                hint=f"known: {', '.join(sorted(known)) or 'none'};"
                f" types by themselves: {', '.join(sorted(BARE_TYPES))}, {EXPORTER}NAME",
            )
        _check_options(destination, f"destination {destination.name!r}")
        found[destination.name] = destination
    return tuple(found.values())


def _by_name(item: object, known: Mapping[str, Destination]) -> Destination | None:
    if not isinstance(item, str):
        return None
    bare = item in BARE_TYPES or item.startswith(EXPORTER)
    return known.get(item) or (Destination(item, name=item) if bare else None)


def _check_options(destination: Destination, place: str) -> None:
    """Say now what would only show at the first delivery."""
    try:
        check(destination.type, destination.config)
    except PermanentError as exc:
        raise ConfigError(f"{place}: {exc.message}", hint=exc.hint) from None
