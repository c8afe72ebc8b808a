"""Real processes whose configurations differ: the rules of the application that wrote hold."""

from __future__ import annotations

from pathlib import Path

from bench import Bench
from redacting import holders
from support import eventually

PLANTED = "planted@corp.example"


def _configure(path: Path, place: str) -> str:
    file = path / "hush.toml"
    file.write_text(f'[redaction]\nvalues = ["email"]\nredact_in = "{place}"\n', encoding="utf-8")
    return str(file)


def test_s13_rules_hold_in_a_background_process_that_another_app_has_started(bench: Bench) -> None:
    """That one has no configuration file, and goes on running."""
    other = bench.start("stream", "plain", 0, 0.002)
    assert other.value() == "ready"
    owner = bench.owner_eventually()
    app = bench.start("stream", PLANTED, 20, 0.0, HUSH_CONFIG=_configure(bench.path, "background"))
    assert app.value() == "ready"
    app.tell("stop")
    count = app.value()
    hidden = "SELECT count(*) FROM spans WHERE name LIKE '[redacted]%' AND state = 'ended'"
    eventually(lambda: bench.value(hidden) == count, what="the hidden names")
    assert bench.owner() == owner
    assert [name for name in holders(bench.path, PLANTED) if ".seg" not in name] == []


def test_s13_redact_in_app_leaves_nothing_in_the_spool(bench: Bench) -> None:
    """Nobody drains here: all that the application has written lies in its segments."""
    app = bench.start(
        "stream",
        PLANTED,
        20,
        0.0,
        HUSH_CONFIG=_configure(bench.path, "app"),
        HUSH_BACKGROUND="external",
    )
    assert app.value() == "ready"
    app.tell("stop")
    assert app.value() >= 20
    assert list(bench.spool.path.glob("*.seg"))
    assert holders(bench.path, PLANTED) == []
