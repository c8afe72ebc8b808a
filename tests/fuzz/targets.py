"""What is fuzzed, by name. Each target is made with a directory of its own, and takes one input at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from configuration import Configuration
from node_traces import NodeTraces
from segments import Segments

HERE: Final = Path(__file__).parent


class Target(Protocol):
    """One way in from outside."""

    def attempt(self, data: bytes) -> None:
        """Try one input. Whatever it raises is a finding."""

    def close(self) -> None:
        """Leave nothing behind."""


TARGETS: Final[dict[str, Callable[[Path], Target]]] = {
    "segments": Segments,
    "configuration": Configuration,
    "node_traces": NodeTraces,
}


def seeds_of(name: str) -> list[Path]:
    """The inputs that are kept: the first ones, and each that once was a finding."""
    return sorted((HERE / "seeds" / name).iterdir())
