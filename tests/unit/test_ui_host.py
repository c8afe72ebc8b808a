"""`hush-otel ui --host`: an address in any form that the system takes is the one that browsers ask for."""

from __future__ import annotations

import pytest

from hush_otel.cli import ui


@pytest.mark.parametrize(
    ("given", "plain", "loopback"),
    [
        ("0", "0.0.0.0", False),  # noqa: S104 - nothing listens here
        ("127.1", "127.0.0.1", True),
        ("2130706433", "127.0.0.1", True),
        ("LOCALHOST", "localhost", True),
        ("::1", "::1", True),
        ("Machine.lan", "machine.lan", False),
    ],
)
def test_a_host_is_taken_in_every_form(given: str, plain: str, loopback: bool) -> None:
    """Its login URL is answered, and only what others can reach is warned of."""
    assert ui.plain_host(given) == plain
    assert ui._is_loopback(plain) == loopback
