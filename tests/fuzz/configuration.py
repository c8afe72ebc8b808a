"""Target `configuration`: any `hush.toml` and any variables (config.py, layers.py, options.py, rules.py).

An input is lines `NAME=value` for the environment, one line `%%`, and the file.
"""

from __future__ import annotations

import os
from pathlib import Path

from hush_otel import records
from hush_otel.codec import encode
from hush_otel.config import Settings, child_environment, foreign_code
from hush_otel.errors import ConfigError
from hush_otel.mapping.redaction import RecordRedactor
from hush_otel.model import Destination
from hush_otel.rules import RedactionRules

SEPARATOR = b"\n%%\n"


class Configuration:
    """One file, and this process's environment, both replaced for each input."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "hush.toml"
        self._home = directory

    def attempt(self, data: bytes) -> None:
        """Read it as a process does that makes a processor.

        Raises:
            AssertionError: A promise is broken.
        """
        variables, _, file = data.partition(SEPARATOR) if SEPARATOR in data else (b"", b"", data)
        self._path.write_bytes(file)
        before = dict(os.environ)
        try:
            os.environ.clear()
            os.environ.update(_variables(variables))
            os.environ.update(HOME=str(self._home), HUSH_CONFIG=str(self._path))
            _load()
        finally:
            os.environ.clear()
            os.environ.update(before)

    def close(self) -> None:
        """Nothing is left open."""


def _variables(text: bytes) -> dict[str, str]:
    """Those that are read; as a shell would set them, so without NUL."""
    pairs = (line.partition(b"=") for line in text.replace(b"\0", b"").split(b"\n"))
    return {
        os.fsdecode(name): os.fsdecode(value)
        for name, _, value in pairs
        if name.startswith((b"HUSH_", b"OTEL_", b"LANGFUSE_", b"PYTHONPATH"))
    }


def _load() -> None:
    try:
        settings = Settings.load()
        chosen = settings.choose(())
    except ConfigError as exc:
        _check_error(exc)
        return
    _check_settings(settings)
    for destination in (*settings.known_destinations.values(), *chosen):
        _check_destination(destination)
    if settings.redaction is not None:
        _check_rules(settings.redaction)
    assert all("\0" not in value for value in child_environment(settings).values()), "no process starts so"
    foreign_code()


def _check_error(error: ConfigError) -> None:
    """For people: words, on lines, of a length that can be read."""
    assert error.message, "an error without words"
    assert len(str(error)) < 200_000, "an error without end"
    str(error).encode("utf-8", "surrogateescape")


def _check_settings(settings: Settings) -> None:
    for path in (settings.db_path, settings.spool_dir):
        assert path.is_absolute(), "a path that depends on where one stands"
        assert "\0" not in str(path), "a path that no file can have"
    assert settings.spool_max_bytes >= 1 << 20
    assert 0 < settings.complete_timeout_s < float("inf")
    assert 0 < settings.delivery_max_age_s < float("inf")
    assert 0 <= settings.idle_exit_s < float("inf")
    assert settings.retention_days is None or 0 < settings.retention_days < float("inf")
    assert settings.background in ("process", "thread", "external")


def _check_destination(destination: Destination) -> None:
    """It can be recorded, and is the same when it is read again."""
    payload, _ = encode((records.ORIGIN, 0, {}, "", "", "", "", {}, [destination.as_record()]))
    (found,) = records.decode_record(payload).destinations
    assert found["name"] == destination.name
    again = Destination(found["type"], name=found["name"], **found["config"])
    assert again.type == destination.type


def _check_rules(rules: RedactionRules) -> None:
    """They can travel, and be applied."""
    again = RedactionRules.from_text(rules.as_text())
    assert again.as_text() == rules.as_text(), "other rules at the other end"
    record = RecordRedactor(again).record(
        records.End(records.END, 0, bytes(16), bytes(8), None, 0, "n", 1, 1, 2, 0, "", {"key": "value"}, None)
    )
    assert record.span_id == bytes(8)
