"""A real receiver as a child: found, started on free ports, awaited, stopped with all that it started."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import urllib3
from support import eventually

ROOT = Path(__file__).parents[2]
READY_S = 120.0
"""Phoenix and MLflow import for 10 s on a quiet machine, and migrate their databases then."""
STOP_S = 15.0


class Launch(NamedTuple):
    """How one receiver is started.

    Attributes:
        command: Program and arguments.
        env: Beside this process's own environment.
        ready: Answers 200 once the receiver takes requests.
    """

    command: list[str]
    env: dict[str, str]
    ready: str


def find(variable: str, own: Path | None, name: str, how: str) -> str:
    """The program of a receiver: `$variable`, the project's own environment, PATH.

    Fails the test where there is none; `how` says what installs it.
    """
    found = look_for(variable, own, name)
    if found is None:
        pytest.fail(f"{name} is neither ${variable} nor {own or 'on PATH'}: {how}", pytrace=False)
    return found


def look_for(variable: str, own: Path | None, name: str) -> str | None:
    """The same; None where there is none. A variable that is set counts alone."""
    given = os.environ.get(variable)
    if given:
        return shutil.which(given)
    return (shutil.which(own) if own is not None else None) or shutil.which(name)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def serving(directory: Path, count: int, plan: Callable[[list[int]], Launch]) -> Iterator[list[int]]:
    """Run the receiver that `plan` makes for `count` free ports; gives the ports. Gone afterwards."""
    log = directory / "output.log"
    for _ in range(3):  # somebody else may take a port between the look and the start
        ports = free_ports(count)
        launch = plan(ports)
        with log.open("ab") as output:
            process = subprocess.Popen(
                launch.command,
                cwd=directory,
                env=os.environ | launch.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a group of its own: servers start workers
            )
        try:
            if _is_ready(process, launch.ready):
                yield ports
                return
        finally:
            _stop(process)
    pytest.fail(
        f"{launch.command[0]} does not start:\n{log.read_text(errors='replace')[-3000:]}", pytrace=False
    )


def _is_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    """Wait for its first answer; False when it ended instead."""
    eventually(lambda: process.poll() is not None or answers(url), READY_S, what=url)
    return process.poll() is None


def answers(url: str) -> bool:
    """Whether a GET gives 200."""
    try:
        return urllib3.request("GET", url, retries=False, timeout=5.0).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the group that was started here: politely, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
    process.wait()
