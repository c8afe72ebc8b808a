"""`hush-otel replay`: requests of the past to a destination that was added later."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import click
from rich.progress import Progress, TaskID

from hush_otel.background.asking import Asking
from hush_otel.config import Settings
from hush_otel.destination_tables import BARE_TYPES
from hush_otel.errors import HushError
from hush_otel.model import Destination
from hush_otel.presentation import text
from hush_otel.presentation.waiting import open_reader
from hush_otel.store.reading import Reader, Row

from .completing import destinations
from .filters import stored_destination
from .history import Chosen, choosing, chosen, progress
from .output import print_json

LOOK_S: Final = 0.25
"""Between two looks at what is still to be delivered: each walks the destination's queue."""


@click.command("replay")
@click.option(
    "--to",
    "name",
    required=True,
    metavar="NAME",
    shell_complete=destinations,
    help="The destination, by its name.",
)
@choosing(since_required=True)
@click.option("--again", is_flag=True, help="Also what was delivered there: all of it once more.")
@click.option("--dry-run", is_flag=True, help="Say how many, and ask for nothing.")
@click.option("--wait", is_flag=True, help="Wait until they are delivered.")
@click.option("--json", "as_json", is_flag=True, help="{requests, spans, skipped, …} on one line.")
@click.pass_obj
def command(
    db: str | None, /, name: str, again: bool, dry_run: bool, wait: bool, as_json: bool, **options: Any
) -> None:
    """Send requests of the past to a destination, with their own ids.

    NAME is one of the configuration file, or one that the database knows (`hush-otel status`). What goes
    there already is left out, so that the same line resumes a replay that was interrupted; --again takes what
    was delivered, too. Requests that are not complete yet are sent when they are. What is queued is delivered
    by the background process, whatever becomes of this command.
    """
    settings = Settings.load(db)
    with open_reader(settings) as reader:
        definition = _definition(settings, reader, name)
        which = chosen(**options)
        row = reader.row("destination", name=name)
        totals = which.totals(reader, row["id"] if row else None)
        if dry_run:
            _say_what_would_be(totals, name, again=again, as_json=as_json)
            return
        with Asking(settings, reader) as asking, progress() as bar:
            replay = _Replay(asking, reader, name, definition, again=again)
            done = replay.run(which, bar, totals["requests"])
            if not as_json:
                bar.console.file.flush()
                click.echo(_what_was_done(done, replay.paused, name))
            asking.ensure()  # nothing may be left to ask for, and much to deliver
            if wait:
                _wait(asking, reader, bar, name)
        after = reader.row("destination_progress", name=name, now=time.time())
    if as_json:
        print_json({**done, "open_spans": after["open_spans"] if after else 0, "paused": replay.paused})
    elif wait and after:
        click.echo(_what_came_of_it(after, name))


def _definition(settings: Settings, reader: Reader, name: str) -> Destination | None:
    """From the configuration file; None for one that the database knows.

    A type by itself is as the database has it: the variables that completed it may not be set here.

    Raises:
        HushError: Nobody knows it, or something that it needs is missing.
    """
    if name == "local":
        raise HushError("local is the store itself: nothing can be sent there")
    stored = reader.row("destination", name=name)
    if name in settings.known_destinations or (name in BARE_TYPES and stored is None):
        (definition,) = settings.choose([name])
        return definition
    try:
        stored_destination(reader, name)
    except HushError as exc:
        known = ", ".join(sorted({*settings.known_destinations})) or "none"
        raise HushError(exc.message, hint=f"{exc.hint}; in the configuration file: {known}") from None
    return None


class _Replay:
    """One run: pages of requests become commands, a few ahead of their answers.

    Attributes:
        paused: Why the destination is, when it is.
    """

    def __init__(
        self, asking: Asking, reader: Reader, name: str, definition: Destination | None, *, again: bool
    ) -> None:
        self.paused: str | None = None
        self._asking = asking
        self._reader = reader
        self._name = name
        self._record = definition.as_record() if definition is not None else None
        self._again = again
        self._done = Counter[str](requests=0, spans=0, skipped=0)

    def run(self, which: Chosen, bar: Progress, total: int) -> dict[str, int]:
        """Have all of them queued; gives how many requests and spans were, and how many requests were not.

        Raises:
            HushError: A command was refused, or not applied in time.
        """
        task = bar.add_task(f"to {text.clean(self._name, limit=40)}", total=total)
        for asked, found in self._asking.answers("replay", self._commands(which, bar, task)):
            self._done.update({key: found[key] for key in ("requests", "spans", "skipped")})
            self.paused = found["paused"]
            bar.advance(task, len(asked["requests"]))
        return dict(self._done)

    def _commands(self, which: Chosen, bar: Progress, task: TaskID) -> Iterator[dict[str, Any]]:
        for page in which.pages(self._reader, self._number()):
            wanted = [row["id"] for row in page if self._again or not row["asked"]]
            self._done["skipped"] += len(page) - len(wanted)
            bar.advance(task, len(page) - len(wanted))
            if wanted:
                yield {
                    "destination": self._name,
                    "record": self._record,
                    "requests": wanted,
                    "again": self._again,
                }

    def _number(self) -> int | None:
        row = self._reader.row("destination", name=self._name)
        return row["id"] if row else None


def _wait(asking: Asking, reader: Reader, bar: Progress, name: str) -> None:
    """Until nothing is to be delivered, or nothing can be."""
    task = bar.add_task(f"delivered to {text.clean(name, limit=40)}", total=None)
    before: list[int] = []

    def look() -> bool | None:
        row = reader.row("destination_progress", name=name, now=time.time())
        if row is None:
            return True
        before[:] = before or [row["delivered"]]
        done = row["delivered"] - before[0]
        bar.update(task, completed=done, total=done + row["open_spans"])
        if row["paused"] or not (row["due"] or row["open_spans"]):
            return True
        time.sleep(LOOK_S)
        return None

    asking.wait(look, float("inf"))


def _say_what_would_be(totals: Row, name: str, *, again: bool, as_json: bool) -> None:
    skipped = 0 if again else totals["asked"]
    if as_json:
        print_json({"requests": totals["requests"] - skipped, "skipped": skipped})
        return
    there = (
        f", {totals['asked']:,} of them go to {text.clean(name, limit=60)} already" if totals["asked"] else ""
    )
    click.echo(
        f"{text.plural(totals['requests'], 'request')} with {text.plural(totals['spans'], 'span')}{there}"
    )


def _what_was_done(done: dict[str, int], paused: str | None, name: str) -> str:
    where = text.clean(name, limit=60)
    skipped = f"; {text.plural(done['skipped'], 'request')} left out" if done["skipped"] else ""
    waits = f"; it is paused: {text.clean(paused)}" if paused else ""
    queued = f"{text.plural(done['requests'], 'request')} with {text.plural(done['spans'], 'span')}"
    return f"{queued} queued for {where}{skipped}{waits}"


def _what_came_of_it(after: Row, name: str) -> str:
    if after["paused"]:
        return f"{text.clean(name, limit=60)} is paused: {text.clean(after['paused'])}"
    if after["open_spans"] or after["due"]:
        return f"{text.plural(after['open_spans'], 'span')} still to be delivered"
    return "all settled; `hush-otel deliveries` lists what was refused"
