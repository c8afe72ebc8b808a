"""Tracers as users write them: one that works, and one for each thing that can go wrong."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from hush_otel import BaseTracer, register_tracer
from hush_otel.errors import PausedError, PermanentError, RetryableError

FOR_EVER_S = 3600.0


def write(flush_data: dict[str, Any]) -> None:
    """Append what came to the file that the configuration names, with the process that got it."""
    line = json.dumps(flush_data | {"pid": os.getpid()}, default=repr)
    with Path(flush_data["tracer_config"]["path"]).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


@register_tracer
class Writes(BaseTracer):
    """Works."""

    def flush(self, flush_data: dict[str, Any]) -> None:
        """Write it down."""
        write(flush_data)


@register_tracer
class AsTheSeed(BaseTracer):
    """Works, with a static method and a constructor that wants something, as Hush's own tracers."""

    def __init__(self, resource_key: str) -> None:
        self.resource_key = resource_key

    @staticmethod
    def flush(flush_data: dict[str, Any]) -> None:
        """Write it down."""
        write(flush_data)


class ByEntryPoint:
    """Works; neither registered nor derived: found by its entry point alone."""

    def flush(self, flush_data: dict[str, Any]) -> None:
        """Write it down."""
        write(flush_data)


class NoTracer:
    """Has no flush."""


@register_tracer
class Misbehaves(BaseTracer):
    """Does what its configuration says, as long as the file `until` is not there; then it writes."""

    @staticmethod
    def flush(flush_data: dict[str, Any]) -> object:
        """Do it."""
        config = flush_data["tracer_config"]
        if Path(config["until"]).exists() or flush_data["request_id"] in config.get("spares", ()):
            write(flush_data)
            return None
        return _WAYS[config["way"]](config)


def _fork(_config: Any) -> None:
    """A copy that returns, as this one does; the plug-in goes on in both."""
    if os.fork():
        raise RuntimeError("I am the parent")


def _fork_past_the_hooks(_config: Any) -> None:
    """The same without the interpreter's hooks."""
    if ctypes.PyDLL(None).fork():
        time.sleep(0.2)  # the copy has its turn, and may say what it wants
        raise RuntimeError("I am the parent")


def _fork_and_stay(config: Any) -> None:
    """A copy that stays for ever, holding all it has; then hang."""
    if not (pid := os.fork()):
        time.sleep(FOR_EVER_S)
    Path(config["pids"]).write_text(str(pid), encoding="ascii")
    time.sleep(FOR_EVER_S)


def _raise(error: BaseException) -> None:
    raise error


def _hang(config: Any) -> None:
    Path(config["pids"]).write_text(str(os.getpid()), encoding="ascii")
    time.sleep(FOR_EVER_S)


def _hang_with_the_gil(config: Any) -> None:
    """As a regular expression may."""
    Path(config["pids"]).write_text(str(os.getpid()), encoding="ascii")
    ctypes.PyDLL(None).pause()


def _say_in_our_pipes(_config: Any) -> None:
    """To whoever may be at the other end of any descriptor."""
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"\xff" * 64)
        except OSError:
            pass


def _flood(_config: Any) -> None:
    for _ in range(20):
        sys.stderr.write("x" * 1_000_000)
    raise RuntimeError("after 20 MB")


def _hang_in_a_thread(_config: Any) -> None:
    threading.Thread(target=time.sleep, args=(FOR_EVER_S,)).start()
    raise RuntimeError("it stays")


def _exit_with_words(config: Any) -> None:
    print("I leave because of", config.get("token", "nobody"))
    os._exit(5)


class _UnspeakableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


_WAYS = {
    "raises": lambda config: _raise(ValueError(f"no thanks, {config.get('token', 'nobody')}")),
    "raises without words": lambda _: _raise(_UnspeakableError()),
    "raises surrogates": lambda _: _raise(OSError("no file \ud800 here")),
    "exits in the midst of a sentence": _exit_with_words,
    "returns False": lambda _: False,
    "raises SystemExit": lambda _: sys.exit(4),
    "raises KeyboardInterrupt": lambda _: _raise(KeyboardInterrupt()),
    "raises BaseException": lambda _: _raise(BaseException("base")),
    "asks for time": lambda _: _raise(RetryableError("busy", retry_after_s=777.0)),
    "asks for all time": lambda _: _raise(RetryableError("busy", retry_after_s=float("nan"))),
    "refuses": lambda _: _raise(PermanentError("never this one")),
    "needs somebody": lambda _: _raise(PausedError("no key", hint="get one")),
    "exits": lambda _: os._exit(3),
    "segfaults": lambda _: ctypes.string_at(0),
    "is killed": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "hangs": _hang,
    "hangs with the GIL": _hang_with_the_gil,
    "closes all": lambda _: os.closerange(0, 256),
    "speaks for us": _say_in_our_pipes,
    "floods": _flood,
    "forks": _fork,
    "forks past the hooks": _fork_past_the_hooks,
    "forks and stays": _fork_and_stay,
    "leaves a thread": _hang_in_a_thread,
}


@register_tracer
class Prints(BaseTracer):
    """Says a lot, reads its standard input, and works."""

    @staticmethod
    def flush(flush_data: dict[str, Any]) -> None:
        """Print, and write it down."""
        print("printed", flush_data["request_id"], flush_data["tracer_config"].get("token"))
        os.write(1, b"written\n" + b"y" * 200_000)
        sys.stderr.write("\x1b[31mred\n")
        assert sys.stdin.read() == ""
        write(flush_data)


@register_tracer
class PrintsSecrets(BaseTracer):
    """Says one secret after the other, and works."""

    @staticmethod
    def flush(flush_data: dict[str, Any]) -> None:
        """Print until it is too much."""
        print("secrets:", " ".join([flush_data["tracer_config"]["token"]] * 100))
        write(flush_data)


@register_tracer
class Tells(BaseTracer):
    """Writes down what it finds around it."""

    @staticmethod
    def flush(flush_data: dict[str, Any]) -> None:
        """Look around."""
        found = {
            "argv": Path("/proc/self/cmdline").read_bytes().decode() if Path("/proc").exists() else "",
            "descriptors": _descriptors(),
            "sdk": os.environ.get("OTEL_SDK_DISABLED"),
            "cwd": str(Path.cwd()),
            "path": sys.path,
            "recording": _is_recording(),
        }
        write(flush_data | {"found": found})


def _descriptors() -> list[str]:
    directory = Path("/proc/self/fd")
    if not directory.exists():
        return []
    return [str(entry.readlink()) for entry in directory.iterdir() if entry.is_symlink()]


def _is_recording() -> bool:
    from opentelemetry.sdk.trace import TracerProvider

    return TracerProvider().get_tracer("theirs").start_span("a").is_recording()
