"""How files that come out of the database are named: nothing of a name comes from the data itself."""

from __future__ import annotations

from typing import Final

_SUFFIXES: Final = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "video/mp4": ".mp4",
    "application/pdf": ".pdf",
    "application/json": ".json",
    "text/plain": ".txt",
}


def media_name(sha256: str, content_type: str) -> str:
    """Its hash in hex, and what its type makes people expect; a type that is not known gives no suffix."""
    return sha256 + _SUFFIXES.get(content_type, "")
