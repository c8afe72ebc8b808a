"""Where a command's words go: the console for people, JSON for programs."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeAlias, cast

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hush_otel.presentation import text

if TYPE_CHECKING:
    from rich.progress import Progress

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bytes | bool | None"

NAME: Final = "hush-otel"

BUSY_AFTER_S: Final = 1.0
"""Whoever waits longer wants to know that something happens."""

PIPED_WIDTH: Final = 4000
"""Columns where nobody looks at a terminal: rows keep their natural width and stay greppable."""

_UNSAFE: Final = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e0fff]"
)
"""What `text.clean` removes and JSON leaves as it is. All of it can stand only inside strings."""


STATUS_STYLES: Final = {
    "writing": "cyan",
    "failed": "bold red",
    "flushing": "yellow",
    "pending": "yellow",
    "flushed": "green",
    "stored": "green",
    "sending": "yellow",
    "delivered": "green",
    "paused": "yellow",
    "dead": "bold red",
}
"""Of requests and deliveries. Calm: colour says whether someone has to look."""


def awaits_spans(request: Mapping[str, Any]) -> bool:
    """Whether a row of the view `requests` was marked complete, and no span of it has come."""
    return request["completed_by"] == "mark" and not request["node_count"]


def totals(request: Mapping[str, Any], passes: int = 0) -> str:
    """What a request adds up to: spans, and passes of loops, which are none; errors, tokens, cost."""
    errors = request["error_count"]
    tokens = text.tokens(request["prompt_tokens"], request["completion_tokens"], request["total_tokens"])
    parts = [
        text.plural(request["node_count"], "span") + (f" and {text.passes(passes)}" if passes else ""),
        text.plural(errors, "error") if errors else "",
        f"{tokens} tokens" if tokens else "",
        text.cost(request["cost_usd"], request["computed_usd"]),
    ]
    return " · ".join(part for part in parts if part)


def program() -> str:
    """How this command was started, as a shell takes it: a line that is printed can be run as it stands."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m hush_otel"
    if started.name != NAME:
        return NAME  # called from another program
    found = shutil.which(NAME)
    return NAME if found and Path(found).absolute() == started.absolute() else shlex.quote(str(started))


def console() -> Console:
    """Standard output: colours and width of the terminal; plain and as wide as needed when piped."""
    if sys.stdout.isatty():
        return Console(markup=False, highlight=False, emoji=False)
    return Console(
        width=PIPED_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
        file=cast("TextIO", _Unpadded(sys.stdout)),
    )


class _Unpadded(io.TextIOBase):
    """Lines without the blanks at their end that fill up a table."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        self._out.write(_TRAILING.sub("", text))
        return len(text)

    def flush(self) -> None:
        self._out.flush()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """By which rich chooses the characters that it draws with."""
        return self._out.encoding


_TRAILING: Final = re.compile(r" +$", re.MULTILINE)


class Spinner:
    """Moves on standard error, from a second after it was started; nowhere but in a terminal."""

    def __init__(self, words: str) -> None:
        self._words = words
        self._moving: Progress | None = None
        self._err = Console(stderr=True, markup=False, highlight=False, emoji=False)
        self._timer = threading.Timer(BUSY_AFTER_S, self._move)

    def start(self) -> None:
        """Soon."""
        if self._err.is_terminal:
            self._timer.start()

    def stop(self) -> None:
        """Leave nothing behind. Idempotent."""
        self._timer.cancel()
        if self._err.is_terminal:
            self._timer.join()  # it may be starting just now
        if self._moving is not None:
            self._moving.stop()

    def _move(self) -> None:
        # Imported here: most commands have ended by now.
        from rich.progress import Progress, SpinnerColumn, TextColumn  # noqa: PLC0415

        columns = SpinnerColumn(), TextColumn("{task.description} …", markup=False)
        # What is written meanwhile to standard output, a file perhaps, stays what goes there.
        self._moving = Progress(*columns, console=self._err, transient=True, redirect_stdout=False)
        self._moving.add_task(self._words, total=None)
        self._moving.start()


@contextmanager
def busy(words: str) -> Iterator[Callable[[], None]]:
    """After a second something moves on standard error, where somebody looks at it.

    Gives what makes way for words of the command's own, while more of them are read: where they go to the
    terminal themselves nothing else may move there, and nothing else needs to.
    """
    spinner = Spinner(words)
    spinner.start()

    def make_way() -> None:
        if sys.stdout.isatty():
            spinner.stop()

    try:
        yield make_way
    finally:
        spinner.stop()


@contextmanager
def drawing(words: str) -> Iterator[Console]:
    """A `console` that is `busy`: what is printed on it appears once all of it is there."""
    out = console()
    with busy(words), out.capture() as held:
        yield out
    out.file.write(held.get())


def plain_table() -> Table:
    """Columns two blanks apart below pale heads, and no lines."""
    return Table(box=None, header_style="bright_black", pad_edge=False, padding=(0, 2, 0, 0))


def cut(value: str) -> Text:
    """A cell that is cut and not wrapped, where there is no room for it."""
    return Text(value, no_wrap=True, overflow="ellipsis")


def to_json(value: Json) -> str:
    """Compact JSON on one line, harmless to a terminal."""
    return harmless(msgspec.json.encode(value).decode())


def harmless(json: str) -> str:
    r"""JSON with the same values, in which what could act on a terminal is written ``\uXXXX``."""
    return _UNSAFE.sub(_escape, json)


def print_json(value: Json) -> None:
    """One JSON document on one line."""
    click.echo(to_json(value))


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be")  # JSON writes what lies beyond 16 bits as two units
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
