"""One setting from two places: the environment, before the configuration file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from .errors import ConfigError


class Layers:
    """One parser for each kind of value; each returns what it was told, or its default.

    Args:
        file: The configuration file's content.
        place: The file as messages call it.
        environment: Variables. An empty one counts as unset.

    Every method raises ConfigError, which names the variable or the key.
    """

    def __init__(self, file: Mapping[str, Any], place: str, environment: Mapping[str, str]) -> None:
        self.file = file
        self._place = place
        self._environment = environment

    def raw(self, key: str) -> tuple[str, object]:
        """Where a value stands, and the value."""
        env = self._environment.get(f"HUSH_{key.upper()}")
        if env:
            return f"HUSH_{key.upper()}", env
        return f"{key} in {self._place}", self.file.get(key)

    def text(self, key: str) -> str | None:
        """Any text."""
        name, value = self.raw(key)
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{name} is {_shown(value)}, not text")
        if value is not None and "\0" in value:
            raise ConfigError(f"{name} is {_shown(value)}, which holds a NUL", hint="remove it")
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """One of these; the first is the default."""
        name, value = self.raw(key)
        if value is None:
            return choices[0]
        if value not in choices:
            raise ConfigError(f"{name} is {_shown(value)}", hint=f"one of {', '.join(choices)}")
        return value

    def boolean(self, key: str, *, default: bool) -> bool:
        """True or false, in words too."""
        name, value = self.raw(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        text = str(value).strip().lower()
        if text not in _BOOLEANS:
            raise ConfigError(f"{name} is {_shown(value)}", hint="true or false")
        return _BOOLEANS[text]

    def number(
        self, key: str, kind: type[int | float], default: float | None, *, minimum: float, hint: str = ""
    ) -> float | None:
        """A finite number of this kind."""
        name, value = self.raw(key)
        if value is None:
            return default
        try:
            number = kind(cast("Any", value)) if not isinstance(value, bool) else None
        except (TypeError, ValueError, OverflowError):
            number = None
        most = float("inf") if kind is float else 1 << 63
        if number is None or not minimum <= number < most:
            raise ConfigError(f"{name} is {_shown(value)}", hint=hint or _number_hint(kind, minimum))
        return number

    def size(self, key: str, default: int | None, *, minimum: int) -> int | None:
        """Bytes, as a number or as people write them (`size_bytes`)."""
        name, value = self.raw(key)
        if value is None:
            return default
        found = size_bytes(value) if isinstance(value, str) else value
        if not isinstance(found, (int, float)) or isinstance(found, bool) or not minimum <= found < 1 << 63:
            hint = f"a size of at least {minimum} bytes, for example 500MB or 2GiB"
            raise ConfigError(f"{name} is {_shown(value)}", hint=hint)
        return int(found)

    def names(self, key: str) -> tuple[str, list[str]]:
        """Where they stand, and the names."""
        name, value = self.raw(key)
        items = value.split(",") if isinstance(value, str) else [] if value is None else value
        if isinstance(items, dict):
            raise ConfigError(
                f"{name} is a table, not a list of destination names",
                hint=f"a destination is defined in [destination.{next(iter(items), 'NAME')}], without the s",
            )
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ConfigError(f"{name} is {_shown(value)}", hint="a list of destination names")
        return name, [item.strip() for item in items if item.strip()]

    def modules(self, key: str) -> tuple[str, ...]:
        """Dotted names of modules."""
        name, value = self.raw(key)
        items = value.split(",") if isinstance(value, str) else [] if value is None else value
        hint = "a list of modules to import, for example shop.tracing"
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ConfigError(f"{name} is {_shown(value)}", hint=hint)
        modules = tuple(item.strip() for item in items if item.strip())
        for module in modules:
            if not all(part.isidentifier() for part in module.split(".")):
                raise ConfigError(f"{name} names {module!r}, which is no module", hint=hint)
        return modules


def size_bytes(text: str) -> int | None:
    """``1500000``, ``500MB`` (of 1000), ``2 GiB`` (of 1024), ``1.5k`` in bytes; None for what is no size."""
    found = _SIZE.fullmatch(text.strip().upper())
    if found is None:
        return None
    factor = (1024 if found[3] else 1000) ** ("KMGT".index(found[2]) + 1 if found[2] else 0)
    return int(float(found[1]) * factor) if "." in found[1] else int(found[1]) * factor


class Mistakes(dict[str, ConfigError]):
    """What is wrong with a configuration, by the part of it in which it is."""

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """A ConfigError within is kept as this part's."""
        try:
            yield
        except ConfigError as exc:
            self[part] = exc


def absolute_path(path: str | os.PathLike[str], key: str) -> Path:
    """Expand ``~`` and make absolute without following symlinks.

    Raises:
        ConfigError: It is no path of text; there is no home or, for a relative path, no current directory; or
            it holds what no file can be called: a NUL, half a surrogate.
    """
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else path
    if not isinstance(text, str):
        raise ConfigError(f"{key} is of type {type(path).__name__}, not text", hint=f"set {key} to a path")
    if "\0" in text or not _can_be_encoded(text):
        what = "a NUL" if "\0" in text else "half a surrogate pair"
        raise ConfigError(f"{key} is {text!r}, which no file can be called: it holds {what}")
    try:
        return Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100 - resolve() follows symlinks
    except (RuntimeError, OSError) as exc:
        raise ConfigError(
            f"{key}: cannot make {text!r} absolute: {exc}", hint=f"set {key} to an absolute path"
        ) from exc


def _can_be_encoded(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    """A value as a message may show it: tables and lists may hold secrets."""
    if isinstance(value, (dict, list)):
        return "a table" if isinstance(value, dict) else "a list"
    return repr(value)


def _number_hint(kind: type[int | float], minimum: float) -> str:
    if kind is int:
        return f"a whole number of at least {minimum:.0f}"
    return f"a number of at least {minimum:g}"


_SIZE: Final = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*(?:([KMGT])(I?)B?|B)?")

_BOOLEANS: Final = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
