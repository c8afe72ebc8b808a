"""The files that a request's nodes have attached: how many, and their bytes back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hush_otel.errors import HushError
from hush_otel.presentation import text
from hush_otel.presentation.files import media_name
from hush_otel.store.reading import Reader

from .files import FILE_MODE

DIRECTORY_MODE: Final = 0o700
MOST_MISSING: Final = 5
"""Named in one line."""


def summary(reader: Reader, request_id: str) -> str:
    """Number and size, each file counted once; empty when there are none."""
    found = reader.rows("request_media", request_id=request_id)
    if not found:
        return ""
    size = text.size(sum(row["size"] for row in found))
    return f"{text.plural(len(found), 'file')}, {size} (--save-media DIR)"


def missing(reader: Reader, request_id: str) -> str:
    """Names of those that could not be taken, and why; empty when there are none."""
    found = reader.rows("missing_media", request_id=request_id, limit=MOST_MISSING + 1)
    if not found:
        return ""
    said = [
        f"{text.clean(row['name'] or 'one without a name', limit=60)} ({text.clean(row['why'])})"
        for row in found
    ]
    more = len(said) > MOST_MISSING
    return ", ".join(said[:MOST_MISSING]) + (" and more" if more else "")


def saved(reader: Reader, request_id: str, directory: Path) -> Iterator[Path]:
    """Write each file as its SHA-256 in hex, readable by the owner alone; one that is there already stays.

    Args:
        reader: In a snapshot.
        request_id: As it is stored.
        directory: Made if missing; its parent must be there.

    Raises:
        HushError: There are none, or something cannot be written.
    """
    found = reader.rows("request_media", request_id=request_id)
    if not found:
        raise HushError(f"{request_id} has no attachments", hint="show says why one is missing")
    try:
        directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        for row in found:
            path = directory / media_name(row["sha256"], row["content_type"])
            data = reader.row("media", id=row["id"])
            if data is not None:
                _write(path, data["data"])
                yield path
    except OSError as exc:
        raise HushError(f"cannot write to {directory}: {exc.strerror or exc}") from exc


def _write(path: Path, data: bytes) -> None:
    """All of a new file, or none: another run may be at the same."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
