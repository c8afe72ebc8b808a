"""Containers: every first process has pid 1, and all processes of one die at the same moment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections import Counter
from contextlib import suppress

import pytest
from bench import App, Bench, names
from processes import is_stopped
from support import eventually

from hush_otel.testing import OtlpReceiver

CONTAINER = ("unshare", "-Urfp", "--mount-proc", "--kill-child")
"""A pid namespace with a /proc of its own, which ends with its first process."""
EXTERNAL = {"HUSH_BACKGROUND": "external"}


def may_contain() -> bool:
    """Whether this machine lets us make pid namespaces."""
    if shutil.which(CONTAINER[0]) is None:
        return False
    return subprocess.run([*CONTAINER, "true"], check=False, capture_output=True).returncode == 0


def in_a_container(bench: Bench) -> App:
    """An obedient application that is pid 1."""
    app = bench.start("obey", within=CONTAINER, **EXTERNAL)
    assert app.value() == 1
    return app


@pytest.mark.skipif(not may_contain(), reason="no pid namespace can be made here: needs unshare -Urp")
def test_f09_two_containers_with_pid_1_are_two_writers(bench: Bench) -> None:
    """Both write to one spool; the death of one interrupts its own spans, and none of the other's."""
    first, second = in_a_container(bench), in_a_container(bench)
    for app, name in ((first, "first"), (second, "second")):
        app.ask(f"end {name} 50")
        app.ask(f"open {name}-left")
    first.kill()
    bench.hush("run")
    bench.expect(names("first", 50) | names("second", 50))
    eventually(lambda: bench.names("interrupted") == Counter(["first-left"]), what="the dead one's open span")
    second.ask("end second 50 50")
    second.ask("close second-left")
    bench.expect(names("first", 50) | names("second", 100) | {"second-left"})
    assert bench.names("interrupted") == Counter(["first-left"])


def kill_whole(bench: Bench) -> None:
    """As a kernel ends a container: all of its processes, none of which sees another die."""

    def all_are_stopped() -> bool:
        pids = bench.processes()  # one that was launched for nothing may leave, or come, meanwhile
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        return all(map(is_stopped, pids))

    eventually(all_are_stopped, what="all of them stopped")
    for pid in bench.processes():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not bench.processes(), what="the end of all")


def test_f19_what_a_container_killed_whole_has_left_is_stored_and_delivered_at_the_next_start(
    bench: Bench,
) -> None:
    """Rows, a spool that nobody has drained, a span that runs, deliveries that wait: all on the volume."""
    with OtlpReceiver() as receiver:
        receiver.respond(503)
        app = bench.obedient(receiver.endpoint)
        app.ask("end stored 100")
        receiver.wait_for_requests(1, 20.0)
        bench.stop_owner_between_transactions()
        app.ask("end spooled 100")
        app.ask("open left")
        kill_whole(bench)
        receiver.clear()

        bench.obedient(receiver.endpoint).ask("end next 1")
        receiver.wait_for(202, 60.0)
        bench.expect(names("stored", 100) | names("spooled", 100) | {"next-0"})
        assert bench.names("interrupted") == Counter(["left"])
        stored = {(row[0], row[1]) for row in bench.rows("SELECT trace_id, span_id FROM spans")}
        eventually(
            lambda: {(span.trace_id, span.span_id) for span in receiver.spans()} == stored,
            what="each of them, whatever came twice",
        )
