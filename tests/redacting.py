"""Redaction in tests: rules, an application that has them, and a search for what must not be found."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hush_otel.mapping.redactor import Redactor
from hush_otel.rules import RedactionRules


def rules(**table: Any) -> RedactionRules:
    """Rules as the configuration file gives them."""
    return RedactionRules.from_table(table, "[redaction]")


def redactor(**table: Any) -> Redactor:
    """Applies such rules."""
    return Redactor(rules(**table))


def configure(monkeypatch: pytest.MonkeyPatch, directory: Path, **table: Any) -> Path:
    """A configuration file with such a table; tables within it last, as TOML wants it."""
    path = directory / "hush.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += [f"[redaction.{key}]", *(f"{name} = {json.dumps(item)}" for name, item in value.items())]
    path.write_text("\n".join(["[redaction]", *lines]) + "\n", encoding="utf-8")
    monkeypatch.setenv("HUSH_CONFIG", str(path))
    return path


def holders(directory: Path, *needles: str) -> list[str]:
    """Files below a directory that hold one of these texts, in any of the usual encodings, but hush.toml."""
    found = []
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            if path.is_file() and name != "hush.toml":
                try:
                    data = path.read_bytes()
                except FileNotFoundError:
                    continue  # a segment that was drained meanwhile
                found += [f"{path.name}: {needle}" for needle in needles if _holds(data, needle)]
    return found


def _holds(data: bytes, needle: str) -> bool:
    import base64

    plain = needle.encode()
    # base64 of a text at any of its three places within another.
    shifted = [base64.b64encode(b"\0" * shift + plain)[shift + (shift > 0) : -4] for shift in range(3)]
    forms = [
        plain,
        json.dumps(needle)[1:-1].encode(),
        needle.encode("utf-16-le"),
        *(s for s in shifted if len(s) > 8),
    ]
    return any(form in data for form in forms)
