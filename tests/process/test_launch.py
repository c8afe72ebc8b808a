"""How the background process is started, and what an app has of it: nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench import APPS, Bench, command_line, linux_only, names
from support import eventually

from hush_otel.background.client import ENTRY


def test_f18_an_app_with_captured_output_returns_at_once(bench: Bench) -> None:
    """The background process holds neither pipe: subprocess.run returns while it lives on."""
    bench.env["HUSH_IDLE_EXIT_S"] = "300"  # if it held one, this would wait for its end
    ran = subprocess.run(
        [sys.executable, APPS / "inheritance.py", bench.path / "file"],
        env=bench.env,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert ran.stderr == b""
    owner = bench.owner_eventually()
    bench.expect({"a-0"})
    assert bench.owner() == owner


@linux_only
def test_s03_f18_it_inherits_no_descriptor_and_no_place_of_the_app(bench: Bench) -> None:
    """/proc shows only its own files, cwd /, a session of its own, and no secret in its arguments."""
    app = bench.start("inheritance", bench.path / "file", "stay", HUSH_IDLE_EXIT_S="30")
    assert app.value() == "ready"
    pid = bench.owner_eventually()
    bench.expect({"a-0"})
    targets = open_files(pid)
    # Its own files lie beside the database: the file, its log, the spool with lock and doorbell.
    assert [target for target in targets if not target.startswith((str(bench.db), "/dev/null"))] == []
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    assert os.getsid(pid) not in {os.getsid(app.pid), os.getsid(0)}
    assert parent_of(pid) != app.pid
    assert b"OTEL_SDK_DISABLED=true" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert command_line(pid)[1:] == [b"-I", bytes(ENTRY), b"--db", bytes(bench.db), b""]


def open_files(pid: int) -> list[str]:
    """What its descriptors stand for."""
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(fd.readlink()))
        except FileNotFoundError:
            continue  # closed meanwhile
    return found


def parent_of(pid: int) -> int:
    """Its parent's pid."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat[stat.rindex(")") + 2 :].split()[1])


@linux_only
def test_recording_leaves_the_app_as_it_was(bench: Bench) -> None:
    """No thread, no signal handler, no variable, no child: and neither SQLite nor HTTP is imported."""
    app = bench.start("look_around")
    changes = app.value()
    for what, (before, after) in changes.items():
        assert before == after, what
    modules = set(app.value())
    assert not modules & {"sqlite3", "_sqlite3", "urllib3", "http.client", "google.protobuf", "ssl"}
    assert not [m for m in modules if m.startswith(("hush_otel.store", "hush_otel.destinations"))]
    assert app.value() == [], "children left, zombies too"


def plant(directory: Path, *modules: str) -> Path:
    """Modules that leave a mark when they are imported; returns where."""
    directory.mkdir()
    marks = directory / "imported"
    marks.mkdir()
    for module in modules:
        (directory / f"{module}.py").write_text(
            f"import os, sys\nopen(os.path.join({str(marks)!r}, {module!r} + str(os.getpid())), 'w').close()\n"
        )
    return marks


def test_s03_modules_in_the_apps_directory_are_not_imported(bench: Bench) -> None:
    """A hostile sqlite3, msgspec and sitecustomize in cwd and PYTHONPATH do not reach the process."""
    here, there = bench.path / "here", bench.path / "there"
    marks = plant(here, "sqlite3", "msgspec", "urllib3", "sitecustomize", "usercustomize", "hush_otel")
    # Only what the app itself does not import: its own path is its own affair.
    on_path = plant(there, "sitecustomize", "usercustomize")
    app = subprocess.Popen(
        [sys.executable, APPS / "count_then_die.py", "10", "os_exit"],
        cwd=here,
        env=bench.env | {"PYTHONPATH": str(there)},
    )
    assert app.wait(60) == 7
    bench.expect(names("n", 10))
    eventually(lambda: not bench.processes(), what="an idle exit")
    assert list(marks.iterdir()) == []
    assert [mark.name for mark in on_path.iterdir()] == [f"sitecustomize{app.pid}"]


def test_pid_and_is_running_tell_the_owner(bench: Bench) -> None:
    """The handle's pid is the owner's, and None when there is none."""
    app = bench.obedient()
    assert app.ask("background") == [None, False]
    app.ask("end a 1")
    owner = bench.owner_eventually()
    assert app.ask("background") == [owner, True]


def test_shutdown_gives_ownership_up_and_a_later_record_starts_again(bench: Bench) -> None:
    """After shutdown_background the idle process leaves though the app lives; a span brings it back."""
    app = bench.obedient(HUSH_IDLE_EXIT_S="0.2")
    app.ask("end a 10")
    app.ask("background")
    app.ask("shutdown")
    bench.expect(names("a", 10), 0)
    eventually(lambda: not bench.background_processes(), what="an exit while the app lives")
    app.ask("end b 10")
    bench.expect(names("a", 10) | names("b", 10))
