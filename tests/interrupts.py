"""A signal handler that raises, at every place where the interpreter would run one.

CPython runs handlers when a function begins, when a loop turns back, and after a call into C.
"""

from __future__ import annotations

import dis
import gc
import itertools
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

_OF_CODE: dict[CodeType, dict[int, str]] = {}


class Interrupt(BaseException):
    """What Ctrl-C raises, and most time limits."""


class TimeLimitError(Exception):
    """What other time limits raise, Celery's for one."""


KINDS = [Interrupt, TimeLimitError]


def interrupted(call: Callable[[], object], at: int, kind: type[BaseException] = Interrupt) -> bool:
    """Call it, with such an exception at the place number `at`; False when it ran to its end before.

    Whatever is raised must come out: it is the application's.

    Without the cyclic garbage collector: CPython ignores what is raised in a callback of it, of which other
    test tools have some. And it lets go of a trace function that raised there, amid a call of it: the function
    is held here, or its memory would be used after it was freed.
    """
    raiser = _Raiser(at, kind)
    enter = raiser.enter
    before = sys.gettrace()
    collects = gc.isenabled()
    gc.disable()
    sys.settrace(enter)
    try:
        call()
    except kind:
        return True
    finally:
        sys.settrace(before)
        if collects:
            gc.enable()
    assert raiser.left >= 0, f"{kind.__name__} was swallowed at place {at}"
    return False


def places(first: int = 0, step: int = 1) -> Iterator[int]:
    """Numbers for `interrupted`; the caller stops at the first that is beyond the end."""
    return itertools.count(first, step)


_IGNORED = {"_remove", "<genexpr>"}
"""A weak reference gone, a generator given up: CPython ignores what they raise, and runs no handler there."""


class _Raiser:
    """Looks at the places in this package, and in what it calls of others at the beginning only."""

    def __init__(self, at: int, kind: type[BaseException] = Interrupt) -> None:
        self.left = at
        self._kind = kind
        self._after_call: dict[FrameType, bool] = {}

    def enter(self, frame: FrameType, _event: str, _arg: Any) -> Any:
        """A function begins."""
        caller = frame.f_back
        if caller is None or not (_is_ours(caller) or _is_ours(frame)) or frame.f_code.co_name in _IGNORED:
            return None
        if frame.f_code.co_name != "__init__":
            # One that is written in Python: at its return no handler is run.
            self._after_call[caller] = not _is_ours(frame)
        self._pass()
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._step if _is_ours(frame) else None

    def _step(self, frame: FrameType, event: str, _arg: Any) -> Any:
        if event == "opcode":
            name = _names(frame.f_code)[frame.f_lasti]
            # After a call that has raised no handler is run: one that raised here would leave the error in the thread,
            # as the context of all that come later.
            after_call = self._after_call.get(frame, False) and name != "PUSH_EXC_INFO"
            if after_call or name == "JUMP_BACKWARD":
                self._pass()
            self._after_call[frame] = name.startswith("CALL")
        return self._step

    def _pass(self) -> None:
        self.left -= 1
        if self.left == -1:
            raise self._kind


def _is_ours(frame: FrameType) -> bool:
    return "/hush_otel/" in frame.f_code.co_filename


def _names(code: CodeType) -> dict[int, str]:
    found = _OF_CODE.get(code)
    if found is None:
        found = _OF_CODE[code] = {i.offset: i.opname for i in dis.get_instructions(code)}
    return found
