"""`hush-otel retry`: what is dead, paused or waits for its next try is sent now."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any, Final

import click

from hush_otel.background.asking import Asking
from hush_otel.config import Settings
from hush_otel.errors import HushError
from hush_otel.presentation import text
from hush_otel.presentation.waiting import open_reader
from hush_otel.store.reading import Reader, Row

from .completing import destinations
from .filters import stored_destination
from .output import busy, print_json

WATCH_S: Final = 10.0
"""How long to look what the receivers say."""

EXIT_NOT_ARRIVED: Final = 1

STATES: Final = ("dead", "paused", "pending")


@click.command("retry")
@click.argument("ids", metavar="[ID]...", nargs=-1, type=click.IntRange(min=1))
@click.option(
    "--destination",
    metavar="NAME",
    shell_complete=destinations,
    help="All to this destination; lifts its pause.",
)
@click.option("--dead", is_flag=True, help="All that are dead, and nothing else.")
@click.option("--all", "everything", is_flag=True, help="All that are dead, paused or wait.")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(min=0), default=WATCH_S, show_default=True, metavar="SECONDS",
    help="How long to look what becomes of them.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="{deliveries, spans, resumed, states} on one line.")
@click.pass_obj
def command(
    db: str | None,
    ids: tuple[int, ...],
    destination: str | None,
    dead: bool,
    everything: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """Send deliveries again that are dead or paused, or wait for their next try.

    By their ids (`hush-otel deliveries` lists them), or all of a destination, all that are dead, or all. A
    paused destination goes on. What is asked is safe once the command has begun to wait, and is done even
    when it is interrupted. Ends with exit code 1 when not all of it had arrived by then; --wait 0 does not
    look.
    """
    if bool(ids) + (dead or destination is not None) + everything != 1:
        raise click.UsageError("give ids, --destination NAME, --dead or --all")
    settings = Settings.load(db)
    with open_reader(settings) as reader:
        if destination is not None:
            stored_destination(reader, destination)
        if ids:
            _check(reader, ids)
        with Asking(settings, reader) as asking:
            arguments = {"ids": list(ids), "destination": destination, "only_dead": dead}
            with busy("asking"):
                found = asking.answer(asking.send("retry", arguments), "retry")
            if not as_json:
                click.echo(_what_was_done(found))
            numbers = json.dumps(found["ids"])
            with busy("waiting for the receivers"):
                asking.wait(lambda: _are_tried(reader, numbers, time.time()) or None, wait_s)
                deliveries = reader.rows("deliveries_by_id", ids=numbers)
    states = Counter[str](row["state"] for row in deliveries)
    if as_json:
        print_json({key: found[key] for key in ("deliveries", "spans", "resumed")} | {"states": dict(states)})
    elif deliveries:
        click.echo(_what_came_of_it(deliveries, states))
    return EXIT_NOT_ARRIVED if wait_s and states.total() > states["delivered"] else 0


def _check(reader: Reader, ids: tuple[int, ...]) -> None:
    """Refuse what cannot be sent again, before anything is asked."""
    states = {row["id"]: row["state"] for row in reader.each("deliveries_by_id", ids=json.dumps(ids))}
    for number in ids:
        if number not in states:
            raise HushError(f"no delivery {number} in {reader.path}", hint="hush-otel deliveries lists them")
        if states[number] not in STATES:
            again = "; `hush-otel replay --again` sends whole requests once more"
            raise HushError(
                f"delivery {number} is {states[number]}",
                hint=f"only what is dead, paused or waits is sent again{again}",
            )


def _are_tried(reader: Reader, numbers: str, now_s: float) -> bool:
    """Whether each is settled, paused once more, or waits for its next try."""
    return all(
        row["state"] in {"delivered", "dead", "paused"}
        or (row["state"] == "pending" and (row["next_attempt_at"] or 0) > now_s)
        for row in reader.each("deliveries_by_id", ids=numbers)
    )


def _what_was_done(found: dict[str, Any]) -> str:
    names = ", ".join(text.clean(name, limit=60) for name in found["resumed"])
    resumed = f"; {names} {'goes' if len(found['resumed']) == 1 else 'go'} on" if names else ""
    if not found["deliveries"]:
        return f"nothing to send again{resumed}"
    deliveries = "1 delivery" if found["deliveries"] == 1 else f"{found['deliveries']:,} deliveries"
    return f"{deliveries} of {text.plural(found['spans'], 'span')} to be sent again{resumed}"


def _what_came_of_it(deliveries: list[Row], states: Counter[str]) -> str:
    why = {row["state"]: row["last_error"] for row in deliveries if row["last_error"]}
    parts = []
    for state, number in states.most_common():
        reason = why.get(state) if state != "delivered" else None
        parts.append(f"{number:,} {state}" + (f" ({text.said(reason, limit=200)})" if reason else ""))
    return "now " + " · ".join(parts)
