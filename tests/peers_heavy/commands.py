"""The configuration file of a bench, and what commands say."""

from __future__ import annotations

import json
from typing import Any

from bench import Bench
from reading import Place


def define(bench: Bench, place: Place, **headers: str) -> None:
    """Write the configuration file with one destination, `place`; headers replace those of the place."""
    bench.env["HUSH_CONFIG"] = str(bench.path / "hush.toml")
    lines = ["[destination.place]", f'type = "{place.type}"', f"endpoint = {json.dumps(place.endpoint)}"]
    lines += ["[destination.place.headers]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in (place.headers | headers).items()]
    (bench.path / "hush.toml").write_text("\n".join(lines) + "\n")


def command(bench: Bench, *args: str, code: int = 0) -> str:
    """Run a command to its end; returns what it said."""
    running = bench.hush(*args)
    said = running.read_all(60.0)
    assert running.wait() == code
    return said.decode()


def balance(bench: Bench) -> dict[str, Any]:
    """What `audit` says; it must balance."""
    found: dict[str, Any] = json.loads(command(bench, "audit", "--json"))
    return found
