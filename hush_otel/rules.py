"""What is hidden before it is stored: the `[redaction]` table of the configuration file, checked once.

`config` reads it in the application, so that a rule that cannot work is a ConfigError at construction;
`mapping.redaction` applies it. The rules also travel, as text, at the beginning of every segment: whoever
drains applies those of the application that wrote, whatever its own configuration says.

Patterns of users are RE2's (github.com/google/re2/wiki/Syntax), never Python's: `re` can take exponential
time over a text that somebody else has written, and knows no deadline. RE2 searches in linear time, and
refuses when it compiles what it could not search so: look-around and back references.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from .errors import ConfigError

READY: Final = ("email", "card", "bearer", "api_key", "userinfo")
"""Value patterns that are ready (mapping/patterns.py)."""

DEFAULT_MASK: Final = "[redacted]"
MAX_MASK_CHARS: Final = 100
MAX_PATTERN_MEMORY_BYTES: Final = 1 << 20
"""Of one compiled pattern: repetitions of repetitions are refused long before they fill the memory."""

PLACES: Final = ("background", "app")
_TABLE_KEYS: Final = ("keys", "values", "patterns", "mask", "redact_in")


@dataclass(frozen=True, kw_only=True)
class RedactionRules:
    """A checked `[redaction]` table.

    Attributes:
        keys: Values under a key that one of these fits are hidden whole; ``*`` stands for any characters.
        values: Names of ready patterns; what fits one of them is hidden in any text.
        patterns: Own ones, (name, RE2 syntax).
        mask: What stands in place of what is hidden.
        in_app: Applied before the spool, too.
    """

    keys: tuple[str, ...] = ()
    values: tuple[str, ...] = READY
    patterns: tuple[tuple[str, str], ...] = ()
    mask: str = DEFAULT_MASK
    in_app: bool = False

    @classmethod
    def from_table(cls, table: object, place: str) -> RedactionRules:
        """The rules of a TOML table.

        Args:
            table: As the file has it.
            place: The table as messages call it.

        Raises:
            ConfigError: A rule cannot work; the message names its key.
        """
        if not isinstance(table, dict):
            raise ConfigError(f"{place} is no table", hint='for example keys = ["password"]')
        unknown = sorted(set(table) - set(_TABLE_KEYS))
        if unknown:
            raise ConfigError(
                f"{place} has an unknown key {unknown[0]!r}", hint=f"known: {', '.join(_TABLE_KEYS)}"
            )
        rules = cls(
            keys=_keys(table.get("keys", []), place),
            values=_values(table.get("values", list(READY)), place),
            patterns=_patterns(table.get("patterns", {}), place),
            mask=_mask(table.get("mask", DEFAULT_MASK), place),
            in_app=_choice(table.get("redact_in", PLACES[0]), place) == "app",
        )
        if not (rules.keys or rules.values or rules.patterns):
            raise ConfigError(
                f"{place} hides nothing", hint="name keys, values or patterns, or remove the table"
            )
        return rules

    def as_text(self) -> str:
        """What travels: the rules, not where they are applied."""
        table = {"keys": self.keys, "values": self.values, "patterns": dict(self.patterns), "mask": self.mask}
        return msgspec.json.encode(table, order="deterministic").decode()

    @classmethod
    def from_text(cls, text: str) -> RedactionRules:
        """The other way.

        Raises:
            ConfigError: Another version wrote them, or RE2 is missing here.
        """
        try:
            table = msgspec.json.decode(text)
        except msgspec.DecodeError:
            raise ConfigError("an application's redaction rules cannot be read") from None
        return cls.from_table(table, "an application's redaction")


def normal_key(key: str) -> str:
    """Keys as they are compared: ``API-Key``, ``api_key`` and ``apiKey`` are one."""
    return key.lower().replace("_", "").replace("-", "")


def compile_pattern(pattern: str) -> Callable[[bytes], Any]:
    """RE2's `finditer` over UTF-8.

    Raises:
        ImportError: google-re2 is not installed.
        ValueError: RE2 does not take the pattern; with its words.
    """
    import re2  # noqa: PLC0415 - only rules with patterns of their own need it

    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_PATTERN_MEMORY_BYTES
    try:
        compiled = re2.compile(pattern.encode(), options)
    except re2.error as exc:
        reason = exc.args[0] if exc.args else ""
        raise ValueError(
            reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        ) from None
    find: Callable[[bytes], Any] = compiled.finditer
    return find


def _texts(value: object, key: str, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{key} in {place} is no list of texts")
    return tuple(value)


def _keys(value: object, place: str) -> tuple[str, ...]:
    keys = _texts(value, "keys", place)
    for key in keys:
        if not normal_key(key.strip()):
            raise ConfigError(
                f"keys in {place} names {key!r}: no key is like that", hint='such as "*secret*"'
            )
    return tuple(key.strip() for key in keys)


def _values(value: object, place: str) -> tuple[str, ...]:
    names = _texts(value, "values", place)
    for name in names:
        if name not in READY:
            raise ConfigError(
                f"values in {place} names {name!r}, which is no ready pattern",
                hint=f"known: {', '.join(READY)}; one of your own goes to [redaction.patterns]",
            )
    return names


def _patterns(value: object, place: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value.values()):
        raise ConfigError(f"patterns in {place} is no table of texts", hint="name = 'CUST-[0-9]{8}'")
    for name, pattern in value.items():
        _check_pattern(name, pattern, place)
    return tuple(value.items())


def _check_pattern(name: str, pattern: str, place: str) -> None:
    try:
        find = compile_pattern(pattern)
    except ImportError:
        raise ConfigError(
            f"patterns.{name} in {place} needs RE2: Python's own expressions have no deadline",
            hint="pip install 'hush-otel[redaction]'",
        ) from None
    except ValueError as exc:
        raise ConfigError(
            f"patterns.{name} in {place} is no RE2 pattern: {exc}",
            hint="RE2 has neither look-around nor back references",
        ) from None
    if any(True for _ in find(b"")):
        raise ConfigError(f"patterns.{name} in {place} fits the empty text, and so every place in any text")


def _mask(value: object, place: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_MASK_CHARS or not value.isprintable():
        raise ConfigError(f"mask in {place} is no printable text of 1 to {MAX_MASK_CHARS} characters")
    return value


def _choice(value: object, place: str) -> object:
    if value not in PLACES:
        raise ConfigError(f"redact_in in {place} is neither of {', '.join(PLACES)}")
    return value
