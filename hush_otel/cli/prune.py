"""`hush-otel prune`: old requests deleted by hand, and their room given back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import click
import msgspec
from rich.progress import Progress

from hush_otel.background.asking import Asking
from hush_otel.config import MIB, Settings
from hush_otel.errors import HushError
from hush_otel.presentation import text
from hush_otel.presentation.waiting import open_reader
from hush_otel.store.prune_orders import Rule
from hush_otel.store.reading import Reader, Row

from .filters import COUNT, moment, size
from .history import PAGE, progress
from .output import busy, print_json
from .reading import settings_to_read

LOOK_S: Final = 0.1
"""Between two looks at how far it is."""


@dataclass(kw_only=True)
class Estimate:
    """What a rule would delete. Of a rule by size, about: rows have different sizes.

    Attributes:
        kept: Requests that would go as well if they had been delivered.
    """

    requests: int = 0
    spans: int = 0
    kept: int = 0


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """As `size`. 0 may be meant as "no bound", and 10 as 10 GB: neither is taken for everything."""
    found = size(ctx, param, value)
    if found == 0:
        raise click.BadParameter("0 is everything: --older-than 0s says that")
    if found is not None and found < MIB:  # as of HUSH_MAX_DB_BYTES
        raise click.BadParameter(f"{value!r} is less than 1 MiB; 500MB and 2GiB are sizes")
    return found


@click.command("prune")
@click.option("--older-than", callback=moment, metavar="AGE", help="What had no record for: 12h, 30d, 8w.")
@click.option("--to-size", callback=_size, metavar="SIZE", help="The oldest, down to: 500MB, 2GiB, bytes.")
@click.option("--per-workflow", type=COUNT, metavar="N", help="All but the N newest of each.")
@click.option("--undelivered", is_flag=True, help="Also what a destination has not accepted.")
@click.option("--dry-run", is_flag=True, help="Say how many, and delete nothing.")
@click.option("--json", "as_json", is_flag=True, help="{requests, spans, kept, size_bytes} on one line.")
@click.pass_obj
def command(
    db: str | None,
    older_than: float | None,
    to_size: int | None,
    per_workflow: int | None,
    undelivered: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Delete old requests with all that belongs to them, and give their room back.

    Each option chooses by itself. What is not complete or is being sent stays, and so does what a destination
    has not accepted, dead deliveries included, unless --undelivered. The background process deletes in small
    steps; once this has begun to wait, it goes on when it is interrupted. Deleted is deleted.
    """
    rule = Rule(older_than, per_workflow, to_size, undelivered)
    if not rule.says_something:
        raise click.UsageError("give --older-than, --to-size or --per-workflow")
    settings = settings_to_read(db) if dry_run else Settings.load(db)
    with open_reader(settings) as reader:
        with busy("looking what would go"):
            found = estimate(reader, rule)
        if dry_run:
            (space,) = reader.rows("space")
            _say_what_would_be(found, rule, space["total"], as_json=as_json)
            return
        with Asking(settings, reader) as asking, progress() as bar:
            done = _wait(asking, reader, rule, bar, found.requests)
    counts = {name: done[name] for name in ("requests", "spans", "size_bytes")}
    if as_json:
        print_json(counts | {"kept": found.kept})
    else:
        click.echo(_what_was_done(counts, found.kept))


def estimate(reader: Reader, rule: Rule) -> Estimate:
    """Go through all requests, and count what the rule is about."""
    return _Look(reader, rule).count()


class _Look:
    def __init__(self, reader: Reader, rule: Rule) -> None:
        self._reader = reader
        self._rule = rule
        self._found = Estimate()
        self._left = Counter[str | None]()
        if rule.per_workflow is not None:
            self._left.update(row["workflow_name"] for row in self._requests())

    def count(self) -> Estimate:
        left = [row for row in self._requests() if not self._goes(row)] if self._rule.to_bytes else None
        if left is None:
            for row in self._requests():
                self._goes(row)
        else:
            self._count_down(left, self._rule.to_bytes or 0)
        return self._found

    def _requests(self) -> Iterator[Row]:
        after: tuple[float, int] = (float("-inf"), 0)
        while page := self._reader.rows("prune_requests", after_at=after[0], after_id=after[1], limit=PAGE):
            yield from page
            after = page[-1]["created_at"], page[-1]["id"]

    def _goes(self, row: Row) -> bool:
        rule = self._rule
        chosen = rule.before is not None and row["created_at"] < rule.before and row["last_at"] < rule.before
        if rule.per_workflow is not None:
            chosen |= self._left[row["workflow_name"]] > rule.per_workflow
            self._left[row["workflow_name"]] -= 1
        return chosen and self._take(row)

    def _take(self, row: Row) -> bool:
        if row["kept"] > self._rule.undelivered:
            self._found.kept += row["kept"] == 1
            return False
        self._found.requests += 1
        self._found.spans += row["node_count"]
        return True

    def _count_down(self, left: list[Row], to_bytes: int) -> None:
        (space,) = self._reader.rows("space")
        used = space["total"] - space["free"]
        all_spans = self._found.spans + sum(row["node_count"] for row in left)
        span_bytes = used / max(all_spans, 1)
        for kept in range(1 + self._rule.undelivered):
            for row in left:
                if used - self._found.spans * span_bytes <= to_bytes:
                    return
                if row["kept"] == kept:
                    self._take(row)
        self._found.kept += sum(row["kept"] == 1 for row in left if not self._rule.undelivered)


def _wait(asking: Asking, reader: Reader, rule: Rule, bar: Progress, total: int) -> dict[str, Any]:
    """Ask, and look until it is done."""
    number = asking.send("prune", msgspec.to_builtins(rule))
    done = asking.answer(number, "prune")
    task = bar.add_task("requests deleted", total=total)

    def look() -> dict[str, Any] | None:
        row = reader.row("command", id=number)
        found: dict[str, Any] = msgspec.json.decode(row["result"]) if row else done
        bar.update(task, completed=found["requests"], total=max(total, found["requests"]))
        if found["state"] == "done":
            return found
        time.sleep(LOOK_S)
        return None

    found = asking.wait(look, float("inf"))
    if found is None:
        raise HushError(
            "prune is not done yet, and nobody works on it",
            hint="start `hush-otel run`, or `hush-otel drain` once",
        )
    return found


def _say_what_would_be(found: Estimate, rule: Rule, size_bytes: int, *, as_json: bool) -> None:
    if as_json:
        counts = {"requests": found.requests, "spans": found.spans, "kept": found.kept}
        print_json(counts | {"size_bytes": size_bytes})
        return
    about = "about " if rule.to_bytes is not None else ""
    what = f"{text.plural(found.requests, 'request')} with {text.plural(found.spans, 'span')}"
    click.echo(f"{about}{what} would be deleted{_kept(found.kept)}")


def _what_was_done(done: dict[str, Any], kept: int) -> str:
    what = f"{text.plural(done['requests'], 'request')} with {text.plural(done['spans'], 'span')}"
    return f"{what} deleted{_kept(kept)}; the database has {text.size(done['size_bytes'])} now"


def _kept(kept: int) -> str:
    stay = "stays" if kept == 1 else "stay"
    return f"; {text.plural(kept, 'request')} {stay}, not delivered (--undelivered)" if kept else ""
