"""Files that belong to spans: stored once whoever sends them, apart from the rows, and read back."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from hush_otel.mapping.media import File

from .statements import load_statements

SQL: Final = load_statements("ingest")


def store_media(db: sqlite3.Connection, span: int, files: Sequence[File]) -> None:
    """A new row's files.

    Args:
        db: In a transaction.
        span: The row's number.
        files: Those with bytes.
    """
    for number, file in enumerate(files):
        db.execute(SQL["insert_media"], (file.digest, file.data))
        db.execute(SQL["refer_to_media"], (span, number, file.digest, file.content_type))
