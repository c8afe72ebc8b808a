"""How numbers and times from the database read."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from hush_otel.presentation import text


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (0, "0 µs"), (0.085, "85 µs"), (1, "1.00 ms"), (12.34, "12.3 ms"), (999.4, "999 ms"), (999.6, "1.00 s"),
        (1240, "1.24 s"), (59_949, "59.9 s"), (59_990, "1m 00s"), (125_000, "2m 05s"), (11_220_000, "3h 07m"),
        (187_200_000, "2d 04h"), (-12.34, "-12.3 ms"), (-0.0, "0 µs"), (-0.0004, "0 µs"), (-0.002, "-2 µs"),
        (None, "-"), ("odd", "-"), (float("inf"), "-"), (1e308, "1e+300d"), (-1e308, "-1e+300d"),
    ],
)  # fmt: skip
def test_durations_are_readable(ms: object, shown: str) -> None:
    """Three digits and a unit; a dash for what is no duration."""
    assert text.duration(ms) == shown


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        (0.00123, "$0.00123"),
        (0, "$0"),
        (1.5, "$1.50"),
        (1234.567, "$1234.57"),
        (1.83e-05, "$0.0000183"),
        (-0.5, "-$0.50"),
        (1e308, "$1e+308"),
        (-2e12, "-$2e+12"),
        (None, ""),
    ],
)
def test_costs_have_three_significant_digits(usd: object, shown: str) -> None:
    """At least cents, at most what says something."""
    assert text.cost(usd) == shown


def test_times_are_short_when_near() -> None:
    """Today without the date, this year without the year; what is no time is shown as it is."""
    now = datetime.now(UTC)
    assert text.local_time(now.isoformat(), now=now) == now.astimezone().strftime("%H:%M:%S")
    assert text.local_time("2001-05-09T12:00:00.000000Z", now=now).startswith("2001-05-09")
    assert text.local_time("soon\x1b[31m") == "soon"
    assert text.local_time(None) == "-"


def test_sizes_and_tokens() -> None:
    """Bytes in binary units; tokens with what is known of them."""
    assert [text.size(n) for n in (0, 1023, 1536, 5 * 1024**4, 2000 * 1024**4)] == [
        "0 B", "1023 B", "1.5 KiB", "5.0 TiB", "2000.0 TiB",
    ]  # fmt: skip
    assert text.tokens(1, 2, 3) == "1→2"
    assert text.tokens(1, None, 3) == "1→?"
    assert text.tokens(None, None, 3) == "3"
    assert text.tokens(None, None, "x") == ""


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (
            'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\nValueError: broke\n',
            "ValueError: broke",
        ),
        ("ValueError: broke\nin two lines", "ValueError: broke\nin two lines"),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
        ("", ""),
    ],
)
def test_a_traceback_says_what_went_wrong_in_its_last_line(error: str, shown: str) -> None:
    """Where one line has to do."""
    assert text.headline(error) == shown


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("no (really)", "no (really)"),
        ("x" * 300, "x" * 49 + "…"),
        ("x" * 300 + " (check its headers)", "x" * 29 + "… (check its headers)"),
        ("x" * 300 + " (end that (1) first)", "x" * 28 + "… (end that (1) first)"),
        ("x" * 300 + " (\x1b[31mcall\nher)", "x" * 38 + "… (call↵her)"),
        ("x" * 300 + " (" + "y" * 40 + ")", "x" * 49 + "…"),
        ("x" * 300 + " y)", "x" * 49 + "…"),
        ("\x1b[31m" * 20 + "short (hint)", "short (hint)"),
    ],
)
def test_what_an_error_says_is_cut_before_what_to_do(error: str, shown: str) -> None:
    """The hint stands in brackets at its end, and is what the reader needs."""
    assert text.said(error, limit=50) == shown


@pytest.mark.alone
def test_a_long_error_is_cut_at_once() -> None:
    """Whatever it ends with."""
    start = time.thread_time()
    assert len(text.said("(" * 10_000_000 + ")" * 10_000_000)) <= 300
    assert time.thread_time() - start < 1
