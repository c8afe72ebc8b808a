"""What a signal handler raises in the midst of our code goes on its way: an alarm, a task's time limit.

Python runs a handler between any two steps. What it raises looks as if the step had failed: where our code
expects that an Exception is its own, or of a value that it reads, it would be swallowed, and the application
would never hear of its limit.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from types import FrameType


def let_through(exc: Exception) -> None:
    """Raise it once more where a handler has raised it. For the beginning of each `except Exception` of ours.

    Raises:
        Exception: The same.
    """
    if came_by_signal(exc):
        raise exc


def came_by_signal(exc: Exception) -> bool:
    """Whether a signal handler has raised it.

    A handler is known by its argument: the frame that it interrupts, which stands right above its own in the
    traceback. So nothing has to be kept or counted where nothing fails. Not known are handlers that let go of
    that argument, those that are written in C, and what another thread has raised here (stopit,
    PyThreadState_SetAsyncExc).
    """
    above: FrameType | None = None
    step = exc.__traceback__
    while step is not None:
        if above is not None and _is_given(step.tb_frame, above):
            return True
        above, step = step.tb_frame, step.tb_next
    return False


def _is_given(frame: FrameType, above: FrameType) -> bool:
    """Whether a function got a frame as an argument, by itself or among ``*args``."""
    code = frame.f_code
    has_rest = bool(code.co_flags & inspect.CO_VARARGS)
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + has_rest]
    if not names:
        return False
    found = frame.f_locals
    return any(one is above for one in _flat(map(found.get, names)))


def _flat(values: Iterable[object]) -> Iterator[object]:
    for one in values:
        yield one
        if type(one) is tuple:
            yield from one
