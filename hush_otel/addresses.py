"""Hosts and ports of endpoints: whether there can be such a one at all. Nothing is looked up."""

from __future__ import annotations

from typing import Final

HIGHEST_PORT: Final = 65_535
LABEL_CHARS: Final = 63
"""RFC 1035, section 2.3.4: of one label of a host name."""
NAME_CHARS: Final = 253
"""The same of all of them, with the dots between."""


def why_nowhere(host: str, port: str | None) -> str:
    """Why an address cannot lead anywhere, in a few words; empty when it may.

    Args:
        host: A name, an IPv4 address, or an IPv6 address in brackets.
        port: Digits; None or empty where the scheme says it.
    """
    if port and not 1 <= int(port) <= HIGHEST_PORT:
        return f"port {port} is none: 1 to {HIGHEST_PORT}"
    name = host.removesuffix(".")  # the root's dot, which may be written
    if host.startswith("["):
        return ""
    if any(not 0 < len(label) <= LABEL_CHARS for label in name.split(".")) or len(name) > NAME_CHARS:
        return f"{host!r} is no host name"
    return ""
