"""The process of foreign code: its entry, and our side of the pipe in it.

The foreign code runs in the main thread, one question at a time. Whatever it raises is an answer; what it
prints, closes, forks or kills is noticed at the other end, by `foreign_process`.
"""

from __future__ import annotations

import faulthandler
import fcntl
import io
import logging
import os
import signal
import sys
import threading

from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

from hush_otel.errors import DeliveryError, PausedError, PermanentError

from .foreign_code import Foreign, LastWords, described, open_exporter, open_tracer
from .foreign_wire import HEADER, Answer, Close, Open, Question, decode_question, encode, frame


def main(lifeline: int) -> None:
    """Answer questions until there are no more."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a thread in an app has left it all of them blocked
    _die_with(lifeline)
    questions, answers = _take_over_pipes(lifeline)
    last_words = _listen_to_logging()
    # For good: what delivers spans makes none, not even by instrumentation that switches itself on.
    context.attach(context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, value=True))
    own_pid = os.getpid()
    answering = _Answering(last_words)
    while (received := _read(questions)) is not None:
        number, question = received
        answer = answering.answer(question)
        if os.getpid() != own_pid:
            os._exit(0)  # a copy that the foreign code has forked and let return
        _write(answers, frame(number, encode(answer)))
        if isinstance(question, Close):
            return  # by the interpreter's own end: what the foreign code has left for it is done


class _Answering:
    """What the foreign code makes of questions."""

    def __init__(self, last_words: LastWords) -> None:
        self._last_words = last_words
        self._foreign: Foreign | None = None

    def answer(self, question: Question) -> Answer:
        """Do what is asked for. Never raises."""
        self._last_words.text = ""
        try:
            self._do(question)
        except DeliveryError as exc:
            return _refusal(exc)
        except BaseException as exc:  # noqa: BLE001 - their SystemExit is no end of ours
            return Answer("retry", f"it raised {described(exc)}")
        return Answer()

    def _do(self, question: Question) -> None:
        if isinstance(question, Open):
            find = open_exporter if question.role == "exporter" else open_tracer
            self._foreign = find(question, self._last_words)
        elif self._foreign is not None and isinstance(question, Close):
            self._foreign.close()
        elif self._foreign is not None:
            self._foreign.take(question)


def _refusal(error: DeliveryError) -> Answer:
    words, hint = described(error.message), described(error.hint)
    if isinstance(error, PausedError):
        return Answer("paused", words, hint)
    if isinstance(error, PermanentError):
        return Answer("permanent", words, hint)
    after = getattr(error, "retry_after_s", None)
    return Answer("retry", words, hint, float(after) if isinstance(after, (int, float)) else None)


# ------------------------------------------------------------------ the process


def _die_with(lifeline: int) -> None:
    """Have the process group end with the lifeline: its other end is gone when the owner is, killed or not.

    The kernel's signal also reaches code that keeps the GIL for ever; the thread is for systems without it.
    """
    os.set_inheritable(lifeline, False)  # it had to be for us to get it
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)

    def watch() -> None:
        os.read(lifeline, 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name="hush-otel lifeline", daemon=True).start()


def _take_over_pipes(lifeline: int) -> tuple[int, int]:
    """Questions and answers to descriptors that the foreign code does not know; prints to standard error."""
    questions, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)

    def let_go() -> None:
        for ours in (questions, answers, lifeline):
            os.close(ours)

    os.register_at_fork(after_in_child=let_go)
    faulthandler.enable(2)
    return questions, answers


def _listen_to_logging() -> LastWords:
    last_words = LastWords()
    logging.basicConfig(
        handlers=[last_words, logging.StreamHandler()], format="%(levelname)s %(name)s: %(message)s"
    )
    return last_words


def _read(descriptor: int) -> tuple[int, Question] | None:
    """The next question and its number; None when there is none."""
    header = _read_exactly(descriptor, HEADER.size)
    if header is None:
        return None
    length, number = HEADER.unpack(header)
    payload = _read_exactly(descriptor, length)
    return None if payload is None else (number, decode_question(payload))


def _read_exactly(descriptor: int, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        part = os.read(descriptor, min(size - len(data), 1 << 20))
        if not part:
            return None
        data += part
    return bytes(data)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
