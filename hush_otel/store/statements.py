"""SQL from files: each `statements/*.sql` holds statements under `-- name:` lines."""

from __future__ import annotations

from typing import Final

from .database import load_sql

_MARK: Final = "-- name:"


def load_statements(file: str) -> dict[str, str]:
    """The statements of `statements/<file>.sql` by name."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in load_sql(f"statements/{file}.sql").splitlines():
        if line.startswith(_MARK):
            name = line.removeprefix(_MARK).strip()
            found[name] = []
        elif name:
            found[name].append(line)
    return {name: "\n".join(lines).strip() for name, lines in found.items()}
