"""Secrets that stand in the configuration file themselves, where a reference could."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hush_otel import secrets
from hush_otel.config import Settings, config_path

from .finding import Finding, note

MEND: Final = 'write "${NAME}" for an environment variable, or "${file:/path}" for a file, in its place'

PATHS: Final = frozenset({"client_key"})
"""Options that name a file, whose content is the secret."""


def look(settings: Settings) -> Iterator[Finding]:
    """One finding for each destination that has any; it names keys and no values."""
    for name, destination in sorted(settings.known_destinations.items()):
        keys = [key for key in secrets.literal_keys(dict(destination.config)) if key not in PATHS]
        if keys:
            words = f"{', '.join(keys)}: a secret may stand in {config_path()} itself"
            yield note(f"destination {name}", words, MEND)
