"""The `[redaction]` table: what cannot work is a ConfigError at construction that names the key."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from inprocess import no_background
from redacting import configure, rules

from hush_otel import HushSpanProcessor, get_store
from hush_otel.config import Settings
from hush_otel.errors import ConfigError


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ({"key": ["a"]}, "key"),
        ({"keys": "password"}, "keys"),
        ({"keys": [1]}, "keys"),
        ({"keys": [""]}, "keys"),
        ({"keys": ["_-"]}, "keys"),
        ({"values": "email"}, "values"),
        ({"values": ["e-mail"]}, "values"),
        ({"patterns": ["a"]}, "patterns"),
        ({"patterns": {"a": 1}}, "patterns"),
        ({"patterns": {"broken": "(a"}}, "patterns.broken"),
        ({"patterns": {"ahead": "(?=a)"}}, "patterns.ahead"),
        ({"patterns": {"back": r"(a)\1"}}, "patterns.back"),
        ({"patterns": {"nothing": "a*"}}, "patterns.nothing"),
        ({"patterns": {"huge": "((a{1,100}){1,100}){1,100}"}}, "patterns.huge"),
        ({"mask": ""}, "mask"),
        ({"mask": 1}, "mask"),
        ({"mask": "a\nb"}, "mask"),
        ({"mask": "x" * 101}, "mask"),
        ({"redact_in": "spool"}, "redact_in"),
        ({"values": []}, "hides nothing"),
    ],
)
def test_what_cannot_work_is_refused_at_construction(
    table: dict[str, Any], names: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the processor and by the store, with the key and the file."""
    no_background(monkeypatch, tmp_path)
    path = configure(monkeypatch, tmp_path, **table)
    for make in (HushSpanProcessor, get_store):
        with pytest.raises(ConfigError) as caught:
            make(tmp_path / "t.db")
        assert names in str(caught.value)
        assert str(path) in str(caught.value)


def test_a_redaction_that_is_no_table_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as redaction = true."""
    no_background(monkeypatch, tmp_path)
    path = tmp_path / "hush.toml"
    path.write_text("redaction = true\n")
    monkeypatch.setenv("HUSH_CONFIG", str(path))
    with pytest.raises(ConfigError, match="redaction"):
        Settings.load(tmp_path / "t.db")


def test_own_patterns_without_re2_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own expressions are no substitute."""
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(ConfigError, match=r"patterns\.a .*hush-otel\[redaction\]"):
        rules(patterns={"a": "b"})
    assert rules().values


def test_a_pattern_that_python_would_take_for_ever_is_searched_at_once() -> None:
    """(a+)+$ over a long word: exponential there, linear here."""
    from redacting import redactor

    text = "a" * 100_000 + "!"
    assert redactor(values=[], patterns={"evil": "(a+)+$"}).text(text) == text
