"""Where `export` and `share` write, and in what form: a file, whole or not there, or standard output."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import click

from hush_otel.errors import HushError

STDOUT: Final = "-"
FILE_MODE: Final = 0o600
"""Spans carry prompts and user data: the owner alone reads them."""

SIGNALLED: Final = 128
"""Added to a signal's number, as shells report what it has ended."""


def form_of(target: str, by_suffix: Mapping[str, str], *, default: str, option: str) -> str:
    """The form that a path's suffix stands for; the default for one without suffix and for standard output.

    Args:
        target: A path, or ``-``.
        by_suffix: In lower case, with the dot.
        default: Of the forms.
        option: What says the form whatever the path is called, for the message.

    Raises:
        click.UsageError: The suffix stands for none; the message lists those that do.
    """
    suffix = "" if target == STDOUT else Path(target).suffix
    if not suffix:
        return default
    if suffix.lower() not in by_suffix:
        raise click.UsageError(
            f"{Path(target).name!r}: nothing is written as {suffix!r}, but as {', '.join(by_suffix)}"
            f" ({option} writes to any path)"
        )
    return by_suffix[suffix.lower()]


def check_target(target: str, *, force: bool) -> None:
    """Refuse a path before anything is read for it.

    Raises:
        HushError: Something is there, or nothing can be.
    """
    if target == STDOUT:
        return
    path = Path(target)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise HushError(f"{path} is no regular file", hint="give another path, or - for standard output")
    if path.exists() and not force:
        raise HushError(f"{path} exists", hint="--force replaces it")
    if not path.parent.is_dir():
        raise HushError(f"there is no directory {path.parent}")


@contextmanager
def target_stream(target: str, *, force: bool) -> Iterator[BinaryIO]:
    """Standard output; or a new file that takes the path's place once all is written.

    Raises:
        HushError: As `check_target`, or it cannot be written.
    """
    check_target(target, force=force)
    if target == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            with _ended_tidily(), os.fdopen(fd, "wb") as file:
                yield file
            check_target(target, force=force)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as exc:
        raise HushError(f"cannot write {path}: {exc.strerror or exc}") from exc


@contextmanager
def _ended_tidily() -> Iterator[None]:
    """What would end the process at once, ends it as an exception does: what is half done is removed."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(SIGNALLED + number)

    taken = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is signal.SIG_DFL]
    for one in taken:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one in taken:
            signal.signal(one, signal.SIG_DFL)
