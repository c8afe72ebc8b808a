"""Run commands, one at each line: {"args": […], "lines": …}, answered by what the command says on both streams.

Each is a process of its own, as ever, but a fork of this one, which has imported them all: what is left of the
price is the command's own. With "lines" it is interrupted, as by Ctrl-C, once it has said so many.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback

from common import hear, say

from hush_otel.cli.main import COMMANDS, main

for name in COMMANDS:
    importlib.import_module(f"hush_otel.cli.{name}")


def begin(args: list[str], out: int) -> int:
    """The pid of a command that writes there. In the child this does not return."""
    pid = os.fork()
    if pid:
        return pid
    for stream in (1, 2):
        os.dup2(out, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # New ones: those of the interpreter know what their descriptors were before.
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, closefd=False) for stream in (1, 2))
    try:
        code = main(args)
        sys.stdout.flush()
    except BaseException:  # as the interpreter does at the end of a program
        traceback.print_exc()
        code = 1
    os._exit(code)  # to take all those modules apart would be most of a command's price


def heard_from(args: list[str], lines: int | None) -> str:
    """All that a command says until its end."""
    read, write = os.pipe()
    pid = begin(args, write)
    os.close(write)
    said = b""
    while data := os.read(read, 65536):
        said += data
        if lines is not None and said.count(b"\n") >= lines:
            lines = None
            os.kill(pid, signal.SIGINT)
    os.close(read)
    os.waitpid(pid, 0)
    return said.decode("utf-8", "surrogateescape")


say("ready")
while line := hear():
    asked = json.loads(line)
    say(heard_from(asked["args"], asked["lines"]))
