"""Target `node_traces`: any Python values through insert_node_trace, the spool and the drain into the store.

A good node trace goes before and after each, of the same batch: its neighbours.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from inprocess import Owner, let_go, settings_for
from source import Source
from values import Values

from hush_otel import get_store

ROUNDS = 200
"""Inputs a database: it must not grow without end."""
FIELDS = 22
NEIGHBOUR = {"question": "how many?"}
JSON_OF_SPANS = ("attributes", "events", "links", "node")
RARE = frozenset(("cut",))
"""What may be counted beside a row that is stored: a part of it was cut away."""


class NodeTraces:
    """A store and its owner in this process. Sets variables of this process until it is closed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._before = dict(os.environ)
        os.environ.update(HUSH_BACKGROUND="external", HOME=str(directory), HUSH_CONFIG="")
        self._round = 0
        self._begin()

    def _begin(self) -> None:
        self._place = Path(tempfile.mkdtemp(dir=self._directory))
        database = self._place / "t.db"
        self._store = get_store(database)
        self._owner = Owner(settings_for(database))
        self._seen = Counter[str]()
        self._last = 0

    def attempt(self, data: bytes) -> None:
        """Record, drain, look.

        Raises:
            AssertionError: A promise is broken.
        """
        if self._round == ROUNDS:
            self._end()
            self._begin()
            self._round = 0
        self._round += 1
        arguments = _arguments(Values(Source(data)))
        self._neighbour()
        is_taken = self._record(arguments)
        self._neighbour()
        self._owner.drain()
        self._look(2 + is_taken)

    def _neighbour(self) -> None:
        nothing = (None,) * 6
        self._store.insert_node_trace("neighbour", "w", "n", *nothing, NEIGHBOUR, NEIGHBOUR)

    def _record(self, arguments: list[Any]) -> bool:
        """Whether it was taken; it must be, unless a required field is none."""
        try:
            self._store.insert_node_trace(*arguments[:20], node_type=arguments[20], error=arguments[21])
        except ValueError:
            assert not _is_acceptable(arguments), "a good request was refused"
            return False
        assert _is_acceptable(arguments), "a request without its required fields was taken"
        return True

    def _look(self, expected: int) -> None:
        """The rows of this round, and what was counted."""
        db = self._owner.connection
        last, self._last = self._last, _number(db, "SELECT coalesce(max(id), 0) FROM hush_spans")
        before, self._seen = self._seen, Counter(self._losses(db))
        rows = db.execute("SELECT * FROM hush_spans WHERE id > ?", (last,))
        names = [column[0] for column in rows.description]
        found = [dict(zip(names, row, strict=True)) for row in rows]
        assert len(found) == expected, f"{len(found)} rows instead of {expected}"
        for row in found:
            for column in JSON_OF_SPANS:
                if row[column] is not None:
                    json.loads(row[column], parse_constant=_refuse_constant)
        self._look_at_view(db, last, expected)
        lost = {reason for reason in self._seen - before if reason not in RARE}
        assert not lost, f"lost: {lost}"

    def _look_at_view(self, db: sqlite3.Connection, last: int, expected: int) -> None:
        select = "SELECT request_id, input_data, output_data, metadata FROM node_traces WHERE id > ?"
        found = db.execute(select, (last,)).fetchall()
        assert len(found) == expected, "the view hides rows"
        good = json.dumps(NEIGHBOUR, separators=(",", ":"))
        neighbours = [row for row in found if row[:3] == ("neighbour", good, good)]
        assert len(neighbours) >= 2, "a neighbour was harmed"
        invalid = "SELECT count(*) FROM hush_payloads WHERE NOT json_valid(json)"
        assert _number(db, invalid) == 0, "a long text is no JSON"

    def _losses(self, db: sqlite3.Connection) -> dict[str, int]:
        return dict(db.execute("SELECT reason, count FROM hush_losses"))

    def _end(self) -> None:
        self._owner.close()
        let_go()
        shutil.rmtree(self._place)

    def close(self) -> None:
        """Let go of the files, and put the variables back."""
        self._end()
        os.environ.clear()
        os.environ.update(self._before)


def _arguments(values: Values) -> list[Any]:
    """Those of insert_node_trace, in their order; the required ones are mostly text."""
    required = [f"r{values.text()}", values.text(), values.text()]
    strange = values._source.byte()
    if strange < 3:
        required[strange] = values.value()
    return [*required, *(values.value() for _ in range(FIELDS - 3))]


def _is_acceptable(arguments: list[Any]) -> bool:
    """By the contract: three texts, the first not empty."""
    are_texts = all(issubclass(type(value), str) for value in arguments[:3])
    return are_texts and str.__len__(arguments[0]) > 0


def _number(db: sqlite3.Connection, sql: str) -> int:
    return int(db.execute(sql).fetchone()[0])


def _refuse_constant(name: str) -> NoReturn:
    raise AssertionError(f"{name} is no JSON")
