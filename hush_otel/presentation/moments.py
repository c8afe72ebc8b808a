"""Times, ages and lengths of time as people write them."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Final

from hush_otel.errors import ConfigError

UNITS_S: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

_LENGTH: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])")


def seconds(text: str) -> float:
    """A length of time: ``250ms``, ``90s``, ``15m``, ``12h``, ``7d``, ``2w``.

    Raises:
        ConfigError: It is none.
    """
    found = _LENGTH.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{text!r} is no length of time (250ms, 2s, 5m)")
    return float(found[1]) * UNITS_S[found[2]]


def moment(text: str) -> float:
    """An age (``90s``, ``7d``) or a time (ISO 8601) as unix seconds. A time without offset is local.

    Raises:
        ConfigError: It is neither.
    """
    if _LENGTH.fullmatch(text.strip()):
        return time.time() - seconds(text)
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"{text!r} is neither an age (7d, 12h, 30m) nor a time (2026-01-31)") from None
