"""What several commands let people choose by: times and ages, destinations."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Final

import click

from hush_otel.errors import HushError
from hush_otel.store.reading import Reader, Row

UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

_AGE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(I?)B?|B)?")


def moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """An option's age (``90s``, ``15m``, ``12h``, ``7d``, ``2w``) or time (ISO 8601) as unix seconds.

    A time without offset is local.

    Raises:
        click.BadParameter: It is neither.
    """
    if value is None:
        return None
    age = _AGE.fullmatch(value.strip())
    try:
        if age:
            return time.time() - float(age[1]) * UNITS_S[age[2]]
        return datetime.fromisoformat(value.strip()).astimezone(UTC).timestamp()
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(
            f"{value!r} is neither an age (7d, 12h, 30m) nor a time (2026-01-31)"
        ) from None


def size(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """An option's size (``1500000``, ``500MB``, ``2 GiB``) in bytes.

    Raises:
        click.BadParameter: It is none.
    """
    if value is None:
        return None
    found = _SIZE.fullmatch(value.strip().upper())
    if found is None:
        raise click.BadParameter(f"{value!r} is no size (500MB, 2GiB, or a number of bytes)")
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** ("KMGT".index(found[2]) + 1 if found[2] else 0))


def stored_destination(reader: Reader, name: str) -> Row:
    """The row of a destination that the database knows.

    Raises:
        HushError: It knows none of this name; the message lists those that it does.
    """
    found = reader.row("destination", name=name)
    if found is None:
        names = ", ".join(row["name"] for row in reader.each("destination_names")) or "none yet"
        raise HushError(f"no destination {name!r} in {reader.path}", hint=f"known: {names}")
    return found
