"""How files that come out of the database are named: nothing of a name leads anywhere or hides what it is."""

from __future__ import annotations

import re
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


SHARED_AS: Final = {"html": ".html", "markdown": ".md", "json": ".json"}
"""The forms in which a request is given away, and what their files' names end in."""

_ID_CHARS: Final = 60


def shared_name(request_id: str, form: str) -> str:
    """Of a file with one request: letters, digits, dots and dashes of the id, and no path."""
    return "hush-" + re.sub("[^A-Za-z0-9.-]+", "-", request_id).strip("-.")[:_ID_CHARS] + SHARED_AS[form]
