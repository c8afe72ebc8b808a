"""Long texts of attributes, apart from their rows: each once, whoever sent it."""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Final

from hush_otel.mapping.jsontext import json_text

from .pruning import delete_payloads
from .rows import SpanRow
from .statements import load_statements

SQL: Final = load_statements("ingest")


def store_large(db: sqlite3.Connection, row: SpanRow, number: int, *, replaces: bool = False) -> None:
    """The long texts of a row, each stored once whoever sent it."""
    before = db.execute(SQL["payloads_of_row"], (number,)).fetchall() if replaces else []
    if replaces:
        db.execute(SQL["forget_payloads"], (number,))
    for key, text in row.large.items():
        content = json_text(text)
        digest = hashlib.blake2b(content.encode(), digest_size=16).digest()
        db.execute(SQL["insert_payload"], (digest, content))
        (payload,) = db.execute(SQL["find_payload"], (digest,)).fetchone()
        db.execute(SQL["refer_to_payload"], (number, key, payload))
    delete_payloads(db, before)
