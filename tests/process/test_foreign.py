"""Foreign code beside the real background process: it ends with it, and nothing waits for it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from bench import LEAVE_S, App, Bench, linux_only
from plugging import install
from processes import is_running
from support import eventually

pytestmark = linux_only


class Lab:
    """A bench with the plug-ins installed, and an application that marks requests for them."""

    def __init__(self, bench: Bench, **env: str) -> None:
        self.bench = bench
        self.out = bench.path / "out.jsonl"
        self.pids = bench.path / "pid"
        self.until = bench.path / "mended"
        self.app: App = bench.obedient(**install(bench.path / "site") | env)

    def mark(self, request: str, tracer: str, **config: Any) -> None:
        """One node trace, complete, for a tracer."""
        options = {"path": str(self.out), "until": str(self.until), "pids": str(self.pids)} | config
        self.app.ask(f"node {request} {request}")
        self.app.ask(f"mark {request} {tracer} {_in_a_word(options)}")

    def flushed(self) -> list[dict[str, Any]]:
        """What the tracers have written."""
        lines = self.out.read_text("utf-8").splitlines() if self.out.exists() else []
        return [json.loads(line) for line in lines]

    def requests(self) -> list[str]:
        """Whose requests they were."""
        return [data["request_id"] for data in self.flushed()]

    def hanging(self) -> int:
        """The process of a tracer that hangs, once it does."""
        return int(eventually(lambda: self.pids.exists() and self.pids.read_text("ascii"), what="its pid"))


def _in_a_word(options: dict[str, Any]) -> str:
    """JSON without a blank: the application takes words."""
    return json.dumps(options, separators=(",", ":")).replace(" ", "\\u0020")


@pytest.fixture
def lab(bench: Bench) -> Lab:
    """A lab whose background process is one of its own."""
    return Lab(bench)


@pytest.mark.parametrize("way", ["hangs", "hangs with the GIL"])
def test_what_hangs_is_gone_with_the_killed_owner(lab: Lab, way: str) -> None:
    """SIGKILL leaves nobody who could kill it: the lifeline does, whatever it is doing. The next owner delivers."""
    lab.mark("r-1", "Misbehaves", way=way, timeout_s=600)
    pid = lab.hanging()
    lab.until.touch()
    lab.bench.kill_owner()
    eventually(lambda: not is_running(pid), what="the end of what hangs")
    lab.app.ask("node r-2 r-2")
    lab.app.ask("flush 20000")  # an application that goes on has another owner started
    eventually(lambda: lab.requests() == ["r-1"], 60.0, what="the delivery by another owner")


def test_an_idle_one_is_gone_with_the_killed_owner(lab: Lab) -> None:
    """It waits for its next question then."""
    lab.mark("r-1", "Writes")
    (data,) = eventually(lab.flushed, what="the delivery")
    assert is_running(data["pid"])
    lab.bench.kill_owner()
    eventually(lambda: not is_running(data["pid"]), what="its end")


def test_thread_mode_its_signals_are_not_blocked(bench: Bench) -> None:
    """The thread that starts it has all of them blocked, and code of others may need some."""
    lab = Lab(bench, HUSH_BACKGROUND="thread")
    lab.mark("r-1", "Writes")
    (data,) = eventually(lab.flushed, what="the delivery")
    status = Path(f"/proc/{data['pid']}/status").read_text()
    assert "SigBlk:\t0000000000000000\n" in status


def test_f13_the_owner_leaves_in_time_while_a_tracer_hangs(lab: Lab) -> None:
    """SIGTERM: it gives what is in flight a moment, then goes, and the tracer's process with it."""
    lab.mark("r-1", "Misbehaves", way="hangs", timeout_s=600)
    pid = lab.hanging()
    owner = lab.bench.signal_owner(signal.SIGTERM)
    eventually(lambda: not is_running(owner), LEAVE_S, what="the owner's end")
    eventually(lambda: not is_running(pid), what="the tracer's")


