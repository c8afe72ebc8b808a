"""An application's tests that stop the clock, as freezegun does: it stands still, be it before 1970."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import BuiltinFunctionType

import pytest
from inprocess import App, no_background


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """Nobody drains what it records."""
    no_background(monkeypatch, tmp_path)
    return App(tmp_path / "t.db")


def freeze(monkeypatch: pytest.MonkeyPatch, at_s: float) -> None:
    """Everywhere: freezegun looks for the functions in all modules that have imported them by name."""
    frozen = {
        time.time: lambda: at_s,
        time.time_ns: lambda: int(at_s * 1e9),
        time.monotonic: lambda: at_s,
        time.monotonic_ns: lambda: int(at_s * 1e9),
    }
    for name, module in list(sys.modules.items()):
        if module is time or name.partition(".")[0] == "hush_otel":
            for key, value in list(vars(module).items()):
                if isinstance(value, BuiltinFunctionType) and value in frozen:
                    monkeypatch.setattr(module, key, frozen[value])


YEAR_2030, YEAR_1960 = 1.9e9, -3.2e8
whenever = pytest.mark.parametrize("at_s", [YEAR_2030, YEAR_1960], ids=["in 2030", "in 1960"])


@whenever
def test_i3_waiting_ends_while_the_clock_is_frozen(
    app: App, monkeypatch: pytest.MonkeyPatch, at_s: float
) -> None:
    """I3: force_flush, wait_delivered and shutdown keep their time, though nothing is ever stored."""
    app.tracer.start_span("recorded").end()
    freeze(monkeypatch, at_s)
    assert not app.provider.force_flush(20)
    assert not app.store.wait_delivered(20)
    app.provider.shutdown()


@whenever
def test_i4_records_are_taken_while_the_clock_is_frozen(
    app: App, monkeypatch: pytest.MonkeyPatch, at_s: float
) -> None:
    """I4: a segment is made at once, as at any other time."""
    with monkeypatch.context() as frozen:
        freeze(frozen, at_s)
        app.tracer.start_span("recorded").end()
    assert app.processor._writer.dropped == 0
    app.drain()
    assert [span["name"] for span in app.spans()] == ["recorded"]


def test_the_background_process_is_looked_for_after_the_clock_was_frozen(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next look was not put off to 2030."""
    writer = app.processor._writer
    with monkeypatch.context() as frozen:
        freeze(frozen, YEAR_2030)
        app.tracer.start_span("recorded").end()
    assert writer._next_check < time.monotonic() + 1
