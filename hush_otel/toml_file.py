"""A TOML file as plain values. Whatever is wrong with it is a ConfigError that names the file."""

from __future__ import annotations

import errno
import stat
import tomllib
from pathlib import Path
from typing import Any, Final

from .errors import ConfigError
from .model import is_64_bit

MAX_BYTES: Final = 4 * 1024 * 1024
"""A device has no end, and an application reads this while it starts."""


def read_toml(path: Path) -> dict[str, Any] | None:
    """Its content; None when there is no such file.

    Raises:
        ConfigError: It cannot be read, or is no TOML; or a link leads nowhere, which is not the same as none.
    """
    try:
        content = tomllib.loads(_read(path).decode("utf-8"))
        for key, value in content.items():
            _refuse_large_integers(key, value)
    except FileNotFoundError as exc:
        for place in (path, *path.parents):
            if place.is_symlink() and not place.exists():
                raise ConfigError(
                    f"cannot read the configuration file {path}: {place} is a link to {place.readlink()},"
                    " which is not there",
                    hint="mend the link or remove it",
                ) from exc
        return None
    except (OSError, ValueError) as exc:  # no UTF-8, no TOML, no end
        hint = "raise the limit of open files: ulimit -n" if _is_out_of_descriptors(exc) else ""
        raise ConfigError(f"cannot read the configuration file {path}: {exc}", hint=hint) from exc
    except RecursionError:
        raise ConfigError(
            f"cannot read the configuration file {path}: lists or tables in it are nested too deep"
        ) from None
    return content


def _read(path: Path) -> bytes:
    # Asked first: that there is no file needs no descriptor, and an application may have none left.
    if stat.S_ISFIFO(path.stat().st_mode):
        raise ValueError("it is a pipe, and each process reads it anew")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is longer than {MAX_BYTES:,} bytes")
    return content


def _is_out_of_descriptors(exc: OSError | ValueError) -> bool:
    return isinstance(exc, OSError) and exc.errno in {errno.EMFILE, errno.ENFILE}


def _refuse_large_integers(key: str, content: object) -> None:
    """TOML 1.0, "Integer": what 64 bit cannot represent must be an error. Python's reader takes it."""
    if isinstance(content, dict):
        for name, value in content.items():
            _refuse_large_integers(f"{key}.{name}", value)
    elif isinstance(content, list):
        for value in content:
            _refuse_large_integers(key, value)
    elif isinstance(content, int) and not is_64_bit(content):
        raise ValueError(f"{key} is an integer beyond 64 bit")
