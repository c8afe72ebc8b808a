"""What a shell can complete from the database: ids, names, destinations. Fast, and silent without one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import click
from click.shell_completion import CompletionItem

from hush_otel.config import survey
from hush_otel.errors import HushError
from hush_otel.presentation import text
from hush_otel.presentation.sessions import facets
from hush_otel.presets import PRESETS
from hush_otel.store.reading import Reader

TYPES: Final = (*sorted(PRESETS), "otlp", "file", "console")
"""Types of destinations whose spans are translated here."""

LIMIT: Final = 50
TIME_LIMIT_S: Final = 0.3
"""Whoever presses Tab does not wait longer."""
BUSY_TIMEOUT_S: Final = 0.1

_PLAIN: Final = re.compile(r"(?!-)[\w./:@%+=,-]+")
"""Letters of any script, digits, and signs that mean nothing to a shell. No option."""

Completer: TypeAlias = "Callable[[click.Context, click.Parameter, str], list[CompletionItem]]"


def request_ids(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Requests by their ids, with workflow and time; the newest where nothing was typed."""

    def look(reader: Reader) -> Iterable[CompletionItem]:
        typed = {"id": incomplete, "id_end": incomplete + "\U0010ffff"} if incomplete else {}
        query = "complete_requests" if incomplete else "complete_newest"
        for row in reader.each(query, limit=LIMIT, **typed):
            yield CompletionItem(row["request_id"], help=text.clean(row["workflow_name"] or "", limit=60))

    return _asked(ctx, incomplete, look)


def facet(name: str) -> Completer:
    """Workflows, models, users, sessions or tags, as the newest requests have them."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return _asked(ctx, incomplete, lambda reader: map(CompletionItem, facets(reader)[name]))

    return complete


workflows: Final = facet("workflows")
models: Final = facet("models")
users: Final = facet("users")
sessions: Final = facet("sessions")
tags: Final = facet("tags")


def destinations(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Destinations that the database knows, or the configuration file."""

    def look(reader: Reader) -> Iterable[CompletionItem]:
        stored = (row["name"] for row in reader.each("destination_names"))
        configured = survey(_database(ctx)).settings.known_destinations
        return map(CompletionItem, dict.fromkeys((*stored, *configured)))

    return _asked(ctx, incomplete, look)


def destinations_and_types(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Also types, which need neither be configured nor known to a database."""
    found = {item.value: item for item in destinations(ctx, param, incomplete)}
    types = (CompletionItem(kind, help="a type") for kind in TYPES if kind.startswith(incomplete))
    return [*found.values(), *(item for item in types if item.value not in found)]


def _asked(
    ctx: click.Context, incomplete: str, look: Callable[[Reader], Iterable[CompletionItem]]
) -> list[CompletionItem]:
    """What a look at the database finds. A shell shows no errors, so there are none."""
    try:
        path = survey(_database(ctx)).settings.db_path
        with Reader(path, busy_timeout_s=BUSY_TIMEOUT_S, time_limit_s=TIME_LIMIT_S) as reader:
            found = list(look(reader))
    except (HushError, OSError):
        return []
    return [item for item in found if item.value.startswith(incomplete) and _is_plain(item.value)]


def _database(ctx: click.Context) -> str | None:
    """What --db says, before or after the command."""
    if isinstance(ctx.obj, str):
        return ctx.obj
    said = ctx.find_root().params.get("db")
    return said if isinstance(said, str) else None


def _is_plain(value: str) -> bool:
    """Whether every shell takes it for one word and does nothing else.

    click's script for bash hands values on unquoted: what is on the command line then is run, ``$(…)`` too.
    """
    return _PLAIN.fullmatch(value) is not None
