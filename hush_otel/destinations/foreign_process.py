"""A process for code of others: started by exec, asked with a deadline, killed when it does not answer.

    questions ── its standard input       a pipe; at its end the process ends
    answers   ── a copy of its standard output, which itself leads to standard error
    words     ── standard error: read along, the beginning goes to the log once a minute
    lifeline  ── a pipe that nobody writes to: its end kills the process's group, whatever it is doing

It has none of our descriptors but these, no secret in its command line, and a session of its own: killed is
the whole process group, so that what the foreign code has forked goes, too.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Final

import msgspec

from hush_otel import config as settings
from hush_otel.diagnostics import say
from hush_otel.errors import ConfigError, PausedError, RetryableError
from hush_otel.spool.process import on_fork

from .foreign_wire import HEADER, MAX_ANSWER_BYTES, Answer, decode_answer, frame
from .otlp_answers import short

ENTRY: Final = (
    "import sys; sys.path.extend(sys.argv[3:]); "
    "from hush_otel.destinations.foreign_child import main; main(int(sys.argv[2]))"
)
"""Run with ``-I -c``: nothing is imported from the working directory. Its arguments: the destination's name
for whoever reads `ps`, the lifeline's number, and what to search for modules last."""

READ_BYTES: Final = 64 * 1024
KEPT_BYTES: Final = 4096
SAY_AGAIN_S: Final = 60.0
REAP_S: Final = 1.0
"""How long a killed process is waited for; one that hangs in the kernel is left to it."""


class Words:
    """What a foreign process prints: the beginning is logged, once a minute at most; the rest is counted.

    Args:
        label: The destination as messages call it.
        clean: Takes secrets out of a text, also where its end was cut within one.
    """

    def __init__(self, label: str, clean: Callable[[str], str]) -> None:
        self._label = label
        self._clean = clean
        self._kept = b""
        self._more = 0
        self._again = 0.0
        self._tail = b""

    def take(self, data: bytes) -> None:
        """Some output."""
        self._tail = (self._tail + data)[-KEPT_BYTES:]
        room = KEPT_BYTES - len(self._kept)
        self._kept += data[:room]
        self._more += max(len(data) - room, 0)

    def last_line(self) -> str:
        """The last that was taken, from then on forgotten here."""
        tail, self._tail = self._tail, b""
        lines = [line for line in self._clean(tail.decode("utf-8", "replace")).splitlines() if line.strip()]
        is_cut = len(tail) == KEPT_BYTES and len(lines) == 1
        return short(lines[-1]) if lines and not is_cut else ""

    def tell(self, *, last: bool = False) -> None:
        """Log what was taken, unless that was done within the last minute; the last of it in any case."""
        if not self._kept or (time.monotonic() < self._again and not last):
            return
        text = _printable(self._clean(self._kept.decode("utf-8", "replace")))
        more = f" … and {self._more} bytes more" if self._more else ""
        say(logging.WARNING, "%s printed: %s%s", self._label, text, more)
        self._kept, self._more, self._again = b"", 0, time.monotonic() + SAY_AGAIN_S


def _printable(text: str) -> str:
    lines = ("".join(c if c.isprintable() else " " for c in line).rstrip() for line in text.splitlines())
    return "\n    ".join(line for line in lines if line)