def test_f31_storing_and_other_destinations_go_on_while_a_tracer_hangs(lab: Lab) -> None:
    """Spans are visible, and another destination is served, as if there were no tracer."""
    lab.mark("r-1", "Misbehaves", way="hangs", timeout_s=600)
    lab.hanging()
    lab.app.ask("end s 100")
    lab.mark("r-2", "Writes")
    result, _ = lab.app.ask("flush 20000")
    assert result
    assert lab.bench.value("SELECT count(*) FROM spans WHERE name LIKE 's-%'") == 100
    eventually(lambda: lab.requests() == ["r-2"], what="the other tracer's request")
    assert lab.bench.value("SELECT state FROM deliveries WHERE request_id = 'r-1'") == "sending"


def test_f31_a_tracer_that_crashes_again_and_again_harms_nobody(lab: Lab) -> None:
    """The owner stays the same process, and delivers it when it is mended."""
    lab.mark("r-1", "Misbehaves", way="segfaults")
    owner = lab.bench.owner_eventually()
    eventually(
        lambda: (lab.bench.value("SELECT attempts FROM deliveries") or 0) >= 3, 60.0, what="three attempts"
    )
    assert "ended by SIGSEGV" in lab.bench.value("SELECT last_error FROM deliveries")
    lab.until.touch()
    eventually(lambda: lab.requests() == ["r-1"], 60.0, what="the delivery")
    assert lab.bench.owner() == owner


def test_nothing_of_the_owner_is_open_there(lab: Lab) -> None:
    """Neither lock, segments, doorbell and database, nor a socket or file of the application."""
    lab.mark("r-1", "Tells", token="s3cr3t-value")
    (data,) = eventually(lab.flushed, what="the delivery")
    opened = [name for name in data["found"]["descriptors"] if str(lab.bench.path) in name]
    assert opened == []
    assert "s3cr3t-value" not in data["found"]["argv"]
    assert str(lab.bench.path) not in data["found"]["path"], "the application's working directory"
    assert data["found"]["sdk"] == "true"


def test_what_tracers_print_is_bounded_in_the_log(lab: Lab) -> None:
    """200 KB for each of 20 requests: one entry of a few KB, and the secret not in it."""
    for number in range(20):
        lab.mark(f"r-{number}", "Prints", token="s3cr3t-value")
    eventually(lambda: len(lab.flushed()) == 20, 60.0, what="the deliveries")
    path = lab.bench.spool.path / "background.log"
    eventually(lambda: "printed: printed r-0 ***" in path.read_text("utf-8", "replace"), what="its words")
    log = path.read_text("utf-8", "replace")
    assert log.count(" printed: ") == 1
    assert len(log) < 20_000
    assert "s3cr3t-value" not in log
    output = lab.bench.spool.path / "output.log"
    assert not output.exists() or "s3cr3t" not in output.read_text("utf-8", "replace")


@pytest.mark.parametrize("forked", [False, True])
def test_in_thread_mode_it_ends_with_the_application(bench: Bench, forked: bool) -> None:
    """The application is the owner, and is killed; a child that it has forked, and that lives on, is not."""
    lab = Lab(bench, HUSH_BACKGROUND="thread")
    lab.mark("r-1", "Misbehaves", way="hangs", timeout_s=600)
    pid = lab.hanging()
    assert os.getpgid(pid) != os.getpgid(lab.app.pid)
    if forked:
        assert lab.app.ask("fork") != lab.app.pid
    lab.app.kill()
    eventually(lambda: not is_running(pid), what="its end")


def test_tracers_of_a_configuration_file(bench: Bench) -> None:
    """`tracer_modules` there, read by the tracer's process when it is started."""
    config = bench.path / "hush.toml"
    config.write_text('tracer_modules = ["plugin_tracers"]\n', "utf-8")
    lab = Lab(bench, HUSH_CONFIG=str(config), HUSH_TRACER_MODULES="")
    lab.mark("r-1", "AsTheSeed")
    eventually(lambda: lab.requests() == ["r-1"], what="the delivery")
    assert Path(lab.flushed()[0]["tracer_config"]["path"]) == lab.out