class ForeignProcess:
    """One process. Used by one thread at a time, not across a fork. `ask`, and `close` or `kill` in the end.

    Args:
        label: The destination as messages call it.
        name: Its name.
        words: What it prints goes there.

    Raises:
        PausedError: There is no interpreter.
        RetryableError: It cannot be started now.
    """

    def __init__(self, label: str, name: str, words: Words) -> None:
        self._label = label
        self._words = words
        self._number = 0
        self._lifeline: int | None
        self._process, self._lifeline = _start(label, name)
        assert self._process.stdin and self._process.stdout and self._process.stderr  # noqa: S101, PT018
        self._in = self._process.stdin.fileno()
        self._out = self._process.stdout.fileno()
        self._err = self._process.stderr.fileno()
        for ours in (self._in, self._out, self._err):
            os.set_blocking(ours, False)
        on_fork(self)

    def after_fork(self) -> None:
        """In a child of ours, as in thread mode: it is not the child's, and must not live as long as that."""
        if self._lifeline is not None:
            self._let_go()

    @property
    def is_usable(self) -> bool:
        """Whether it was neither killed nor closed."""
        return self._lifeline is not None

    def ask(self, question: bytes, timeout_s: float) -> Answer:
        """Ask an encoded question, and wait for the answer.

        Raises:
            RetryableError: It crashed, hung or said something else. It is killed: another process is needed.
        """
        self._number += 1
        self._words.last_line()  # what it printed before says nothing about this
        try:
            return self._exchange(frame(self._number, question), timeout_s)
        except BaseException:
            self.kill()
            raise

    def close(self, question: bytes, timeout_s: float) -> None:
        """Ask it to end, and see it ended after `timeout_s`. Idempotent, never raises."""
        deadline = time.monotonic() + timeout_s
        try:
            self.ask(question, timeout_s)
            self._await_end(deadline)
        except (RetryableError, OSError, ValueError):
            pass  # it is killed
        self.kill()

    def kill(self) -> None:
        """End it and whatever it has started in its process group. Idempotent, never raises."""
        if self._lifeline is None:
            return
        self._end_group()
        self._read_words()
        self._let_go()

    def _let_go(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        if self._lifeline is not None:
            os.close(self._lifeline)
        self._lifeline = None

    def _await_end(self, deadline: float) -> None:
        """Until it has closed its output; it is not reaped, since its group is killed by its number."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._out, selectors.EVENT_READ)
            selector.register(self._err, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    if key.fd == self._err:
                        self._hear(selector)
                    elif self._receive(self._out) == b"":
                        return

    def _end_group(self) -> int | None:
        """Kill all of them; the exit code, None when it hangs in the kernel."""
        if self._process.returncode is None:  # not reaped yet: the number is still its own
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # none of them is left; macOS says EPERM of a zombie
        try:
            return self._process.wait(REAP_S)
        except subprocess.TimeoutExpired:
            return None  # subprocess reaps it when another process is started

    # ------------------------------------------------------------------ one exchange

    def _exchange(self, question: bytes, timeout_s: float) -> Answer:
        deadline = time.monotonic() + timeout_s
        unsent, answer = memoryview(question), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self._in, selectors.EVENT_WRITE)
            selector.register(self._out, selectors.EVENT_READ)
            selector.register(self._err, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    if key.fd == self._in:
                        unsent = self._write(selector, unsent)
                    elif key.fd == self._err:
                        self._hear(selector)
                    elif self._read(answer):
                        self._read_words()
                        return self._decoded(answer)
        raise RetryableError(
            f"{self._label}: no answer within {timeout_s:g} s, so it was killed", hint="timeout_s bounds it"
        )

    def _write(self, selector: selectors.BaseSelector, unsent: memoryview) -> memoryview:
        try:
            unsent = unsent[os.write(self._in, unsent) :]
        except BlockingIOError:
            return unsent
        except BrokenPipeError:
            unsent = unsent[:0]  # it is ending: its output says so, too
        if not unsent:
            selector.unregister(self._in)
        return unsent

    def _hear(self, selector: selectors.BaseSelector) -> None:
        data = self._receive(self._err)
        if data == b"":
            selector.unregister(self._err)  # closed by the foreign code
        self._words.take(data or b"")

    def _read(self, answer: bytearray) -> bool:
        """Whether the answer is there."""
        data = self._receive(self._out)
        if data == b"":
            raise RetryableError(f"{self._label}: {self._ending()}")
        answer += data or b""
        if len(answer) < HEADER.size:
            return False
        length, _ = HEADER.unpack_from(answer)
        if length > MAX_ANSWER_BYTES:
            raise self._nonsense()
        return len(answer) >= HEADER.size + int(length)

    def _decoded(self, answer: bytearray) -> Answer:
        length, number = HEADER.unpack_from(answer)
        if number != self._number or len(answer) != HEADER.size + length:
            raise self._nonsense()
        try:
            return decode_answer(bytes(answer[HEADER.size :]))
        except msgspec.DecodeError:
            raise self._nonsense() from None

    def _nonsense(self) -> RetryableError:
        return RetryableError(f"{self._label}: something else than our side answered, so it was killed")

    def _ending(self) -> str:
        """Why there is no answer any more. Killed or not, one that is ending already keeps its exit code."""
        code = self._end_group()
        self._read_words()
        if code == -signal.SIGKILL:
            return "its process was killed, for want of memory or because it had closed its output"
        if code is None or code < 0:
            return f"its process was ended by {_signal_name(-(code or 0))}"
        line = self._words.last_line()
        said = f"; it last printed: {line}" if line else ""
        return f"its process ended by itself, with exit code {code}{said}"

    def _read_words(self) -> None:
        """What it has printed so far, and no end of it."""
        for _ in range(16):
            data = self._receive(self._err)
            if not data:
                break
            self._words.take(data)

    @staticmethod
    def _receive(descriptor: int) -> bytes | None:
        """None: nothing now. b"": the end."""
        try:
            return os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _argument(name: str) -> str:
    """A destination's name as any locale can have it in a command line."""
    return name.replace("\0", " ").encode("ascii", "backslashreplace").decode()


def _start(label: str, name: str) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and our end of its lifeline."""
    try:
        code = settings.foreign_code()
    except ConfigError as exc:
        raise PausedError(f"{label}: {exc.message}", hint=exc.hint) from exc
    if code.python is None:
        raise PausedError(f"{label}: no Python to run it with", hint="set HUSH_PYTHON to an interpreter")
    theirs, lifeline = os.pipe()
    try:
        process = subprocess.Popen(
            [code.python, "-I", "-c", ENTRY, _argument(name), str(theirs), *code.import_path],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[theirs],
            cwd="/",
            env=code.environment,
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError) as exc:
        os.close(lifeline)
        raise PausedError(
            f"{label}: cannot run {code.python}: {exc.strerror}", hint="set HUSH_PYTHON to an interpreter"
        ) from exc
    except OSError as exc:
        os.close(lifeline)
        raise RetryableError(f"{label}: cannot start a process for it: {exc.strerror}") from exc
    finally:
        os.close(theirs)
    return process, lifeline
